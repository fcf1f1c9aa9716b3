"""What a detector is, and what it finds in a photo."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from roijax.errors import RoijaxError

PERSON = 1
# COCO numbered 91 kinds of objects and annotated 80 of them; models count
# those in this order.
COCO_IDS = tuple(
  number
  for number in range(1, 91)
  if number not in (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)
)


class Detections(NamedTuple):
  """Objects in one photo of H x W pixels.

  Attributes:
    boxes: float [N, 4]: left, top, right, bottom, in pixels of the photo, from
      its upper left corner.
    categories: int [N], COCO's ids.
    scores: float [N], more is surer; comparable within one detector only.
    masks: N masks as `encode_mask` gives them; None of a detector that finds
      boxes only.
  """

  boxes: np.ndarray
  categories: np.ndarray
  scores: np.ndarray
  masks: Sequence[dict[str, Any]] | None = None


class Detector(Protocol):
  """Finds objects in photos.

  Attributes:
    name: for reports.
    categories: COCO's ids of all that it knows; None for every one.
    sure: the score from which it is taken at its word.
  """

  @property
  def name(self) -> str:
    """See above."""
    ...

  @property
  def categories(self) -> Sequence[int] | None:
    """See above."""
    ...

  @property
  def sure(self) -> float:
    """See above."""
    ...

  def detect(self, image: np.ndarray, *, masks: bool = False) -> Detections:
    """Finds objects in uint8 [H, W, 3], RGB.

    Args:
      image: the photo.
      masks: whether their outlines are asked for.

    Raises:
      RoijaxError: they are and it has none, or its model fails.
    """
    ...


def load_pycocotools() -> Any:
  """Imports pycocotools with its `coco`, `cocoeval` and `mask`.

  Raises:
    RoijaxError: it is missing.
  """
  try:
    import pycocotools.coco
    import pycocotools.cocoeval
    import pycocotools.mask
  except ImportError as error:
    raise RoijaxError(
      "scoring detections needs pycocotools: pip install 'roijax[detect]'"
    ) from error
  return pycocotools


def encode_mask(mask: np.ndarray) -> dict[str, Any]:
  """Encodes a mask as COCO's compressed run lengths, fit for JSON.

  Args:
    mask: bool [H, W].

  Returns:
    `size` [H, W] and `counts`, text.
  """
  rle = load_pycocotools().mask.encode(np.asfortranarray(mask, np.uint8))
  return {"size": list(rle["size"]), "counts": rle["counts"].decode("ascii")}
