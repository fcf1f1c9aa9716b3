"""The rate-distortion plot: a line a codec, a panel for each part of photos."""

import math
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from roijax.evaluation.figures import (
  BLUE,
  COLOURS,
  dress,
  make_figure,
  write_figure,
)
from roijax.evaluation.rows import OURS
from roijax.evaluation.summary import Point

if TYPE_CHECKING:
  from matplotlib.axes import Axes
  from matplotlib.figure import Figure

PANELS = {
  "psnr_roi": "Region of interest",
  "psnr_weighted": "Weighted (background 1/16)",
  "psnr": "Whole photo",
  "psnr_bg": "Background",
}

WHOLE = "psnr"

MARKERS = ("s", "^", "D", "v", "P")


def write_plot(
  path: str | os.PathLike, points: Sequence[Point], title: str = ""
) -> None:
  """Draws PSNR against bits a pixel; see `draw_panels`.

  Args:
    path: the PNG to write.
    points: from `summary.summarise`.
    title: a line above the panels.

  Raises:
    RoijaxError: the file cannot be written, or matplotlib is missing.
  """
  figure = draw_panels(9, 7.4, points, _draw_panel, title)
  lines, names = figure.axes[0].get_legend_handles_labels()
  figure.legend(
    lines, names, loc="outside lower center", ncols=6, frameon=False
  )
  write_figure(path, figure)


def draw_panels(
  width: float,
  height: float,
  points: Sequence[Point],
  draw_panel: Callable[["Axes", Sequence[Point], str, str], None],
  title: str,
) -> "Figure":
  """Lays out a rate-distortion plot, without a legend.

  Four panels: ROI, weighted, whole and background. One, of the whole, where no
  photo has both a region and a background, for then all of them are the same.

  Args:
    width: of four panels in inches.
    height: likewise.
    points: from `summary.summarise`.
    draw_panel: draws the curves of one measure, given the panel, the points,
      the measure and its name.
    title: a line above the panels; may be empty.
  """
  if any(map(_has_parts, points)):
    figure = make_figure(width, height)
    panels = figure.subplots(2, 2, sharex=True)
    shown = PANELS
  else:
    figure = make_figure(0.75 * width, 0.7 * height)
    panels = figure.subplots(1, 1, squeeze=False)
    shown = {WHOLE: PANELS[WHOLE]}
  for axes, (measure, name) in zip(panels.flat, shown.items(), strict=True):
    draw_panel(axes, points, measure, name)
  for axes in panels[-1]:
    axes.set_xlabel("bits a pixel, of the written file")
  if title:
    figure.suptitle(title, fontsize=11)
  return figure


def _has_parts(point: Point) -> bool:
  return _is_finite(point.psnr_roi) and _is_finite(point.psnr_bg)


def _draw_panel(
  axes: "Axes", points: Sequence[Point], measure: str, name: str
) -> None:
  dress(axes, name, "PSNR in dB")
  rivals = 0
  for codec in dict.fromkeys(point.codec for point in points):
    curve = sorted(
      (point.bpp, getattr(point, measure))
      for point in points
      if point.codec == codec and _is_finite(getattr(point, measure))
    )
    style = {"color": BLUE, "marker": "o", "linewidth": 2.2, "zorder": 3}
    if codec != OURS:
      style = {
        "color": COLOURS[rivals % len(COLOURS)],
        "marker": MARKERS[rivals % len(MARKERS)],
        "linewidth": 1.3,
        "markersize": 4.5,
      }
      rivals += 1
    rates = [bpp for bpp, _ in curve]
    axes.plot(rates, [value for _, value in curve], label=codec, **style)


def _is_finite(value: float | None) -> bool:
  return value is not None and math.isfinite(value)
