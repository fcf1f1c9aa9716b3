"""Checkpoints: the state, the place in the data, and the config, together.

    workdir/checkpoints/STEP/{state,data,progress,config}

Orbax writes each one in a temporary folder and renames it when it is
complete, so that a run that is killed while saving leaves its last good one.
"""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import orbax.checkpoint as ocp
import tensorstore

from roijax.errors import CheckpointError, ConfigError, RoijaxError
from roijax.training.optimizer import leaf_paths
from roijax.training.state import TrainState

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
  "eval",
)


class Checkpoints:
  """The checkpoints of one working directory."""

  def __init__(
    self, workdir: str | pathlib.Path, config: Mapping[str, Any], keep: int = 2
  ):
    """Opens the folder; makes it if there is none.

    Args:
      workdir: the run's folder.
      config: the run's config, nested and JSON-able.
      keep: how many of the latest checkpoints to keep.

    Raises:
      RoijaxError: the folder cannot be made.
      ConfigError: it holds a run of another config.
    """
    self.folder = pathlib.Path(workdir).absolute() / "checkpoints"
    self._config = _as_json(config)
    options = ocp.CheckpointManagerOptions(
      max_to_keep=keep,
      cleanup_tmp_directories=True,
      # The state's buffers are donated to the next step, so the save must
      # be over before it; and an error is then raised where it happened.
      enable_async_checkpointing=False,
    )
    try:
      self.folder.mkdir(parents=True, exist_ok=True)
      self._manager = ocp.CheckpointManager(
        self.folder,
        options=options,
        item_handlers={
          "state": ocp.StandardCheckpointHandler(),
          "data": ocp.JsonCheckpointHandler(),
          "progress": ocp.JsonCheckpointHandler(),
          "config": ocp.JsonCheckpointHandler(),
        },
      )
    except OSError as error:
      raise RoijaxError(
        f"cannot open {self.folder}: {error.strerror or error}"
      ) from error
    if self.latest_step is not None:
      self._check_config(self.latest_step)

  @property
  def latest_step(self) -> int | None:
    """The newest complete checkpoint's step, or None."""
    return self._manager.latest_step()

  def save(
    self,
    state: TrainState,
    data_state: Mapping[str, Any],
    progress: Mapping[str, Any],
  ) -> None:
    """Writes a checkpoint under the state's own step; returns when it is done.

    Saving a step that is there already does nothing.

    Args:
      state: the whole state.
      data_state: the data iterator's state, JSON-able.
      progress: what the log carries over, JSON-able.

    Raises:
      RoijaxError: no space, no permission.
    """
    step = int(state.step)
    if step == self.latest_step:
      return
    items = ocp.args.Composite(
      state=ocp.args.StandardSave(state),
      data=ocp.args.JsonSave(dict(data_state)),
      progress=ocp.args.JsonSave(dict(progress)),
      config=ocp.args.JsonSave(self._config),
    )
    try:
      self._manager.save(step, args=items, force=True)
    except (OSError, ValueError, RuntimeError) as error:
      raise RoijaxError(
        f"cannot save the checkpoint of step {step} in {self.folder}: "
        f"{_reason(error)}"
      ) from error

  def restore(
    self, state: TrainState
  ) -> tuple[TrainState, dict[str, Any], dict[str, Any]] | None:
    """Reads the newest checkpoint.

    Args:
      state: a state of the same structure; its devices are used.

    Returns:
      The state, the data iterator's state and the log's progress as they were
      saved, or None when there is no checkpoint.

    Raises:
      CheckpointError: it is damaged, or of another model.
    """
    step = self.latest_step
    if step is None:
      return None
    self._check_files(step)
    self._check_shapes(step, state)
    shapes = jax.tree.map(ocp.utils.to_shape_dtype_struct, state)
    items = ocp.args.Composite(
      state=ocp.args.StandardRestore(shapes),
      data=ocp.args.JsonRestore(),
      progress=ocp.args.JsonRestore(),
    )
    restored = self._read(step, items)
    return restored.state, restored.data, restored.progress

  def _check_config(self, step: int) -> None:
    items = ocp.args.Composite(config=ocp.args.JsonRestore())
    saved = self._read(step, items).config
    difference = describe_difference(saved, self._config)
    if difference:
      raise ConfigError(
        f"{self.folder.parent} holds a run of another config: {difference}; "
        f"take another --workdir, or set the config back"
      )

  def _check_files(self, step: int) -> None:
    """Reads every stored value once, without decoding it.

    Orbax reads them all at the same time; one that fails leaves the others
    to complain, at length, after the error is reported.
    """
    folder = self.folder / str(step) / "state"
    try:
      store = tensorstore.KvStore.open(
        {"driver": "ocdbt", "base": f"file://{folder}/"}
      ).result()
      for key in store.list().result():
        store.read(key).result()
    except (OSError, ValueError) as error:
      raise self._unreadable(step, error) from error

  def _check_shapes(self, step: int, state: TrainState) -> None:
    """Says which array differs, before Orbax trips over it."""
    metadata = self._manager.item_metadata(step).state
    saved = {} if metadata is None else _shapes(metadata.tree)
    for path, shape in _shapes(state).items():
      # A typed key is saved as the numbers behind it.
      if path != "key" and saved.get(path) != shape:
        there = list(saved[path]) if path in saved else "missing"
        raise CheckpointError(
          f"the checkpoint {self.folder / str(step)} is damaged or of another "
          f"model: {path} is {there} there and {list(shape)} here; take "
          f"another --workdir"
        )

  def _read(self, step: int, items: ocp.args.Composite) -> Any:
    try:
      return self._manager.restore(step, args=items)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
      raise self._unreadable(step, error) from error

  def _unreadable(self, step: int, error: Exception) -> CheckpointError:
    return CheckpointError(
      f"cannot read the checkpoint {self.folder / str(step)}: "
      f"{_reason(error)}; remove that folder to go on from the one before"
    )

  def close(self) -> None:
    """Lets go of the folder."""
    self._manager.close()


def describe_difference(
  saved: Mapping[str, Any], config: Mapping[str, Any]
) -> str:
  """Names the keys in which two configs are different runs.

  Args:
    saved: the config of the checkpoint.
    config: the config of the run.

  Returns:
    "loss.lmbda is 0.01 there and 0.02 here, ..." (three keys at most), or an
    empty string when only `FREE_KEYS` differ.
  """
  before, after = _flatten(saved), _flatten(_as_json(config))
  words = []
  for key in sorted(before.keys() | after.keys()):
    free = any(f"{key}.".startswith(f"{name}.") for name in FREE_KEYS)
    both = key in before and key in after
    if free or (both and before[key] == after[key]):
      continue
    there = json.dumps(before[key]) if key in before else "missing"
    here = json.dumps(after[key]) if key in after else "missing"
    words.append(f"{key} is {there} there and {here} here")
  more = [f"and {len(words) - 3} more keys"] if len(words) > 3 else []
  return ", ".join(words[:3] + more)


def _as_json(config: Mapping[str, Any]) -> dict[str, Any]:
  """What JSON makes of a config: tuples become lists, keys strings."""
  return json.loads(json.dumps(config))


def _flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
  flat = {}
  for key, value in config.items():
    if isinstance(value, Mapping) and value:
      flat.update(_flatten(value, f"{prefix}{key}."))
    else:
      flat[f"{prefix}{key}"] = value
  return flat


def _shapes(tree: Any) -> dict[str, tuple[int, ...]]:
  leaves = jax.tree.leaves(tree)
  return {
    path: tuple(leaf.shape)
    for path, leaf in zip(leaf_paths(tree), leaves, strict=True)
  }


def _reason(error: Exception) -> str:
  """The part of an error that a person can use, on one line."""
  if isinstance(error, OSError) and error.strerror:
    return error.strerror
  text = " ".join(str(error).split())
  for known in ("No space left on device", "Permission denied"):
    if known in text:
      return known
  return text[:200] or type(error).__name__
