"""What happens at a region's edge: it is moved outward, or made soft."""

import math

import numpy as np
from PIL import Image

from roijax.errors import DataError

# Distances are computed on a grid of at most so many points. A larger photo's
# grid has a point every k-th pixel, and its new edges are true to k pixels
# (5 for 8000x6000): a sixteenth is what the codec sees of them.
GRID_POINTS = 1 << 21
# A map of more weights than this is taken to have as many, evenly spaced: the
# weights that spread are then too low by less than a sixteenth.
LEVELS = 16
STRIP_ROWS = 64


def spread(
  roi: np.ndarray, dilate: float = 0.0, feather: float = 0.0
) -> np.ndarray:
  """Widens a region and gives it a soft edge; no weight is ever lowered.

  Every pixel's weight spreads around it: in full up to a distance of `dilate`
  pixels, then falling linearly to nothing at `dilate + feather`. A pixel gets
  the largest weight that reaches it,

    result(p) = max over q of roi(q) * ramp(distance(p, q)),

  so what was inside keeps its weight and the soft edge lies outside. Weights
  between 0 and 1 spread likewise.

  Args:
    roi: float32 [H, W] in [0, 1].
    dilate: how far the edge moves outward, in pixels.
    feather: how wide the soft edge is, in pixels.

  Returns:
    float32 [H, W] in [0, 1]; `roi` itself where there is nothing to do.

  Raises:
    DataError: a width is negative or not finite.
  """
  check_widths(dilate, feather)
  if not dilate + feather or roi.min() == roi.max():
    return roi
  height, width = roi.shape
  step = math.ceil(math.sqrt(height * width / GRID_POINTS))
  grid = _pool_maximum(roi, step)
  field = _spread_grid(grid, dilate / step, feather / step)
  return np.maximum(roi, field) if step == 1 else _enlarge(field, step, roi)


def check_widths(dilate: float, feather: float) -> None:
  """Refuses widths that `spread` cannot take, before any work.

  Raises:
    DataError: one is negative or not finite.
  """
  for name, width in (("dilate", dilate), ("feather", feather)):
    if not (math.isfinite(width) and width >= 0):
      raise DataError(f"{name} {width:g}: give a width in pixels, 0 or more")


def measure_distance(mask: np.ndarray) -> np.ndarray:
  """Returns each pixel's distance to the nearest pixel of a mask.

  Args:
    mask: bool [H, W], true somewhere.

  Returns:
    float64 [H, W], between the pixels' centres; 0 inside.
  """
  from scipy import ndimage

  return np.asarray(ndimage.distance_transform_edt(~mask))


def _pool_maximum(roi: np.ndarray, step: int) -> np.ndarray:
  if step == 1:
    return roi
  height, width = roi.shape
  rows, columns = -(-height // step), -(-width // step)
  padding = ((0, rows * step - height), (0, columns * step - width))
  blocks = np.pad(roi, padding).reshape(rows, step, columns, step)
  return blocks.max(axis=(1, 3))


def _spread_grid(grid: np.ndarray, dilate: float, feather: float) -> np.ndarray:
  """Spreads each level's region; the highest that arrives wins."""
  field = np.zeros_like(grid)
  for level in _list_levels(grid):
    distance = measure_distance(grid >= level)
    if feather:
      ramp = np.clip(1 - (distance - dilate) / feather, 0, 1)
    else:
      ramp = distance <= dilate
    np.maximum(field, (level * ramp).astype(np.float32), out=field)
  return field


def _enlarge(field: np.ndarray, step: int, roi: np.ndarray) -> np.ndarray:
  """Interpolates the grid's field and takes the larger of it and the map."""
  result = roi.copy()
  rows, columns = field.shape
  source = Image.fromarray(field)
  # A strip at a time: all of a large photo would be held three times.
  for top in range(0, rows, STRIP_ROWS):
    bottom = min(top + STRIP_ROWS, rows)
    strip = source.resize(
      (columns * step, (bottom - top) * step),
      Image.Resampling.BILINEAR,
      box=(0, top, columns, bottom),
    )
    part = result[top * step : bottom * step]
    near = np.asarray(strip)[: part.shape[0], : part.shape[1]]
    np.maximum(part, near, out=part)
  return result


def _list_levels(grid: np.ndarray) -> np.ndarray:
  levels = np.unique(grid[grid > 0])
  if levels.size <= LEVELS:
    return levels
  return np.arange(1, LEVELS + 1, dtype=np.float32) / LEVELS * levels[-1]
