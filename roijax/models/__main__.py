"""How large the models are that configurations describe.

  python -m roijax.models                                  all of configs/
  python -m roijax.models --config=configs/ggm.py:small    every part of one

A part's row holds all that is below it. MACs are the multiply-accumulates of
one forward pass over a photo of `--size`: encoding and decoding together.

Exit codes: 0 done; 2 the command or its input is at fault (one line says
what to do).
"""

import argparse
import importlib.util
import pathlib
import re
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any, NoReturn

from roijax.errors import ConfigError, RoijaxError

if TYPE_CHECKING:
  from roijax.models.size import Part

FOLDER = pathlib.Path("configs")
Size = tuple[int, int]


def read_config(text: str) -> Any:
  """Reads the configuration that FILE:VARIANT names, as `train.py` does.

  Raises:
    ConfigError: there is no such file or variant, the file fails, or what it
      describes is no codec.
  """
  name, _, variant = text.partition(":")
  config = _get_config(_import_file(pathlib.Path(name)), name, variant)
  if not _is_codec(config):
    raise ConfigError(f"--config: {text} describes no codec")
  return config


def _import_file(file: pathlib.Path) -> ModuleType:
  if not file.is_file():
    raise ConfigError(f"--config: there is no file {file}")
  spec = importlib.util.spec_from_file_location(f"config_{file.stem}", file)
  if spec is None or spec.loader is None:
    raise ConfigError(f"--config: {file} is no Python file")
  module = importlib.util.module_from_spec(spec)
  try:
    spec.loader.exec_module(module)
  except Exception as error:
    raise _blame(file, error) from error
  return module


def _get_config(module: ModuleType, file: object, variant: str) -> Any:
  try:
    return module.get_config(variant)
  except Exception as error:
    raise _blame(file, error) from error


def _blame(file: object, error: Exception) -> ConfigError:
  """Whatever a person's own file raises is that file's fault."""
  what = " ".join(str(error).split()) or type(error).__name__
  return ConfigError(f"--config: {file}: {what}")


def _is_codec(config: Any) -> bool:
  return "system" in config and "model" in config


def parse_size(text: str) -> Size:
  """Width and height from a text such as 768x512.

  Raises:
    ConfigError: it is none.
  """
  found = re.fullmatch(r"([1-9]\d{0,5})x([1-9]\d{0,5})", text)
  if not found:
    raise ConfigError(f"--size: {text!r} is no size: write 768x512")
  return int(found[1]), int(found[2])


def _measure(config: Any, size: Size, depth: int) -> "list[Part]":
  # JAX takes seconds to import: a misspelled option does not wait for it.
  from roijax.models.registry import build_model
  from roijax.models.size import measure_size

  model = build_model(config["system"], config["model"])
  return measure_size(model, size[1], size[0], depth)


def _print_parts(config: Any, size: Size, depth: int) -> None:
  *parts, whole = _measure(config, size, depth)
  rows = [("  " * (len(part.path) - 1) + part.path[-1], part) for part in parts]
  _print_rows("part", [*rows, ("all", whole)], size, whole)


def _print_variants(size: Size) -> None:
  """Prints the totals of every variant of every codec in `configs/`."""
  from roijax.models.registry import SYSTEMS

  rows = []
  for file in sorted(FOLDER.glob("*.py")):
    module = _import_file(file)
    for variant in getattr(module, "VARIANTS", ("",)):
      config = _get_config(module, file, variant)
      if _is_codec(config) and config["system"] in SYSTEMS:
        name = f"{file}:{variant}" if variant else str(file)
        rows.append((name, _measure(config, size, 0)[-1]))
  if not rows:
    raise ConfigError(
      f"no codec in {FOLDER.absolute()}: give --config=FILE:VARIANT"
    )
  _print_rows("configuration", rows, size)


def _print_rows(
  head: str,
  rows: "Sequence[tuple[str, Part]]",
  size: Size,
  whole: "Part | None" = None,
) -> None:
  """Prints a row a part; with the whole, each part's share of it."""
  width = max(len(head), *(len(name) for name, _ in rows))
  share = f"{'share':>8}" if whole else ""
  print(
    f"{head:{width}}{'parameters':>13}{share}{'MMAC':>12}{share}"
    f"{'kMAC/pixel':>12}"
  )
  for name, part in rows:
    shares = ("", "")
    if whole:
      shares = (
        f"{part.parameters / max(whole.parameters, 1):8.1%}",
        f"{part.macs / max(whole.macs, 1):8.1%}",
      )
    print(
      f"{name:{width}}{part.parameters:13,}{shares[0]}"
      f"{part.macs / 1e6:12,.1f}{shares[1]}"
      f"{part.macs / 1e3 / (size[0] * size[1]):12.2f}"
    )


class _Parser(argparse.ArgumentParser):
  """Tells a misuse as every command here does."""

  def error(self, message: str) -> NoReturn:
    raise ConfigError(f"{message}; --help shows what there is")


def main(arguments: Sequence[str] | None = None) -> int:
  """Prints the table.

  Args:
    arguments: instead of `sys.argv[1:]`.

  Returns:
    The exit code: 0, or 2 after one line on the standard error.
  """
  parser = _Parser(
    prog="python -m roijax.models",
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  parser.add_argument("--config", help="a config file and its variant")
  parser.add_argument(
    "--size", default="768x512", help="of the photo (%(default)s)"
  )
  parser.add_argument(
    "--depth",
    type=int,
    default=2,
    choices=range(1, 10),
    metavar="N",
    help="levels of modules to tell apart (%(default)s)",
  )
  try:
    options = parser.parse_args(arguments)
    size = parse_size(options.size)
    if options.config is None:
      _print_variants(size)
    else:
      _print_parts(read_config(options.config), size, options.depth)
  except RoijaxError as error:
    print(f"error: {error}", file=sys.stderr)
    return 2
  return 0


if __name__ == "__main__":
  sys.exit(main())
