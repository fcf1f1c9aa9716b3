"""Multi-scale structural similarity (Wang, Simoncelli, Bovik, Asilomar 2003).

Five scales, an 11-tap Gaussian window of standard deviation 1.5 over the
positions where it fits whole, K1 = 0.01, K2 = 0.03, halving by 2x2 means, and
population (not sample) variances. Channels are measured apart and averaged, as
learned-compression papers do.

The smallest side must exceed 160 pixels for five scales: the window has to fit
at 1/16. Smaller images use the scales that fit, with those scales' exponents
made to sum to one; such a value does not compare with a five-scale one.
"""

import math

import numpy as np
from jaxtyping import Float, UInt8
from scipy import ndimage

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
WINDOW = 11
SIGMA = 1.5
LUMINANCE_FLOOR = (0.01 * 255) ** 2
CONTRAST_FLOOR = (0.03 * 255) ** 2

_offsets = np.arange(WINDOW) - WINDOW // 2
_taps = np.exp(-(_offsets**2) / (2 * SIGMA**2))
TAPS = _taps / _taps.sum()


def scales_that_fit(height: int, width: int) -> int:
  """How many of the five scales an image of this size can have (0 to 5)."""
  count, side = 0, min(height, width)
  while count < len(WEIGHTS) and side >= WINDOW:
    count, side = count + 1, math.ceil(side / 2)
  return count


def ms_ssim(
  x: UInt8[np.ndarray, "H W C"], x_hat: UInt8[np.ndarray, "H W C"]
) -> float:
  """The MS-SSIM of an 8-bit reconstruction.

  Args:
    x: the photo, uint8 [H, W, C].
    x_hat: its reconstruction, of the same shape.

  Returns:
    A value in [0, 1]; 1 for equal images.

  Raises:
    ValueError: the shapes differ, or a side is below 11 pixels.
  """
  if x.shape != x_hat.shape or x.ndim != 3:
    raise ValueError(
      f"expected two images [H, W, C] of one shape, got {x.shape} and"
      f" {x_hat.shape}"
    )
  count = scales_that_fit(*x.shape[:2])
  if count == 0:
    raise ValueError(f"a side of {min(x.shape[:2])} is below {WINDOW} pixels")
  exponents = np.array(WEIGHTS[:count]) / sum(WEIGHTS[:count])
  values = [
    _one_channel(
      x[..., c].astype(np.float64), x_hat[..., c].astype(np.float64), exponents
    )
    for c in range(x.shape[-1])
  ]
  return float(np.mean(values))


def _one_channel(x, x_hat, exponents) -> float:
  result = 1.0
  for scale, exponent in enumerate(exponents):
    if scale > 0:
      x, x_hat = _halve(x), _halve(x_hat)
    similarity, contrast = _ssim(x, x_hat)
    last = scale == len(exponents) - 1
    # A negative mean has no real power; it counts as no similarity at all.
    result *= max(similarity if last else contrast, 0.0) ** exponent
  return result


def _ssim(x, x_hat) -> tuple[float, float]:
  """Mean SSIM and mean contrast-structure term of one channel and scale."""
  mean, mean_hat = _blur(x), _blur(x_hat)
  variance = _blur(x * x) - mean**2
  variance_hat = _blur(x_hat * x_hat) - mean_hat**2
  covariance = _blur(x * x_hat) - mean * mean_hat
  contrast = (2 * covariance + CONTRAST_FLOOR) / (
    variance + variance_hat + CONTRAST_FLOOR
  )
  luminance = (2 * mean * mean_hat + LUMINANCE_FLOOR) / (
    mean**2 + mean_hat**2 + LUMINANCE_FLOOR
  )
  return float((luminance * contrast).mean()), float(contrast.mean())


def _blur(
  channel: Float[np.ndarray, "H W"],
) -> Float[np.ndarray, "H-10 W-10"]:
  """The Gaussian window, at the positions where it fits whole."""
  edge = WINDOW // 2
  rows = ndimage.correlate1d(channel, TAPS, axis=0)[edge:-edge]
  return ndimage.correlate1d(rows, TAPS, axis=1)[:, edge:-edge]


def _halve(channel: Float[np.ndarray, "H W"]) -> np.ndarray:
  """2x2 means; an odd last row or column is doubled first."""
  height, width = channel.shape
  channel = np.pad(channel, ((0, height % 2), (0, width % 2)), mode="edge")
  return (
    channel[0::2, 0::2]
    + channel[1::2, 0::2]
    + channel[0::2, 1::2]
    + channel[1::2, 1::2]
  ) / 4
