"""A codec's training, put together from its config.

config --> source --> iterator --\\
           \\-> model --> steps -------> `loop.run_training`
"""

import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

from roijax.errors import ConfigError
from roijax.models.flow import Flow
from roijax.models.hrnet import HRNet
from roijax.models.registry import build_model
from roijax.training import agreement, hosts
from roijax.training.adversarial import (
  SecondStage,
  describe,
  read_second_stage,
  start_second_stage,
)
from roijax.training.checkpoints import is_begun
from roijax.training.export import export_model
from roijax.training.joint import (
  make_joint_loss,
  read_predictor,
  start_predictor,
)
from roijax.training.loop import BatchIterator, run_training
from roijax.training.objective import init_model, make_loss_fn
from roijax.training.optimizer import make_optimizer
from roijax.training.options import TrainOptions, call_with
from roijax.training.samples import make_observer
from roijax.training.start import start_params
from roijax.training.state import TrainState, make_state
from roijax.training.steps import Steps, make_steps

# Samples that the start is fitted to: 4,096 latents at 128-pixel crops.
SAMPLE_SIZE = 64
# New latents are fitted to patches of 768 numbers.
START_SIZE = 256


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
    masks: `truth`, the union of a photo's objects; `category`, one of its
      categories, drawn anew each time; `predicted:THRESHOLD`; or `maps`, soft,
      or `maps:THRESHOLD`.
    maps: the folder of predicted maps (see `data.predicted`), or of a PNG a
      photo (see `data.map_folder`).
    joint: whether samples also say what a predictor can learn of them.
    process_index: which of the training processes this is.
    process_count: how many there are; each gets its rows of the batch.

  Raises:
    ConfigError: the processes do not divide the batch.
    DataError: the dataset is missing; the line says how to prepare it.
  """
  # Grain and TFDS: not before they are called for.
  from roijax.data.augment import augment
  from roijax.data.categories import make_category_sample
  from roijax.data.objects import ObjectSource, make_joint_sample
  from roijax.data.pipeline import make_train_iterator
  from roijax.data.predicted import CATEGORY, with_masks
  from roijax.data.sources import open_source

  if batch_size % process_count:
    raise ConfigError(
      f"config.data.batch_size={batch_size} does not split over "
      f"{process_count} processes: use a multiple of {process_count}"
    )
  photos = with_masks(open_source(source, data_dir or None), masks, maps)
  make_sample = make_category_sample if masks == CATEGORY else augment
  return make_train_iterator(
    ObjectSource(photos) if joint else photos,
    crop=crop,
    batch_size=batch_size // process_count,
    seed=seed,
    process_index=process_index,
    process_count=process_count,
    workers=workers,
    augment=make_joint_sample if joint else make_sample,
  )


def draw_sample(
  iterator: BatchIterator, batch_size: int, size: int = SAMPLE_SIZE
) -> dict[str, Any]:
  """Some data to fit the start to; the iterator stays where it was.

  Args:
    iterator: the batches, or this process's rows of them.
    batch_size: samples in a batch, over all processes.
    size: samples at least.

  Returns:
    Whole batches, the same in every process.
  """
  beginning = iterator.get_state()
  count = -(-size // batch_size)
  batches = [agreement.join_batches(next(iterator)) for _ in range(count)]
  iterator.set_state(beginning)
  return {
    key: np.concatenate([batch[key] for batch in batches]) for key in batches[0]
  }


class Plan(NamedTuple):
  """What a config describes, before there is any data.

  Attributes:
    options: the `train` section.
    model: the codec.
    optimizer: what moves its parameters.
    schedule: the learning rate by step.
    joint: the predictor of regions that trains too, or None.
    second: what the second stage has besides; None in the first.
  """

  options: TrainOptions
  model: Flow
  optimizer: optax.GradientTransformation
  schedule: optax.Schedule
  joint: HRNet | None
  second: SecondStage | None


def read_plan(config: Any) -> Plan:
  """Reads a config.

  Raises:
    RoijaxError: an unknown key, values that do not fit each other, files that
      the second stage looks with and that are missing.
  """
  options = call_with(TrainOptions, "train", config.train)
  optimizer, schedule = make_optimizer(config.optimizer, options.steps)
  model = build_model(config.system, config.model)
  joint = read_predictor(config)
  second = read_second_stage(config, model)
  if joint is not None and config.data.get("masks", "truth") != "truth":
    raise ConfigError(
      "config.predictor.mode=joint learns true regions: leave"
      " config.data.masks=truth"
    )
  return Plan(options, model, optimizer, schedule, joint, second)


def start_run(
  plan: Plan, config: Any, sample: Mapping[str, Any], begun: bool = False
) -> tuple[TrainState, Steps]:
  """The state at step 0, and what updates it.

  Args:
    plan: from `read_plan`.
    config: what it was read from.
    sample: a batch of training data, which a fresh start is fitted to.
    begun: whether a checkpoint will take the state's place; weights to start
      from, which may take minutes to fit, are then left alone.

  Raises:
    RoijaxError: weights to start from are missing or of another model.
  """
  options, model = plan.options, plan.model
  init_key, key = jax.random.split(jax.random.key(config.seed))
  params, collections = init_model(model, config, init_key, sample)
  if options.start_from and not begun:
    params = start_params(
      params, options.start_from, options.start_partly, config, sample
    )
  if plan.second is not None:
    return start_second_stage(
      plan.second, model, config, params, plan.optimizer, options.ema_decay, key
    )
  loss_fn = make_loss_fn(model, config)
  if plan.joint is not None:
    params = start_predictor(plan.joint, config, init_key, params)
    loss_fn = make_joint_loss(plan.joint, config, loss_fn)
  state = make_state(params, collections, plan.optimizer, key)
  return state, make_steps(loss_fn, plan.optimizer, options.ema_decay)


@hosts.telling_of_loss()
def train_codec(config: Any, workdir: str | pathlib.Path) -> TrainState:
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
  agreement.check_same("config", config.to_dict())
  plan = read_plan(config)
  iterator = agreement.on_all(
    lambda: call_with(
      open_data,
      "data",
      config.data,
      seed=config.seed,
      joint=plan.joint is not None,
      process_index=jax.process_index(),
      process_count=jax.process_count(),
    )
  )
  described = describe(config, plan.second)
  begun = is_begun(workdir, described)
  options = plan.options
  fits_weights = options.start_from and options.start_partly and not begun
  sample = draw_sample(
    iterator,
    config.data.batch_size,
    START_SIZE if fits_weights else SAMPLE_SIZE,
  )
  state, steps = start_run(plan, config, sample, begun)
  observe = None
  if plan.options.observe_every and hosts.is_primary():
    observe = make_observer(plan.model, config, sample, workdir)
  path = pathlib.Path(workdir) / "model.npz"

  def export(state: TrainState) -> None:
    export_model(path, config, jax.device_get(state.ema_params))

  try:
    return run_training(
      state,
      iterator,
      steps,
      plan.options,
      batch_size=config.data.batch_size,
      workdir=workdir,
      config=described,
      schedule=plan.schedule,
      export=export,
      observe=observe,
    )
  finally:
    iterator.close()
