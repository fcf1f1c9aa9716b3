"""How peaked latents are, and what a Gaussian prior can lose on them.

Uneven bits make latents sharp-peaked and heavy-tailed, says the paper, and a
Gaussian misfits. Three figures put that to the test: the kurtosis, the shape
of the generalized Gaussian that fits best, and the bits that the best
Gaussian loses where that shape is the truth: a ceiling, which no prior's
savings pass by much unless there is a bug.

Source: arXiv 2602.01325 for the claim; the formulas are textbook.
"""

import math
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy import optimize, special, stats

# Where fitted shapes are looked for; sharper ones are no density to speak of.
SHAPE_RANGE = (0.1, 8.0)
# The smallest standard deviation that Gaussian priors customarily predict.
GAUSSIAN_MIN = 0.11
# As in training's likelihoods: less is not charged for.
LIKELIHOOD_MIN = 1e-9
_TINY = 1e-12


def kurtosis(values: Float[np.ndarray, "*dims"]) -> float:
  """The fourth standardised moment: 3 for a Gaussian, 6 for a Laplacian."""
  return float(stats.kurtosis(np.ravel(values), fisher=False))


def kurtosis_of_shape(shape: float) -> float:
  """The kurtosis of a generalized Gaussian."""
  log = special.gammaln(np.array([5.0, 1.0, 3.0]) / shape)
  return float(np.exp(log[0] + log[1] - 2 * log[2]))


def fit_shape(values: Float[np.ndarray, "*dims"]) -> float:
  """The shape of the zero-mean generalized Gaussian that fits best.

  Maximum likelihood, with the spread at its own best for every shape.

  Args:
    values: real numbers around zero, at least two of them not zero.

  Returns:
    A shape within `SHAPE_RANGE`; 2 is a Gaussian, 1 a Laplacian.

  Raises:
    ValueError: there is nothing to fit.
  """
  magnitudes = np.abs(np.ravel(values).astype(np.float64))
  if magnitudes.size < 2 or not magnitudes.any():
    raise ValueError("a shape needs at least two values that are not all zero")
  log = np.log(np.maximum(magnitudes / magnitudes.mean(), _TINY))

  def negative_log_likelihood(shape: float) -> float:
    # alpha**shape = shape * mean(|r|**shape), in units of the mean |r|.
    log_alpha = math.log(shape * np.mean(np.exp(shape * log))) / shape
    return log_alpha + math.lgamma(1 / shape) - math.log(shape) + 1 / shape

  found: Any = optimize.minimize_scalar(
    negative_log_likelihood, bounds=SHAPE_RANGE, method="bounded"
  )
  return float(found.x)


def bin_masses(
  shape: float, scale: float, offset: float = 0.0
) -> Float[np.ndarray, " K"]:
  """Probabilities of the integers under a generalized Gaussian.

  Args:
    shape: the exponent.
    scale: the standard deviation.
    offset: where the mean lies between two integers.

  Returns:
    Masses of the unit bins, all but about 1e-12 of them.
  """
  ratio = special.gammaln(1 / shape) - special.gammaln(3 / shape)
  alpha = scale * math.exp(0.5 * ratio)
  reach = math.ceil(stats.gennorm.isf(1e-12, shape, scale=alpha)) + 1
  # The upper tail alone, mirrored: differences near 1 would cancel.
  centres = np.arange(-reach, reach + 1) - offset
  ends = np.abs(centres)[:, None] + np.array([-0.5, 0.5])
  upper = stats.gennorm.sf(ends, shape, scale=alpha)
  return upper[:, 0] - upper[:, 1]


def gaussian_excess(
  shape: float, scale: float, offset: float = 0.0
) -> tuple[float, float]:
  """Bits that the best Gaussian loses on a generalized Gaussian's integers.

  Args:
    shape: the truth's exponent.
    scale: the truth's standard deviation.
    offset: where the mean lies between two integers.

  Returns:
    Bits a symbol above the entropy, and the entropy itself. The Gaussian has
    the truth's mean; its deviation is the best that is at least 0.11.
  """
  masses = bin_masses(shape, scale, offset)
  reach = (len(masses) - 1) / 2
  ends = np.abs(np.arange(-reach, reach + 1) - offset)[:, None] + [-0.5, 0.5]

  def cross_entropy(log_deviation: float) -> float:
    upper = special.ndtr(-ends / math.exp(log_deviation))
    likelihood = np.maximum(upper[:, 0] - upper[:, 1], LIKELIHOOD_MIN)
    return -float(np.sum(masses * np.log2(likelihood)))

  lowest = math.log(GAUSSIAN_MIN)
  found: Any = optimize.minimize_scalar(
    cross_entropy,
    bounds=(lowest, max(math.log(4 * scale), lowest + 1)),
    method="bounded",
  )
  entropy = -float(np.sum(special.xlogy(masses, masses))) / math.log(2)
  return max(float(found.fun) - entropy, 0.0), entropy
