"""Models exported from torchvision: Faster and Mask R-CNN and their like.

The contract:

| what | name | shape |
| --- | --- | --- |
| input | any | float [3, H, W] or [1, 3, H, W], RGB in [0, 1] |
| output | `boxes` | float [N, 4]: left, top, right, bottom |
| output | `labels` | int [N], COCO's ids from 1 to 90, 0 is background |
| output | `scores` | float [N] |
| output | `masks` | float [N, 1, H, W] in [0, 1]; Mask R-CNN only |

Boxes are in pixels of the input.
A leading axis of one on an output is taken off. Where H and W are fixed, the
photo is resized into the upper left corner and the rest is black.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from roijax.errors import ConfigError
from roijax.evaluation.machine import letterbox
from roijax.evaluation.machine.detections import Detections, encode_mask

OUTPUTS = ("boxes", "labels", "scores")
MASKS = "masks"
# From which a soft mask's pixel is inside, as in torchvision's references.
THRESHOLD = 0.5


def prepare(
  image: np.ndarray, canvas: tuple[int, int] | None
) -> tuple[np.ndarray, letterbox.Placement]:
  """Makes the model's input of a photo.

  Args:
    image: uint8 [H, W, 3], RGB.
    canvas: the fixed height and width; None where any size does.

  Returns:
    float32 [3, H, W] in [0, 1], and where the photo lies on it.
  """
  size = image.shape[:2]
  canvas = canvas or size
  placement = letterbox.place(size, canvas, centred=False)
  painted = letterbox.paint(image, canvas, placement, 0)
  return _planes(painted), placement


def read(
  outputs: Mapping[str, np.ndarray],
  placement: letterbox.Placement,
  canvas: tuple[int, int],
  *,
  masks: bool,
) -> Detections:
  """Reads what the model said.

  Args:
    outputs: by the contract's names.
    placement: from `prepare`.
    canvas: the input's height and width.
    masks: whether to read `masks` too.

  Raises:
    ConfigError: they are not of the contract's shapes, or not finite.
  """
  boxes, labels, scores = (
    _without_batch(outputs[name], axes)
    for name, axes in zip(OUTPUTS, (2, 1, 1), strict=True)
  )
  count = len(scores)
  _check("boxes", boxes, (count, 4))
  _check("labels", labels, (count,))
  _check("scores", scores, (count,))
  # Some exports pad with background.
  kept = labels > 0
  encoded: list[dict[str, Any]] | None = None
  if masks:
    soft = _without_batch(outputs[MASKS], 4)
    _check(MASKS, soft, (count, 1, *canvas))
    soft, whole = soft[:, 0], np.s_[:, :]
    encoded = [
      encode_mask(placement.sample_in_photo(one, canvas, whole) > THRESHOLD)
      for one in soft[kept]
    ]
  return Detections(
    placement.boxes_in_photo(boxes[kept]),
    labels[kept].astype(int),
    scores[kept].astype(np.float64),
    encoded,
  )


def _check(name: str, array: np.ndarray, shape: tuple[int, ...]) -> None:
  if array.shape != shape:
    raise ConfigError(
      f"the detector's output {name} is {list(array.shape)}, not {list(shape)},"
      " as the torchvision layout needs (docs/machine.md)"
    )
  if not np.isfinite(array).all():
    raise ConfigError(f"the detector's output {name} is not finite")


def _planes(painted: np.ndarray) -> np.ndarray:
  scaled = painted.astype(np.float32) / np.float32(255)
  return np.ascontiguousarray(scaled.transpose(2, 0, 1))


def _without_batch(array: np.ndarray, axes: int) -> np.ndarray:
  return array[0] if array.ndim == axes + 1 else array
