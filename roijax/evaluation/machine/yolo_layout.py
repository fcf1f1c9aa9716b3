"""Models exported from the YOLO family, with COCO's 80 classes.

The contract, with N candidates and, for segmentation, K prototypes:

| what | shape |
| --- | --- |
| input | float [1, 3, S, T], RGB in [0, 1] |
| boxes, v8 and later | [1, 4 + 80 (+ K), N]: box, scores |
| boxes, v5 and v7 | [1, N, 5 + 80 (+ K)]: box, objectness, scores |
| boxes, end to end | [1, N, 6 (+ K)]: corners, score, class |
| prototypes | [1, K, h, w] |

The photo lies in the middle of the input, around it is grey 114. A box is the
middle's x and y, width and height; corners are left, top, right, bottom. Masks
are sums of the prototypes, weighted by the candidate's last K numbers.
Boxes are in pixels of the input. Names do not matter, axes tell outputs apart:
boxes have three, prototypes four; others are passed over. The first two kinds
are raw: overlapping candidates of one class are removed here.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from roijax.errors import ConfigError
from roijax.evaluation.machine import letterbox
from roijax.evaluation.machine.detections import (
  COCO_IDS,
  Detections,
  encode_mask,
)

CLASSES = len(COCO_IDS)
# Where the export left the input's size open.
SIDE = 640
MARGIN = 114
# What the family's own validation uses: all but the surest misses take part,
# for average precision rates the whole ranking.
CONFIDENCE = 0.001
OVERLAP = 0.7
MAX_CANDIDATES = 30_000
MAX_DETECTIONS = 300
EXPECTED = (
  f"[1, {4 + CLASSES}, N] (v8 and later), [1, N, {5 + CLASSES}] (v5, v7) or"
  " [1, N, 6] (end to end), for segmentation with K weights more and an output"
  " [1, K, h, w]"
)


class Candidates(NamedTuple):
  """What one output says, before overlaps are removed.

  Attributes:
    boxes: float [N, 4]: left, top, right, bottom, in pixels of the input.
    scores: float [N].
    classes: int [N], 0 to 79.
    weights: float [N, K] of the prototypes.
    final: whether the model removed overlaps itself.
  """

  boxes: np.ndarray
  scores: np.ndarray
  classes: np.ndarray
  weights: np.ndarray
  final: bool


def prepare(
  image: np.ndarray, canvas: tuple[int, int]
) -> tuple[np.ndarray, letterbox.Placement]:
  """Makes the model's input of a photo.

  Args:
    image: uint8 [H, W, 3], RGB.
    canvas: the input's height and width.

  Returns:
    float32 [1, 3, *canvas] in [0, 1], and where the photo lies on it.
  """
  placement = letterbox.place(image.shape[:2], canvas, centred=True)
  painted = letterbox.paint(image, canvas, placement, MARGIN)
  scaled = painted.astype(np.float32) / np.float32(255)
  return np.ascontiguousarray(scaled.transpose(2, 0, 1)[None]), placement


def read(
  outputs: Mapping[str, np.ndarray],
  placement: letterbox.Placement,
  canvas: tuple[int, int],
  *,
  masks: bool,
) -> Detections:
  """Reads what the model said.

  Args:
    outputs: see the contract.
    placement: from `prepare`.
    canvas: the input's height and width.
    masks: whether to make masks of the prototypes.

  Raises:
    ConfigError: the outputs are of another form.
  """
  predictions, prototypes = choose_outputs(outputs)
  count = 0 if prototypes is None else len(prototypes)
  found = sort_out(predictions, count)
  if found is None:
    raise ConfigError(f"{_tell(outputs)}: the yolo layout needs {EXPECTED}")
  if masks and prototypes is None:
    raise ConfigError(
      f"{_tell(outputs)}: --task=segmentation needs a model with masks, in the"
      " yolo layout an output [1, K, h, w] of prototypes"
    )
  order = np.argsort(-found.scores, kind="stable")[:MAX_CANDIDATES]
  if not found.final:
    order = order[suppress(found.boxes[order], found.classes[order])]
  order = order[:MAX_DETECTIONS]
  boxes = placement.boxes_in_photo(found.boxes[order])
  encoded = None
  if masks and prototypes is not None:
    encoded = [
      encode_mask(
        _draw(np.tensordot(row, prototypes, 1), box, placement, canvas)
      )
      for row, box in zip(found.weights[order], boxes, strict=True)
    ]
  categories = np.array(COCO_IDS)[found.classes[order]]
  return Detections(boxes, categories, found.scores[order], encoded)


def choose_outputs(
  outputs: Mapping[str, np.ndarray],
) -> tuple[np.ndarray, np.ndarray | None]:
  """Tells predictions and prototypes apart.

  Returns:
    Predictions [a, b], and prototypes [K, h, w] or None.

  Raises:
    ConfigError: there is not one of the first, or more than one of the other.
  """
  by_axes = {axes: [] for axes in (3, 4)}
  for array in outputs.values():
    if array.ndim in by_axes and len(array) == 1:
      by_axes[array.ndim].append(array[0])
  if len(by_axes[3]) != 1 or len(by_axes[4]) > 1:
    raise ConfigError(f"{_tell(outputs)}: the yolo layout needs {EXPECTED}")
  return by_axes[3][0], by_axes[4][0] if by_axes[4] else None


def sort_out(predictions: np.ndarray, prototypes: int) -> Candidates | None:
  """Reads any of the three kinds of predictions.

  Args:
    predictions: [a, b], which kind is told by their sizes.
    prototypes: K, how many weights of prototypes stand behind the rest.

  Returns:
    What scores more than `CONFIDENCE`; None where no kind fits.
  """
  rows, columns = predictions.shape
  predictions = predictions.astype(np.float64)
  if columns == 6 + prototypes:
    kept = predictions[predictions[:, 4] > CONFIDENCE]
    classes = kept[:, 5].round().astype(int)
    known = (classes >= 0) & (classes < CLASSES)
    kept, classes = kept[known], classes[known]
    return Candidates(kept[:, :4], kept[:, 4], classes, kept[:, 6:], True)
  if columns == 5 + CLASSES + prototypes:
    scores = predictions[:, 4:5] * predictions[:, 5 : 5 + CLASSES]
  elif rows == 4 + CLASSES + prototypes:
    predictions = predictions.T
    scores = predictions[:, 4 : 4 + CLASSES]
  else:
    return None
  # A candidate counts once for each class that it may be.
  which, classes = np.nonzero(scores > CONFIDENCE)
  centre, size = predictions[which, :2], predictions[which, 2:4]
  return Candidates(
    np.concatenate([centre - size / 2, centre + size / 2], 1),
    scores[which, classes],
    classes,
    predictions[which, predictions.shape[1] - prototypes :],
    False,
  )


def suppress(
  boxes: np.ndarray,
  classes: np.ndarray,
  *,
  overlap: float = OVERLAP,
  limit: int = MAX_DETECTIONS,
) -> np.ndarray:
  """Non-maximum suppression within each class.

  Args:
    boxes: [N, 4]: left, top, right, bottom; the surest first.
    classes: [N].
    overlap: an intersection over union above this means the same object.
    limit: stop when so many are kept.

  Returns:
    int [n], which of them are kept, in order.
  """
  areas = (boxes[:, 2:] - boxes[:, :2]).clip(0).prod(1)
  left = np.arange(len(boxes))
  kept = []
  while len(left) and len(kept) < limit:
    first, left = left[0], left[1:]
    kept.append(first)
    low = np.maximum(boxes[first, :2], boxes[left, :2])
    high = np.minimum(boxes[first, 2:], boxes[left, 2:])
    common = (high - low).clip(0).prod(1)
    union = areas[first] + areas[left] - common
    same = (common > overlap * union) & (classes[left] == classes[first])
    left = left[~same]
  return np.array(kept, int)


def _draw(
  logits: np.ndarray,
  box: np.ndarray,
  placement: letterbox.Placement,
  canvas: tuple[int, int],
) -> np.ndarray:
  """One object's mask in the photo: where logits are positive in its box."""
  left, top, right, bottom = np.ceil(box).astype(int)
  window = slice(top, bottom), slice(left, right)
  mask = np.zeros(placement.photo, bool)
  mask[window] = placement.sample_in_photo(logits, canvas, window) > 0
  return mask


def _tell(outputs: Mapping[str, np.ndarray]) -> str:
  found = ", ".join(f"{name} {list(x.shape)}" for name, x in outputs.items())
  return f"the detector's outputs are {found}"
