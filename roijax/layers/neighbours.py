"""A convolution with chosen taps, everywhere or at chosen positions."""

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int


class NeighbourDense(nn.Module):
  """A linear map of the neighbours at `offsets`, without a bias.

  The same weights serve the whole field (one product over shifted copies)
  and a gathered set of positions. Outside the field lies zero.

  Attributes:
    features: output channels.
    offsets: (row, column) of each tap, relative to the position.
  """

  features: int
  offsets: tuple[tuple[int, int], ...]

  @nn.compact
  def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B H W D"]:
    """The map at every position."""
    reach, padded = self._pad(x)
    height, width = x.shape[1:3]
    taps = [
      padded[:, reach + r : reach + r + height, reach + c : reach + c + width]
      for r, c in self.offsets
    ]
    return self._product(jnp.concatenate(taps, axis=-1))

  def at(
    self,
    x: Float[Array, "1 H W C"],
    rows: Int[Array, " P"],
    columns: Int[Array, " P"],
  ) -> Float[Array, "P D"]:
    """The map at chosen positions of a single image."""
    reach, padded = self._pad(x)
    down, right = np.array(self.offsets, np.int32).T + reach
    taps = padded[0, rows[:, None] + down[None], columns[:, None] + right[None]]
    kernel = self.get_variable("params", "kernel")
    flat = taps.reshape(rows.shape[0], -1)
    return jnp.matmul(flat, kernel, precision="highest")

  def _pad(self, x):
    reach = max(max(abs(r), abs(c)) for r, c in self.offsets)
    spatial = (reach, reach)
    return reach, jnp.pad(x, ((0, 0), spatial, spatial, (0, 0)))

  def _product(self, taps):
    kernel = self.param(
      "kernel",
      nn.initializers.lecun_normal(),
      (taps.shape[-1], self.features),
    )
    return jnp.matmul(taps, kernel.astype(taps.dtype), precision="highest")
