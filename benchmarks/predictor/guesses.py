"""The ways to guess a region, as maps in which a threshold is drawn."""

from collections.abc import Callable

import numpy as np

from roijax.errors import DataError
from roijax.roi import saliency, shapes
from roijax.roi.predictor import THRESHOLD

Guess = Callable[[np.ndarray], np.ndarray]


def guess_saliency(image: np.ndarray) -> np.ndarray:
  """OpenCV's saliency as `--roi saliency` has it; nothing in flat photos."""
  try:
    return saliency.parse(image, "a photo")
  except DataError:
    return np.zeros(image.shape[:2], np.float32)


def guess_ellipse(image: np.ndarray) -> np.ndarray:
  """Central ellipses of every size: where the map is at least t.

  At t, semi-axes are (1 - t) of the photo's sides, so that 1 -
  `shapes.CENTER_SEMI_AXIS` gives what `--roi center` takes, and 0.3 or less
  everything.
  """
  height, width = image.shape[:2]
  y = (np.arange(height)[:, None] + 0.5) / height - 0.5
  x = (np.arange(width)[None] + 0.5) / width - 0.5
  return np.clip(1 - np.hypot(x, y), 0, 1).astype(np.float32)


def make_guesses(predictor: Guess) -> dict[str, tuple[Guess, dict[str, float]]]:
  """Each guess with the settings that people would take it at."""
  center = 1 - shapes.CENTER_SEMI_AXIS
  return {
    "predictor": (
      predictor,
      {"auto:0.2": 0.2, "auto": THRESHOLD, "auto:0.5": 0.5},
    ),
    "saliency": (guess_saliency, {"saliency": 0.5}),
    "ellipse": (guess_ellipse, {"center": center}),
  }
