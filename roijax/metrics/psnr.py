"""Peak signal-to-noise ratios: whole, region of interest, rest, weighted.

All take the 8-bit photo and the 8-bit, clipped reconstruction, average the
squared error over pixels and channels, and return decibels. Equal regions give
infinity. A pixel belongs to the region of interest where `roi >= 0.5`.

The ROI figure alone can be raised by throwing the background away, so the
figure that counts is `psnr_weighted`: the background's squared error has weight
1/16, which is what an encoder minimises that gives the region a quantiser
offset of -12 (HEVC, VVC), or a background level of 1/4 (the map is squared).
"""

import math

import numpy as np
from jaxtyping import Bool, Float, UInt8

PEAK = 255.0
ROI_THRESHOLD = 0.5
BACKGROUND_WEIGHT = 1 / 16

Image = UInt8[np.ndarray, "H W C"]
Map = Float[np.ndarray, "H W"]


def decibels(mse: float) -> float:
  """The PSNR of a mean squared error on the 0..255 scale, in dB."""
  return 10 * math.log10(PEAK**2 / mse) if mse > 0 else math.inf


def squared_error(x: Image, x_hat: Image) -> Float[np.ndarray, "H W"]:
  """The squared error of each pixel, averaged over channels (0..255 scale).

  Args:
    x: the photo, uint8 [H, W, C].
    x_hat: its reconstruction, of the same shape and type.

  Returns:
    float64 [H, W].

  Raises:
    ValueError: an array is not 8-bit, or the shapes differ.
  """
  if x.dtype != np.uint8 or x_hat.dtype != np.uint8:
    raise ValueError(f"expected uint8 images, got {x.dtype} and {x_hat.dtype}")
  if x.shape != x_hat.shape or x.ndim != 3:
    raise ValueError(
      f"expected two images [H, W, C] of one shape, got {x.shape} and"
      f" {x_hat.shape}"
    )
  difference = x.astype(np.float64) - x_hat
  return np.mean(difference**2, axis=-1)


def region(roi: Map) -> Bool[np.ndarray, "H W"]:
  """The binary region of interest of a map: where it is at least one half."""
  return np.asarray(roi) >= ROI_THRESHOLD


def mse_within(
  x: Image, x_hat: Image, mask: Bool[np.ndarray, "H W"]
) -> float | None:
  """The mean squared error over a mask's pixels; None when it has none."""
  error = squared_error(x, x_hat)
  if mask.shape != error.shape:
    raise ValueError(f"mask {mask.shape} does not fit image {x.shape}")
  return float(error[mask].mean()) if mask.any() else None


def psnr(x: Image, x_hat: Image) -> float:
  """The PSNR of the whole image, in dB."""
  return decibels(float(squared_error(x, x_hat).mean()))


def psnr_roi(x: Image, x_hat: Image, roi: Map) -> float | None:
  """The PSNR within the region of interest, in dB; None when it is empty."""
  mse = mse_within(x, x_hat, region(roi))
  return None if mse is None else decibels(mse)


def psnr_bg(x: Image, x_hat: Image, roi: Map) -> float | None:
  """The PSNR outside the region of interest, in dB; None without an outside."""
  mse = mse_within(x, x_hat, ~region(roi))
  return None if mse is None else decibels(mse)


def psnr_weighted(
  x: Image,
  x_hat: Image,
  roi: Map,
  background_weight: float = BACKGROUND_WEIGHT,
) -> float:
  """The PSNR of the weighted error `sum(w e^2) / sum(w)`, in dB.

  Args:
    x: the photo, uint8 [H, W, C].
    x_hat: its reconstruction.
    roi: the map [H, W] in [0, 1].
    background_weight: w outside the region of interest; w is 1 inside.

  Returns:
    Decibels. An empty region, or one that covers the photo, gives `psnr`.
  """
  error = squared_error(x, x_hat)
  mask = region(roi)
  if mask.shape != error.shape:
    raise ValueError(f"roi {mask.shape} does not fit image {x.shape}")
  weight = np.where(mask, 1.0, background_weight)
  return decibels(float((weight * error).sum() / weight.sum()))
