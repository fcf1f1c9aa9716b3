"""Latent mask attention: what the photo and the mask say of each latent.

    u --conv3 s2, LeakyReLU--> q0 -> q + B(q), three times, one B --1x1--> q
    mask at 1/2 --conv3 s2, three of them--> sigmoid --> s_mask in (0, 1)
    y * (softsign(tanh(q)) + s_mask),  a factor in (-1/2, 3/2)

B is a bottleneck: 1x1 to 64 channels, 3x3, 1x1 back, with ReLU between.

Source: arXiv 2507.00373, section III; layers as in its published code.
"""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

INSIDE = 64
# How often the one bottleneck is run through.
ROUNDS = 3


def _same_as_torch(stride):
  """Of a 3x3 convolution: one before, one behind, whatever the stride."""
  return {"strides": (stride, stride), "padding": ((1, 1), (1, 1))}


class Bottleneck(nn.Module):
  """1x1, 3x3, 1x1.

  Attributes:
    dtype: of the computation; None follows the input.
  """

  dtype: jnp.dtype | None = None

  @nn.compact
  def __call__(self, x: Float[Array, "B H W N"]) -> Float[Array, "B H W N"]:
    """What is added to `x`."""
    hidden = nn.relu(nn.Dense(INSIDE, dtype=self.dtype, name="in")(x))
    hidden = nn.Conv(
      INSIDE, (3, 3), dtype=self.dtype, name="middle", **_same_as_torch(1)
    )(hidden)
    return nn.Dense(x.shape[-1], dtype=self.dtype, name="out")(nn.relu(hidden))


class LatentMaskAttention(nn.Module):
  """The factor of each latent.

  Attributes:
    dtype: of the computation; None follows the input.
  """

  dtype: jnp.dtype | None = None

  @nn.compact
  def __call__(
    self,
    y: Float[Array, "B h w M"],
    u: Float[Array, "B h2 w2 N"],
    mask: Float[Array, "B h8 w8 1"],
  ) -> Float[Array, "B h w M"]:
    """The latent, multiplied.

    Args:
      y: the latent.
      u: the features that it was made of, twice its size.
      mask: the importance map, eight times its size.
    """
    return y * self.factor(u, mask, y.shape[-1])

  def factor(self, u, mask, channels: int) -> Float[Array, "B h w M"]:
    """In (-1/2, 3/2).

    Args:
      u: see `__call__`.
      mask: see `__call__`.
      channels: of the latent (M).
    """
    q = self._down(u.shape[-1], "image_in")(u)
    q = nn.leaky_relu(q, 0.01)
    bottleneck = Bottleneck(self.dtype, name="bottleneck")
    for _ in range(ROUNDS):
      q = q + bottleneck(q)
    q = nn.Dense(channels, dtype=self.dtype, name="image_out")(q)
    hidden = nn.relu(self._down(INSIDE, "mask_0")(mask))
    hidden = nn.relu(self._down(2 * INSIDE, "mask_1")(hidden))
    hidden = self._down(channels, "mask_2")(hidden)
    return nn.soft_sign(jnp.tanh(q)) + nn.sigmoid(hidden)

  def _down(self, width, name):
    return nn.Conv(
      width, (3, 3), dtype=self.dtype, name=name, **_same_as_torch(2)
    )
