"""What is recorded of one look at one picture, and of a set of them."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from roijax.evaluation.machine.scenes import Scene
from roijax.evaluation.summary import MATCH_TOLERANCE

# The codec's name where the picture is the photo itself.
ORIGINAL = "original"


class Judge(Protocol):
  """Looks at pictures and says what they were worth, all together.

  Attributes:
    name: who looks.
    task: `detection` or `segmentation`.
    measures: headings of the figures, by their names; all lie in [0, 1], more
      is better, and the first is the one to quote.
    explanation: a line on what is measured.
  """

  @property
  def name(self) -> str:
    """See above."""
    ...

  @property
  def task(self) -> str:
    """See above."""
    ...

  @property
  def measures(self) -> Mapping[str, str]:
    """See above."""
    ...

  @property
  def explanation(self) -> str:
    """See above."""
    ...

  def look(self, scene: Scene, image: np.ndarray) -> Any:
    """Looks at uint8 [H, W, 3] in place of a photo; what it found."""
    ...

  def count(self, found: Any) -> int:
    """How many things that were."""
    ...

  def score(self, found: Mapping[str, Any]) -> dict[str, float | None]:
    """Scores what was found in some photos, by their names.

    A figure is None where these photos have nothing to measure it on.
    """
    ...


class Look(NamedTuple):
  """One photo, one codec, one setting, one judge.

  Attributes:
    name: the photo's.
    codec: `roijax`, a rival's name, or `original`.
    setting: the quality, or the rate that was aimed at; None of originals.
    judge: its name.
    width: pixels.
    height: pixels.
    roi_pixels: pixels with roi >= 0.5 of the map that encoders got; None
      without one.
    bytes: the size of the written file; None of originals.
    budget: the bytes that it was to match, if any.
    bpp: bits a pixel; None of originals.
    look_s: wall seconds of the look.
    count: how many things were found.
    found: what was found, for `Judge.score`.
  """

  name: str
  codec: str
  setting: float | None
  judge: str
  width: int
  height: int
  roi_pixels: int | None
  bytes: int | None
  budget: int | None
  bpp: float | None
  look_s: float
  count: int
  found: Any


# What files of results tell; findings fill pages.
COLUMNS = tuple(field for field in Look._fields if field != "found")


class Point(NamedTuple):
  """One codec at one setting as one judge sees it.

  Attributes:
    codec: as in `Look`.
    setting: as in `Look`.
    judge: as in `Look`.
    photos: how many.
    bpp: mean over photos of the written file's bits a pixel.
    unmatched: photos whose file is not within 3 % of its budget.
    figures: from `Judge.score`.
  """

  codec: str
  setting: float | None
  judge: str
  photos: int
  bpp: float | None
  unmatched: int
  figures: dict[str, float | None]


def summarise(looks: Iterable[Look], judges: Sequence[Judge]) -> list[Point]:
  """Scores each codec and setting, judge by judge.

  Codecs come in the order of their first looks, each with its settings from
  low to high.
  """
  groups: dict[tuple, list[Look]] = {}
  for look in looks:
    key = (look.judge, look.codec, look.setting)
    groups.setdefault(key, []).append(look)
  codecs = list(dict.fromkeys(codec for _, codec, _ in groups))
  points = []
  for judge in judges:
    for codec in codecs:
      settings = [
        s for name, c, s in groups if (name, c) == (judge.name, codec)
      ]
      for setting in sorted(settings, key=lambda s: s or 0):
        group = groups[judge.name, codec, setting]
        points.append(_point(judge, codec, setting, group))
  return points


def _point(
  judge: Judge, codec: str, setting: float | None, looks: Sequence[Look]
) -> Point:
  rates = [look.bpp for look in looks if look.bpp is not None]
  return Point(
    codec,
    setting,
    judge.name,
    len(looks),
    math.fsum(rates) / len(rates) if rates else None,
    sum(
      look.bytes is not None
      and look.budget is not None
      and abs(look.bytes / look.budget - 1) > MATCH_TOLERANCE
      for look in looks
    ),
    judge.score({look.name: look.found for look in looks}),
  )
