"""What a trained network takes for objects of interest (`models/hrnet.py`).

It has seen photos of COCO with outlines of people, animals, vehicles and
things of the household, and marks what looks like any of them. Holes and
specks in what it marks are its mistakes, and mended.
"""

import functools
from typing import TYPE_CHECKING

import numpy as np

from roijax.errors import DataError
from roijax.roi.similarity import Similarity

if TYPE_CHECKING:
  from roijax.predictor import Predictor

THRESHOLD = 0.3


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


def measure(
  image: np.ndarray, name: str, text: str = "", threshold: float | None = None
) -> Similarity:
  """How likely each pixel is an object's, and the probability that suffices.

  Args:
    image: uint8 [H, W] or [H, W, 3], RGB.
    name: what to call the photo in errors.
    text: what stands behind `auto:`.
    threshold: where `text` is empty; None for the usual one.

  Raises:
    DataError: `text` is no number between 0 and 1.
    CheckpointError: the predictor's weights are missing or damaged.
  """
  usual = THRESHOLD if threshold is None else threshold
  return Similarity(
    threshold=parse_threshold(text) if text else usual,
    values=predict(image),
    spec=f"auto:{text}" if text else "auto",
    sought="object",
    place=name,
    quantity="probability",
    lower="--roi-threshold " if threshold and not text else "--roi auto:",
    tidy=True,
  )


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
