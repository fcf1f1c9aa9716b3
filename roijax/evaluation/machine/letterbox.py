"""Fitting a photo into a model's canvas, and finding the way back."""

from typing import NamedTuple

import numpy as np


class Placement(NamedTuple):
  """Where on a canvas a resized photo lies.

  Attributes:
    top: the first of its rows there.
    left: the first of its columns.
    height: its rows there.
    width: its columns.
    photo: the photo's own height and width.
  """

  top: int
  left: int
  height: int
  width: int
  photo: tuple[int, int]

  def boxes_in_photo(self, boxes: np.ndarray) -> np.ndarray:
    """Takes boxes from the canvas to the photo, cut off at its edges.

    Args:
      boxes: [N, 4]: left, top, right, bottom, in pixels of the canvas.

    Returns:
      float64 [N, 4] in pixels of the photo.
    """
    height, width = self.photo
    offset = np.array([self.left, self.top] * 2)
    scale = np.array([width / self.width, height / self.height] * 2)
    moved = (np.asarray(boxes, np.float64) - offset) * scale
    return np.clip(moved, 0, np.array([width, height] * 2))

  def sample_in_photo(
    self,
    plane: np.ndarray,
    canvas: tuple[int, int],
    window: tuple[slice, slice],
  ) -> np.ndarray:
    """Resamples what lies over the canvas at pixels of the photo.

    Args:
      plane: float [h, w], spread over the whole canvas.
      canvas: the canvas's height and width.
      window: which rows and columns of the photo.

    Returns:
      float32, of the window's size, interpolated bilinearly.
    """
    if plane.shape == canvas == self.photo:
      return plane[window].astype(np.float32)
    rows, columns = (
      np.arange(side)[part] + 0.5
      for side, part in zip(self.photo, window, strict=True)
    )
    rows = rows * (self.height / self.photo[0]) + self.top
    columns = columns * (self.width / self.photo[1]) + self.left
    return sample(
      plane,
      rows * (plane.shape[0] / canvas[0]) - 0.5,
      columns * (plane.shape[1] / canvas[1]) - 0.5,
    )


def place(
  photo: tuple[int, int], canvas: tuple[int, int], *, centred: bool
) -> Placement:
  """Fits a photo into a canvas, as large as its aspect allows.

  Args:
    photo: its height and width.
    canvas: the canvas's.
    centred: in the middle; otherwise in the upper left corner.
  """
  ratio = min(canvas[0] / photo[0], canvas[1] / photo[1])
  height, width = (max(1, round(side * ratio)) for side in photo)
  # An odd row or column of the margin goes below and to the right.
  top, left = (canvas[0] - height) // 2, (canvas[1] - width) // 2
  if not centred:
    top = left = 0
  return Placement(top, left, height, width, photo)


def paint(
  image: np.ndarray, canvas: tuple[int, int], placement: Placement, margin: int
) -> np.ndarray:
  """Resizes a photo bilinearly and lays it on a canvas.

  Args:
    image: uint8 [H, W, 3].
    canvas: the canvas's height and width.
    placement: from `place`.
    margin: the level around the photo.

  Returns:
    uint8 [*canvas, 3].
  """
  height, width = placement.height, placement.width
  resized = image
  if image.shape[:2] != (height, width):
    rows = (np.arange(height) + 0.5) * (image.shape[0] / height) - 0.5
    columns = (np.arange(width) + 0.5) * (image.shape[1] / width) - 0.5
    resized = sample(np.moveaxis(image, -1, 0), rows, columns)
    resized = np.moveaxis(resized, 0, -1).round().astype(np.uint8)
  painted = np.full((*canvas, 3), margin, np.uint8)
  top, left = placement.top, placement.left
  painted[top : top + height, left : left + width] = resized
  return painted


def sample(
  planes: np.ndarray, rows: np.ndarray, columns: np.ndarray
) -> np.ndarray:
  """Interpolates bilinearly on a grid, as OpenCV and PyTorch resize.

  There is no smoothing first: a photo made smaller keeps its aliases, for
  detectors were trained with them. Beyond the edge lies the edge.

  Args:
    planes: [..., H, W].
    rows: [h], in pixels, 0 the middle of the first row.
    columns: [w], likewise.

  Returns:
    float32 [..., h, w].
  """
  planes = np.asarray(planes)
  low, high, share = _neighbours(rows, planes.shape[-2])
  upper = planes[..., low, :].astype(np.float32)
  lower = planes[..., high, :].astype(np.float32)
  mixed = upper + share[:, None] * (lower - upper)
  low, high, share = _neighbours(columns, planes.shape[-1])
  left, right = mixed[..., low], mixed[..., high]
  return left + share * (right - left)


def _neighbours(
  places: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  places = np.clip(places, 0, size - 1)
  low = np.floor(places).astype(int)
  share = (places - low).astype(np.float32)
  return low, np.minimum(low + 1, size - 1), share
