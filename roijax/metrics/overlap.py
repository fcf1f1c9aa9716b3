"""How far two masks agree."""

import numpy as np
from jaxtyping import Bool


def iou(a: Bool[np.ndarray, "H W"], b: Bool[np.ndarray, "H W"]) -> float:
  """Intersection over union of two masks; 1 where both are empty."""
  union = np.count_nonzero(a | b)
  return np.count_nonzero(a & b) / union if union else 1.0
