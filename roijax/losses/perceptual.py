"""How far a reconstruction looks from its photo, each measure a function.

Every one is a mean a sample, so that the size of a photo does not matter, and
takes the photo first. Those of features take lists of them, fine to coarse,
from any network (`models.vgg`).
"""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

# So small that only features of exactly zero, which have no direction, see it:
# their gradient is zero, not NaN.
TINY = 1e-10
# The binomial filter of five taps.
TAPS = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)


def weighted_l1(
  x: Float[Array, "B H W 3"],
  x_hat: Float[Array, "B H W 3"],
  weight: Float[Array, "B H W 1"],
) -> Float[Array, " B"]:
  """Mean over all pixels and colours of `weight * |x - x_hat|`.

  Like `weighted_mse`, it is normalised by the pixels, not by the weights.
  """
  return jnp.mean(weight * jnp.abs(x - x_hat), axis=(1, 2, 3))


def lpips(
  features: Sequence[Float[Array, "B _ _ _"]],
  features_hat: Sequence[Float[Array, "B _ _ _"]],
  heads: Sequence[Float[Array, " _"]],
) -> Float[Array, " B"]:
  """LPIPS: weighted squared distances between directions of features.

  Source: Zhang et al., CVPR 2018 (arXiv 1801.03924), version 0.1: features of
  unit length at each position, one linear head a layer, the mean over
  positions, the sum over layers.

  Args:
    features: of the photos, one array a layer.
    features_hat: of the reconstructions.
    heads: what each channel of each layer weighs.
  """
  total = jnp.zeros(features[0].shape[0])
  for one, other, head in zip(features, features_hat, heads, strict=True):
    difference = jnp.square(_unit(one) - _unit(other))
    total += jnp.mean(difference @ head, axis=(1, 2))
  return total


def _unit(features):
  """Features of length one at each position; zeros stay zero."""
  squares = jnp.sum(jnp.square(features), axis=-1, keepdims=True)
  return features / jnp.sqrt(squares + TINY)


def gram(features: Float[Array, "B H W C"]) -> Float[Array, "B C C"]:
  """Products of all pairs of channels, over H W C: no place is left in them."""
  height, width, channels = features.shape[1:]
  products = jnp.einsum("bhwc,bhwd->bcd", features, features)
  return products / (height * width * channels)


def style(
  features: Sequence[Float[Array, "B _ _ _"]],
  features_hat: Sequence[Float[Array, "B _ _ _"]],
) -> Float[Array, " B"]:
  """Mean squared error of Gram matrices, summed over layers.

  Source: Gatys et al., CVPR 2016. Ours is the division by H W C, which keeps
  the measure the same for all sizes.
  """
  total = jnp.zeros(features[0].shape[0])
  for one, other in zip(features, features_hat, strict=True):
    total += jnp.mean(jnp.square(gram(one) - gram(other)), axis=(1, 2))
  return total


def laplacian(
  x: Float[Array, "B H W 3"], x_hat: Float[Array, "B H W 3"], levels: int = 5
) -> Float[Array, " B"]:
  """Mean absolute differences of Laplacian pyramids, coarse ones weigh more.

  Level i, from 1, weighs `2**(i - 1)`; the last is what remains, blurred.

  Source: Niklaus and Liu, CVPR 2018 (arXiv 1803.10967). Ours is the mean of
  each level where they have the sum.

  Args:
    x: photos; `2**(levels - 1)` divides their sides.
    x_hat: reconstructions.
    levels: of the pyramids, the remainder counted.

  Raises:
    ValueError: the sides do not halve that often.
  """
  height, width = x.shape[1:3]
  if height % 2 ** (levels - 1) or width % 2 ** (levels - 1):
    raise ValueError(f"{height}x{width} pixels do not halve {levels - 1} times")
  # A pyramid is linear: that of the difference is the difference of both.
  rest = x - x_hat
  total = jnp.zeros(x.shape[0])
  for level in range(levels):
    band = rest
    if level < levels - 1:
      smaller = reduce(rest)
      band, rest = rest - expand(smaller), smaller
    total += 2**level * jnp.mean(jnp.abs(band), axis=(1, 2, 3))
  return total


def reduce(x: Float[Array, "B H W C"]) -> Float[Array, "B H2 W2 C"]:
  """Blurs with `TAPS`, edges repeated, and keeps every other row and column."""
  rows, columns = (_reduction(size) for size in x.shape[1:3])
  return _both_ways(x, rows, columns)


def expand(x: Float[Array, "B H W C"]) -> Float[Array, "B H2 W2 C"]:
  """Doubles both sides: zeros between, edges repeated, twice `TAPS`."""
  rows, columns = (_expansion(size) for size in x.shape[1:3])
  return _both_ways(x, rows, columns)


def _both_ways(x, rows, columns):
  # Matrices: shifted sums compile for seconds, grouped convolutions are slow.
  return jnp.einsum("ph,bhwc,qw->bpqc", rows, x, columns, precision="highest")


def _reduction(size):
  matrix = np.zeros((size // 2, size), np.float32)
  for row in range(size // 2):
    for offset, tap in enumerate(TAPS, -2):
      matrix[row, np.clip(2 * row + offset, 0, size - 1)] += tap
  return jnp.asarray(matrix)


def _expansion(size):
  matrix = np.zeros((2 * size, size), np.float32)
  for row in range(2 * size):
    for offset, tap in enumerate(TAPS, -2):
      # The pixels between which zeros were put.
      place, between = divmod(row + offset, 2)
      if not between:
        matrix[row, np.clip(place, 0, size - 1)] += 2 * tap
  return jnp.asarray(matrix)
