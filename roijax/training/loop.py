"""The training loop, which knows no model.

    iterator --batch--> step --> state --> log, checkpoints, export

It takes what it needs as arguments; `codec` and `predictor` put those together
from a config. Where several processes train together, all run this, step by
step.
"""

import dataclasses
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import jax
import optax

from roijax.errors import RoijaxError
from roijax.training import agreement, hosts, parallel
from roijax.training.agreement import Agreement, Verdict
from roijax.training.checkpoints import Checkpoints
from roijax.training.logging import SilentLog, TrainingLog
from roijax.training.optimizer import leaf_paths
from roijax.training.options import TrainOptions
from roijax.training.run_config import write_config
from roijax.training.signals import Interrupted, StopOnSignal
from roijax.training.state import TrainState
from roijax.training.steps import NONFINITE, Steps, describe_nonfinite


class BatchIterator(Protocol):
  """An endless iterator of batches whose place can be saved."""

  def __next__(self) -> dict[str, Any]: ...

  def get_state(self) -> dict[str, Any]:
    """Its place, JSON-able."""
    ...

  def set_state(self, state: dict[str, Any]) -> None:
    """Goes to a place that `get_state` gave."""
    ...

  def close(self) -> None:
    """Lets go of threads and processes."""
    ...


@hosts.telling_of_loss()
def run_training(
  state: TrainState,
  iterator: BatchIterator,
  steps: Steps,
  options: TrainOptions,
  *,
  batch_size: int,
  workdir: str | pathlib.Path,
  config: Mapping[str, Any],
  schedule: optax.Schedule | None = None,
  export: Callable[[TrainState], None] | None = None,
  observe: Callable[[int, TrainState, TrainingLog], None] | None = None,
) -> TrainState:
  """Trains to the end, from the newest checkpoint if there is one.

  A run that was stopped or killed and started again repeats the numbers of
  one that was not.

  Args:
    state: a fresh state; the restored one takes its place.
    iterator: the batches; where there are several processes, this one's rows
      of them.
    steps: what an update is.
    options: how long, how often, in how many parts.
    batch_size: samples in a batch, over all devices and processes.
    workdir: the run's folder; all processes must see it.
    config: the whole config, to be saved and compared.
    schedule: the learning rate, for the log.
    export: called after every checkpoint and at the end, on the primary.
    observe: called with the step, the state and the log every
      `options.observe_every` steps and at the end, on the primary; draws,
      changes nothing.

  Returns:
    The final state.

  Raises:
    ConfigError: the batch does not split, the folder is another run's, or
      the processes do not run the same.
    RoijaxError: something is not finite (the line names the step and the
      array), or the disk is full.
    Interrupted: SIGTERM or SIGINT came; a checkpoint was saved.
  """
  agreement.check_same("config", config)
  agreement.check_same("data", iterator.get_state())
  devices = parallel.pick_devices(options.devices)
  parallel.check_batch_size(batch_size, len(devices), options.accumulate)
  state = parallel.place_state(agreement.broadcast(state), devices)
  checkpoints = Checkpoints(workdir, config, options.keep)
  restored = checkpoints.restore(state)
  if restored is not None:
    state = restored.state
    iterator.set_state(restored.data)
  agreement.on_primary(lambda: write_config(workdir, config))
  log = SilentLog()
  if hosts.is_primary():
    log = TrainingLog(
      workdir,
      batch_size=batch_size,
      steps=options.steps,
      seconds=options.seconds,
      start_step=int(state.step),
      progress=restored.progress if restored else None,
    )
  if restored is not None:
    for note in restored.notes:
      log.say(note)
    log.say(f"going on from step {int(state.step)} in {workdir}")
  run = _Run(
    iterator,
    options,
    devices,
    checkpoints,
    log,
    parallel.make_update(steps, devices, options.accumulate),
    schedule,
    export if hosts.is_primary() else None,
    observe,
  )
  try:
    with StopOnSignal() as stop:
      return run.train(state, stop)
  finally:
    log.close()
    checkpoints.close()


@dataclasses.dataclass
class _Run:
  """The loop's moving parts; one `train` call each."""

  iterator: BatchIterator
  options: TrainOptions
  devices: Sequence[parallel.Device]
  checkpoints: Checkpoints
  log: TrainingLog | SilentLog
  update: Callable[[TrainState, Any], tuple[TrainState, Any]]
  schedule: Callable[[int], Any] | None
  export: Callable[[TrainState], None] | None
  observe: Callable[[int, TrainState, TrainingLog], None] | None

  def train(self, state: TrainState, stop: StopOnSignal) -> TrainState:
    """Steps until the end, the time limit or a signal."""
    options = self.options
    self.pending = None
    self.paths = leaf_paths(state.params)
    self.agreement = Agreement()
    self.saved_at = time.monotonic()
    step = int(state.step)
    verdict = self._judge(step, stop)
    while step < options.steps and not verdict.late and not verdict.signum:
      state, metrics = self.update(state, next(self.iterator))
      step += 1
      # The step before is read while this one runs: the device never waits,
      # and never runs more than one step ahead.
      self._take_in()
      self.pending = (step, metrics)
      if step % options.log_every == 0:
        self._write(step)
      if options.observe_every and step % options.observe_every == 0:
        self._show(step, state)
      # Told before the save: the seconds in the last checkpoint are then
      # those that ended the run, and starting it again adds no step.
      verdict = self._judge(step, stop)
      every = options.checkpoint_every
      due = verdict.due or (every and step % every == 0)
      # The last checkpoint comes after the last row, which it must not hold
      # once more.
      if due and step < options.steps and not verdict.late:
        self._save(state)
    self._take_in()
    # Once more: several processes may not have asked at the last step.
    verdict = self._judge(step, stop, now=True)
    if verdict.signum:
      self._save(state)
      raise Interrupted(verdict.signum, step)
    self._write(step)
    self._save(state)
    if options.observe_every and step % options.observe_every:
      self._show(step, state)
    return state

  def _judge(self, step: int, stop: StopOnSignal, now: bool = False) -> Verdict:
    """What clock and signals ask for, here or in another process."""
    limit, minutes = self.options.seconds, self.options.checkpoint_minutes
    idle = time.monotonic() - self.saved_at
    own = Verdict(
      late=bool(limit) and self.log.seconds >= limit,
      due=bool(minutes) and idle >= 60 * minutes,
      signum=stop.signum or 0,
    )
    return self.agreement.reach(step, own, now)

  def _take_in(self) -> None:
    """Reads the pending metrics; stops the run if they are not finite."""
    if self.pending is None:
      return
    step, metrics = self.pending
    self.pending = None
    metrics = jax.device_get(metrics)
    what = describe_nonfinite(metrics.pop(NONFINITE), self.paths)
    if what is not None:
      latest = self.checkpoints.latest_step
      kept = f"step {latest} is kept" if latest else "nothing was saved yet"
      raise RoijaxError(
        f"step {step}: {what} is not finite; {kept}; lower "
        f"config.optimizer.learning_rate or config.optimizer.clip_norm"
      )
    self.log.add(step, metrics)

  def _write(self, step: int) -> None:
    self._take_in()
    extra = {}
    if self.schedule is not None:
      # The rate of the step just made, which counted from 0.
      extra["learning_rate"] = float(self.schedule(step - 1))
    self.log.write(step, **extra)

  def _show(self, step: int, state: TrainState) -> None:
    self._take_in()
    if self.observe is not None and isinstance(self.log, TrainingLog):
      self.observe(step, state, self.log)

  def _save(self, state: TrainState) -> None:
    self._take_in()
    self.checkpoints.save(
      parallel.make_global(state, self.devices),
      self.iterator.get_state(),
      self.log.progress,
    )
    self.saved_at = time.monotonic()
    if self.export is not None:
      self.export(state)
