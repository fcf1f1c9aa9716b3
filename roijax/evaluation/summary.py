"""Means over a set of photos, and Bjontegaard differences between codecs."""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from roijax.data.categories import category_of
from roijax.errors import RoijaxError
from roijax.evaluation.rows import OURS, Row
from roijax.metrics import bd_rate as bd
from roijax.metrics.psnr import decibels

MEASURES = {
  "psnr": "PSNR",
  "psnr_roi": "ROI-PSNR",
  "psnr_bg": "background PSNR",
  "psnr_weighted": "weighted PSNR",
}

# A rival's file this far from the bytes it was to match is not at equal bytes.
MATCH_TOLERANCE = 0.03


class Point(NamedTuple):
  """One codec at one quality: means over photos.

  PSNRs are means of the photos' decibels. Photos without annotation or with an
  empty region have no ROI figure: they are left out of `psnr_roi` and
  `psnr_roi_pooled`, and counted by `photos - roi_photos`.

  Attributes:
    codec: as in `Row`.
    quality: as in `Row`.
    photos: how many photos.
    roi_photos: how many of them have a region of interest.
    bpp: mean over photos of the written file's bits a pixel.
    bytes: mean size of the file.
    psnr: dB.
    psnr_roi: dB, None without any region.
    psnr_roi_pooled: dB of one mean squared error over all regions' pixels.
    psnr_bg: dB.
    psnr_weighted: dB, background weight 1/16.
    ms_ssim: in [0, 1].
    encode_s: mean wall seconds, without each size's first call where there are
      others.
    decode_s: likewise.
    unmatched: a rival's photos whose file is not within 3 % of the bytes it
      was to match.
    lpips: mean over photos; None where it was not measured.
  """

  codec: str
  quality: float
  photos: int
  roi_photos: int
  bpp: float
  bytes: float
  psnr: float
  psnr_roi: float | None
  psnr_roi_pooled: float | None
  psnr_bg: float | None
  psnr_weighted: float
  ms_ssim: float
  encode_s: float
  decode_s: float
  unmatched: int
  lpips: float | None = None


class Difference(NamedTuple):
  """`roijax` against one rival on one measure.

  Attributes:
    anchor: the rival.
    measure: a key of `MEASURES`.
    bd_rate: percent of rate at equal quality, negative where roijax needs
      fewer bits; None where the curves do not allow it.
    bd_psnr: dB at equal rate, positive where roijax is better; None likewise.
    reason: why a figure is missing, or None.
  """

  anchor: str
  measure: str
  bd_rate: float | None
  bd_psnr: float | None
  reason: str | None


def summarise(rows: Sequence[Row]) -> list[Point]:
  """Means of each codec and quality, in the order of their first rows.

  Codecs come in the order of their first rows, each with its qualities from low
  to high.
  """
  groups: dict[str, dict[float, list[Row]]] = {}
  for row in rows:
    codec = groups.setdefault(row["codec"], {})
    codec.setdefault(row["quality"], []).append(row)
  return [
    _point(codec, quality, by_quality[quality])
    for codec, by_quality in groups.items()
    for quality in sorted(by_quality)
  ]


def summarise_categories(rows: Sequence[Row]) -> dict[str, list[Point]]:
  """`summarise` for each category of rows named `PHOTO#CATEGORY`, by name."""
  groups: dict[str, list[Row]] = {}
  for row in rows:
    groups.setdefault(category_of(row["name"]), []).append(row)
  return {name: summarise(groups[name]) for name in sorted(groups)}


def compare(points: Sequence[Point]) -> list[Difference]:
  """Bjontegaard differences of `roijax` to every rival, on every measure."""
  rivals = dict.fromkeys(p.codec for p in points if p.codec != OURS)
  ours = [p for p in points if p.codec == OURS]
  return [
    _difference(rival, measure, [p for p in points if p.codec == rival], ours)
    for rival in rivals
    for measure in MEASURES
  ]


def _point(codec: str, quality: float, rows: Sequence[Row]) -> Point:
  # Compilation belongs to a size's first call; other calls tell the speed.
  warm = [row for row in rows if not row["first_call"]] or rows
  regions = [row for row in rows if row["mse_roi"] is not None]
  pixels = sum(row["roi_pixels"] or 0 for row in regions)
  error = sum((row["mse_roi"] or 0) * (row["roi_pixels"] or 0) for row in rows)
  return Point(
    codec=codec,
    quality=quality,
    photos=len(rows),
    roi_photos=len(regions),
    bpp=_mean(row["bpp"] for row in rows),
    bytes=_mean(row["bytes"] for row in rows),
    psnr=_mean(row["psnr"] for row in rows),
    psnr_roi=_mean_known(row["psnr_roi"] for row in rows),
    psnr_roi_pooled=decibels(error / pixels) if pixels else None,
    psnr_bg=_mean_known(row["psnr_bg"] for row in rows),
    psnr_weighted=_mean(row["psnr_weighted"] for row in rows),
    ms_ssim=_mean(row["ms_ssim"] for row in rows),
    encode_s=_mean(row["encode_s"] for row in warm),
    decode_s=_mean(row["decode_s"] for row in warm),
    unmatched=sum(
      row["budget"] is not None
      and abs(row["bytes"] / row["budget"] - 1) > MATCH_TOLERANCE
      for row in rows
    ),
    lpips=_mean_known(row.get("lpips") for row in rows),
  )


def _mean(values: Iterable[float]) -> float:
  values = list(values)
  return math.fsum(values) / len(values)


def _mean_known(values: Iterable[float | None]) -> float | None:
  known = [value for value in values if value is not None]
  return _mean(known) if known else None


def _difference(
  anchor: str, measure: str, theirs: Sequence[Point], ours: Sequence[Point]
) -> Difference:
  curves = []
  for points in (theirs, ours):
    qualities = [getattr(point, measure) for point in points]
    if None in qualities:
      reason = f"no photo has a {MEASURES[measure]}"
      return Difference(anchor, measure, None, None, reason)
    curves += [[point.bpp for point in points], qualities]
  figures: list[float | None] = []
  reason = None
  for difference in (bd.bd_rate, bd.bd_psnr):
    try:
      figures.append(difference(*curves))
    except RoijaxError as error:
      figures.append(None)
      reason = str(error)
  return Difference(anchor, measure, figures[0], figures[1], reason)
