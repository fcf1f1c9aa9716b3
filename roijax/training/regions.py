"""Rate and distortion inside and outside the region of interest."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from roijax.metrics.psnr import BACKGROUND_WEIGHT, ROI_THRESHOLD
from roijax.ops.resample import average_pool

# A sample's value, and whether it has such a value: 1 or 0. Averaged over
# samples, devices and steps each, their quotient is the mean over all samples
# that have one, however they were spread.
Measure = tuple[Float[Array, " B"], Float[Array, " B"]]


def psnr(mse: Float[Array, " B"]) -> Float[Array, " B"]:
  """Decibels of a mean squared error of values in [0, 1], at most 100."""
  return -10 * jnp.log10(jnp.maximum(mse, 1e-10))


def measure_regions(
  x: Float[Array, "B H W 3"],
  x_hat: Float[Array, "B H W 3"],
  roi: Float[Array, "B H W 1"],
  bits_y: Float[Array, "B h w M"],
) -> dict[str, Measure]:
  """Measures every sample by region.

  Args:
    x: photos in [0, 1].
    x_hat: reconstructions, clipped.
    roi: the map in [0, 1]; the region is where it is at least one half.
    bits_y: bits of each latent.

  Returns:
    `psnr_weighted` (see `metrics.psnr`); `psnr_roi`, `psnr_bg`, in dB;
    `bpp_roi`, `bpp_bg`: bits of y within the region over its pixels, those of
    a cell that both regions share in proportion.
  """
  error = jnp.mean(jnp.square(x - x_hat), axis=-1, keepdims=True)
  bits = jnp.sum(bits_y, axis=-1, keepdims=True)
  inside = (roi >= ROI_THRESHOLD).astype(error.dtype)
  share = average_pool(inside, x.shape[1] // bits.shape[1])
  weight = jnp.where(inside > 0, 1.0, BACKGROUND_WEIGHT)
  mse = _total(weight * error) / _total(weight)
  measures = {"psnr_weighted": (psnr(mse), jnp.ones_like(mse))}
  for name, pixels, cells in (
    ("roi", inside, share),
    ("bg", 1 - inside, 1 - share),
  ):
    area = _total(pixels)
    found = (area > 0).astype(area.dtype)
    area = jnp.maximum(area, 1)
    measures[f"psnr_{name}"] = psnr(_total(pixels * error) / area), found
    measures[f"bpp_{name}"] = _total(cells * bits) / area, found
  return measures


def average(
  measures: dict[str, Measure],
) -> dict[str, tuple[Float[Array, ""], Float[Array, ""]]]:
  """Means over a batch, in the pairs that `TrainingLog.add` divides."""
  return {
    name: (jnp.mean(values * found), jnp.mean(found))
    for name, (values, found) in measures.items()
  }


def _total(x):
  return jnp.sum(x, axis=(1, 2, 3))
