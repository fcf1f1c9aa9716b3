"""People: seen whole, or known by their faces.

OpenCV's HOG detector (Dalal and Triggs, CVPR 2005) knows people who stand or
walk and are seen from head to foot. Most photos cut them off or seat them, so
that a body is also taken to hang below every face that `face` finds.

On 54 photos of `coco_roi:val` with people in them, on which it was also tuned,
HOG alone marks mainly people in 13, both together in 30; where anything is
marked, its intersection over union with the people's annotated boxes is 0.45 on
average. In 6 of 45 photos without people HOG takes a post or the like for one:
look at the preview.
"""

import dataclasses

import numpy as np

from roijax.roi import face, shapes
from roijax.roi.boxes import Box, group_boxes, merge_boxes
from roijax.roi.opencv import check_found, load_opencv, resize_to_working

# The detector's window, in pixels of the photo that it sees.
WINDOW = (64, 128)
STRIDE = (8, 8)
# Lets windows hang over the edge, for people who stand close to it.
PADDING = (16, 16)
SCALE_STEP = 1.05
OVERLAP = 0.5
# The sum of the scores (distances from the SVM's plane) of one person's
# windows: several weak ones say as much as a strong one.
SCORE = 2.0

# The window has a margin around the person; some is kept for elbows.
KEPT_WIDTH = 0.8
KEPT_HEIGHT = 0.9

# A body in parts of its face's box: it begins half a face above, with the hair.
BODY_WIDTH = 3.0
BODY_HEIGHT = 6.5
BODY_ABOVE = 0.5


def parse(image: np.ndarray, name: str) -> np.ndarray:
  """Marks each person by a box.

  Args:
    image: uint8 [H, W] or [H, W, 3], RGB.
    name: what to call the photo in errors.

  Returns:
    float32 [H, W] of zeros and ones.

  Raises:
    DataError: no person was found, or OpenCV is missing.
  """
  size = image.shape[:2]
  inside = np.zeros(size, bool)
  for box in find_people(image):
    inside |= shapes.rasterize_box(box.x, box.y, box.width, box.height, size)
  return check_found(inside, "person", name)


def find_people(image: np.ndarray) -> list[Box]:
  """Finds people who are seen whole, and bodies below faces.

  One person may be found both ways.

  Args:
    image: uint8 [H, W] or [H, W, 3], RGB.

  Returns:
    A box for each, which may reach over the photo's edge.

  Raises:
    DataError: OpenCV is missing.
  """
  people = [
    dataclasses.replace(
      window,
      x=window.x + (1 - KEPT_WIDTH) / 2 * window.width,
      y=window.y + (1 - KEPT_HEIGHT) / 2 * window.height,
      width=KEPT_WIDTH * window.width,
      height=KEPT_HEIGHT * window.height,
    )
    for window in find_walkers(image)
  ]
  bodies = [
    dataclasses.replace(
      head,
      x=head.x + (1 - BODY_WIDTH) / 2 * head.width,
      y=head.y - BODY_ABOVE * head.height,
      width=BODY_WIDTH * head.width,
      height=BODY_HEIGHT * head.height,
      kind="body",
    )
    for head in face.find_faces(image)
  ]
  return people + bodies


def find_walkers(image: np.ndarray) -> list[Box]:
  """Finds people who stand upright and are seen whole, by HOG alone.

  Windows that overlap by half are one person (non-maximum suppression).

  Args:
    image: uint8 [H, W] or [H, W, 3], RGB.

  Returns:
    The detector's window for each person, the surest first.

  Raises:
    DataError: OpenCV is missing.
  """
  cv2 = load_opencv()
  working, scale = resize_to_working(image)
  if working.shape[0] < WINDOW[1] or working.shape[1] < WINDOW[0]:
    return []
  detector = cv2.HOGDescriptor()
  detector.setSVMDetector(cv2.HOGDescriptor_getDefaultPeopleDetector())
  hits, scores = detector.detectMultiScale(
    working,
    winStride=STRIDE,
    padding=PADDING,
    scale=SCALE_STEP,
    groupThreshold=0,
  )
  found = [
    Box(*map(float, hit), score=float(score))
    for hit, score in zip(hits, np.ravel(scores), strict=True)
    if score > 0
  ]
  windows = [merge_boxes(group) for group in group_boxes(found, OVERLAP)]
  return sorted(
    [box.scaled(scale) for box in windows if box.score >= SCORE],
    key=lambda box: -box.score,
  )
