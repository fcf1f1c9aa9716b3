"""Boxes that detectors find: their overlap, and the agreement among them."""

import dataclasses
from collections.abc import Sequence

import numpy as np


@dataclasses.dataclass(frozen=True)
class Box:
  """One finding, in pixels from the upper left corner.

  Attributes:
    x: the left edge.
    y: the upper edge.
    width: its width.
    height: its height.
    score: how sure the detector is; comparable within one detector only.
    kind: which detector, where several work together.
  """

  x: float
  y: float
  width: float
  height: float
  score: float
  kind: str = ""

  def scaled(self, factor: float) -> "Box":
    """Returns the box in a photo that is `factor` times as large."""
    return dataclasses.replace(
      self,
      x=self.x * factor,
      y=self.y * factor,
      width=self.width * factor,
      height=self.height * factor,
    )


def measure_overlap(a: Box, b: Box) -> float:
  """Divides the common area by that of the union."""
  width = min(a.x + a.width, b.x + b.width) - max(a.x, b.x)
  height = min(a.y + a.height, b.y + b.height) - max(a.y, b.y)
  if width <= 0 or height <= 0:
    return 0.0
  common = width * height
  return common / (a.width * a.height + b.width * b.height - common)


def group_boxes(boxes: Sequence[Box], overlap: float) -> list[list[Box]]:
  """Gathers each finding with the weaker ones that say the same.

  The strongest box that is left leads a group and takes all that overlap it
  enough. The order of `boxes` does not matter: threads deliver them in any.

  Args:
    boxes: what was found.
    overlap: from which `measure_overlap` on two boxes mean one thing.

  Returns:
    Groups, each with its leader first.
  """
  left = sorted(boxes, key=lambda box: (-box.score, *dataclasses.astuple(box)))
  groups = []
  while left:
    leader = left[0]
    groups.append([b for b in left if measure_overlap(leader, b) >= overlap])
    left = [b for b in left if measure_overlap(leader, b) < overlap]
  return groups


def merge_boxes(group: Sequence[Box]) -> Box:
  """Averages a group's boxes, weighted by their scores, which it adds up."""
  score = sum(box.score for box in group)
  corners = np.array([(b.x, b.y, b.width, b.height) for b in group])
  weights = np.array([box.score for box in group])
  x, y, width, height = map(float, weights @ corners / score)
  return Box(x, y, width, height, score, group[0].kind)
