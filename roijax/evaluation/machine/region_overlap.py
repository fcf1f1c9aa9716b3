"""Overlap of the region that the shipped predictor sees in a picture.

Intersection over union, photo by photo, then the mean: with the annotated
objects' union, and with the region that the predictor sees in the original.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from roijax.evaluation.machine.scenes import Scene
from roijax.metrics.overlap import iou

Predict = Callable[[np.ndarray], np.ndarray]
MEASURES = {"iou": "mIoU", "iou_own": "mIoU, own"}


class RegionOverlap:
  """Predicts regions in pictures and compares them; a `looks.Judge`.

  Args:
    predict: uint8 [H, W, 3] -> float [H, W], how likely each pixel belongs to
      the region.
    threshold: from which it does.
    name: for reports.
  """

  task = "segmentation"
  measures = MEASURES

  def __init__(
    self, predict: Predict, threshold: float, name: str = "predictor"
  ):
    self.name = name
    self._predict, self._threshold = predict, threshold
    self._own: tuple[str, np.ndarray] | None = None
    self.explanation = (
      f"mIoU of the {self.name}'s region (probability from {threshold:g}) in"
      " percent: with the annotated objects, where there are any; own: with its"
      " region in the original."
    )

  def look(self, scene: Scene, image: np.ndarray) -> dict[str, Any]:
    """Predicts a region and compares it.

    Returns:
      `pixels` inside; `iou` with the truth, None where it is empty; `iou_own`
      with the original's.
    """
    region = self._find(image)
    if self._own is None or self._own[0] != scene.name:
      own = region if image is scene.image else self._find(scene.image)
      self._own = scene.name, own
    return {
      "pixels": int(region.sum()),
      "iou": iou(region, scene.truth) if scene.truth.any() else None,
      "iou_own": iou(region, self._own[1]),
    }

  def count(self, found: Mapping[str, Any]) -> int:
    """How many pixels lie inside."""
    return found["pixels"]

  def score(self, found: Mapping[str, Any]) -> dict[str, float | None]:
    """Means over photos."""
    figures: dict[str, float | None] = {}
    for name in MEASURES:
      values = [one[name] for one in found.values() if one[name] is not None]
      figures[name] = math.fsum(values) / len(values) if values else None
    return figures

  def _find(self, image: np.ndarray) -> np.ndarray:
    return np.asarray(self._predict(image)) >= self._threshold
