"""Bjontegaard's differences between two rate-distortion curves.

Curves are interpolated by monotone piecewise cubics (PCHIP) in the logarithm of
the rate, and compared over the range that both cover (ITU-T VCEG-M33, with
PCHIP in place of the single cubic, as in VCEG-AI11).
"""

import numpy as np
import numpy.typing as npt
from scipy.interpolate import PchipInterpolator

from roijax.errors import RoijaxError

MIN_POINTS = 4


def bd_rate(
  anchor_rates: npt.ArrayLike,
  anchor_qualities: npt.ArrayLike,
  rates: npt.ArrayLike,
  qualities: npt.ArrayLike,
) -> float:
  """The mean change of rate at equal quality, in percent.

  Args:
    anchor_rates: the anchor's rates (bpp, bytes: any unit), in any order.
    anchor_qualities: the anchor's qualities (PSNR in dB, say), one a rate.
    rates: the tested codec's rates, in the anchor's unit.
    qualities: the tested codec's qualities.

  Returns:
    Percent; negative where the tested codec needs fewer bits.

  Raises:
    RoijaxError: fewer than four points, a curve that does not rise, rates that
      are not positive, or no range of quality that both curves cover.
  """
  anchor = _curve(anchor_rates, anchor_qualities, "the anchor's")
  tested = _curve(rates, qualities, "the tested codec's")
  difference = _mean_difference(
    *((quality, log_rate) for log_rate, quality in (anchor, tested)),
    what="quality",
  )
  return float(np.expm1(difference) * 100)


def bd_psnr(
  anchor_rates: npt.ArrayLike,
  anchor_qualities: npt.ArrayLike,
  rates: npt.ArrayLike,
  qualities: npt.ArrayLike,
) -> float:
  """The mean change of quality at equal rate, in the quality's unit (dB).

  Arguments and errors are those of `bd_rate`; the rates must overlap here.
  Positive where the tested codec is better.
  """
  anchor = _curve(anchor_rates, anchor_qualities, "the anchor's")
  tested = _curve(rates, qualities, "the tested codec's")
  return _mean_difference(anchor, tested, what="rate")


def _curve(rates, qualities, whose: str) -> tuple[np.ndarray, np.ndarray]:
  """Log rates and qualities, sorted by rate and checked."""
  rates = np.asarray(rates, np.float64)
  qualities = np.asarray(qualities, np.float64)
  if rates.shape != qualities.shape or rates.ndim != 1:
    raise RoijaxError(f"{whose} curve needs one quality for each rate")
  if len(rates) < MIN_POINTS:
    raise RoijaxError(
      f"{whose} curve has {len(rates)} points; a Bjontegaard difference needs"
      f" at least {MIN_POINTS}: evaluate more qualities"
    )
  if not (np.isfinite(rates).all() and np.isfinite(qualities).all()):
    raise RoijaxError(f"{whose} curve has a point that is not a finite number")
  if not (rates > 0).all():
    raise RoijaxError(f"{whose} curve has a rate that is not positive")
  order = np.argsort(rates)
  rates, qualities = rates[order], qualities[order]
  if (np.diff(rates) <= 0).any() or (np.diff(qualities) <= 0).any():
    raise RoijaxError(
      f"{whose} curve does not rise: a Bjontegaard difference needs a higher"
      " quality at every higher rate"
    )
  return np.log(rates), qualities


def _mean_difference(anchor, tested, what: str) -> float:
  """Mean of tested minus anchor over the abscissas that both cover."""
  low = max(anchor[0][0], tested[0][0])
  high = min(anchor[0][-1], tested[0][-1])
  if low >= high:
    raise RoijaxError(
      f"the two curves share no range of {what}: evaluate qualities that"
      " overlap"
    )
  areas = [
    PchipInterpolator(*curve).integrate(low, high) for curve in (anchor, tested)
  ]
  return float((areas[1] - areas[0]) / (high - low))
