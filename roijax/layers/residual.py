"""Residual blocks with GDN: the classical trunk's bricks.

Source: MLIC++ (arXiv 2307.15421), after Cheng et al. 2020.
"""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from roijax.layers.gdn import GDN
from roijax.ops.resample import depth_to_space


class SubpixelConv(nn.Module):
  """A 3x3 convolution to r**2 times the channels, then depth to space.

  Attributes:
    channels: output channels.
    factor: upscaling r.
    dtype: of the computation.
  """

  channels: int
  factor: int = 2
  dtype: jnp.dtype | None = None

  @nn.compact
  def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B H2 W2 D"]:
    """Upscales."""
    wide = self.channels * self.factor**2
    x = nn.Conv(wide, (3, 3), dtype=self.dtype)(x)
    return depth_to_space(x, self.factor)


class ResidualBlock(nn.Module):
  """conv3, GELU, conv3, GELU, plus the input."""

  channels: int
  dtype: jnp.dtype | None = None

  @nn.compact
  def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B H W D"]:
    """Refines at one resolution; projects where the width changes."""
    hidden = nn.gelu(nn.Conv(self.channels, (3, 3), dtype=self.dtype)(x))
    hidden = nn.gelu(nn.Conv(self.channels, (3, 3), dtype=self.dtype)(hidden))
    if x.shape[-1] != self.channels:
      x = nn.Conv(self.channels, (1, 1), dtype=self.dtype)(x)
    return x + hidden


class ResidualBlockDown(nn.Module):
  """conv3 stride 2, GELU, conv3, GDN, plus a 1x1 stride 2 skip."""

  channels: int
  dtype: jnp.dtype | None = None

  @nn.compact
  def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B H2 W2 D"]:
    """Halves the resolution."""
    hidden = nn.Conv(self.channels, (3, 3), (2, 2), dtype=self.dtype)(x)
    hidden = nn.Conv(self.channels, (3, 3), dtype=self.dtype)(nn.gelu(hidden))
    skip = nn.Conv(self.channels, (1, 1), (2, 2), dtype=self.dtype)(x)
    return GDN()(hidden) + skip


class ResidualBlockUp(nn.Module):
  """Sub-pixel conv3, GELU, conv3, inverse GDN, plus a sub-pixel skip."""

  channels: int
  dtype: jnp.dtype | None = None

  @nn.compact
  def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B H2 W2 D"]:
    """Doubles the resolution."""
    hidden = nn.gelu(SubpixelConv(self.channels, dtype=self.dtype)(x))
    hidden = nn.Conv(self.channels, (3, 3), dtype=self.dtype)(hidden)
    skip = SubpixelConv(self.channels, dtype=self.dtype)(x)
    return GDN(inverse=True)(hidden) + skip
