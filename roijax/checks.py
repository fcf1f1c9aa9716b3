"""What a codec refuses to code, or to decode, before any work."""

import numpy as np

from roijax.coding import container
from roijax.errors import BitstreamError, DataError


def check_image(image: np.ndarray) -> None:
  """Refuses what is no photo.

  Raises:
    DataError: it is not uint8 [H, W, 3] or [H, W], or its sides are too long.
  """
  dims = np.shape(image)
  colour = len(dims) == 3 and dims[2] == 3
  if not (colour or len(dims) == 2) or image.dtype != np.uint8:
    raise DataError(
      "an image must be uint8 [H, W, 3] or [H, W], not "
      f"{image.dtype} {list(dims)}"
    )
  if not 0 < min(dims[:2]) <= max(dims[:2]) <= container.MAX_SIDE:
    raise DataError(
      f"an image of {dims[1]}x{dims[0]} pixels cannot be coded: sides are 1 "
      f"to {container.MAX_SIDE}"
    )


def as_roi(roi: np.ndarray | None, image: np.ndarray) -> np.ndarray | None:
  """A photo's region as float32.

  Raises:
    DataError: it is not of the photo's size, or not within 0 to 1.
  """
  if roi is None:
    return None
  roi = np.asarray(roi, np.float32)
  if roi.shape != image.shape[:2]:
    raise DataError(
      f"the roi map is {list(roi.shape)}, the image {list(image.shape[:2])}: "
      "they must be of one size"
    )
  if not (roi.min() >= 0 and roi.max() <= 1):
    raise DataError("roi values must lie in 0 to 1")
  return roi


def check_pixels(
  header: container.Header, limit: int = container.MAX_PIXELS
) -> None:
  """Refuses a file that claims to be larger than its reader allows.

  Raises:
    BitstreamError: with the limit and how to raise it.
  """
  if header.width * header.height > limit:
    raise BitstreamError(
      f"the file claims {header.width}x{header.height} pixels; the limit is "
      f"{limit:,}: raise it with --max-pixels (in Python, max_pixels=)"
    )
