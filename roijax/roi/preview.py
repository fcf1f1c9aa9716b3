"""A picture that shows what a region of interest took, and from what."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from roijax.roi.edges import measure_distance
from roijax.roi.similarity import Similarity

# A preview is for looking at: larger photos are shown smaller.
LONGEST_SIDE = 2048

# Rec. 601's luma, and what is left of colour and light outside the region.
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
COLOR_OUTSIDE = 0.2
LIGHT_OUTSIDE = 0.38

# The outline: its colour, the shade that sets it off from bright photos, and
# its thickness in parts of the long side.
OUTLINE = np.array([255, 209, 26], np.float32)
SHADE = 0.55
THICKNESS = 1 / 350

# A similarity's colours from 0 to 1, evenly spaced: ever lighter, so that a
# grey print tells them too. The photo shines through in this share.
HEAT = np.array(
  [[4, 6, 30], [70, 15, 110], [165, 45, 100], [235, 115, 60], [255, 245, 190]],
  np.float32,
)
PHOTO_SHARE = 0.25


def draw_preview(
  image: np.ndarray, roi: np.ndarray, similarities: Sequence[Similarity] = ()
) -> np.ndarray:
  """Draws a photo with a bright region, its outline, and a dim rest.

  Pixels fade to dark and grey in proportion to 1 - roi. The line runs where
  the weight is 1/2; a map without contrast has none.

  Each soft map that the region was cut from gets a panel of its own, to the
  right of upright photos and below others: its values as colours over the grey
  photo, and the line at which it was cut.

  Args:
    image: uint8 [H, W] or [H, W, 3], RGB.
    roi: float32 [H, W] in [0, 1].
    similarities: maps of the photo's size.

  Returns:
    uint8 [h, w, 3], RGB; all panels in a row, each of the photo's size or, for
    larger ones, such that the long side of the whole has 2048 pixels.
  """
  height, width = roi.shape
  # Along the shorter side, so that the whole stays near to a square.
  axis = 1 if height > width else 0
  whole = [height, width]
  whole[axis] *= 1 + len(similarities)
  scale = min(1.0, LONGEST_SIDE / max(whole))
  size = (max(1, round(width * scale)), max(1, round(height * scale)))
  photo = np.asarray(
    Image.fromarray(image).resize(size, Image.Resampling.BOX).convert("RGB"),
    np.float32,
  )
  panels = [_draw_region(photo, _shrink(roi, size))]
  panels += [
    _draw_similarity(photo, _shrink(soft.values, size), soft.threshold)
    for soft in similarities
  ]
  drawn = np.concatenate(panels, axis)
  return np.clip(np.rint(drawn), 0, 255).astype(np.uint8)


def _draw_region(photo: np.ndarray, weight: np.ndarray) -> np.ndarray:
  grey = (photo @ LUMA)[..., None]
  dim = LIGHT_OUTSIDE * (grey + COLOR_OUTSIDE * (photo - grey))
  drawn = dim + weight[..., None] * (photo - dim)
  return _outline(drawn, weight >= 0.5)


def _draw_similarity(
  photo: np.ndarray, values: np.ndarray, threshold: float
) -> np.ndarray:
  places = np.linspace(0, 1, len(HEAT))
  heat = [np.interp(values, places, HEAT[:, channel]) for channel in range(3)]
  grey = (photo @ LUMA)[..., None]
  drawn = np.stack(heat, -1) * (1 - PHOTO_SHARE) + PHOTO_SHARE * grey
  return _outline(drawn.astype(np.float32), values >= threshold)


def _outline(drawn: np.ndarray, inside: np.ndarray) -> np.ndarray:
  """Draws the line around what is inside; over `drawn`."""
  if inside.any() and not inside.all():
    thickness = max(2.0, THICKNESS * max(inside.shape))
    distance = _measure_distance(inside)
    shade = _stroke(distance, 2 * thickness)[..., None]
    drawn *= 1 - SHADE * shade
    line = _stroke(distance, thickness)[..., None]
    drawn += line * (OUTLINE - drawn)
  return drawn


def _shrink(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
  plane = Image.fromarray(values.astype(np.float32, copy=False))
  return np.asarray(plane.resize(size, Image.Resampling.BOX))


def _measure_distance(inside: np.ndarray) -> np.ndarray:
  """Each pixel's distance from the region's edge, to either side."""
  both = measure_distance(inside) + measure_distance(~inside)
  return (both - 0.5).astype(np.float32)


def _stroke(distance: np.ndarray, thickness: float) -> np.ndarray:
  """How much of each pixel a line over the edge covers."""
  return np.clip(thickness / 2 + 0.5 - distance, 0, 1)
