"""Explicit allocation: the latent times a function of the importance map.

    y_c = trunk(x)_c                                  c < protected
    y_c = trunk(x)_c (m + floor) / (1 + floor)        the others

m is the map's mean over the latent's pixels, after a blur. Where the map is
one nothing changes; where it is zero, floor / (1 + floor) is left.

Source: arXiv 2401.08154, after Ma et al. 2021.
"""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from roijax.ops.blur import box_blur
from roijax.ops.resample import average_pool


class GatedAnalysis(nn.Module):
  """An analysis whose latent is multiplied by the importance map.

  Attributes:
    trunk: (x, roi) -> y, blind to the map.
    protected: how many channels, the first ones, are left alone.
    floor: the paper's a.
    blur: side of the box, in pixels, that the map is blurred with before it
      is pooled; odd; 0: none.
  """

  trunk: nn.Module
  protected: int = 0
  floor: float = 0.0
  blur: int = 0

  def __call__(
    self, x: Float[Array, "B H W 3"], roi: Float[Array, "B H W 1"]
  ) -> Float[Array, "B h w M"]:
    """The latent y before the gain."""
    y = self.trunk(x, roi)
    seen = box_blur(roi, self.blur) if self.blur else roi
    pooled = average_pool(seen, x.shape[1] // y.shape[1])
    factor = (pooled + self.floor) / (1 + self.floor)
    free = jnp.arange(y.shape[-1]) >= self.protected
    return y * jnp.where(free.reshape(1, 1, 1, -1), factor, 1)
