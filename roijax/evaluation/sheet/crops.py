"""Places in a photo that are worth a look from near by.

One in the region of interest and one outside, each where the photo has most
detail; or two detailed ones where there is no region.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from roijax.errors import DataError
from roijax.roi.preview import LUMA

# Width and height in pixels; a large photo's crops have twice that, and no
# crop has more than half of a side.
SIZE = (120, 90)
LARGE = 2_000_000
MIN_SIDE = 32
# Windows are looked at this far apart.
STRIDE = 4
# Where no window lies in the region whole, one that holds this share of what
# the best one holds is as good.
ENOUGH = 0.95


class Crop(NamedTuple):
  """A window of a photo.

  Attributes:
    x: its left edge in pixels.
    y: its upper edge.
    width: in pixels.
    height: likewise.
    share: of it in the region, 0 to 1; None without a region.
  """

  x: int
  y: int
  width: int
  height: int
  share: float | None

  def cut(self, image: np.ndarray) -> np.ndarray:
    """The window of an array [H, W, ...]."""
    return image[self.y : self.y + self.height, self.x : self.x + self.width]

  def __str__(self):
    """Where it lies, for people."""
    corner = f"{self.width}x{self.height} pixels from {self.x},{self.y}"
    if self.share is None:
      return corner
    place = f"{self.share:.0%} in the region"
    if self.share in (0.0, 1.0):
      place = f"{'inside' if self.share else 'outside'} the region"
    return f"{place}: {corner}"


def check_size(height: int, width: int) -> None:
  """Refuses a photo without room for crops.

  Raises:
    DataError: a side is below 32 pixels.
  """
  if min(height, width) < MIN_SIDE:
    raise DataError(
      f"{width}x{height} pixels are too few for crops: at least {MIN_SIDE} a"
      " side"
    )


def choose_crops(
  image: np.ndarray,
  mask: np.ndarray | None,
  points: Sequence[tuple[int, int]] = (),
) -> list[Crop]:
  """Chooses windows to enlarge.

  Args:
    image: uint8 [H, W, 3].
    mask: bool [H, W], the region, which is neither empty nor all; or None.
    points: x and y of windows' middles; without one, windows are chosen.

  Returns:
    One a point. Else the window with most of the region, and among such the
    one with most detail; then the most detailed of those with least of the
    region. Without a region the most detailed, and the most detailed beside
    it if there is room.

  Raises:
    DataError: a side is below 32 pixels.
  """
  height, width = image.shape[:2]
  check_size(height, width)
  scale = 2 if height * width > LARGE else 1
  size = (min(scale * SIZE[0], width // 2), min(scale * SIZE[1], height // 2))
  if points:
    corners = [
      tuple(
        min(max(place - side // 2, 0), whole - side)
        for place, side, whole in zip(point, size, (width, height), strict=True)
      )
      for point in points
    ]
  else:
    corners = _choose_corners(image, mask, size)
  return [_make_crop(x, y, size, mask) for x, y in corners]


def _choose_corners(image, mask, size) -> list[tuple[int, int]]:
  """Left and upper edges of the windows to take."""
  columns, rows = (
    np.unique([*range(0, whole - side + 1, STRIDE), whole - side])
    for whole, side in zip(image.shape[1::-1], size, strict=True)
  )
  detail = _mean_windows(_measure_detail(image), rows, columns, size)
  if mask is not None:
    share = _mean_windows(mask.astype(float), rows, columns, size)
    most = share.max()
    enough = 1 - 1e-9 if most >= 1 - 1e-9 else ENOUGH * most
    fits = [share >= enough, share <= share.min() + 1e-9]
    found = [np.where(fit, detail, -1.0) for fit in fits]
  else:
    row, column = np.unravel_index(detail.argmax(), detail.shape)
    overlaps = (np.abs(rows - rows[row]) < size[1])[:, None] & (
      np.abs(columns - columns[column]) < size[0]
    )
    found = [detail]
    if not overlaps.all():
      found.append(np.where(overlaps, -1.0, detail))
  places = [np.unravel_index(each.argmax(), each.shape) for each in found]
  return [(int(columns[column]), int(rows[row])) for row, column in places]


def _measure_detail(image: np.ndarray) -> np.ndarray:
  """How far each pixel differs from its right and its lower neighbour."""
  grey = image @ LUMA
  detail = np.zeros(grey.shape)
  detail[:, :-1] += np.abs(np.diff(grey, axis=1))
  detail[:-1] += np.abs(np.diff(grey, axis=0))
  return detail


def _mean_windows(values, rows, columns, size) -> np.ndarray:
  """Means over the windows at all rows and columns."""
  sums = np.pad(values.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
  width, height = size
  return (
    sums[np.ix_(rows + height, columns + width)]
    - sums[np.ix_(rows, columns + width)]
    - sums[np.ix_(rows + height, columns)]
    + sums[np.ix_(rows, columns)]
  ) / (width * height)


def _make_crop(x: int, y: int, size, mask: np.ndarray | None) -> Crop:
  crop = Crop(x, y, size[0], size[1], None)
  if mask is None:
    return crop
  return crop._replace(share=float(crop.cut(mask).mean()))
