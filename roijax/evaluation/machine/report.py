"""Results of machine tasks on disk and on the terminal."""

import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from roijax import files
from roijax.evaluation.machine.looks import (
  COLUMNS,
  ORIGINAL,
  Judge,
  Look,
  Point,
)


def write_csv(path: str | os.PathLike, looks: Sequence[Look]) -> None:
  """Writes one line a look under the names of `looks.COLUMNS`.

  What is unknown is empty.

  Raises:
    RoijaxError: the file cannot be written.
  """
  text = io.StringIO()
  writer = csv.DictWriter(
    text, COLUMNS, lineterminator="\n", extrasaction="ignore"
  )
  writer.writeheader()
  writer.writerows(look._asdict() for look in looks)
  files.write_whole(path, text.getvalue().encode())


def write_json(
  path: str | os.PathLike,
  settings: Mapping[str, Any],
  points: Sequence[Point],
  looks: Sequence[Look],
  left_out: Mapping[str, Sequence[str]],
) -> None:
  """Writes everything that was measured, whole or not at all.

  Keys: `settings`, `summary` (see `looks.Point`), `photos` (see `looks.Look`,
  without what was found) and `left_out`, names by the reason.

  Raises:
    RoijaxError: the file cannot be written.
  """
  content = {
    "settings": dict(settings),
    "summary": [point._asdict() for point in points],
    "photos": [
      {column: getattr(look, column) for column in COLUMNS} for look in looks
    ],
    "left_out": dict(left_out),
  }
  text = json.dumps(content, indent=1, allow_nan=False)
  files.write_whole(path, (text + "\n").encode())


def print_report(
  points: Sequence[Point],
  judges: Sequence[Judge],
  left_out: Mapping[str, Sequence[str]],
  console: Console | None = None,
) -> None:
  """Prints a table for each judge, and what to know about it.

  Args:
    points: from `looks.summarise`.
    judges: who looked.
    left_out: names of photos by the reason.
    console: where to; the standard output by default.
  """
  console = console or Console()
  # A pipe or a log has no width of its own, and a cut table is no table.
  if not console.is_terminal:
    console.width = max(console.width, 100)
  for number, judge in enumerate(judges):
    if number:
      console.print()
    chosen = [point for point in points if point.judge == judge.name]
    console.print(_table(judge, chosen))
    for note in _notes(judge, chosen):
      console.print(note, style="dim", highlight=False)
  for reason, names in left_out.items():
    console.print(
      f"Left out: {len(names)} photo{'s' if len(names) > 1 else ''}, {reason}.",
      style="dim",
      highlight=False,
      soft_wrap=True,
    )


def _table(judge: Judge, points: Sequence[Point]) -> Table:
  table = Table(box=box.SIMPLE_HEAD, padding=(0, 0, 0, 1), show_edge=False)
  table.add_column("codec", no_wrap=True)
  for name in ("at", "bpp", *judge.measures.values()):
    table.add_column(name, justify="right", no_wrap=True)
  previous = None
  for point in points:
    if previous not in (None, point.codec):
      table.add_section()
    previous = point.codec
    table.add_row(
      point.codec,
      "-" if point.setting is None else f"{point.setting:g}",
      "-" if point.bpp is None else f"{point.bpp:.3f}",
      *(_percent(point.figures[name]) for name in judge.measures),
      style="bold" if point.codec == ORIGINAL else None,
    )
  return table


def _notes(judge: Judge, points: Sequence[Point]) -> list[str]:
  photos = points[0].photos
  notes = [
    judge.explanation,
    f"{photos} photo{'s' if photos > 1 else ''}; at: quality, or the rate that"
    " was aimed at; bpp of the files.",
  ]
  off = [
    f"{point.codec} {point.unmatched} at {point.setting:g}"
    for point in points
    if point.unmatched
  ]
  if off:
    notes.append(
      "Files more than 3 % off the bytes that they were to match (compare bpp):"
      f" {', '.join(off)}."
    )
  return notes


def _percent(value: float | None) -> str:
  return "-" if value is None else f"{100 * value:.1f}"
