"""Regions of interest given by a few numbers.

A pixel belongs to a shape when its centre, at (x + 1/2, y + 1/2), does.
Coordinates are pixels, x to the right and y down from the upper left corner,
and may be fractions. What reaches over the photo's edge is cut off.
"""

import numpy as np

from roijax.errors import DataError

# No photo is so large; larger numbers only overflow.
LARGEST_NUMBER = 1e9

# The usual stand-in for a mask on photos that have none: an ellipse that
# covers 24.6 % of the area.
CENTER_SEMI_AXIS = 0.28


def box(text: str, size: tuple[int, int]) -> np.ndarray:
  """Reads `x,y,w,h`: the upper left corner, width and height.

  Args:
    text: four numbers; width and height are positive.
    size: the photo's height and width.

  Returns:
    float32 [H, W] of zeros and ones.

  Raises:
    DataError: the text is malformed or the box lies outside the photo.
  """
  left, top, width, height = _numbers("box:x,y,w,h", text, 4)
  _check_positive("box", text, width, height)
  return _finish("box", text, rasterize_box(left, top, width, height, size))


def ellipse(text: str, size: tuple[int, int]) -> np.ndarray:
  """Reads `cx,cy,rx,ry`: the centre and the two semi-axes.

  Args:
    text: four numbers; the semi-axes are positive.
    size: the photo's height and width.

  Returns:
    float32 [H, W] of zeros and ones.

  Raises:
    DataError: the text is malformed or the ellipse lies outside the photo.
  """
  cx, cy, rx, ry = _numbers("ellipse:cx,cy,rx,ry", text, 4)
  _check_positive("ellipse", text, rx, ry)
  return _finish("ellipse", text, rasterize_ellipse(cx, cy, rx, ry, size))


def polygon(text: str, size: tuple[int, int]) -> np.ndarray:
  """Reads `x,y,x,y,...`: the corners in order, closed by itself.

  Where the outline crosses itself, the even-odd rule decides.

  Args:
    text: at least three pairs of numbers.
    size: the photo's height and width.

  Returns:
    float32 [H, W] of zeros and ones.

  Raises:
    DataError: the text is malformed or the polygon lies outside the photo.
  """
  values = _numbers("polygon:x,y,x,y,...", text)
  if len(values) < 6 or len(values) % 2:
    raise DataError(
      f"polygon:{text} has {len(values)} numbers; it takes three or more pairs "
      "x,y"
    )
  points = np.asarray(values, np.float64).reshape(-1, 2)
  return _finish("polygon", text, rasterize_polygon(points, size))


def center(size: tuple[int, int]) -> np.ndarray:
  """Makes the central ellipse with semi-axes of .28 W and .28 H.

  Args:
    size: the photo's height and width.

  Returns:
    float32 [H, W] of zeros and ones.
  """
  height, width = size
  inside = rasterize_ellipse(
    width / 2,
    height / 2,
    CENTER_SEMI_AXIS * width,
    CENTER_SEMI_AXIS * height,
    size,
  )
  return inside.astype(np.float32)


def rasterize_box(
  left: float, top: float, width: float, height: float, size: tuple[int, int]
) -> np.ndarray:
  """Marks the pixels whose centres lie inside a box.

  Args:
    left: x of the left edge.
    top: y of the upper edge.
    width: its width.
    height: its height.
    size: the photo's height and width.

  Returns:
    bool [H, W].
  """
  x, y = _pixel_centers(size)
  columns = (x > left) & (x < left + width)
  return columns & (y > top) & (y < top + height)


def rasterize_ellipse(
  cx: float, cy: float, rx: float, ry: float, size: tuple[int, int]
) -> np.ndarray:
  """Marks the pixels whose centres lie inside an ellipse.

  Args:
    cx: x of the centre.
    cy: y of the centre.
    rx: the horizontal semi-axis.
    ry: the vertical semi-axis.
    size: the photo's height and width.

  Returns:
    bool [H, W].
  """
  x, y = _pixel_centers(size)
  # Half a row's chord, in parts of rx; a large photo gets no array of floats.
  square = 1 - np.square(np.minimum(np.abs(y - cy), 2 * ry) / ry)
  chord = np.where(square < 0, -1, np.sqrt(np.maximum(square, 0)))
  return np.abs(x - cx) <= rx * chord


def rasterize_polygon(points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
  """Marks the pixels whose centres lie inside a polygon.

  Every edge toggles, in each row that it crosses, all pixels to the right of
  the crossing; an odd number of toggles is inside.

  Args:
    points: float [N, 2], corners as x, y.
    size: height and width.

  Returns:
    bool [H, W].
  """
  height, width = size
  # Eight bits wrap around at an even number and so keep what is asked.
  toggles = np.zeros((height, width + 1), np.uint8)
  y = np.arange(height) + 0.5
  for (x0, y0), (x1, y1) in zip(points, np.roll(points, -1, 0), strict=True):
    # Half open in y, so that a corner on a row's centre counts once.
    rows = np.flatnonzero((y >= min(y0, y1)) & (y < max(y0, y1)))
    if rows.size:
      crossing = x0 + (y[rows] - y0) * (x1 - x0) / (y1 - y0)
      first = np.clip(np.ceil(crossing - 0.5), 0, width).astype(np.int64)
      np.add.at(toggles, (rows, first), 1)
  np.cumsum(toggles, 1, np.uint8, out=toggles)
  return toggles[:, :width] % 2 == 1


def _pixel_centers(size):
  height, width = size
  return np.arange(width)[None, :] + 0.5, np.arange(height)[:, None] + 0.5


def _numbers(form: str, text: str, count: int | None = None) -> list[float]:
  kind = form.partition(":")[0]
  try:
    values = [float(part) for part in text.split(",")]
  except ValueError:
    values = []
  if not np.isfinite(values).all() or not values:
    raise DataError(f"cannot read {kind}:{text}: write {form} with numbers")
  if max(map(abs, values)) > LARGEST_NUMBER:
    raise DataError(f"{kind}:{text}: numbers are pixels, at most 1e9")
  if count is not None and len(values) != count:
    raise DataError(f"{kind}:{text} has {len(values)} numbers; write {form}")
  return values


def _check_positive(kind: str, text: str, *lengths: float) -> None:
  if min(lengths) <= 0:
    raise DataError(f"{kind}:{text} is empty: its last two numbers are lengths")


def _finish(kind: str, text: str, inside: np.ndarray) -> np.ndarray:
  if not inside.any():
    height, width = inside.shape
    raise DataError(
      f"{kind}:{text} covers no pixel of the {width}x{height} photo"
    )
  return inside.astype(np.float32)
