"""Qualities by the rate that a set of photos has in them."""

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from roijax.data.photo import Photo
from roijax.errors import ConfigError
from roijax.evaluation.rows import Codec
from roijax.evaluation.search import QUALITY_STEP

# A rate this near is met.
TOLERANCE = 0.01


@dataclasses.dataclass(frozen=True)
class Found:
  """The quality for a target.

  Attributes:
    target: bits a pixel, the mean over photos.
    quality: a multiple of 1/32.
    bpp: what it gives.
  """

  target: float
  quality: float
  bpp: float

  @property
  def is_met(self) -> bool:
    """Whether the rate is within 1 % of the target."""
    return abs(self.bpp / self.target - 1) <= TOLERANCE

  def __str__(self):
    """A line for people."""
    missed = "" if self.is_met else ", the nearest there is"
    return (
      f"{self.target:g} bpp: quality {self.quality:g} gives {self.bpp:.4f}"
      f" ({100 * (self.bpp / self.target - 1):+.1f} %{missed})"
    )


def find_qualities(
  codec: Codec,
  photos: Callable[[], Iterable[Photo]],
  targets: Sequence[float],
  *,
  background: float,
  use_roi: bool = True,
) -> list[Found]:
  """Finds the qualities whose mean rate over photos is nearest to targets.

  By bisection; rates are taken to grow with quality. Every quality tried codes
  every photo once.

  Args:
    codec: a loaded codec.
    photos: gives the photos, again each time it is called.
    targets: bits a pixel, of whole files.
    background: the importance of the background.
    use_roi: False codes without the map.

  Raises:
    ConfigError: a target is not a rate, or no quality reaches it.
  """
  for target in targets:
    if not 0 < target < math.inf:
      raise ConfigError(f"--target-bpp {target:g}: it must be above 0")
  last = math.floor(codec.max_quality / QUALITY_STEP)
  rates: dict[int, float] = {}

  def rate(code: int) -> float:
    if code not in rates:
      found = [
        _bpp(codec, photo, code * QUALITY_STEP, background, use_roi)
        for photo in photos()
      ]
      rates[code] = float(np.mean(found))
    return rates[code]

  least, most = rate(0), rate(last)
  for target in targets:
    if not least * (1 - TOLERANCE) <= target <= most * (1 + TOLERANCE):
      raise ConfigError(
        f"--target-bpp {target:g} is out of reach: these weights code these "
        f"photos at {least:.3f} to {most:.3f} bpp; other weights, another "
        "--background or region may reach it"
      )
  return [_find(target, rate, last) for target in targets]


def _find(target: float, rate: Callable[[int], float], last: int) -> Found:
  low, high = 0, last
  while high - low > 1:
    middle = (low + high) // 2
    if rate(middle) < target:
      low = middle
    else:
      high = middle
  code = min((low, high), key=lambda code: abs(rate(code) - target))
  return Found(target, code * QUALITY_STEP, rate(code))


def _bpp(codec: Codec, photo: Photo, quality, background, use_roi) -> float:
  image, roi = photo["image"], photo["roi"]
  coded = roi if use_roi and roi is not None and np.any(roi) else None
  data = codec.compress(image, coded, quality=quality, background=background)
  return 8 * len(data) / (image.shape[0] * image.shape[1])
