"""The rivals' rate-distortion plot: solid lines know the region.

Codecs of one family share a colour; the one that codes without the region is
dashed.
"""

import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from roijax.evaluation import figures
from roijax.evaluation.figures import BLUE, COLOURS
from roijax.evaluation.plot import draw_panels
from roijax.evaluation.summary import Point

if TYPE_CHECKING:
  from matplotlib.axes import Axes

GREY = "0.45"
# Codec: legend, colour, whether it knows the region, marker.
LINES = {
  "roijax": ("roijax", BLUE, True, "o"),
  "uniform": ("roijax, no region", BLUE, False, "o"),
  "hevc_roi": ("HEVC + addroi", COLOURS[0], True, "s"),
  "hevc": ("HEVC (x265)", COLOURS[0], False, "s"),
  "vvc": ("VVC (VVenC)", COLOURS[0], False, "*"),
  "avif_blurred": ("AVIF, blurred background", COLOURS[1], True, "D"),
  "avif": ("AVIF", COLOURS[1], False, "D"),
  "maxshift": ("JPEG 2000 MAXSHIFT", COLOURS[2], True, "v"),
  "jpeg2000": ("JPEG 2000", COLOURS[2], False, "v"),
  "heic": ("HEIC", COLOURS[3], False, "P"),
  "webp": ("WebP", COLOURS[4], False, "^"),
  "jpeg": ("JPEG", GREY, False, "X"),
}


def write_plot(
  path: str | os.PathLike, points: Sequence[Point], title: str = ""
) -> None:
  """Draws PSNR against bits a pixel; see `plot.draw_panels`.

  Args:
    path: the PNG to write.
    points: from `summary.summarise`.
    title: a line above the panels.

  Raises:
    RoijaxError: the file cannot be written, or matplotlib is missing.
  """
  figure = draw_panels(10, 8.4, points, _draw_panel, title)
  lines, names = figure.axes[0].get_legend_handles_labels()
  figure.legend(
    lines,
    names,
    loc="outside lower center",
    ncols=4,
    frameon=False,
    # Long enough to show the dashes.
    handlelength=3.4,
  )
  figures.write_figure(path, figure)


def _draw_panel(
  axes: "Axes", points: Sequence[Point], measure: str, name: str
) -> None:
  figures.dress(axes, name, "PSNR in dB")
  codecs = dict.fromkeys(point.codec for point in points)
  for codec in [name for name in LINES if name in codecs]:
    curve = sorted(
      (point.bpp, getattr(point, measure))
      for point in points
      if point.codec == codec and _is_finite(getattr(point, measure))
    )
    label, colour, knows, marker = LINES[codec]
    axes.plot(
      [bpp for bpp, _ in curve],
      [value for _, value in curve],
      label=label,
      color=colour,
      marker=marker,
      linestyle="-" if knows else "--",
      linewidth=2.2 if colour == BLUE else 1.3,
      markersize=4.5,
      zorder=3 if colour == BLUE else 2,
    )
  axes.set_xlim(left=0)


def _is_finite(value: float | None) -> bool:
  return value is not None and math.isfinite(value)
