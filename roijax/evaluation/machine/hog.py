"""OpenCV's HOG detector of people as a detector to be scored.

The one that `--roi person` starts from (`roijax.roi.person`), without its
threshold, for average precision rates the whole ranking: every window that the
SVM takes for a person, merged, its margins taken off.
"""

import numpy as np

from roijax.errors import ConfigError
from roijax.evaluation.machine.detections import PERSON, Detections
from roijax.roi import person
from roijax.roi.boxes import Box, group_boxes, merge_boxes
from roijax.roi.opencv import load_opencv, resize_to_working


class HogDetector:
  """Finds people who stand upright and are seen whole.

  Attributes:
    name: `hog`.
    categories: people only.
    sure: what `--roi person` asks for.

  Raises:
    DataError: OpenCV is missing.
  """

  name = "hog"
  categories = (PERSON,)
  sure = person.SCORE

  def __init__(self):
    cv2 = load_opencv()
    self._hog = cv2.HOGDescriptor()
    self._hog.setSVMDetector(cv2.HOGDescriptor_getDefaultPeopleDetector())

  def detect(self, image: np.ndarray, *, masks: bool = False) -> Detections:
    """Finds people in uint8 [H, W, 3], RGB.

    Raises:
      ConfigError: masks are asked for.
    """
    if masks:
      raise ConfigError(
        "hog finds boxes only: --task=segmentation needs --detector=predictor"
        " or an ONNX file with masks"
      )
    height, width = image.shape[:2]
    found = self._find_windows(image)
    boxes = np.array(
      [[b.x, b.y, b.x + b.width, b.y + b.height] for b in map(_trim, found)]
    ).reshape(-1, 4)
    return Detections(
      boxes.clip(0, [width, height] * 2),
      np.full(len(found), PERSON),
      np.array([box.score for box in found], np.float64),
    )

  def _find_windows(self, image: np.ndarray) -> list[Box]:
    working, scale = resize_to_working(image)
    if working.shape[0] < person.WINDOW[1] or (
      working.shape[1] < person.WINDOW[0]
    ):
      return []
    hits, scores = self._hog.detectMultiScale(
      working,
      winStride=person.STRIDE,
      padding=person.PADDING,
      scale=person.SCALE_STEP,
      groupThreshold=0,
    )
    boxes = [
      Box(*map(float, hit), score=float(score))
      for hit, score in zip(hits, np.ravel(scores), strict=True)
      if score > 0
    ]
    groups = group_boxes(boxes, person.OVERLAP)
    return [merge_boxes(group).scaled(scale) for group in groups]


def _trim(window: Box) -> Box:
  """The person without the window's margins, as `person.find_people`."""
  width = person.KEPT_WIDTH * window.width
  height = person.KEPT_HEIGHT * window.height
  return Box(
    window.x + (window.width - width) / 2,
    window.y + (window.height - height) / 2,
    width,
    height,
    window.score,
  )
