"""Generalized divisive normalisation, and its inverse.

    y_c = x_c / sqrt(beta_c + sum_k gamma_ck x_k**2)

beta and gamma stay positive through a square: the parameters are the roots,
bounded below with a gradient that lets them climb back.

Source: Balle et al. 2016 (arXiv 1511.06281), as in CompressAI.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from roijax.ops.bounds import lower_bound

BETA_MIN = 1e-6
_PEDESTAL = 2.0**-36


class GDN(nn.Module):
  """Divides (or, as the inverse, multiplies) by the pooled energy.

  The norm is float32 whatever the input: squares of bfloat16 lose too much.

  Attributes:
    inverse: multiply in place of dividing.
    gamma_start: the initial gamma is this times the identity.
  """

  inverse: bool = False
  gamma_start: float = 0.1

  @nn.compact
  def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B H W C"]:
    """Normalises across channels at every position."""
    channels = x.shape[-1]
    root_beta = self.param(
      "root_beta",
      lambda key, dims: jnp.sqrt(jnp.ones(dims) + _PEDESTAL),
      (channels,),
    )
    root_gamma = self.param(
      "root_gamma",
      lambda key, dims: jnp.sqrt(
        self.gamma_start * jnp.eye(dims[0]) + _PEDESTAL
      ),
      (channels, channels),
    )
    bound = (BETA_MIN + _PEDESTAL) ** 0.5
    beta = lower_bound(root_beta, bound) ** 2 - _PEDESTAL
    gamma = lower_bound(root_gamma, _PEDESTAL**0.5) ** 2 - _PEDESTAL
    energy = jnp.square(x.astype(jnp.float32)) @ gamma.T
    energy = energy + beta.reshape(1, 1, 1, -1)
    factor = jnp.sqrt(energy) if self.inverse else jax.lax.rsqrt(energy)
    return (x * factor).astype(x.dtype)
