"""From a photo to a training crop with a region of interest.

Every draw comes from the generator that is passed in, so that a sample depends
on its place in the global order alone.
"""

import numpy as np
from PIL import Image

from roijax.data import random_maps
from roijax.data.photo import Photo

# Shares of the maps: one in five is uniform, so that the ordinary codec is
# trained too; one in five is a random shape even where objects are known, so
# that users' boxes and halves of photos work as well as outlines.
UNIFORM_SHARE = 0.2
RANDOM_SHARE = 0.2
# Half of the crops keep the photo's own pixels; the others are downscaled,
# which also hides the artefacts of JPEG.
NATIVE_SHARE = 0.5
MIN_SCALE = 0.5
# A photo smaller than the crop is enlarged up to this much, then padded.
MAX_ENLARGEMENT = 2.0
CROP_TRIES = 8
ROI_FRACTION = (0.05, 0.95)
# Fractions are estimated on every fourth pixel.
STRIDE = 4


def augment(
  photo: Photo, crop: int, generator: np.random.Generator
) -> dict[str, np.ndarray]:
  """Makes one training sample.

  Args:
    photo: from a source; without a `roi`, or with an empty one, it gets a
      random map.
    crop: the sample's side in pixels.
    generator: the only source of randomness.

  Returns:
    `image`, float32 [crop, crop, 3] in [0, 1], and `roi`, float32
    [crop, crop, 1] in [0, 1].
  """
  return draw_sample(photo, crop, generator)[0]


def draw_sample(
  photo: Photo, crop: int, generator: np.random.Generator
) -> tuple[dict[str, np.ndarray], bool]:
  """`augment`, and whether the map is the photo's own and not a random one."""
  image, roi = photo["image"], photo["roi"]
  # The maximum takes half the time of `any`.
  if roi is not None and not roi.max() > 0:
    roi = None
  kind = generator.random()
  if kind < UNIFORM_SHARE + RANDOM_SHARE:
    roi = None
  own = roi is not None
  window = _draw_window(image.shape[:2], roi, crop, generator)
  image = _cut(image, window, crop)
  if kind < UNIFORM_SHARE:
    roi = np.ones((crop, crop), np.float32)
  elif roi is None:
    roi = random_maps.draw((crop, crop), generator)
  else:
    roi = np.clip(_cut(roi, window, crop), 0, 1)
  if generator.random() < 0.5:
    image, roi = _mirror(image), roi[:, ::-1]
  sample = {
    "image": np.divide(image, np.float32(255), dtype=np.float32),
    "roi": np.ascontiguousarray(roi[..., None]),
  }
  return sample, own


def _draw_window(size, roi, crop, generator):
  """Chooses what to cut out: top, left and side in the photo's pixels."""
  height, width = size
  largest = min(height, width)
  side = float(crop)
  if largest < crop:
    side = max(largest, crop / MAX_ENLARGEMENT)
  elif generator.random() >= NATIVE_SHARE:
    side = min(crop / generator.uniform(MIN_SCALE, 1), float(largest))
  best, best_distance = None, np.inf
  for attempt in range(CROP_TRIES if roi is not None else 1):
    # Every other try is led by a pixel of the region, which may be small.
    guide = _draw_pixel(roi, generator) if attempt % 2 else None
    window = _draw_corner(height, width, side, guide, generator)
    if roi is None:
      return window
    distance = _distance_from_range(roi, window)
    if distance < best_distance:
      best, best_distance = window, distance
    if distance == 0:
      break
  return best


def _draw_corner(height, width, side, guide, generator):
  corner = []
  for axis, length in enumerate((height, width)):
    low, high = 0.0, max(length - side, 0.0)
    if guide is not None:
      low = min(max(guide[axis] + 1 - side, low), high)
      high = max(min(guide[axis], high), low)
    value = generator.uniform(low, high)
    # Whole pixels: a crop at the photo's own scale is then a plain copy.
    corner.append(int(np.floor(value)))
  return corner[0], corner[1], side


def _draw_pixel(roi, generator):
  coarse = roi[::STRIDE, ::STRIDE]
  inside = np.flatnonzero(coarse > 0.5)
  if not inside.size:
    return None
  row, column = divmod(int(generator.choice(inside)), coarse.shape[1])
  return row * STRIDE, column * STRIDE


def _distance_from_range(roi, window):
  top, left, side = window
  bottom, right = int(np.ceil(top + side)), int(np.ceil(left + side))
  fraction = roi[top:bottom:STRIDE, left:right:STRIDE].mean()
  low, high = ROI_FRACTION
  return float(max(low - fraction, fraction - high, 0))


def _mirror(image):
  """Swaps left and right, moving whole pixels: five times a view's speed."""
  pixels = np.ascontiguousarray(image).view("V3")
  return np.ascontiguousarray(pixels[:, ::-1]).view(np.uint8)


def _cut(array, window, crop):
  """Cuts a window out of [H, W(, 3)] and scales it to `crop` pixels."""
  top, left, side = window
  length = int(np.ceil(side))
  piece = array[top : top + length, left : left + length]
  missing = [length - piece.shape[0], length - piece.shape[1]]
  if any(missing):
    padding = [(0, m) for m in missing] + [(0, 0)] * (array.ndim - 2)
    piece = np.pad(piece, padding, mode="edge")
  if side == crop:
    return piece
  resized = Image.fromarray(np.ascontiguousarray(piece)).resize(
    (crop, crop), Image.Resampling.BICUBIC, box=(0, 0, side, side)
  )
  return np.asarray(resized)
