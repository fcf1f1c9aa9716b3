"""Who needs how many bits: codecs compared on their mean curves.

A codec's curve is the mean over photos of the rate and of the decibels at each
of its settings. It is interpolated as Bjontegaard differences are, by monotone
cubics in the logarithm of the rate, and never extrapolated.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.interpolate import PchipInterpolator

from roijax.evaluation import summary
from roijax.evaluation.rows import OURS
from roijax.evaluation.summary import MEASURES, Point

RATES = (0.2, 0.4, 0.8)
# Against whom: the strongest codec without a region, and the best known.
ANCHORS = ("hevc", "jpeg")


class AtRate(NamedTuple):
  """A codec's mean curve at one rate; None where the curve does not reach.

  Attributes:
    codec: as in `rows.Row`.
    bpp: bits a pixel.
    psnr: dB, whole photo.
    psnr_roi: dB.
    psnr_bg: dB.
    psnr_weighted: dB, background weight 1/16.
  """

  codec: str
  bpp: float
  psnr: float | None
  psnr_roi: float | None
  psnr_bg: float | None
  psnr_weighted: float | None


class Comparison(NamedTuple):
  """One codec against one anchor on one measure, mean curve by mean curve.

  Attributes:
    codec: the tested codec.
    anchor: whom it is compared with.
    measure: a key of `summary.MEASURES`.
    bd_rate: percent of rate at equal quality, negative where the tested codec
      needs fewer bits; None where the curves do not allow it.
    bd_psnr: dB at equal rate; None likewise.
    reason: why a figure is missing, or None.
  """

  codec: str
  anchor: str
  measure: str
  bd_rate: float | None
  bd_psnr: float | None
  reason: str | None


def at_rates(
  points: Sequence[Point], rates: Sequence[float] = RATES
) -> list[AtRate]:
  """Interpolates every codec's mean curve at a few rates."""
  return [
    AtRate(
      codec,
      bpp,
      **{measure: _interpolate(curve, measure, bpp) for measure in MEASURES},
    )
    for codec, curve in _by_codec(points).items()
    for bpp in rates
  ]


def compare(
  points: Sequence[Point], anchors: Sequence[str] = ANCHORS
) -> list[Comparison]:
  """Bjontegaard differences of every codec to each anchor that was coded."""
  curves = _by_codec(points)
  comparisons = []
  for anchor in anchors:
    for codec, curve in curves.items():
      if anchor == codec or anchor not in curves:
        continue
      # What is compared there is called ours.
      tested = [point._replace(codec=OURS) for point in curve]
      comparisons += [
        Comparison(codec, *difference)
        for difference in summary.compare([*curves[anchor], *tested])
      ]
  return comparisons


def _by_codec(points: Sequence[Point]) -> dict[str, list[Point]]:
  curves: dict[str, list[Point]] = {}
  for point in points:
    curves.setdefault(point.codec, []).append(point)
  return curves


def _interpolate(
  curve: Sequence[Point], measure: str, bpp: float
) -> float | None:
  known = {
    point.bpp: getattr(point, measure)
    for point in curve
    if getattr(point, measure) is not None
    and math.isfinite(getattr(point, measure))
  }
  rates = sorted(known)
  if len(rates) < 2 or not rates[0] <= bpp <= rates[-1]:
    return None
  values = [known[rate] for rate in rates]
  return float(PchipInterpolator(np.log(rates), values)(math.log(bpp)))
