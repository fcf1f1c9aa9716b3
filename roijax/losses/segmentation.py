"""How far a predicted region is from the true one, where that is known."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def cross_entropy(
  logits: Float[Array, "B H W"],
  target: Float[Array, "B H W"],
  weight: Float[Array, "B H W"],
) -> Float[Array, ""]:
  """Weighted binary cross-entropy, in nats, of all pixels of a batch.

  Args:
    logits: of "lies in the region".
    target: in [0, 1]; soft at edges.
    weight: of each pixel, 0 where nothing is known.

  Returns:
    The weighted mean; 0 where all weights are 0.
  """
  # log(1 + e^-|x|) never overflows.
  loss = jnp.maximum(logits, 0) - logits * target
  loss += jnp.log1p(jnp.exp(-jnp.abs(logits)))
  return jnp.sum(weight * loss) / jnp.maximum(jnp.sum(weight), 1e-6)


def dice(
  logits: Float[Array, "B H W"],
  target: Float[Array, "B H W"],
  weight: Float[Array, "B H W"],
) -> Float[Array, " B"]:
  """One minus the soft Dice coefficient of each sample.

  Source: Milletari et al. 2016 (arXiv 1606.04797), with squares.

  Args:
    logits: of "lies in the region".
    target: in [0, 1].
    weight: of each pixel, 0 where nothing is known.

  Returns:
    In [0, 1]; 0 where prediction and target agree, or all weights are 0.
  """
  likely = jax.nn.sigmoid(logits)
  axes = (1, 2)
  both = jnp.sum(weight * likely * target, axes)
  either = jnp.sum(weight * (likely**2 + target**2), axes)
  # One pixel's worth, so that an empty target is no division by zero.
  return 1 - (2 * both + 1) / (either + 1)
