"""Attention, drawn over the photo at chosen points.

         1/4          1/8          1/16
photo    encoder      encoder      encoder     a point
         decoder      decoder      decoder
photo    encoder      ...                      the next
"""

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from roijax.evaluation.attention import (
  SIDES,
  Pair,
  Point,
  measure_distance,
  roll_out,
)
from roijax.evaluation.figures import COLOURS, make_figure, write_figure

if TYPE_CHECKING:
  from matplotlib.axes import Axes

# Sizes in inches.
PANEL = 2.3
HEAD = 0.8
# Pixels beyond what the widest pair can see, in parts of that.
MARGIN = 0.15
MARK = {"marker": "o", "markersize": 5, "color": "white", "mec": "black"}
LUMA = (0.299, 0.587, 0.114)


def draw_attention(
  path: str | os.PathLike,
  image: np.ndarray,
  roi: np.ndarray | None,
  pairs: Sequence[Pair],
  points: Sequence[Point],
) -> None:
  """Draws what every pair brings to every point.

  Args:
    path: the PNG to write.
    image: uint8 [H, W, 3], or [H, W].
    roi: float [H, W], outlined; None has no outline.
    pairs: from `attention.take_weights`.
    points: x and y of each, inside the photo.

  Raises:
    RoijaxError: the file cannot be written, or matplotlib is missing.
  """
  keys = list_scales(pairs)
  height = 2 * PANEL * len(points) + HEAD
  figure = make_figure(PANEL * (len(keys) + 2), height)
  grid = figure.add_gridspec(
    2 * len(points), len(keys) + 1, width_ratios=[2] + [1] * len(keys)
  )
  box = (1 + MARGIN) * max(pair.reach for pair in pairs)
  for i, point in enumerate(points):
    limits = _frame(point, box, image.shape)
    axes = figure.add_subplot(grid[2 * i : 2 * i + 2, 0])
    _draw_photo(axes, image, roi, points, i, limits)
    for j, side in enumerate(SIDES):
      for k, key in enumerate(keys):
        axes = figure.add_subplot(grid[2 * i + j, k + 1])
        found = [
          pair
          for pair in pairs
          if pair.side == side and (pair.stride, pair.window) == key
        ]
        if not found:
          axes.set_axis_off()
          continue
        _draw_map(axes, image, found[0], point, limits)
        axes.set_title(_caption(found[0]), fontsize=8, loc="left")
  figure.suptitle(
    "What each pair of blocks brings to the point (square roots of weights,"
    " up to each map's highest)",
    fontsize=10,
  )
  write_figure(path, figure)


def list_scales(pairs: Sequence[Pair]) -> list[tuple[int, int]]:
  """Strides and windows that pairs have, from fine to coarse."""
  return sorted({(pair.stride, pair.window) for pair in pairs})


def tabulate(photos: Sequence[Mapping[tuple[int, int], np.ndarray]]) -> str:
  """The mean attention distance of every pair, as lines of text.

  Args:
    photos: `attention.measure_pairs` of each. Of several the table holds the
      means, and counts the photos in which the encoder looks wider.
  """
  several = len(photos) > 1
  over = f", mean over {len(photos)} photos" if several else ""
  lines = [
    f"mean attention distance in pixels{over} ('even': if all in a window were"
    " read alike)",
    f"{'scale':>6}{'window':>8}"
    + "".join(f"{side:>10}" for side in SIDES)
    + f"{'even':>8}"
    + ("   encoder wider" if several else ""),
  ]
  for stride, window in sorted(photos[0]):
    found = np.stack([photo[stride, window] for photo in photos])
    means = found.mean(axis=0)
    both = not np.isnan(means).any()
    cells = [f"{'-' if np.isnan(x) else f'{x:.1f}':>10}" for x in means[:2]]
    lines.append(
      f"{f'1/{stride}':>6}{f'{window}x{window}':>8}"
      + "".join(cells)
      + f"{means[2]:8.1f}"
      + (f"{_count_wider(found):>16}" if several and both else "")
    )
  return "\n".join(lines)


def _count_wider(found: np.ndarray) -> str:
  return f"{(found[:, 0] > found[:, 1]).sum()} of {len(found)}"


def _caption(pair: Pair) -> str:
  return (
    f"{pair.side} 1/{pair.stride}, {pair.window}x{pair.window}, mean "
    f"{measure_distance(pair)[0]:.0f} px"
  )


def _frame(point, box, dims):
  """Left, right, bottom and top of what the maps show around a point."""
  limits = []
  for place, length in zip(point, (dims[1], dims[0]), strict=True):
    start = float(np.clip(place - box, 0, max(length - 2 * box, 0)))
    limits.append((start, min(start + 2 * box, length)))
  return limits


def _draw_photo(axes: "Axes", image, roi, points, chosen, limits) -> None:
  from matplotlib.patches import Rectangle

  dims = image.shape[:2]
  axes.imshow(image, cmap="gray", extent=_extent(*dims))
  if roi is not None and roi.min() < 0.5 <= roi.max():
    axes.contour(
      np.arange(dims[1]) + 0.5,
      np.arange(dims[0]) + 0.5,
      roi,
      levels=[0.5],
      colors=COLOURS[3],
      linewidths=1.2,
    )
  (left, right), (top, bottom) = limits
  axes.add_patch(
    Rectangle(
      (left, top), right - left, bottom - top, fill=False, color="white"
    )
  )
  axes.plot(*points[chosen], **MARK)
  x, y = points[chosen]
  axes.set_title(f"point {x},{y}", fontsize=9, loc="left")
  axes.set_axis_off()
  axes.set_anchor("N")


def _extent(height, width):
  return (0, width, height, 0)


def _draw_map(axes: "Axes", image, pair: Pair, point, limits) -> None:
  row, column = point[1] // pair.stride, point[0] // pair.stride
  weights = roll_out(pair, row, column)
  grey = image if image.ndim == 2 else image @ np.array(LUMA)
  axes.imshow(
    0.35 * grey, cmap="gray", vmin=0, vmax=255, extent=_extent(*grey.shape)
  )
  # Square roots: most weights are small, and say how far a window looks.
  strength = np.sqrt(weights / weights.max())
  rows, columns = weights.shape
  axes.imshow(
    strength,
    cmap="inferno",
    vmin=0,
    vmax=1,
    alpha=0.85 * strength,
    interpolation="nearest",
    extent=_extent(rows * pair.stride, columns * pair.stride),
  )
  axes.plot(point[0] + 0.5, point[1] + 0.5, **MARK)
  (left, right), (top, bottom) = limits
  axes.set_xlim(left, right)
  axes.set_ylim(bottom, top)
  axes.set_xticks([])
  axes.set_yticks([])
