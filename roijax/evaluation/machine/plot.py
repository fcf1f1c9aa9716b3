"""What machines see against the rate, and the originals' line."""

import importlib.util
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from roijax.errors import RoijaxError
from roijax.evaluation.figures import (
  BLUE,
  COLOURS,
  dress,
  make_figure,
  write_figure,
  write_note,
)
from roijax.evaluation.machine.looks import ORIGINAL, Judge, Point
from roijax.evaluation.plot import MARKERS

if TYPE_CHECKING:
  from matplotlib.axes import Axes

# Of each judge, its first measure and its last, against the originals.
PANELS = (0, -1)
GREY = "0.35"


def check_matplotlib() -> None:
  """Fails before the first photo, not after the last.

  Raises:
    RoijaxError: matplotlib is missing.
  """
  if importlib.util.find_spec("matplotlib") is None:
    raise RoijaxError("the plot needs matplotlib: pip install 'roijax[detect]'")


def write_plot(
  path: str | os.PathLike,
  points: Sequence[Point],
  judges: Sequence[Judge],
  title: str = "",
) -> None:
  """Draws each judge's first and last measure against bits a pixel.

  Args:
    path: the PNG to write.
    points: from `looks.summarise`.
    judges: who looked.
    title: a line above the panels.

  Raises:
    RoijaxError: the file cannot be written, or matplotlib is missing.
  """
  figure = make_figure(9, 0.8 + 3.6 * len(judges))
  panels = figure.subplots(len(judges), len(PANELS), squeeze=False)
  for row, judge in zip(panels, judges, strict=True):
    chosen = [point for point in points if point.judge == judge.name]
    measures = [list(judge.measures)[index] for index in PANELS]
    for axes, measure in zip(row, measures, strict=True):
      dress(axes, f"{judge.name}: {judge.measures[measure]}", "percent")
      _draw(axes, chosen, measure)
      axes.set_xlabel("bits a pixel, of the written file")
  lines, names = panels[0][0].get_legend_handles_labels()
  figure.legend(
    lines, names, loc="outside lower center", ncols=5, frameon=False
  )
  if title:
    figure.suptitle(title, fontsize=11)
  write_figure(path, figure)


def _draw(axes: "Axes", points: Sequence[Point], measure: str) -> None:
  codecs = dict.fromkeys(point.codec for point in points)
  others = [codec for codec in codecs if codec != ORIGINAL]
  known = 0
  for index, codec in enumerate(others):
    curve = sorted(
      (point.bpp, 100 * value)
      for point in points
      if point.codec == codec
      and (value := point.figures[measure]) is not None
      and point.bpp is not None
    )
    known += len(curve)
    # The first is ours; colours come round again with other markers.
    axes.plot(
      [bpp for bpp, _ in curve],
      [value for _, value in curve],
      label=codec,
      color=(BLUE, *COLOURS)[index % (1 + len(COLOURS))],
      marker=("o", *MARKERS)[index % (1 + len(MARKERS))],
      linestyle="-" if index <= len(COLOURS) else ":",
      linewidth=1.3 if index else 2.2,
      markersize=4.5,
      zorder=2 if index else 3,
    )
  for point in points:
    value = point.figures[measure]
    if point.codec == ORIGINAL and value is not None:
      axes.axhline(100 * value, color=GREY, linestyle="--", label=ORIGINAL)
      known += 1
  axes.set_xlim(left=0)
  if not known:
    write_note(axes, "nothing here to measure")
