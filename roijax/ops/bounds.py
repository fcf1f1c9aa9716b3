"""Bounds whose gradients help instead of vanishing."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


@jax.custom_vjp
def lower_bound(
  x: Float[Array, "*shape"], bound: Float[Array, "..."] | float
) -> Float[Array, "*shape"]:
  """`max(x, bound)` that lets a value below the bound climb back.

  The gradient passes where `x >= bound`, and also where it would push `x` up
  (a negative gradient under descent). The bound itself receives none.

  Args:
    x: any array.
    bound: a scalar or an array of the shape of `x`.

  Returns:
    An array like `x`.

  Source: Balle et al. 2018, as in CompressAI's `LowerBound`.
  """
  return jnp.maximum(x, bound)


def _lower_bound_forward(x, bound):
  return jnp.maximum(x, bound), (x >= bound, jnp.zeros_like(bound))


def _lower_bound_backward(residuals, gradient):
  above, no_gradient = residuals
  return jnp.where(above | (gradient < 0), gradient, 0), no_gradient


lower_bound.defvjp(_lower_bound_forward, _lower_bound_backward)


def upper_bound(
  x: Float[Array, "*shape"], bound: Float[Array, "..."] | float
) -> Float[Array, "*shape"]:
  """`min(x, bound)` that lets a value above the bound climb down."""
  return -lower_bound(-x, -jnp.asarray(bound, x.dtype))
