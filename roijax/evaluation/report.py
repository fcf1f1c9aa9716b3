"""Results on disk and on the terminal: JSON, CSV, a table."""

import csv
import io
import json
import math
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from roijax import files
from roijax.evaluation.rows import COLUMNS, LPIPS, OURS, Row
from roijax.evaluation.summary import Difference, Point

SHORT_NAMES = {
  "psnr": "PSNR",
  "psnr_roi": "ROI",
  "psnr_bg": "bg",
  "psnr_weighted": "weighted",
}


def write_json(
  path: str | os.PathLike,
  settings: Mapping[str, Any],
  rows: Sequence[Row],
  points: Sequence[Point],
  differences: Sequence[Difference],
) -> None:
  """Writes everything that was measured, whole or not at all.

  Keys: `settings`, `summary` (see `summary.Point`), `bd` (see
  `summary.Difference`), `photos` (see `rows.Row`). An infinite PSNR (nothing
  was lost) is written as null, for JSON has no infinity.

  Raises:
    RoijaxError: the file cannot be written.
  """
  content = {
    "settings": dict(settings),
    "summary": [point._asdict() for point in points],
    "bd": [difference._asdict() for difference in differences],
    "photos": list(rows),
  }
  text = json.dumps(_finite(content), indent=1, allow_nan=False)
  files.write_whole(path, (text + "\n").encode())


def write_csv(path: str | os.PathLike, rows: Sequence[Row]) -> None:
  """Writes one line a row under the names of `rows.COLUMNS`, and LPIPS if any.

  What is unknown is empty; an infinite PSNR is `inf`.

  Raises:
    RoijaxError: the file cannot be written.
  """
  text = io.StringIO()
  columns = [*COLUMNS, *([LPIPS] if any(LPIPS in row for row in rows) else [])]
  writer = csv.DictWriter(text, columns, lineterminator="\n")
  writer.writeheader()
  writer.writerows(rows)
  files.write_whole(path, text.getvalue().encode())


def write_categories(
  path: str | os.PathLike, categories: Mapping[str, Sequence[Point]]
) -> None:
  """Writes one line a category, codec and quality: `category` and a `Point`.

  Raises:
    RoijaxError: the file cannot be written.
  """
  text = io.StringIO()
  writer = csv.DictWriter(
    text, ("category", *Point._fields), lineterminator="\n"
  )
  writer.writeheader()
  for name, points in categories.items():
    writer.writerows({"category": name, **p._asdict()} for p in points)
  files.write_whole(path, text.getvalue().encode())


def print_categories(
  categories: Mapping[str, Sequence[Point]], console: Console | None = None
) -> None:
  """Prints a line a category: pairs, and at each quality bpp and ROI-PSNR.

  Args:
    categories: from `summary.summarise_categories`.
    console: where to; the standard output by default.
  """
  console = console or Console()
  ours = {
    name: [point for point in points if point.codec == OURS]
    for name, points in categories.items()
  }
  columns = []
  for point in next(iter(ours.values())):
    columns += [f"bpp at {point.quality:g}", "ROI"]
  if not console.is_terminal:
    console.width = max(console.width, 40 + 7 * len(columns))
  table = _empty_table("category", "pairs", *columns)
  for name, points in ours.items():
    cells = []
    for point in points:
      cells += [f"{point.bpp:.3f}", _decibel(point.psnr_roi)]
    table.add_row(name, str(points[0].photos), *cells)
  console.print(table)


def print_report(
  points: Sequence[Point],
  differences: Sequence[Difference] = (),
  console: Console | None = None,
) -> None:
  """Prints the table of means, what to know about it, and the differences.

  Args:
    points: from `summary.summarise`.
    differences: from `summary.compare`.
    console: where to; the standard output by default.
  """
  console = console or Console()
  # A pipe or a log has no width of its own, and a cut table is no table.
  if not console.is_terminal:
    console.width = max(console.width, 100)
  console.print(_means_table(points))
  for note in _notes(points):
    console.print(note, style="dim", highlight=False)
  if differences:
    console.print()
    console.print(_differences_table(differences))
    for note in _reasons(differences):
      console.print(note, style="dim", highlight=False)


def _empty_table(first: str, *others: str) -> Table:
  table = Table(box=box.SIMPLE_HEAD, padding=(0, 0, 0, 1), show_edge=False)
  table.add_column(first)
  for name in others:
    table.add_column(name, justify="right", no_wrap=True)
  return table


def _means_table(points: Sequence[Point]) -> Table:
  looked = any(point.lpips is not None for point in points)
  table = _empty_table(
    "codec",
    "quality",
    "bpp",
    *SHORT_NAMES.values(),
    "MS-SSIM",
    *(["LPIPS"] if looked else []),
    "enc s",
    "dec s",
  )
  previous = None
  for point in points:
    if previous not in (None, point.codec):
      table.add_section()
    previous = point.codec
    table.add_row(
      point.codec,
      f"{point.quality:g}",
      f"{point.bpp:.3f}",
      *(_decibel(getattr(point, measure)) for measure in SHORT_NAMES),
      f"{point.ms_ssim:.4f}",
      *(["-" if point.lpips is None else f"{point.lpips:.4f}"] * looked),
      f"{point.encode_s:.2f}",
      f"{point.decode_s:.2f}",
    )
  return table


def _differences_table(differences: Sequence[Difference]) -> Table:
  table = _empty_table(f"BD-rate of {OURS} against", *SHORT_NAMES.values())
  for anchor in dict.fromkeys(d.anchor for d in differences):
    figures = {d.measure: d.bd_rate for d in differences if d.anchor == anchor}
    table.add_row(anchor, *(_percent(figures[name]) for name in SHORT_NAMES))
  return table


def _reasons(differences: Sequence[Difference]) -> list[str]:
  """Why figures are missing, each reason once."""
  reasons = dict.fromkeys(d.reason for d in differences if d.reason)
  return [f"-: {reason}." for reason in reasons]


def _notes(points: Sequence[Point]) -> list[str]:
  notes = []
  first = points[0]
  photos = f"{first.photos} photo{'s' if first.photos > 1 else ''}"
  if first.roi_photos == first.photos:
    regions = "each with a region of interest"
  elif first.roi_photos:
    regions = (
      f"{first.photos - first.roi_photos} without a region of interest,"
      " left out of the ROI means"
    )
  else:
    regions = "none with a region of interest"
  notes.append(f"Means over {photos}, {regions}; PSNR in dB, bpp of the file.")
  if any(point.codec != OURS for point in points):
    notes.append(f"Rivals are coded at the bytes of {OURS} at that quality.")
  unmatched = []
  for codec in dict.fromkeys(p.codec for p in points if p.unmatched):
    group = [point for point in points if point.codec == codec]
    count = sum(point.unmatched for point in group)
    unmatched.append(f"{codec} {count} of {sum(p.photos for p in group)}")
  if unmatched:
    notes.append(
      "Files more than 3 % off those bytes (compare bpp too): "
      + ", ".join(unmatched)
      + "."
    )
  return notes


def _decibel(value: float | None) -> str:
  return "-" if value is None else f"{value:.2f}"


def _percent(value: float | None) -> str:
  return "-" if value is None else f"{value:+.1f} %"


def _finite(value: Any) -> Any:
  """The same structure with null for what JSON cannot say."""
  if isinstance(value, Mapping):
    return {key: _finite(item) for key, item in value.items()}
  if isinstance(value, list | tuple):
    return [_finite(item) for item in value]
  if isinstance(value, float) and not math.isfinite(value):
    return None
  if isinstance(value, pathlib.PurePath):
    return str(value)
  return value
