"""What a trained network takes for objects of interest (`models/hrnet.py`).

It has seen photos of COCO with outlines of people, animals, vehicles and
things of the household, and marks what looks like any of them.
"""

import functools
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from roijax.errors import DataError, NothingFoundError

if TYPE_CHECKING:
  from roijax.predictor import Predictor

THRESHOLD = 0.5


def predict(image: np.ndarray) -> np.ndarray:
  """How likely each pixel belongs to an object of interest.

  Args:
    image: uint8 [H, W] or [H, W, 3], RGB.

  Returns:
    float32 [H, W] in [0, 1].

  Raises:
    CheckpointError: the predictor's weights are missing or damaged.
  """
  # Behind the function, not the module: JAX takes a second.
  from roijax.weights.predictor import find_predictor

  return _load(str(find_predictor()))(image)


def parse(
  image: np.ndarray, name: str, threshold: float = THRESHOLD
) -> np.ndarray:
  """Marks what is an object with at least a certain probability.

  Args:
    image: uint8 [H, W] or [H, W, 3], RGB.
    name: what to call the photo in errors.
    threshold: the probability, in (0, 1).

  Returns:
    float32 [H, W] of zeros and ones.

  Raises:
    NothingFoundError: nothing is found.
    CheckpointError: the predictor's weights are missing or damaged.
  """
  likely = predict(image)
  inside = likely >= threshold
  if not inside.any():
    best = np.floor(100 * likely.max()) / 100
    lower = f"a lower threshold, --roi auto:{best:g}, or " if best else ""
    raise NothingFoundError(
      f"no object found in {name}: give {lower}the region yourself, for example"
      " --roi box:x,y,w,h, or --roi none"
    )
  return inside.astype(np.float32)


def enlarge(square: np.ndarray, size: tuple[int, int]) -> np.ndarray:
  """Brings a square map in [0, 1] to a photo's size.

  Args:
    square: float32 [side, side].
    size: the photo's height and width.
  """
  height, width = size
  resized = Image.fromarray(square).resize(
    (width, height), Image.Resampling.BILINEAR
  )
  return np.clip(np.asarray(resized), 0, 1)


def parse_threshold(text: str) -> float:
  """Reads what stands behind `auto:`.

  Raises:
    DataError: it is no number between 0 and 1.
  """
  try:
    threshold = float(text)
  except ValueError:
    threshold = np.nan
  if not 0 < threshold < 1:
    raise DataError(
      f"auto:{text}: the threshold is a probability between 0 and 1, for "
      "example --roi auto:0.2"
    )
  return threshold


@functools.lru_cache(maxsize=2)
def _load(path: str) -> "Predictor":
  from roijax.predictor import Predictor

  return Predictor.load(path, keep_programs=True)
