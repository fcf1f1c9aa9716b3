"""The training loop, and the assembly of a run from its config.

    config --> source --> iterator --batch--> step --> state
           \\-> model --> loss_fn ------------^  \\-> log, checkpoints, export

`run_training` is the loop: it takes what it needs as arguments and knows no
model. `train` is the assembly: it reads a config and calls the rest. Where
several processes train together, all run this, step by step.
"""

import dataclasses
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import jax
import numpy as np
import optax

from roijax.errors import ConfigError, RoijaxError
from roijax.training import agreement, hosts, parallel
from roijax.training.agreement import Agreement, Verdict
from roijax.training.checkpoints import Checkpoints
from roijax.training.logging import SilentLog, TrainingLog
from roijax.training.optimizer import leaf_paths, make_optimizer
from roijax.training.options import TrainOptions, call_with
from roijax.training.run_config import write_config
from roijax.training.signals import Interrupted, StopOnSignal
from roijax.training.state import TrainState, make_state
from roijax.training.steps import NONFINITE, LossFn, describe_nonfinite

# Samples that the start is fitted to: 4,096 latents at 128-pixel crops.
SAMPLE_SIZE = 64


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
  loss_fn: LossFn,
  optimizer: optax.GradientTransformation,
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
    loss_fn: see `steps.make_gradient_step`.
    optimizer: what maps gradients to updates.
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
    parallel.make_update(
      loss_fn,
      optimizer,
      devices,
      accumulate=options.accumulate,
      ema_decay=options.ema_decay,
    ),
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


def open_data(
  *,
  seed: int,
  source: str,
  crop: int,
  batch_size: int,
  data_dir: str | None = None,
  workers: int = 0,
  masks: str = "truth",
  maps: str = "",
  joint: bool = False,
  process_index: int = 0,
  process_count: int = 1,
) -> BatchIterator:
  """Opens what a config's `data` section describes.

  Args:
    seed: the config's, for order, crops and random maps.
    source: a spec such as `sample:train` (see `data.sources.open_source`).
    crop: side of the square samples, in pixels.
    batch_size: samples in a batch, over all devices and processes.
    data_dir: where prepared datasets lie.
    workers: reader processes; 0: none.
    masks: `truth`, the photos' own regions, or `predicted:THRESHOLD`.
    maps: the folder of predicted maps (see `data.predicted`).
    joint: whether samples also say what a predictor can learn of them.
    process_index: which of the training processes this is.
    process_count: how many there are; each gets its rows of the batch.

  Raises:
    ConfigError: the processes do not divide the batch.
    DataError: the dataset is missing; the line says how to prepare it.
  """
  # Grain and TFDS: not before they are called for.
  from roijax.data.augment import augment
  from roijax.data.objects import ObjectSource, make_joint_sample
  from roijax.data.pipeline import make_train_iterator
  from roijax.data.predicted import with_masks
  from roijax.data.sources import open_source

  if batch_size % process_count:
    raise ConfigError(
      f"config.data.batch_size={batch_size} does not split over "
      f"{process_count} processes: use a multiple of {process_count}"
    )
  photos = with_masks(open_source(source, data_dir or None), masks, maps)
  return make_train_iterator(
    ObjectSource(photos) if joint else photos,
    crop=crop,
    batch_size=batch_size // process_count,
    seed=seed,
    process_index=process_index,
    process_count=process_count,
    workers=workers,
    augment=make_joint_sample if joint else augment,
  )


def draw_sample(iterator: BatchIterator, batch_size: int) -> dict[str, Any]:
  """Some data to fit the start to; the iterator stays where it was.

  Args:
    iterator: the batches, or this process's rows of them.
    batch_size: samples in a batch, over all processes.

  Returns:
    Whole batches, the same in every process.
  """
  beginning = iterator.get_state()
  count = -(-SAMPLE_SIZE // batch_size)
  batches = [agreement.join_batches(next(iterator)) for _ in range(count)]
  iterator.set_state(beginning)
  return {
    key: np.concatenate([batch[key] for batch in batches]) for key in batches[0]
  }


@hosts.telling_of_loss()
def train(config: Any, workdir: str | pathlib.Path) -> TrainState:
  """Runs what a config describes, into `workdir`.

  Args:
    config: an `ml_collections.ConfigDict` with the sections system, seed,
      model, loss, data, optimizer, train (and eval, which is not read here).
    workdir: gets `checkpoints/`, `model.npz`, `metrics.jsonl`,
      `tensorboard/` and `samples/`; a run found there goes on.

  Returns:
    The final state.

  Raises:
    RoijaxError: see `run_training`; also a missing dataset, an unknown key.
    Interrupted: see `run_training`.
  """
  from roijax.models.registry import build_model
  from roijax.training.export import export_model, import_params
  from roijax.training.joint import (
    make_joint_loss,
    read_predictor,
    start_predictor,
  )
  from roijax.training.objective import init_model, make_loss_fn
  from roijax.training.samples import make_observer

  agreement.check_same("config", config.to_dict())
  options = call_with(TrainOptions, "train", config.train)
  optimizer, schedule = make_optimizer(config.optimizer, options.steps)
  model = build_model(config.system, config.model)
  joint = read_predictor(config)
  iterator = agreement.on_all(
    lambda: call_with(
      open_data,
      "data",
      config.data,
      seed=config.seed,
      joint=joint is not None,
      process_index=jax.process_index(),
      process_count=jax.process_count(),
    )
  )
  sample = draw_sample(iterator, config.data.batch_size)
  init_key, key = jax.random.split(jax.random.key(config.seed))
  params, collections = init_model(model, config, init_key, sample)
  if options.start_from:
    params = import_params(options.start_from, config)
  loss_fn = make_loss_fn(model, config)
  if joint is not None:
    params = start_predictor(joint, config, init_key, params)
    loss_fn = make_joint_loss(joint, config, loss_fn)
  observe = None
  if options.observe_every and hosts.is_primary():
    observe = make_observer(model, config, sample, workdir)
  path = pathlib.Path(workdir) / "model.npz"

  def export(state: TrainState) -> None:
    export_model(path, config, jax.device_get(state.ema_params))

  try:
    return run_training(
      make_state(params, collections, optimizer, key),
      iterator,
      loss_fn,
      optimizer,
      options,
      batch_size=config.data.batch_size,
      workdir=workdir,
      config=config.to_dict(),
      schedule=schedule,
      export=export,
      observe=observe,
    )
  finally:
    iterator.close()
