"""Trains a model, then evaluates it on real files.

  python train.py --config=configs/ggm.py:sample --workdir=runs/sample

Any key of the config can be set from here (`--config.train.steps=500`). The
same command on the same `--workdir` goes on from the newest checkpoint there.

Several machines, or processes of one, train together when each is given
`--distributed`: `auto` asks the cluster's environment (SLURM, Open MPI,
Kubernetes, Cloud TPU, or JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and
JAX_PROCESS_ID), HOST:PORT,INDEX/COUNT says it outright:

  python train.py ... --distributed=10.0.0.1:8476,0/2    # on 10.0.0.1
  python train.py ... --distributed=10.0.0.1:8476,1/2    # on the other

The `--workdir` lies on a disk that they share; only the first prints progress.

Exit codes: 0 done; 2 the command or its input is at fault (one line says
what to do); 1 something unexpected (ROIJAX_DEBUG=1 shows where); 143 or 130
stopped by SIGTERM or Ctrl-C, with a checkpoint.
"""

import ast
import contextlib
import pathlib
import re
import sys

from absl import flags
from ml_collections import config_flags

from roijax.cli import exit_code
from roijax.errors import RoijaxError

_CONFIG = config_flags.DEFINE_config_file(
  "config", None, "A config file and its variant: configs/ggm.py:small."
)
_WORKDIR = flags.DEFINE_string("workdir", None, "The run's folder.")
_DISTRIBUTED = flags.DEFINE_string(
  "distributed", "", "Several processes: auto, or HOST:PORT,INDEX/COUNT."
)


def parse_flags(arguments: list[str]) -> None:
  """Reads the command line.

  Raises:
    RoijaxError: an unknown flag or config key, a missing or bad value, no
      such config file.
  """
  try:
    rest = flags.FLAGS(arguments)
    if _CONFIG.value is None or not _WORKDIR.value:
      raise RoijaxError(
        "--config and --workdir are needed, for example "
        "--config=configs/ggm.py:sample --workdir=runs/sample"
      )
    file = config_flags.get_config_filename(flags.FLAGS["config"])
    file = file.rpartition(":")[0] or file
    if not pathlib.Path(file).is_file():
      raise RoijaxError(f"--config: there is no file {file}")
  except flags.Error as error:
    raise RoijaxError(_on_one_line(error)) from error
  except (AttributeError, KeyError) as error:
    raise RoijaxError(f"no such config key: {_on_one_line(error)}") from error
  except (OSError, ImportError, TypeError, ValueError) as error:
    raise RoijaxError(f"--config: {_on_one_line(error)}") from error
  if len(rest) > 1:
    raise RoijaxError(f"unexpected argument {rest[1]!r}: flags begin with --")


def _on_one_line(error: Exception) -> str:
  # Not str(error): a KeyError's would escape its line breaks, and
  # ml_collections passes on what was escaped already.
  text = str(error.args[0] if error.args else error)
  with contextlib.suppress(SyntaxError, ValueError):
    text = str(ast.literal_eval(text))
  if "Traceback (most recent call last)" in text:
    # A config file failed; its end says why, on one line or several.
    *_, text = re.split(r"^\s*[\w.]*Error: ", text, flags=re.MULTILINE)
    if "Traceback (most recent call last)" in text:
      text = text.strip().rpartition("\n")[2]
  return " ".join(text.split())


def main() -> int:
  """Reads the command line, and trains alone or with others."""
  if {"-h", "--help", "-help"} & set(sys.argv):
    print(f"{__doc__}\n{flags.FLAGS.main_module_help()}")
    return 0
  parse_flags(sys.argv)
  # JAX takes seconds to import: a misspelled flag does not wait for it.
  from roijax.training import hosts

  if not _DISTRIBUTED.value:
    return run()
  code = exit_code(lambda: hosts.start(_DISTRIBUTED.value))
  return hosts.leave(code or exit_code(hosts.telling_of_loss()(run)))


def run() -> int:
  """Trains, then evaluates if the config says on what."""
  config, workdir = _CONFIG.value, str(_WORKDIR.value)
  from roijax.data.sources import open_source
  from roijax.programs import use_compilation_cache
  from roijax.training import agreement, hosts
  from roijax.training.options import call_with
  from roijax.training.signals import Interrupted

  # Before anything that only some of them might do.
  agreement.check_same("config", config.to_dict())
  train, make_settings, evaluate = _choose(config.get("system"))
  data_dir = config.data.get("data_dir") or None
  settings = call_with(make_settings, "eval", config.eval, data_dir=data_dir)
  if settings.data:
    # Photos that are missing are told before hours of training, not after.
    agreement.on_primary(
      lambda: bool(open_source(settings.data, settings.data_dir))
    )
  use_compilation_cache()
  try:
    train(config, workdir)
  except Interrupted as stop:
    hosts.close()
    if hosts.is_primary():
      print(stop, file=sys.stderr)
    return stop.exit_code
  hosts.close()
  # The rest is the first process's alone.
  if not hosts.is_primary():
    return 0
  print(f"trained: {workdir}/model.npz")
  if settings.data:
    evaluate(workdir, settings)
  return 0


def _choose(system: str | None):
  """What trains a system, the class of its `eval` section, what evaluates."""
  if system == "hrnet":
    from roijax.evaluation import prediction
    from roijax.training.predictor import train_predictor

    return train_predictor, prediction.Settings, prediction.evaluate_checkpoint
  from roijax.evaluation.run import Settings
  from roijax.training.codec import train_codec

  return train_codec, Settings, _evaluate_codec


def _evaluate_codec(workdir: str, settings) -> None:
  from roijax.evaluation import report
  from roijax.evaluation.run import evaluate_checkpoint

  evaluation = evaluate_checkpoint(workdir, settings)
  report.print_report(evaluation.points, evaluation.differences)
  print(f"results: {evaluation.folder}/results.json, results.csv, rd.png")


# The guard also keeps the data's reader processes, which import this file,
# from training.
if __name__ == "__main__":
  sys.exit(exit_code(main))
