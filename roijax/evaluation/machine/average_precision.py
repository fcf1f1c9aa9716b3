"""Average precision of a detector, as COCO scores it.

pycocotools' COCOeval over exactly the photos that were looked at
(`params.imgIds`), with the categories that the detector knows; a category of
which these photos have no object has no part in the mean. Crowds are neither
found nor missed. Source: https://cocodataset.org/#detection-eval.

A weak detector finds little of the truth in the originals too, so that there is
little to lose. The last figure takes for the truth what the same detector is
sure of in the original photo.
"""

import contextlib
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from roijax.errors import DataError
from roijax.evaluation.machine.detections import (
  Detections,
  Detector,
  load_pycocotools,
)
from roijax.evaluation.machine.scenes import Scene
from roijax.roi import coco

# In the order of COCOeval's `stats`.
MEASURES = {
  "ap": "AP",
  "ap50": "AP .5",
  "ap75": "AP .75",
  "ap_small": "small",
  "ap_medium": "medium",
  "ap_large": "large",
}
OWN = "ap_own"


class AveragePrecision:
  """Shows pictures to a detector and ranks what it finds; a `looks.Judge`.

  Args:
    detector: finds objects.
    annotations: the truth.
    task: `detection` compares boxes, `segmentation` masks.

  Raises:
    RoijaxError: pycocotools is missing.
  """

  measures: Mapping[str, str] = {**MEASURES, OWN: "AP, own"}

  def __init__(
    self, detector: Detector, annotations: coco.Annotations, task: str
  ):
    self._tools = load_pycocotools()
    self._detector, self._annotations = detector, annotations
    self.name, self.task = detector.name, task
    what = "boxes" if task == "detection" else "masks"
    self.explanation = (
      f"AP of {self.name}'s {what} in percent, COCO's mean over overlaps .5 to"
      " .95; small below 32x32 pixels, large above 96x96; own: against what it"
      f" finds in the originals with a score from {detector.sure:g}."
    )
    self._own: dict[str, Detections] = {}

  def look(self, scene: Scene, image: np.ndarray) -> Detections:
    """Finds objects; the first time in the original too."""
    if scene.name not in self._own:
      self._own[scene.name] = self._detect(scene.image)
    if image is scene.image:
      return self._own[scene.name]
    return self._detect(image)

  def count(self, found: Detections) -> int:
    """How many objects were found."""
    return len(found.scores)

  def score(self, found: Mapping[str, Detections]) -> dict[str, float | None]:
    """Runs COCOeval over the photos named."""
    entries = [self._annotations.images[name] for name in found]
    results = [
      result
      for entry, detections in zip(entries, found.values(), strict=True)
      for result in self._list(entry, detections)
    ]
    truth = [x for entry in entries for x in self._read_truth(entry)]
    own = [
      result
      for entry, name in zip(entries, found, strict=True)
      for result in self._list(entry, self._own[name])
      if result["score"] >= self._detector.sure
    ]
    figures = self._evaluate(entries, truth, results)
    figures[OWN] = self._evaluate(entries, own, results)["ap"]
    return figures

  def _detect(self, image: np.ndarray) -> Detections:
    return self._detector.detect(image, masks=self.task == "segmentation")

  def _evaluate(
    self,
    entries: Sequence[dict[str, Any]],
    truth: Sequence[dict[str, Any]],
    results: Sequence[dict[str, Any]],
  ) -> dict[str, float | None]:
    kind = "bbox" if self.task == "detection" else "segm"
    # pycocotools prints as it goes.
    with contextlib.redirect_stdout(io.StringIO()):
      evaluator = self._tools.cocoeval.COCOeval(
        self._index(entries, truth), self._index(entries, results), kind
      )
      evaluator.params.imgIds = sorted(entry["id"] for entry in entries)
      if self._detector.categories is not None:
        evaluator.params.catIds = list(self._detector.categories)
      evaluator.evaluate()
      evaluator.accumulate()
      evaluator.summarize()
    # What cannot be measured is -1.
    figures = [float(figure) for figure in evaluator.stats[: len(MEASURES)]]
    return {
      name: None if math.isnan(figure) or figure < 0 else figure
      for name, figure in zip(MEASURES, figures, strict=True)
    }

  def _list(
    self, entry: dict[str, Any], found: Detections
  ) -> Iterator[dict[str, Any]]:
    """What was found in a photo as COCO's results."""
    for index, (left, top, right, bottom) in enumerate(found.boxes.tolist()):
      width, height = max(right - left, 0.0), max(bottom - top, 0.0)
      result: dict[str, Any] = {
        "image_id": entry["id"],
        "iscrowd": 0,
        "category_id": int(found.categories[index]),
        "score": float(found.scores[index]),
        "bbox": [left, top, width, height],
        "area": width * height,
      }
      if found.masks is not None:
        result["segmentation"] = found.masks[index]
        result["area"] = float(self._tools.mask.area(found.masks[index]))
      yield result

  def _read_truth(self, entry: dict[str, Any]) -> list[dict[str, Any]]:
    """One photo's annotations, in copies, for COCOeval writes into them."""
    size = entry["height"], entry["width"]
    truth = []
    for instance in self._annotations.instances.get(entry["id"], []):
      missing = {"bbox", "area", "iscrowd"} - set(instance)
      if missing:
        raise DataError(
          f"an annotation of {entry['file_name']} has no {min(missing)}, which"
          " scoring needs"
        )
      copy = dict(instance)
      if self.task == "segmentation":
        copy["segmentation"] = coco.instance_rle(instance, size)
      truth.append(copy)
    return truth

  def _index(
    self, entries: Sequence[dict[str, Any]], objects: Sequence[dict[str, Any]]
  ) -> Any:
    """A pycocotools COCO; `loadRes` would not take an empty list."""
    index = self._tools.coco.COCO()
    categories = self._annotations.categories.items()
    index.dataset = {
      "images": list(entries),
      "categories": [{"id": key, "name": name} for key, name in categories],
      # Numbered anew: COCOeval takes an id of 0 for no match.
      "annotations": [
        {**found, "id": number} for number, found in enumerate(objects, 1)
      ],
    }
    index.createIndex()
    return index
