"""Checkpoints: the state, the place in the data, and the config, together.

    workdir/checkpoints/STEP/{state,data,progress,config}

Orbax writes each one in a temporary folder and renames it when it is
complete, so that a run that is killed while saving leaves its last good one.
Where there are several processes, all of them open, save and restore at the
same moments, on a disk that they share; the first one judges and tidies.
"""

import contextlib
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jax
import orbax.checkpoint as ocp

from roijax.errors import CheckpointError, ConfigError, RoijaxError
from roijax.training import agreement, hosts
from roijax.training.damage import find_damage, move_aside, write_checksums
from roijax.training.optimizer import leaf_paths
from roijax.training.run_config import as_json, describe_difference
from roijax.training.state import TrainState

# What Orbax may raise over a file.
_FAILURES = (OSError, ValueError, KeyError, TypeError, RuntimeError)


class Restored(NamedTuple):
  """What a run goes on from.

  Attributes:
    state: the whole state.
    data: the data iterator's state.
    progress: what the log carries over.
    notes: lines about damaged checkpoints that were passed over.
  """

  state: TrainState
  data: dict[str, Any]
  progress: dict[str, Any]
  notes: list[str]


def is_begun(workdir: str | pathlib.Path, config: Mapping[str, Any]) -> bool:
  """Whether a run in a folder has something to go on from.

  Args:
    workdir: the run's folder; made if there is none.
    config: as for `Checkpoints`.

  Raises:
    RoijaxError: the folder cannot be made.
  """
  with contextlib.closing(Checkpoints(workdir, config)) as checkpoints:
    return checkpoints.latest_step is not None


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
    """
    self.folder = pathlib.Path(workdir).absolute() / "checkpoints"
    self._config = as_json(config)
    options = ocp.CheckpointManagerOptions(
      max_to_keep=keep,
      cleanup_tmp_directories=True,
      # The state's buffers are donated to the next step, so the save must
      # be over before it; and an error is then raised where it happened.
      enable_async_checkpointing=False,
    )
    with self._telling("cannot open"):
      agreement.on_primary(self._make_folder)
      agreement.on_all(self._check_shared)
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

  def _make_folder(self) -> None:
    with self._telling("cannot open"):
      self.folder.mkdir(parents=True, exist_ok=True)

  def _check_shared(self) -> None:
    if not self.folder.is_dir():
      raise RoijaxError(
        f"{self.folder} is not there, though the first process has just made "
        f"it: --workdir must lie on a disk that all processes share"
      )

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
      state: the whole state, in arrays that all processes know of (see
        `parallel.make_global`).
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
    with self._telling(f"cannot save the checkpoint of step {step} in"):
      self._manager.save(step, args=items, force=True)
    if hosts.is_primary():
      write_checksums(self.folder / str(step))

  def restore(self, state: TrainState) -> Restored | None:
    """Reads the newest checkpoint that is whole.

    Damaged ones that are newer are renamed to `STEP.damaged`.

    Args:
      state: a state of the same structure; its devices are used.

    Returns:
      What was saved, or None when there is no checkpoint.

    Raises:
      ConfigError: the folder holds a run of another config.
      CheckpointError: all checkpoints are damaged, or it is of another model.
    """
    step, notes = agreement.on_primary(self._find_good)
    if step is None:
      return None
    self._manager.reload()
    saved = self._read(step, config=ocp.args.JsonRestore()).config
    difference = describe_difference(saved, self._config)
    if difference:
      raise ConfigError(
        f"{self.folder.parent} holds a run of another config: {difference}; "
        f"take another --workdir, or set the config back"
      )
    self._check_shapes(step, state)
    restored = self._read(
      step,
      state=ocp.args.StandardRestore(
        jax.tree.map(ocp.utils.to_shape_dtype_struct, state)
      ),
      data=ocp.args.JsonRestore(),
      progress=ocp.args.JsonRestore(),
    )
    return Restored(restored.state, restored.data, restored.progress, notes)

  def _find_good(self) -> tuple[int | None, list[str]]:
    """The newest whole checkpoint; renames those that it passes over."""
    if self.latest_step is None:
      return None, []
    damaged = []
    for step in sorted(self._manager.all_steps(), reverse=True):
      damage = find_damage(self.folder / str(step))
      if damage is None:
        break
      damaged.append((step, damage))
    else:
      told = "; ".join(f"step {step}: {damage}" for step, damage in damaged)
      raise CheckpointError(
        f"no checkpoint in {self.folder} is whole ({told}): take another "
        f"--workdir, or remove that folder to start anew"
      )
    notes = []
    for bad, damage in damaged:
      there = move_aside(self.folder / str(bad))
      notes.append(
        f"the checkpoint of step {bad} is damaged ({damage}): it is passed "
        f"over, and kept as {there.name}"
      )
    return step, notes

  def _check_shapes(self, step: int, state: TrainState) -> None:
    """Says which array differs, before Orbax trips over it."""
    metadata = self._manager.item_metadata(step).state
    saved = {} if metadata is None else _shapes(metadata.tree)
    for path, shape in _shapes(state).items():
      # A typed key is saved as the numbers behind it.
      if path != "key" and saved.get(path) != shape:
        there = list(saved[path]) if path in saved else "missing"
        raise CheckpointError(
          f"the checkpoint {self.folder / str(step)} is of another model: "
          f"{path} is {there} there and {list(shape)} here; take another "
          f"--workdir"
        )

  def _read(self, step: int, **items: Any) -> Any:
    try:
      return self._manager.restore(step, args=ocp.args.Composite(**items))
    except _FAILURES as error:
      raise CheckpointError(
        f"cannot read the checkpoint {self.folder / str(step)}: "
        f"{_reason(error)}; move that folder away to go on from the one before"
      ) from error

  @contextlib.contextmanager
  def _telling(self, what: str) -> Iterator[None]:
    try:
      yield
    except jax.errors.JaxRuntimeError:
      # No matter of files: another process is gone.
      raise
    except (OSError, ValueError, RuntimeError) as error:
      raise RoijaxError(f"{what} {self.folder}: {_reason(error)}") from error

  def close(self) -> None:
    """Lets go of the folder."""
    self._manager.close()


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
