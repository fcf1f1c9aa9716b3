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

import math

import flax.linen as nn
import numpy as np
from jaxtyping import Array, Float, Int

from roijax.layers.checkerboard import Pass
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


class InWavefronts:
  """The order of coding of a context that reads `causal_offsets(window)`.

  Attributes:
    channels: of y (M), all coded at once.
    window: side of the neighbourhood, odd.
  """

  channels: int
  window: int = 5

  # A hundred passes back: see `Flow.rounds_means`.
  READS_FAR_BACK = True

  def bounds(self, group: int) -> tuple[int, int]:
    """First channel of the only group, 0, and the one behind its last."""
    del group
    return 0, self.channels

  def passes(
    self, height: int, width: int, canvas: tuple[int, int] | None = None
  ) -> list[Pass]:
    """The order of coding for a latent of `height` by `width`.

    Args:
      height: of the latent, which lies at the upper left of a canvas.
      width: likewise.
      canvas: its size, `height` by `width` by default; it alone decides how
        long the lists of positions are.
    """
    rows, columns = canvas or (height, width)
    size = min(rows, math.ceil(columns / self._step))
    fronts = self._number_fronts(height, width)
    order = []
    for number in range(int(fronts.max()) + 1):
      rows, columns = np.nonzero(fronts == number)
      order.append(
        Pass(
          0,
          self.bounds(0),
          np.resize(rows, size).astype(np.int32),
          np.resize(columns, size).astype(np.int32),
          rows.size,
          1.0,
          (height, width),
        )
      )
    return order

  def order(self, height: int, width: int) -> np.ndarray:
    """The number of the pass that codes each latent, int32 [H, W, M]."""
    fronts = self._number_fronts(height, width)[..., None]
    return np.repeat(fronts, self.channels, axis=-1)

  @property
  def _step(self):
    """How many passes a row lies behind the row above it."""
    return self.window // 2 + 1

  def _number_fronts(self, height, width):
    """The pass of each position, int32 [H, W], without gaps."""
    rows, columns = np.indices((height, width))
    # A field less than a step wide has fronts without a position.
    found, numbers = np.unique(columns + self._step * rows, return_inverse=True)
    del found
    return numbers.reshape(height, width).astype(np.int32)


class Wavefronts(InWavefronts, nn.Module):
  """Raw prior parameters from h and what is decoded of y_hat.

  Attributes:
    channels: of y (M).
    outputs: numbers a latent (the prior's).
    hidden: width of the layers between.
  """

  channels: int
  outputs: int
  hidden: int = 128

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
