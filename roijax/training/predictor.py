"""Training the predictor of regions: assembly and loss.

photos --objects--> image, roi, known --paste--> HRNet --> loss

Unlike a codec's, the numbers of a run depend on how many devices share a batch:
objects are pasted, and weights balanced, within each one's part.
"""

import pathlib
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np

from roijax.errors import ConfigError
from roijax.losses.segmentation import cross_entropy, dice
from roijax.models.hrnet import HRNet, build_hrnet
from roijax.models.random_start import init_params
from roijax.training import agreement
from roijax.training.loop import BatchIterator, run_training
from roijax.training.optimizer import make_optimizer
from roijax.training.options import TrainOptions, call_with
from roijax.training.run_config import as_json, describe_difference
from roijax.training.state import TrainState, make_state
from roijax.training.steps import make_steps
from roijax.weights.archive import FILE_NAME
from roijax.weights.predictor import load_predictor, save_predictor


def open_objects(
  *,
  seed: int,
  source: str,
  side: int,
  batch_size: int,
  data_dir: str | None = None,
  workers: int = 0,
  repeat: int = 1,
  shrink: int = 0,
  process_index: int = 0,
  process_count: int = 1,
) -> BatchIterator:
  """Opens what the predictor's `data` section describes.

  Args:
    seed: the config's, for order and crops.
    source: a spec such as `coco_roi:train` (see `data.sources.open_source`).
    side: of the square samples, in pixels; a multiple of the predictor's
      `stride`. Smaller ones than it then works on train faster.
    batch_size: samples in a batch, over all devices and processes.
    data_dir: where prepared datasets lie.
    workers: reader processes; 0: none.
    repeat: see `data.objects.ObjectSource`.
    shrink: see `data.objects.ObjectSource`.
    process_index: which of the training processes this is.
    process_count: how many there are; each gets its rows of the batch.

  Raises:
    ConfigError: the processes do not divide the batch.
    DataError: the dataset is missing; the line says how to prepare it.
  """
  from roijax.data.objects import ObjectSource, make_sample
  from roijax.data.pipeline import make_train_iterator
  from roijax.data.sources import open_source

  if batch_size % process_count:
    raise ConfigError(
      f"config.data.batch_size={batch_size} does not split over "
      f"{process_count} processes: use a multiple of {process_count}"
    )
  return make_train_iterator(
    ObjectSource(open_source(source, data_dir or None), repeat, shrink),
    crop=side,
    batch_size=batch_size // process_count,
    seed=seed,
    process_index=process_index,
    process_count=process_count,
    workers=workers,
    augment=make_sample,
  )


# How far pasted objects move, as a share of the side.
MOVE = 0.3


def _move(image, roi, key):
  """Mirrors a sample or not, and moves it; beyond it nothing is a region."""
  mirrored, offset = jax.random.split(key)
  side = roi.shape[0]
  most = int(MOVE * side)
  both = jnp.concatenate([image, roi], axis=-1)
  both = jnp.where(jax.random.bernoulli(mirrored), both[:, ::-1], both)
  both = jnp.pad(both, ((most, most), (most, most), (0, 0)))
  row, column = jax.random.randint(offset, (2,), 0, 2 * most + 1)
  both = jax.lax.dynamic_slice(both, (row, column, 0), (side, side, 4))
  return both[..., :3], both[..., 3:]


def paste(batch, keys, share: float):
  """Puts the objects of the next sample into some whose background is known.

  What is annotated in part alone then stands before what is no object, and
  objects are met where they never stood: they are mirrored and moved.

  Source: Ghiasi et al. 2021 (arXiv 2012.07177).

  Args:
    batch: `image` [B, H, W, 3], `roi` and `known` [B, H, W, 1], square.
    keys: one a sample.
    share: of the samples that are pasted into.
  """
  image, roi, known = batch["image"], batch["roi"], batch["known"]
  chosen = jax.vmap(lambda key: jax.random.uniform(key) < share)(keys)
  chosen &= jnp.all(known == 1, axis=(1, 2, 3))
  keys = jax.vmap(lambda key: jax.random.fold_in(key, 1))(keys)
  other, pasted = jax.vmap(_move)(
    jnp.roll(image, 1, axis=0), jnp.roll(roi, 1, axis=0), keys
  )
  pasted *= chosen[:, None, None, None]
  return {
    "image": image + pasted * (other - image),
    "roi": jnp.maximum(roi, pasted),
    "known": known,
  }


def make_predictor_loss(model: HRNet, config: Any):
  """The loss of one batch: weighted cross-entropy and Dice.

  Args:
    model: the predictor.
    config: with `loss` {positive, partial, dice, paste}: what a pixel of the
      region weighs, and one in a photo whose background is not known; what
      Dice weighs beside cross-entropy; the share of samples that objects of
      another are pasted into.

  Returns:
    `loss_fn(params, collections, batch, keys) -> (loss, (metrics,
    collections))`.
  """
  options = config.loss

  def loss_fn(params, collections, batch, keys):
    batch = paste(batch, keys, options.paste)
    logits = cast(jax.Array, model.apply({"params": params}, batch["image"]))
    target, known = batch["roi"][..., 0], batch["known"][..., 0]
    complete = jnp.all(known == 1, axis=(1, 2), keepdims=True)
    weight = known * (1 + (options.positive - 1) * target)
    weight *= jnp.where(complete, 1.0, options.partial)
    entropy = cross_entropy(logits, target, weight)
    complete = complete[:, 0, 0].astype(logits.dtype)
    # Where no background is known, everything would be the best answer.
    count = jnp.maximum(jnp.sum(complete), 1)
    overlap = jnp.sum(complete * dice(logits, target, known)) / count
    loss = entropy + options.dice * overlap
    metrics = {
      "loss": loss,
      "cross_entropy": entropy,
      "dice": overlap,
    }
    return loss, (metrics, collections)

  return loss_fn


def init_predictor(model: HRNet, key) -> dict:
  """Fresh parameters."""
  few = jnp.zeros((1, model.stride, model.stride, 3))
  return init_params(model, key, few)


def import_predictor(path: str, model: Any) -> dict:
  """Reads the parameters that a predictor begins with.

  Args:
    path: a predictor's `model.npz`, or the folder that holds one.
    model: the run's `model` section.

  Raises:
    CheckpointError: the file is missing, damaged or a codec's.
    ConfigError: the weights are of other sizes.
  """
  weights = load_predictor(path)
  difference = describe_difference(
    as_json(weights.model),
    as_json(model.to_dict()),
    free=("side",),
    places=("there", "in the config"),
  )
  if difference:
    raise ConfigError(f"{path} holds another predictor: {difference}")
  return weights.params


def train_predictor(config: Any, workdir: str | pathlib.Path) -> TrainState:
  """Runs what a predictor's config describes, into `workdir`.

  Args:
    config: with the sections system, seed, model, loss, data, optimizer, train.
    workdir: gets `checkpoints/`, `model.npz`, `metrics.jsonl` and
      `tensorboard/`; a run found there goes on.

  Returns:
    The final state.

  Raises:
    RoijaxError: as `loop.train`.
    Interrupted: as `loop.train`.
  """
  agreement.check_same("config", config.to_dict())
  options = call_with(TrainOptions, "train", config.train)
  optimizer, schedule = make_optimizer(config.optimizer, options.steps)
  model = call_with(build_hrnet, "model", config.model)
  if config.data.side % model.stride:
    raise ConfigError(
      f"config.data.side={config.data.side} must be a multiple of "
      f"{model.stride}"
    )
  iterator = agreement.on_all(
    lambda: call_with(
      open_objects,
      "data",
      config.data,
      seed=config.seed,
      process_index=jax.process_index(),
      process_count=jax.process_count(),
    )
  )
  init_key, key = jax.random.split(jax.random.key(config.seed))
  params = init_predictor(model, init_key)
  if options.start_from:
    params = import_predictor(options.start_from, config.model)
  path = pathlib.Path(workdir) / FILE_NAME

  def export(state: TrainState) -> None:
    params = jax.tree.map(np.asarray, jax.device_get(state.ema_params))
    save_predictor(path, config.model.to_dict(), params)

  try:
    return run_training(
      make_state(params, {}, optimizer, key),
      iterator,
      make_steps(
        make_predictor_loss(model, config), optimizer, options.ema_decay
      ),
      options,
      batch_size=config.data.batch_size,
      workdir=workdir,
      config=config.to_dict(),
      schedule=schedule,
      export=export,
    )
  finally:
    iterator.close()
