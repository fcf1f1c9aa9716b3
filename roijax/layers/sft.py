"""Spatial feature transform: a condition scales and shifts features.

    condition --conv3 ReLU conv3--> scale, shift
    x * (1 + scale) + shift

In the encoder the condition is made from the image and the importance map,
in the decoder from z_hat: the map itself is never sent. It is made once and
brought to the size of each stage by means (down) or by repetition (up).

Source: SwinROI (arXiv 2305.07783) for the simplification, Song et al. 2021
(arXiv 2108.09551) for the layers. Ours: 64 hidden channels, one convolution
for both maps, which starts at zero.
"""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from roijax.ops.resample import average_pool


def match_size(
  condition: Float[Array, "B P Q D"], height: int, width: int
) -> Float[Array, "B H W D"]:
  """Brings a condition to a size that is a whole factor smaller or larger.

  Raises:
    ValueError: no such factor exists, or the sides disagree on it.
  """
  rows, columns = condition.shape[1:3]
  down, up = max(rows // height, 1), max(height // rows, 1)
  if (rows * up, columns * up) != (height * down, width * down):
    raise ValueError(
      f"a condition of {rows}x{columns} is no whole factor from "
      f"features of {height}x{width}"
    )
  if down > 1:
    return average_pool(condition, down)
  if up > 1:
    return condition.repeat(up, axis=1).repeat(up, axis=2)
  return condition


class SpatialFeatureTransform(nn.Module):
  """SFT; starts as the identity.

  Attributes:
    hidden: channels between the two convolutions.
    size: side of both kernels, odd; 1 is a ninth of the cost of 3.
    dtype: of the computation; None follows the input.
  """

  hidden: int = 64
  size: int = 3
  dtype: jnp.dtype | None = None

  @nn.compact
  def __call__(
    self, x: Float[Array, "B H W C"], condition: Float[Array, "B P Q D"]
  ) -> Float[Array, "B H W C"]:
    """Scales and shifts every position by what the condition says there."""
    kernel = (self.size, self.size)
    matched = match_size(condition, *x.shape[1:3])
    hidden = nn.Conv(self.hidden, kernel, dtype=self.dtype, name="hidden")(
      matched
    )
    maps = nn.Conv(
      2 * x.shape[-1],
      kernel,
      kernel_init=nn.initializers.zeros,
      dtype=self.dtype,
      name="maps",
    )(nn.relu(hidden))
    scale, shift = jnp.split(maps, 2, axis=-1)
    return x * (1 + scale) + shift
