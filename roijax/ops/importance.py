"""SwinROI's scale of importance: exponents of the loss's weights.

    lmbda_i = alpha exp(omega u_i)         u in [0, 1]
            = lmbda r_i**2                 lmbda = alpha exp(omega)

Every system of this kit weighs the distortion by the square of one map r.
SwinROI's network reads its logarithm u: u = 1 where r is 1, and u = 0 where
the weight is a e**-omega-th of that.

Source: arXiv 2305.07783, the loss; the change of scale is ours.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

_TINY = 1e-6


def to_exponent(
  importance: Float[Array, "B H W 1"], omega: float
) -> Float[Array, "B H W 1"]:
  """Exponents u of a map r, clipped to [0, 1]."""
  logarithm = jnp.log(jnp.maximum(importance, _TINY))
  return jnp.clip(1 + 2 / omega * logarithm, 0, 1)


def from_exponent(
  exponent: Float[Array, "B H W 1"], omega: float
) -> Float[Array, "B H W 1"]:
  """The map r of exponents u: inverts `to_exponent`."""
  return jnp.exp(omega / 2 * (exponent - 1))
