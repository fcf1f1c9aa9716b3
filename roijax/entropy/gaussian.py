"""Bits of a quantised latent under the Gaussian and the Laplacian.

Both are members of the generalized Gaussian family (shape 2 and 1) whose
distribution functions are elementary, and the baselines of every comparison.
"""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from roijax.ops.bounds import lower_bound

# Of every prior: no latent costs more than 29.9 bits in training.
LIKELIHOOD_MIN = 1e-9


def gaussian_bits(
  x: Float[Array, "*dims"],
  mean: Float[Array, "*dims"],
  scale: Float[Array, "*dims"],
) -> Float[Array, "*dims"]:
  """Bits that the unit bin around each latent costs under a Gaussian.

  Args:
    x: latents, noisy or rounded, in quantisation steps.
    mean: location.
    scale: standard deviation, > 0.

  Returns:
    Bits, of the shape of `x`, at most 29.9 (a likelihood of 1e-9).

  Source: Minnen et al. 2018, the difference taken in the upper tail.
  """
  distance = jnp.abs(x - mean)
  unit = math.sqrt(0.5) / scale
  near = jax.lax.erfc((distance - 0.5) * unit)
  far = jax.lax.erfc((distance + 0.5) * unit)
  return -jnp.log2(lower_bound(0.5 * (near - far), LIKELIHOOD_MIN))


def laplace_bits(
  x: Float[Array, "*dims"],
  mean: Float[Array, "*dims"],
  scale: Float[Array, "*dims"],
) -> Float[Array, "*dims"]:
  """Bits that the unit bin around each latent costs under a Laplacian.

  Args:
    x: latents, noisy or rounded, in quantisation steps.
    mean: location.
    scale: standard deviation (not the exponential's own parameter), > 0.

  Returns:
    Bits, of the shape of `x`, at most 29.9 (a likelihood of 1e-9).
  """
  distance = jnp.abs(x - mean)
  rate = math.sqrt(2.0) / scale
  is_outer = distance >= 0.5
  # Selected, not maximised: a tie at the edge would halve the gradient.
  edge = jnp.where(is_outer, distance, 0.5)
  # Outside the middle bin: exp(-rate v) sinh(rate / 2), as a logarithm.
  outer = -rate * (edge - 0.5) + jnp.log(-0.5 * jnp.expm1(-rate))
  inner = jnp.where(is_outer, 0.5, distance)
  middle = jnp.log1p(
    -0.5 * (jnp.exp(-rate * (0.5 - inner)) + jnp.exp(-rate * (0.5 + inner)))
  )
  log_likelihood = jnp.where(is_outer, outer, middle)
  bits = -log_likelihood / math.log(2)
  ceiling = -math.log2(LIKELIHOOD_MIN)
  # A latent lost in the tail keeps its gradient: only the value is cut.
  return jnp.minimum(jax.lax.stop_gradient(bits), ceiling) + (
    bits - jax.lax.stop_gradient(bits)
  )
