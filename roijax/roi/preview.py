"""A picture that shows what a region of interest took."""

import numpy as np
from PIL import Image

from roijax.roi.edges import measure_distance

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


def draw_preview(image: np.ndarray, roi: np.ndarray) -> np.ndarray:
  """Draws a photo with a bright region, its outline, and a dim rest.

  Pixels fade to dark and grey in proportion to 1 - roi. The line runs where
  the weight is 1/2; a map without contrast has none.

  Args:
    image: uint8 [H, W] or [H, W, 3], RGB.
    roi: float32 [H, W] in [0, 1].

  Returns:
    uint8 [h, w, 3], RGB, of the photo's size or, for a larger photo, with a
    long side of 2048 pixels.
  """
  photo, weight = _fit(image, roi)
  grey = (photo @ LUMA)[..., None]
  dim = LIGHT_OUTSIDE * (grey + COLOR_OUTSIDE * (photo - grey))
  drawn = dim + weight[..., None] * (photo - dim)
  inside = weight >= 0.5
  if inside.any() and not inside.all():
    thickness = max(2.0, THICKNESS * max(weight.shape))
    distance = _measure_distance(inside)
    shade = _stroke(distance, 2 * thickness)[..., None]
    drawn *= 1 - SHADE * shade
    line = _stroke(distance, thickness)[..., None]
    drawn += line * (OUTLINE - drawn)
  return np.clip(np.rint(drawn), 0, 255).astype(np.uint8)


def _fit(image: np.ndarray, roi: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  height, width = roi.shape
  scale = min(1.0, LONGEST_SIDE / max(height, width))
  size = (max(1, round(width * scale)), max(1, round(height * scale)))
  box = Image.Resampling.BOX
  photo = Image.fromarray(image).resize(size, box).convert("RGB")
  weight = Image.fromarray(roi.astype(np.float32, copy=False)).resize(size, box)
  return np.asarray(photo, np.float32), np.asarray(weight)


def _measure_distance(inside: np.ndarray) -> np.ndarray:
  """Each pixel's distance from the region's edge, to either side."""
  both = measure_distance(inside) + measure_distance(~inside)
  return (both - 0.5).astype(np.float32)


def _stroke(distance: np.ndarray, thickness: float) -> np.ndarray:
  """How much of each pixel a line over the edge covers."""
  return np.clip(thickness / 2 + 0.5 - distance, 0, 1)
