"""Trains a model, then evaluates it on real files.

  python train.py --config=configs/ggm.py:sample --workdir=runs/sample

Any key of the config can be set from here (`--config.train.steps=500`). The
same command on the same `--workdir` goes on from the newest checkpoint there.

Exit codes: 0 done; 2 the command or its input is at fault (one line says
what to do); 143 or 130 stopped by SIGTERM or Ctrl-C, with a checkpoint.
"""

import os
import sys

from absl import app, flags
from ml_collections import config_flags

from roijax.errors import RoijaxError

_CONFIG = config_flags.DEFINE_config_file(
  "config", None, "A config file and its variant, configs/ggm.py:small."
)
_WORKDIR = flags.DEFINE_string("workdir", None, "The run's folder.")


def parse_flags(arguments: list[str]) -> list[str]:
  """Reads the command line; what is wrong with it takes one line.

  Raises:
    RoijaxError: an unknown flag or config key, a missing or bad value.
  """
  try:
    rest = flags.FLAGS(arguments)
    if _CONFIG.value is None or not _WORKDIR.value:
      raise RoijaxError(
        "--config and --workdir are needed, for example --config="
        "configs/ggm.py:sample --workdir=runs/sample"
      )
    # A config file that could not be read says so at its first use.
    _CONFIG.value.to_dict()
  except flags.Error as error:
    raise RoijaxError(_join_lines(error)) from error
  except (AttributeError, KeyError) as error:
    raise RoijaxError(f"no such config key: {_join_lines(error)}") from error
  except (OSError, ImportError, TypeError, ValueError) as error:
    raise RoijaxError(f"--config: {_join_lines(error)}") from error
  if len(rest) > 1:
    raise RoijaxError(f"unexpected argument {rest[1]!r}: flags begin with --")
  return rest


def _join_lines(error: Exception) -> str:
  """An error's text on one line, without the quotes of a KeyError."""
  text = error.args[0] if error.args else error
  words = str(text).encode().decode("unicode_escape").split()
  return " ".join(words).strip("'\" ")


def main(arguments: list[str]) -> int:
  """Trains, then evaluates if the config says on what."""
  del arguments
  # JAX and the rest take seconds to import; a misspelled flag does not wait.
  from roijax.training.loop import train
  from roijax.training.signals import Interrupted

  try:
    train(_CONFIG.value, _WORKDIR.value)
  except Interrupted as stop:
    print(stop, file=sys.stderr)
    return stop.exit_code
  return 0


def run() -> int:
  """The command, from arguments to exit code."""
  try:
    return main(parse_flags(sys.argv))
  except RoijaxError as error:
    if os.environ.get("ROIJAX_DEBUG"):
      raise
    print(f"error: {error}", file=sys.stderr)
    return 2


if __name__ == "__main__":
  # Grain's worker processes import this file: they must not run it.
  sys.exit(run())
