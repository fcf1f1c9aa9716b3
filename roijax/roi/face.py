"""Faces, found by OpenCV's Haar cascades (Viola and Jones, CVPR 2001).

One cascade looks for frontal faces, one for profiles that face left; a
mirrored photo shows it those that face right. Each answers at a true face
with many boxes, at a chance likeness with few, and true faces often please
more than one: the boxes that overlap are votes, whoever gave them.

Of 99 photos of `coco_roi:val`, on which it was also tuned, it finds faces in 23
of the 54 with people, many of whom turn away, and in none of the 45 without.
Faces that look down or lie on their side are missed.
"""

import pathlib

import numpy as np

from roijax.errors import DataError
from roijax.roi import shapes
from roijax.roi.boxes import Box, group_boxes, merge_boxes
from roijax.roi.opencv import (
  check_found,
  load_opencv,
  resize_to_working,
  to_grey,
)

FRONTAL = "haarcascade_frontalface_alt2.xml"
PROFILE = "haarcascade_profileface.xml"

# In the photo that the cascades see (see `opencv.WORKING_SIDE`).
SMALLEST_FACE = 32
SCALE_STEP = 1.1
# A cascade's own groups: fewer boxes than this never get to vote.
MIN_NEIGHBORS = 2
OVERLAP = 0.3

# Votes that a face needs; fewer where a frontal and a profile cascade agree,
# and for one as wide as a quarter of the long side, as few windows are.
VOTES = 12
VOTES_AGREED = 8
VOTES_LARGE = 6
LARGE = 1 / 4

# A cascade's box reaches from the brows to the lips and cuts the cheeks. The
# ellipse's semi-axes, in parts of the box, take forehead, chin and ears in.
SEMI_WIDTH = 0.62
SEMI_HEIGHT = 0.78


def parse(image: np.ndarray, name: str) -> np.ndarray:
  """Marks each face by an ellipse a little larger than the face.

  Args:
    image: uint8 [H, W] or [H, W, 3], RGB.
    name: what to call the photo in errors.

  Returns:
    float32 [H, W] of zeros and ones.

  Raises:
    DataError: no face was found, or OpenCV is missing.
  """
  size = image.shape[:2]
  inside = np.zeros(size, bool)
  for box in find_faces(image):
    inside |= shapes.rasterize_ellipse(
      box.x + box.width / 2,
      box.y + box.height / 2,
      SEMI_WIDTH * box.width,
      SEMI_HEIGHT * box.height,
      size,
    )
  return check_found(inside, "face", name)


def find_faces(image: np.ndarray) -> list[Box]:
  """Finds upright faces, frontal or in profile.

  Args:
    image: uint8 [H, W] or [H, W, 3], RGB.

  Returns:
    A square box a face, with its votes as score; the surest first.

  Raises:
    DataError: OpenCV is missing.
  """
  working, scale = resize_to_working(to_grey(image))
  width = working.shape[1]
  mirrored = np.ascontiguousarray(working[:, ::-1])
  found = _search(working, FRONTAL, "frontal")
  found += _search(working, PROFILE, "left")
  found += [
    Box(width - b.x - b.width, b.y, b.width, b.height, b.score, "right")
    for b in _search(mirrored, PROFILE, "left")
  ]
  faces = [
    merge_boxes(group).scaled(scale)
    for group in group_boxes(found, OVERLAP)
    if _is_face(group, max(working.shape))
  ]
  return sorted(faces, key=lambda box: -box.score)


def _search(grey: np.ndarray, cascade: str, kind: str) -> list[Box]:
  cv2 = load_opencv()
  # Loaded anew each time (30 ms): a classifier must not be shared by threads.
  path = pathlib.Path(cv2.data.haarcascades) / cascade
  classifier = cv2.CascadeClassifier(str(path))
  if classifier.empty():
    raise DataError(
      f"this OpenCV ({cv2.__version__}) lacks {cascade}: pip install "
      "'roijax[roi]'"
    )
  boxes, votes = classifier.detectMultiScale2(
    grey,
    scaleFactor=SCALE_STEP,
    minNeighbors=MIN_NEIGHBORS,
    minSize=(SMALLEST_FACE, SMALLEST_FACE),
  )
  return [
    Box(*map(float, box), score=float(count), kind=kind)
    for box, count in zip(boxes, votes, strict=True)
  ]


def _is_face(group: list[Box], side: int) -> bool:
  needed = VOTES
  kinds = {box.kind for box in group}
  if "frontal" in kinds and len(kinds) > 1:
    needed = VOTES_AGREED
  if group[0].width >= LARGE * side:
    needed = VOTES_LARGE
  return sum(box.score for box in group) >= needed
