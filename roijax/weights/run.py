"""What a training run's folder tells about the weights that it made."""

import importlib.util
import json
import pathlib
import shlex
from collections.abc import Mapping
from typing import Any, NamedTuple

from roijax.errors import CheckpointError
from roijax.weights.public import publish_path, publish_spec

# Of a source tree; an installed package has none.
CONFIGS = pathlib.Path(__file__).parents[2] / "configs"

# What does not shape the weights, or differs from machine to machine.
_SILENT = (
  "data.data_dir",
  "data.workers",
  "eval",
  "train.checkpoint_every",
  "train.checkpoint_minutes",
  "train.devices",
  "train.keep",
  "train.log_every",
  "train.observe_every",
)


class Run(NamedTuple):
  """How weights were trained.

  Attributes:
    photos: the spec of the training photos, published.
    crop: side of the squares that were cut from them, pixels.
    batch_size: crops a step.
    ema_decay: of the moving average of the parameters, which the weights are.
    planned: the step at which the run was to end.
    step: the last step in its log; None where there is no log.
    seconds: wall time until then; None likewise.
    start_from: the weights that it began with, published; empty for none.
    command: what trains again; None where it cannot be told.
  """

  photos: str
  crop: int
  batch_size: int
  ema_decay: float
  planned: int
  step: int | None
  seconds: float | None
  start_from: str
  command: str | None


def read_run(
  folder: pathlib.Path, configs: pathlib.Path = CONFIGS
) -> Run | None:
  """Reads `config.json` and `metrics.jsonl` of a run.

  Args:
    folder: the run's workdir.
    configs: where the configuration files lie, by which the command is found.

  Returns:
    A `Run`, or None where the folder holds no `config.json`.

  Raises:
    CheckpointError: a file is damaged, or of something else.
  """
  path = folder / "config.json"
  try:
    config = json.loads(path.read_bytes())
    last = _last_row(folder / "metrics.jsonl")
    return Run(
      photos=publish_spec(config["data"]["source"]),
      crop=int(config["data"]["crop"]),
      batch_size=int(config["data"]["batch_size"]),
      ema_decay=float(config["train"]["ema_decay"]),
      planned=int(config["train"]["steps"]),
      step=last.get("step"),
      seconds=last.get("seconds"),
      start_from=publish_path(config["train"].get("start_from") or ""),
      command=find_command(config, configs),
    )
  except FileNotFoundError:
    return None
  except OSError as error:
    raise CheckpointError(f"cannot read {path}: {error.strerror}") from error
  except (ValueError, KeyError, TypeError, AttributeError) as error:
    raise CheckpointError(
      f"{path} is not the configuration of a training run, or is damaged"
    ) from error


def find_command(
  config: Mapping[str, Any], configs: pathlib.Path
) -> str | None:
  """The `train.py` command that gives a configuration.

  Of the variants in `configs/SYSTEM.py` the nearest is taken, and the keys in
  which it differs are set.

  Args:
    config: the content of a `config.json`.
    configs: the folder of configuration files.

  Returns:
    The command, or None where there is no such file, or training's packages
    are missing.
  """
  name = f"{config['system']}.py"
  wanted = _flatten(config)
  best: tuple[str, dict[str, Any]] | None = None
  for variant, offered in _read_variants(configs / name).items():
    flat = _flatten(offered)
    different = {
      key: value
      for key, value in wanted.items()
      if key not in flat or flat[key] != value
    }
    if best is None or len(different) < len(best[1]):
      best = variant, different
  if best is None:
    return None
  variant, different = best
  words = [
    "python train.py",
    f"--config=configs/{name}{':' * bool(variant)}{variant}",
    "--workdir=RUN",
  ]
  for key, value in different.items():
    words.append(shlex.quote(f"--config.{key}={_format(key, value)}"))
  return " ".join(words)


def _read_variants(path: pathlib.Path) -> dict[str, Mapping[str, Any]]:
  if not path.is_file():
    return {}
  spec = importlib.util.spec_from_file_location(f"config_{path.stem}", path)
  if spec is None or spec.loader is None:
    return {}
  module = importlib.util.module_from_spec(spec)
  try:
    spec.loader.exec_module(module)
  except ImportError:
    return {}
  return {
    variant: module.get_config(variant).to_dict() for variant in module.VARIANTS
  }


def _flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
  flat = {}
  for key, value in config.items():
    path = f"{prefix}{key}"
    if path in _SILENT:
      continue
    if isinstance(value, Mapping):
      flat.update(_flatten(value, f"{path}."))
    else:
      flat[path] = list(value) if isinstance(value, tuple) else value
  return flat


def _format(key: str, value: Any) -> str:
  """A value as the command line takes it."""
  if key == "data.source":
    return publish_spec(value)
  if isinstance(value, str):
    return publish_path(value)
  return repr(tuple(value) if isinstance(value, list) else value)


def _last_row(path: pathlib.Path) -> dict[str, Any]:
  """The last row of a log that was written to its end; empty without any."""
  if not path.is_file():
    return {}
  for line in reversed(path.read_text(encoding="utf-8").splitlines()):
    try:
      return dict(json.loads(line))
    except ValueError:
      # A killed run may leave half a row.
      continue
  return {}
