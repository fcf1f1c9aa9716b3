"""The classical trunk: residual blocks with GDN.

    x --down-> res --down-> res --down-> res --conv3 s2-> y
    y -> res --up-> res --up-> res --up-> res --sub-pixel conv3-> x_hat

Source: MLIC++ (arXiv 2307.15421), widths from the config; the hyper path is
its stack of 3x3 convolutions with GELU.
"""

from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from roijax.layers.residual import (
  ResidualBlock,
  ResidualBlockDown,
  ResidualBlockUp,
  SubpixelConv,
)
from roijax.ops.resample import average_pool, depth_to_space


class Analysis(nn.Module):
  """g_a. `condition` makes the module after each of the four stages."""

  channels: int
  latent_channels: int
  condition: Callable[..., nn.Module] | None = None
  dtype: jnp.dtype | None = None

  @nn.compact
  def __call__(
    self, x: Float[Array, "B H W 3"], roi: Float[Array, "B H W 1"]
  ) -> Float[Array, "B h w M"]:
    """The latent y before the gain, stride 16."""
    for i in range(4):
      # bfloat16 loses integers above 256: what makes y is float32.
      dtype = self.dtype if i < 3 else jnp.dtype("float32")
      if i < 3:
        x = ResidualBlockDown(self.channels, self.dtype, name=f"down_{i}")(x)
        x = ResidualBlock(self.channels, self.dtype, name=f"block_{i}")(x)
      else:
        x = nn.Conv(
          self.latent_channels, (3, 3), (2, 2), dtype=dtype, name="last"
        )(x)
      roi = average_pool(roi, 2)
      if self.condition is not None:
        x = self.condition(dtype=dtype, name=f"condition_{i}")(x, roi)
    return x


class Synthesis(nn.Module):
  """g_s, the mirror image of `Analysis`."""

  channels: int
  latent_channels: int
  dtype: jnp.dtype | None = None

  @property
  def reach(self) -> int:
    """How many pixels away a latent is seen, by the 3x3 convolutions.

    Two in each residual block; in each step up one before and one after;
    one at the end.
    """
    steps = sum(
      stride + stride // 2 + 2 * (stride // 2) for stride in (16, 8, 4)
    )
    return 2 * 16 + steps + 2

  @nn.compact
  def __call__(self, y: Float[Array, "B h w M"]) -> Float[Array, "B H W 3"]:
    """x_hat from y_hat / gain."""
    x = ResidualBlock(self.latent_channels, self.dtype, name="first")(y)
    for i in range(3):
      x = ResidualBlockUp(self.channels, self.dtype, name=f"up_{i}")(x)
      x = ResidualBlock(self.channels, self.dtype, name=f"block_{i}")(x)
    return SubpixelConv(3, dtype=self.dtype, name="last")(x)


class HyperAnalysis(nn.Module):
  """h_a: five 3x3 convolutions, two of them strided; float32."""

  channels: int

  @nn.compact
  def __call__(self, y: Float[Array, "B h w D"]) -> Float[Array, "B p q N"]:
    """The hyper-latent z from the features of y."""
    x = y
    for i, stride in enumerate((1, 1, 2, 1, 2)):
      x = nn.gelu(x) if i else x
      x = nn.Conv(self.channels, (3, 3), (stride, stride), name=f"conv_{i}")(x)
    return x


class HyperSynthesis(nn.Module):
  """h_s: 3x3 and sub-pixel convolutions; full precision.

  `channels` is the latent's M, `features` the width of h.
  """

  channels: int
  features: int

  @nn.compact
  def __call__(self, z: Float[Array, "B p q N"]) -> Float[Array, "B h w D"]:
    """h, at the size of y."""
    middle = 3 * self.channels // 2
    plan = (
      (self.channels, 1),
      (self.channels, 2),
      (middle, 1),
      (middle, 2),
      (self.features, 1),
    )
    x = z
    for i, (width, factor) in enumerate(plan):
      x = nn.gelu(x) if i else x
      wide = width * factor**2
      x = nn.Conv(wide, (3, 3), precision="highest", name=f"conv_{i}")(x)
      x = depth_to_space(x, factor) if factor > 1 else x
    return x
