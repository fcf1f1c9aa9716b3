"""What the model does to a few fixed crops, while it trains.

    workdir/samples/step_00001000.png    photo | importance | reconstruction |
    TensorBoard                          error | bits of every cell

Drawn with the averaged parameters. Nothing of the run is touched: no key, no
batch, no buffer of the state.
"""

import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from roijax.entropy.priors import PRIORS
from roijax.files import write_whole
from roijax.losses.rate_distortion import bits_per_pixel, importance_map
from roijax.metrics.psnr import ROI_THRESHOLD
from roijax.models.flow import Flow
from roijax.ops.quantize import round_centred
from roijax.ops.resample import average_pool, threshold_cells
from roijax.training.logging import TrainingLog
from roijax.training.mask_rate import estimate_bits
from roijax.training.pictures import (
  draw_gains,
  draw_row,
  encode_png,
  outline,
  stack_rows,
  to_heat,
  to_pixels,
)
from roijax.training.regions import measure_regions, psnr
from roijax.training.state import TrainState

SAMPLES = 4
# A crop shows most when it has much of both regions.
SHARES = (0.1, 0.7)
# Where on the way from the lowest to the highest background level each sample
# lies, in turn; qualities rise evenly from the first sample to the last.
LEVELS = (0.5, 0.0, 1.0, 0.5)
# Brightest in the error map: what this share of the pixels stays below.
BRIGHT = 0.995
# What of a pass is drawn, one row a sample.
PER_SAMPLE = ("importance", "x_hat", "bits", "bpp", "measures")


def make_observer(
  model: Flow,
  config: Any,
  batch: Mapping[str, np.ndarray],
  workdir: str | pathlib.Path,
) -> Callable[[int, TrainState, TrainingLog], None]:
  """Builds what the training loop calls to show what the model does.

  Args:
    model: the flow.
    config: the run's configuration; `model.lmbdas` and the `loss` section's
      background levels say what is drawn.
    batch: training data; a few of its samples are taken, always the same.
    workdir: the run's folder; `samples/` is made in it.

  Returns:
    `observe(step, state, log)`. The first call compiles. It raises a
    `RoijaxError` when the disk is full.
  """
  chosen = choose_samples(batch, SAMPLES)
  image, roi = (np.asarray(batch[name])[chosen] for name in ("image", "roi"))
  rates = len(config.model.lmbdas)
  quality = np.linspace(0, rates - 1, len(chosen), dtype=np.float32)
  low, high = config.loss.background_low, config.loss.background_high
  way = np.resize(LEVELS, len(chosen))
  background = (low ** (1 - way) * high**way).astype(np.float32)
  kind = model.prior.kind
  folder = pathlib.Path(workdir) / "samples"

  @jax.jit
  def program(params, image, roi, quality, background):
    return model.apply(
      {"params": params}, image, roi, quality, background, rates, method=_look
    )

  def observe(step: int, state: TrainState, log: TrainingLog) -> None:
    # A copy: the state may lie on many devices and its buffers are soon gone.
    params = jax.device_get(state.ema_params)
    seen = jax.device_get(program(params, image, roi, quality, background))
    drawn = {name: seen[name] for name in PER_SAMPLE}
    drawn |= {"image": image, "roi": roi, "quality": quality}
    drawn |= {"background": background}
    rows = [
      _draw(jax.tree.map(lambda values, i=i: values[i], drawn))
      for i in range(len(chosen))
    ]
    path = folder / f"step_{step:08d}.png"
    write_whole(path, encode_png(stack_rows(rows)))
    scalars, histograms = describe_shapes(kind, seen["shape"], seen["inside"])
    histograms |= _split("log2_scale", seen["log2_scale"], seen["inside"])
    for rate, gain in enumerate(seen["gain"]):
      histograms[f"gain/quality_{rate}"] = np.log2(gain)
    images = {f"samples/{i}": row for i, row in enumerate(rows)}
    images["gain/curve"] = draw_gains(seen["gain"])
    log.show(step, scalars=scalars, images=images, histograms=histograms)

  return observe


def choose_samples(batch: Mapping[str, np.ndarray], count: int) -> np.ndarray:
  """The rows of the first samples with much of both regions, then of others.

  Args:
    batch: with `roi` [B, H, W, 1].
    count: how many rows at most.
  """
  share = np.mean(np.asarray(batch["roi"]) >= ROI_THRESHOLD, axis=(1, 2, 3))
  dull = (share < SHARES[0]) | (share > SHARES[1])
  return np.argsort(dull, kind="stable")[:count]


def describe_shapes(
  kind: str, shape: np.ndarray, inside: np.ndarray
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
  """What a prior says of its shape parameter, as far as it has learned one.

  Args:
    kind: a key of `PRIORS`.
    shape: the shape of every latent [B, h, w, M].
    inside: whether a cell belongs to the region [B, h, w, 1].

  Returns:
    Scalars and histograms by tag. A shape a latent: by region. A shape a
    channel or a model: those. A fixed shape: nothing.
  """
  prior = PRIORS[kind]
  if prior.shape is not None:
    return {}, {}
  if prior.learned == "model":
    return {"shape/mean": float(shape[0, 0, 0, 0])}, {}
  if prior.learned is not None:
    learned = shape[0, 0, 0]
    return {"shape/mean": float(learned.mean())}, {"shape/channels": learned}
  histograms = _split("shape", shape, inside)
  scalars = {
    name.replace("/", "/mean_"): float(values.mean())
    for name, values in histograms.items()
    if values.size
  }
  return scalars, histograms


def _look(flow, x, roi, quality, background, rates):
  """One pass as coding makes it, and all there is to show of it."""
  importance = importance_map(roi, background)
  y, z = flow.analyse(x, importance, quality)
  z_hat = jnp.round(z)
  h = flow.hyper_synthesise(z_hat)
  # Coding goes pass by pass. Two sweeps over all positions come close: the
  # first rounds what the second sees.
  y_hat = round_centred(y, flow.parameters(h, y).mean)
  found = flow.parameters(h, y_hat)
  y_hat = round_centred(y, found.mean)
  bits_y, bits_z = flow.prior.bits(y_hat, found), flow.z_prior(z_hat)
  coded, bits = None, [bits_y, bits_z]
  if flow.mask_stride:
    coded = threshold_cells(roi, flow.mask_stride)
    bits += [estimate_bits(coded)] if flow.mask_in_file else []
  x_hat = jnp.clip(flow.synthesise(y_hat, h, quality, coded), 0, 1)
  mask = (roi >= ROI_THRESHOLD).astype(jnp.float32)
  gain = flow.gain(jnp.arange(rates, dtype=jnp.float32))
  return {
    "importance": importance,
    "x_hat": x_hat,
    "bits": jnp.sum(bits_y, axis=-1),
    "bpp": bits_per_pixel(x, *bits),
    "measures": measure_regions(x, x_hat, roi, bits_y),
    "shape": found.shape,
    "log2_scale": jnp.log2(found.scale),
    "inside": average_pool(mask, x.shape[1] // y.shape[1]) >= ROI_THRESHOLD,
    "gain": gain[:, 0, 0, :],
  }


def _draw(sample):
  """One sample's row of the grid."""
  difference = np.abs(sample["image"] - sample["x_hat"])
  error = 255 * difference.mean(axis=-1)
  bright, most = float(np.quantile(error, BRIGHT)), float(sample["bits"].max())
  whole = float(psnr(np.mean(difference**2)))
  told = {
    name: f"{value:.2f}" if found else "none"
    for name, (value, found) in sample["measures"].items()
  }
  return draw_row(
    (
      to_pixels(sample["image"]),
      outline(to_pixels(sample["importance"]), sample["roi"][..., 0]),
      to_pixels(sample["x_hat"]),
      to_heat(error, bright),
      to_heat(sample["bits"], most),
    ),
    (
      f"photo\nquality {sample['quality']:.2f}",
      f"importance\nbackground level {sample['background']:.2f}",
      f"reconstruction: PSNR {whole:.2f} dB\n"
      f"ROI {told['psnr_roi']}, background {told['psnr_bg']}",
      f"error\nbrightest: {bright:.0f} of 255",
      f"bits: {sample['bpp']:.3f} bpp, brightest: {most:.0f} a cell\n"
      f"ROI {told['bpp_roi']}, background {told['bpp_bg']}",
    ),
  )


def _split(name, values, inside):
  inside = np.broadcast_to(inside, values.shape)
  return {f"{name}/roi": values[inside], f"{name}/bg": values[~inside]}
