"""The contexts that are compared, for any codec's number of channels."""

import dataclasses
from collections.abc import Callable, Sequence

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from roijax.coding.passes import Pass, Wavefront
from roijax.layers.causal_attention import CausalAttention
from roijax.layers.checkerboard import CheckerboardSlices
from roijax.layers.wavefront import Wavefronts

WIDTH = 128


@dataclasses.dataclass(frozen=True)
class AllAtOnce(Wavefront):
  """One pass, of which no other reads."""

  reads_far_back = False

  def passes(
    self, height: int, width: int, canvas: tuple[int, int] | None = None
  ) -> list[Pass]:
    """See `Order`."""
    size = int(np.prod(canvas or (height, width)))
    rows, columns = (
      np.resize(place, size).astype(np.int32)
      for place in np.indices((height, width)).reshape(2, -1)
    )
    place, dims = (rows, columns), (height, width)
    return [Pass(0, self.bounds(0), *place, height * width, 1.0, dims)]


@dataclasses.dataclass(frozen=True)
class OneByOne(Wavefront):
  """A pass a position, row by row."""

  def passes(
    self, height: int, width: int, canvas: tuple[int, int] | None = None
  ) -> list[Pass]:
    """See `Order`."""
    del canvas
    places = np.indices((height, width), np.int32).reshape(2, -1, 1)
    return [
      Pass(0, self.bounds(0), rows, columns, 1, 1.0, (height, width))
      for rows, columns in zip(*places, strict=True)
    ]


class Blind(Wavefronts):
  """The wavefronts' network where nothing decoded is seen: h alone."""

  @property
  def order(self) -> AllAtOnce:
    """All positions at once."""
    return AllAtOnce(self.channels)

  def parameters(self, h, y_hat, size=None):
    """Raw parameters from h."""
    return super().parameters(h, jnp.zeros_like(y_hat), size)

  def parameters_at(self, h, y_hat, rows, columns, local, size, group):
    """Raw parameters from h, of the only pass."""
    blank = jnp.zeros_like(y_hat)
    return super().parameters_at(h, blank, rows, columns, local, size, group)


class SerialAttention(CausalAttention):
  """Causal attention coded as it was published: position after position."""

  @property
  def order(self) -> OneByOne:
    """Row by row."""
    return OneByOne(self.channels, self.window)


def split_channels(channels: int) -> tuple[int, ...]:
  """Four slices of a checkerboard, in the ratios of `configs/ggm.py:small`."""
  first, second, third = (channels * part // 10 for part in (1, 2, 3))
  return first, second, third, channels - first - second - third


def make_arms(
  channels: int, outputs: int, slices: Sequence[int]
) -> dict[str, Callable[[], nn.Module]]:
  """Contexts by name.

  Args:
    channels: of y (M).
    outputs: numbers a latent.
    slices: the checkpoint's; where there is only one, `split_channels`.
  """
  parts = tuple(slices) if len(slices) > 1 else split_channels(channels)
  small = (2 * channels, 8 * channels // 5)
  paper = (10 * channels // 3, 8 * channels // 3)
  return {
    "none": lambda: Blind(channels, outputs, WIDTH),
    "checkerboard": lambda: CheckerboardSlices(parts, outputs, WIDTH),
    "wavefront": lambda: Wavefronts(channels, outputs, WIDTH),
    "attention": lambda: CausalAttention(channels, outputs, small),
    "attention, paper's head": lambda: CausalAttention(
      channels, outputs, paper
    ),
  }


def as_serial(context: CausalAttention) -> SerialAttention:
  """The same network in the serial order."""
  return SerialAttention(context.channels, context.outputs, context.hidden)
