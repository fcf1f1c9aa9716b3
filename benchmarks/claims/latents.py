"""Latents of a frozen codec, with the region that each belongs to.

The claims about priors are about entropy models alone, so the transforms run
once: photos become latents, which are kept, and the entropy models are fitted
to those. What every prior is then charged for is the same integers, and what
a viewer would see is the same picture.
"""

import dataclasses
import os
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
from rich.progress import track

from roijax.data.photo import Source
from roijax.data.pipeline import make_train_iterator
from roijax.errors import DataError
from roijax.losses.rate_distortion import importance_map
from roijax.models.flow import Flow
from roijax.models.registry import build_model
from roijax.ops.resample import average_pool
from roijax.roi.spec import parse_roi
from roijax.training.objective import sample_background, sample_quality
from roijax.weights.archive import load_weights

BATCH = 16
# What training draws the background level from: `configs/ggm.py`, `loss`.
BACKGROUND_RANGE = (0.05, 1.0, 0.1)
BACKGROUND = 0.25


@dataclasses.dataclass(frozen=True)
class Frozen:
  """A trained codec whose transforms stay as they are.

  Attributes:
    name: the weights file's.
    system: one of `models.registry.SYSTEMS`.
    arguments: the builder's arguments.
    model: the flow.
    params: its parameters.
  """

  name: str
  system: str
  arguments: dict
  model: Flow
  params: dict

  def with_prior(self, **options) -> Flow:
    """The same flow with other options of `Prior`."""
    prior = {**self.arguments["prior"], **options}
    return build_model(self.system, {**self.arguments, "prior": prior})


@dataclasses.dataclass(frozen=True)
class Latents:
  """What the frozen transforms made of some crops.

  Attributes:
    y: latents in units of the step, not rounded [N, h, w, M].
    z_hat: rounded hyper-latents [N, p, q, C].
    roi: the share of each latent's pixels in the region [N, h, w].
    quality: of each crop [N].
    mse_roi: what decoding the rounded y leaves in the region, of values in
      [0, 1] [N]; not a number where nobody asked.
    mse_background: likewise outside of it [N].
    pixels: of one crop.
  """

  y: np.ndarray
  z_hat: np.ndarray
  roi: np.ndarray
  quality: np.ndarray
  mse_roi: np.ndarray
  mse_background: np.ndarray
  pixels: int

  def psnr(self) -> tuple[float, float]:
    """Mean PSNR in dB inside the region and outside, for every prior."""
    inside, outside = (
      float(np.mean(-10 * np.log10(mse)))
      for mse in (self.mse_roi, self.mse_background)
    )
    return inside, outside


def open_frozen(path: str | os.PathLike) -> Frozen:
  """Opens a weights file, or the folder of a run.

  Raises:
    CheckpointError: missing, unreadable or damaged.
  """
  weights = load_weights(path)
  model = build_model(weights.system, weights.model)
  params = jax.tree.map(jnp.asarray, weights.params)
  # model.npz says nothing; its folder is the run's name.
  path = pathlib.Path(path)
  name = path.parent.name if path.name == "model.npz" else path.stem
  return Frozen(name, weights.system, weights.model, model, params)


def _make_analyse(frozen: Frozen):
  def analyse(params, x, importance, quality):
    y, z = frozen.model.apply(
      {"params": params}, x, importance, quality, method=Flow.analyse
    )
    return y, jnp.round(z)

  return jax.jit(analyse)


def _make_decode(frozen: Frozen):
  def decode(params, x, roi, y, z_hat, quality):
    h = frozen.model.apply(
      {"params": params}, z_hat, method=Flow.hyper_synthesise
    )
    x_hat = frozen.model.apply(
      {"params": params}, jnp.round(y), h, quality, method=Flow.synthesise
    )
    error = jnp.square(x - jnp.clip(x_hat, 0, 1))
    inside = (roi >= 0.5).astype(x.dtype)
    return [
      jnp.sum(error * part, axis=(1, 2, 3)) / (3 * jnp.sum(part))
      for part in (inside, 1 - inside)
    ]

  return jax.jit(decode)


def _join(parts, pixels: int) -> Latents:
  arrays = [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]
  return Latents(*arrays, pixels=pixels)


def draw_training_latents(
  frozen: Frozen,
  source: Source,
  count: int,
  *,
  uniform: bool = False,
  crop: int = 128,
  seed: int = 0,
) -> Latents:
  """Latents of random crops, at random qualities and background levels.

  Args:
    frozen: the codec.
    source: photos that it may be fitted to.
    count: crops, a multiple of 16.
    uniform: every crop is all region, as for a codec that knows none.
    crop: side in pixels; 64 divides it.
    seed: of crops and levels.
  """
  analyse = _make_analyse(frozen)
  rates = len(frozen.arguments["lmbdas"])
  iterator = make_train_iterator(
    source, crop=crop, batch_size=BATCH, seed=seed, workers=0
  )
  parts = []
  for index in track(range(count // BATCH), "latents of training crops"):
    batch = next(iterator)
    keys = jax.random.split(jax.random.key(seed * 1_000_003 + index), 2 * BATCH)
    quality = sample_quality(keys[:BATCH], rates)
    levels = (1.0, 1.0, 0.0) if uniform else BACKGROUND_RANGE
    background = sample_background(keys[BATCH:], *levels)
    roi = jnp.asarray(batch["roi"])
    importance = importance_map(roi, background)
    y, z_hat = analyse(frozen.params, batch["image"], importance, quality)
    pooled = average_pool(roi, crop // y.shape[1])[..., 0]
    unknown = np.full(BATCH, np.nan)
    found = jax.device_get((y, z_hat, pooled, quality))
    parts.append((*found, unknown, unknown))
  iterator.close()
  return _join(parts, crop**2)


def draw_held_out_latents(
  frozen: Frozen,
  source: Source,
  *,
  qualities: tuple[float, ...] = (1.0, 3.0, 5.0),
  uniform: bool = False,
  crop: int = 256,
) -> Latents:
  """Latents of the middle of every photo, at each of some qualities.

  Photos without a region get the central ellipse, those without one in the
  crop and those smaller than it are left out. Inside a uniform codec the
  labels stay: they say where a latent lies, not what it was given.

  Raises:
    DataError: no photo is left.
  """
  analyse, decode = _make_analyse(frozen), _make_decode(frozen)
  background = 1.0 if uniform else BACKGROUND
  parts = []
  for index in track(range(len(source)), "latents of held-out photos"):
    photo = source[index]
    height, width = photo["image"].shape[:2]
    if min(height, width) < crop:
      continue
    roi = photo["roi"]
    roi = parse_roi("center", (height, width)) if roi is None else roi
    top, left = (height - crop) // 2, (width - crop) // 2
    place = np.s_[top : top + crop, left : left + crop]
    if not 0 < (roi[place] >= 0.5).mean() < 1:
      continue
    image = jnp.asarray(photo["image"][place], jnp.float32)[None] / 255
    cut = jnp.asarray(roi[place])[None, :, :, None]
    importance = importance_map(cut, jnp.full(1, background))
    for quality in qualities:
      level = jnp.full(1, quality)
      y, z_hat = analyse(frozen.params, image, importance, level)
      pooled = average_pool(cut, crop // y.shape[1])[..., 0]
      errors = decode(frozen.params, image, cut, y, z_hat, level)
      parts.append(jax.device_get((y, z_hat, pooled, level, *errors)))
  if not parts:
    raise DataError(
      f"{source.name} has no photo of at least {crop}x{crop} pixels with a "
      f"region in its middle"
    )
  return _join(parts, crop**2)
