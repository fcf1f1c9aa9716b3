"""A run's config as JSON: what is saved of it, and where two of them differ."""

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from roijax.files import write_whole

# What a resumed run may set anew: how long, how often, where, on what
# hardware. All else shapes the numbers, and a change means another run.
# `train.steps` also ends the learning rate's decay: a longer run goes on with
# the longer run's rate.
FREE_KEYS = (
  "train.steps",
  "train.seconds",
  "train.log_every",
  "train.checkpoint_every",
  "train.checkpoint_minutes",
  "train.keep",
  "train.devices",
  "train.observe_every",
  "data.data_dir",
  "data.workers",
  # Where they lie; `perceptual.fingerprint` says which they are.
  "perceptual.weights",
  "eval",
)


def as_json(config: Mapping[str, Any]) -> dict[str, Any]:
  """What JSON makes of a config: tuples become lists, keys strings."""
  return json.loads(json.dumps(config))


def write_config(
  workdir: str | pathlib.Path, config: Mapping[str, Any]
) -> None:
  """Writes `config.json`, by which a run's folder explains itself.

  Raises:
    RoijaxError: the file cannot be written.
  """
  text = json.dumps(config, indent=2, sort_keys=True) + "\n"
  write_whole(pathlib.Path(workdir) / "config.json", text.encode())


def describe_difference(
  one: Mapping[str, Any],
  other: Mapping[str, Any],
  free: Sequence[str] = FREE_KEYS,
  places: tuple[str, str] = ("there", "here"),
) -> str:
  """Names the keys in which two configs are different runs.

  Args:
    one: a config, such as that of a checkpoint.
    other: another, such as that of the run.
    free: keys, or whole sections, that may differ.
    places: what to call where `one` and `other` come from.

  Returns:
    "loss.lmbda is 0.01 there and 0.02 here, ..." (three keys at most), or an
    empty string when only `free` keys differ.
  """
  before, after = _flatten(as_json(one)), _flatten(as_json(other))
  words = []
  for key in sorted(before.keys() | after.keys()):
    allowed = any(f"{key}.".startswith(f"{name}.") for name in free)
    both = key in before and key in after
    if allowed or (both and before[key] == after[key]):
      continue
    values = [
      json.dumps(flat[key]) if key in flat else "missing"
      for flat in (before, after)
    ]
    words.append(
      f"{key} is {values[0]} {places[0]} and {values[1]} {places[1]}"
    )
  more = [f"and {len(words) - 3} more keys"] if len(words) > 3 else []
  return ", ".join(words[:3] + more)


def _flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
  flat = {}
  for key, value in config.items():
    if isinstance(value, Mapping) and value:
      flat.update(_flatten(value, f"{prefix}{key}."))
    else:
      flat[f"{prefix}{key}"] = value
  return flat
