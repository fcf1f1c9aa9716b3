"""The grid of shapes and scales that coding uses.

A symbol is coded with one of `NUM_TABLES` zero-mean generalized Gaussians.
The grid has `NUM_SHAPES` shapes, evenly spaced in log, and for each shape
`NUM_SCALES` scales (standard deviations), evenly spaced in log from that
shape's own floor to `SCALE_MAX`:

  index = shape_level * NUM_SCALES + scale_level

The grid is part of format version 1: changing any number here changes what
files mean. The floors are written down: a library that computes them may do
so otherwise one day, and takes a quarter of a second to load.
"""

import math

import numpy as np

SHAPE_MIN = 0.5
SHAPE_MAX = 3.0
SCALE_MAX = 256.0
NUM_SHAPES = 20
NUM_SCALES = 64
NUM_TABLES = NUM_SHAPES * NUM_SCALES
TAIL_MASS = 1e-4


def alpha_per_scale(shape: np.ndarray | float) -> np.ndarray:
  """Ratio of the generalized Gaussian's `alpha` to its standard deviation.

  The density is proportional to `exp(-(|x| / alpha) ** shape)`, whose variance
  is `alpha ** 2 * Gamma(3 / shape) / Gamma(1 / shape)`.

  Args:
    shape: the exponent (beta), positive, any array shape.

  Returns:
    float64 array of the same shape: `alpha = scale * alpha_per_scale(shape)`.
  """
  inverse = 1.0 / np.asarray(shape, np.float64)
  return np.exp(0.5 * (log_gamma(inverse) - log_gamma(3.0 * inverse)))


log_gamma = np.vectorize(math.lgamma, otypes=[np.float64])
"""The logarithm of the gamma function, float64."""


def scale_min(shape: np.ndarray | float, eps: float = TAIL_MASS) -> np.ndarray:
  """The smallest useful standard deviation for a shape.

  At this scale a mass `eps` falls outside the bin [-1/2, 1/2], whatever the
  shape; a smaller scale would save next to nothing when coding and would only
  widen the gap between training with noise and coding with rounding. This is
  the dynamic lower bound on the scale, equal-tail-mass rule:
  `alpha_min = 0.5 / Q^-1(1 / shape; eps) ** (1 / shape)`.

  Args:
    shape: the exponent (beta), positive, any array shape.
    eps: mass outside the central bin, in (0, 1).

  Returns:
    float64 array of the same shape, standard deviations.
  """
  from scipy import special

  shape = np.asarray(shape, np.float64)
  tail = special.gammainccinv(1.0 / shape, eps)
  return 0.5 / tail ** (1.0 / shape) / alpha_per_scale(shape)


SHAPES = np.geomspace(SHAPE_MIN, SHAPE_MAX, NUM_SHAPES)
"""float64 [NUM_SHAPES], ascending."""

FLOORS = np.array(
  [
    *(0.03962908503058767, 0.04360447476773342, 0.047923539434510956),
    *(0.052588207322390224, 0.05759667874108517, 0.06294312356236838),
    *(0.06861748081800853, 0.07460536990004503, 0.08088811941907469),
    *(0.08744291570671156, 0.09424306855278955, 0.1012583872995277),
    *(0.1084556561214213, 0.11579919343453536, 0.12325147711270171),
    *(0.13077381471942562, 0.13832703643043853, 0.14587218781007802),
    *(0.15337120014472722, 0.1607875175956858),
  ]
)
"""`scale_min` of each shape."""

SCALES = np.geomspace(FLOORS, SCALE_MAX, NUM_SCALES, axis=-1)
"""float64 [NUM_SHAPES, NUM_SCALES], ascending along the last axis."""

SHAPES.setflags(write=False)
FLOORS.setflags(write=False)
SCALES.setflags(write=False)
