"""Binary cross-entropy of a discriminator's logits, in nats.

The sigmoid D of a logit is the probability that a pixel is a photo's; softplus
gives its logarithms without overflow: -log D = softplus(-logit), and
-log(1 - D) = softplus(logit).

Source: Goodfellow et al. 2014 (arXiv 1406.2661), the generator's loss that does
not saturate.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def generator_loss(fake: Float[Array, "B H W"]) -> Float[Array, " B"]:
  """Mean of -log D over a reconstruction's pixels."""
  return jnp.mean(jax.nn.softplus(-fake), axis=(1, 2))


def discriminator_losses(
  real: Float[Array, "B H W"], fake: Float[Array, "B H W"]
) -> tuple[Float[Array, " B"], Float[Array, " B"]]:
  """The two terms that a discriminator minimises the sum of.

  Args:
    real: logits of photos.
    fake: logits of reconstructions.

  Returns:
    Means over pixels of -log D of the photo, and of -log(1 - D) of the
    reconstruction.
  """
  return (
    jnp.mean(jax.nn.softplus(-real), axis=(1, 2)),
    jnp.mean(jax.nn.softplus(fake), axis=(1, 2)),
  )
