"""What all detectors need: OpenCV itself, and a photo of the size they like."""

from typing import Any

import numpy as np

from roijax.errors import DataError, NothingFoundError

# Detectors are tuned to one size of photo: the long side in pixels. Small
# photos are enlarged to it, but beyond twice that shows nothing new.
WORKING_SIDE = 960
MAX_ENLARGEMENT = 2.0


def load_opencv() -> Any:
  """Imports OpenCV, which takes a quarter of a second.

  Raises:
    DataError: it is missing, or it is one without the contributed modules or
      the cascades (OpenCV 5 has none).
  """
  try:
    import cv2
  except ImportError as error:
    raise DataError(
      "--roi face, person and saliency need OpenCV: pip install 'roijax[roi]'"
    ) from error
  for part in ("saliency", "CascadeClassifier", "HOGDescriptor"):
    if not hasattr(cv2, part):
      raise DataError(
        f"this OpenCV ({cv2.__version__}) has no {part}: uninstall it, then "
        "pip install 'roijax[roi]'"
      )
  return cv2


def resize_to_working(
  image: np.ndarray, side: int = WORKING_SIDE
) -> tuple[np.ndarray, float]:
  """Resizes a photo so that its long side has `side` pixels.

  Args:
    image: uint8 [H, W] or [H, W, 3].
    side: the long side in pixels, unless that enlarges more than twofold.

  Returns:
    The resized photo, and how many times larger than it the photo is.
  """
  cv2 = load_opencv()
  height, width = image.shape[:2]
  scale = min(side / max(height, width), MAX_ENLARGEMENT)
  size = (max(1, round(width * scale)), max(1, round(height * scale)))
  method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
  image = np.ascontiguousarray(image)
  return cv2.resize(image, size, interpolation=method), 1 / scale


def to_grey(image: np.ndarray) -> np.ndarray:
  """Returns the luma of an RGB photo; a grey one as it is."""
  if image.ndim == 2:
    return image
  cv2 = load_opencv()
  return cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)


def check_found(inside: np.ndarray, what: str, name: str) -> np.ndarray:
  """What a detector marked, as a map.

  Args:
    inside: bool [H, W].
    what: it looked for.
    name: what to call the photo in errors.

  Returns:
    float32 [H, W] of zeros and ones.

  Raises:
    NothingFoundError: nothing is marked.
  """
  if not inside.any():
    raise NothingFoundError(
      f"no {what} found in {name}: give the region yourself, for example "
      "--roi box:x,y,w,h, or --roi none"
    )
  return inside.astype(np.float32)
