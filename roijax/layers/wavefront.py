"""Context position by position, coded in wavefronts.

    position (r, c) reads h and its 12 neighbours of 5x5 that lie before it
    in raster order, and is coded in pass c + 3 r:

      0  1  2  3  4  5
      3  4  5  6  7  8     every tap lies in an earlier pass
      6  7  8  9 10 11

All channels at once. W + 3 (H - 1) passes where a checkerboard of slices has
a few: the context is close at hand everywhere, and what one machine rounds
otherwise is fed back a hundred times and more.

Source: Minnen et al. 2018 (arXiv 1809.02736); one hidden layer joins h and
the taps, as in `checkerboard`.
"""

import flax.linen as nn
from jaxtyping import Array, Float, Int

from roijax.coding.passes import Wavefront
from roijax.layers.neighbours import NeighbourDense


def causal_offsets(window: int) -> tuple[tuple[int, int], ...]:
  """The (row, column) of each neighbour that lies before, in raster order.

  Args:
    window: side of the neighbourhood, odd.
  """
  reach = window // 2
  near = range(-reach, reach + 1)
  return tuple((r, c) for r in near for c in near if (r, c) < (0, 0))


BEFORE = causal_offsets(5)


class Wavefronts(nn.Module):
  """Raw prior parameters from h and what is decoded of y_hat.

  Attributes:
    channels: of y (M).
    outputs: numbers a latent (the prior's).
    hidden: width of the layers between.
  """

  channels: int
  outputs: int
  hidden: int = 128

  @property
  def order(self) -> Wavefront:
    """The order of coding."""
    return Wavefront(self.channels)

  def setup(self):
    """Declares the layers."""
    self.from_h = nn.Dense(self.hidden, precision="highest")
    self.from_before = NeighbourDense(self.hidden, BEFORE)
    self.middle = nn.Dense(self.hidden, precision="highest")
    # Small at the start: the prior then predicts the usual mean and scale.
    self.head = nn.Dense(
      self.channels * self.outputs,
      precision="highest",
      kernel_init=nn.initializers.variance_scaling(0.01, "fan_in", "normal"),
    )

  def _join(self, hidden):
    hidden = nn.gelu(hidden)
    hidden = nn.gelu(self.middle(hidden))
    raw = self.head(hidden)
    return raw.reshape(*raw.shape[:-1], self.channels, self.outputs)

  def parameters(
    self,
    h: Float[Array, "B H W D"],
    y_hat: Float[Array, "B H W M"],
    size: Int[Array, "2"] | None = None,
  ) -> Float[Array, "B H W M K"]:
    """Raw parameters of all latents at once, from all of y_hat.

    Causal by construction: no latent reads one of its own or a later pass.
    What lies beyond `size` is read as the zeros that it is.
    """
    del size
    return self._join(self.from_h(h) + self.from_before(y_hat))

  def parameters_at(
    self,
    h: Float[Array, "1 H W D"],
    y_hat: Float[Array, "1 H W M"],
    rows: Int[Array, " P"],
    columns: Int[Array, " P"],
    local: Float[Array, ""],
    size: Int[Array, "2"],
    group: int,
  ) -> Float[Array, "P M K"]:
    """Raw parameters of one pass; equals `parameters` there.

    Args:
      h: hyper-synthesis output.
      y_hat: decoded so far, zero elsewhere.
      rows: positions of the pass, padded as in `Pass`.
      columns: likewise.
      local: the pass's `local`, always 1.0.
      size: the pass's `size`; not needed.
      group: the pass's `group`, always 0.
    """
    del local, size, group
    hidden = self.from_h(h[0, rows, columns])
    return self._join(hidden + self.from_before.at(y_hat, rows, columns))
