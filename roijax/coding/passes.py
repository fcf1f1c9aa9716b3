"""The order in which a latent is coded: what is known before what.

    Checkerboard, for each slice of channels:      Wavefront, all channels:

      1 0 1 0     pass 0: odd row + column           0  1  2  3  4  5
      0 1 0 1     pass 1: the other positions        3  4  5  6  7  8
      1 0 1 0                                        6  7  8  9 10 11

A context network has one of these and reads no latent of its own pass or of a
later one. Coding needs the order alone, so nothing here knows of networks.
"""

import dataclasses
import math
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np


class Pass(NamedTuple):
  """The latents that are coded together.

  Attributes:
    group: which program of the context serves it (`group` of its
      `parameters_at`).
    channels: its channels, as (start, stop).
    rows: of the positions, padded by repeating to a size fixed by the canvas.
    columns: likewise.
    count: how many positions are real.
    local: 1.0 where the group's earlier passes are to be read, else 0.0.
    size: rows and columns of the latent, at the upper left of its canvas.
  """

  group: int
  channels: tuple[int, int]
  rows: np.ndarray
  columns: np.ndarray
  count: int
  local: float
  size: tuple[int, int]


@runtime_checkable
class Order(Protocol):
  """An order of coding.

  Attributes:
    reads_far_back: whether what a pass reads goes on to the next, for a hundred
      passes and more. What two machines round otherwise then grows from pass to
      pass, so that files are written with means on a grid (`walk.MEAN_STEPS`).
  """

  @property
  def reads_far_back(self) -> bool:
    """See above."""
    ...

  def bounds(self, group: int) -> tuple[int, int]:
    """First channel of what a group codes, and the one behind its last."""
    ...

  def passes(
    self, height: int, width: int, canvas: tuple[int, int] | None = None
  ) -> list[Pass]:
    """The passes of a latent of `height` by `width`.

    Args:
      height: of the latent, which lies at the upper left of a canvas.
      width: likewise.
      canvas: its size, `height` by `width` by default; it alone decides how
        long the lists of positions are.
    """
    ...


def number_passes(order: Order, height: int, width: int) -> np.ndarray:
  """The number of the pass that codes each latent, int32 [H, W, M]."""
  passes = order.passes(height, width)
  channels = max(one.channels[1] for one in passes)
  numbers = np.empty((height, width, channels), np.int32)
  for i, one in enumerate(passes):
    rows, columns = one.rows[: one.count], one.columns[: one.count]
    numbers[rows, columns, slice(*one.channels)] = i
  return numbers


@dataclasses.dataclass(frozen=True)
class Checkerboard:
  """Slices of channels, each in two passes of a checkerboard.

  Attributes:
    slices: channels of each slice; they sum to M.
    group_each: whether both passes of a slice are groups of their own (group
      2 i + j is pass j of slice i), or one.
  """

  slices: tuple[int, ...]
  group_each: bool = False

  reads_far_back = False

  def span(self, number: int) -> tuple[int, int]:
    """First channel of a slice, and the one behind its last."""
    start = sum(self.slices[:number])
    return start, start + self.slices[number]

  def bounds(self, group: int) -> tuple[int, int]:
    """See `Order`."""
    return self.span(group // 2 if self.group_each else group)

  def passes(
    self, height: int, width: int, canvas: tuple[int, int] | None = None
  ) -> list[Pass]:
    """See `Order`."""
    rows, columns = np.indices((height, width)).reshape(2, -1)
    parity = (rows + columns) % 2
    size = -(-math.prod(canvas or (height, width)) // 2)
    order = []
    for number in range(len(self.slices)):
      for local, chosen in enumerate((parity == 1, parity == 0)):
        count = int(chosen.sum())
        if count == 0:
          continue
        order.append(
          Pass(
            2 * number + local if self.group_each else number,
            self.span(number),
            np.resize(rows[chosen], size).astype(np.int32),
            np.resize(columns[chosen], size).astype(np.int32),
            count,
            float(local),
            (height, width),
          )
        )
    return order


@dataclasses.dataclass(frozen=True)
class Wavefront:
  """Position (r, c) in pass c + s r, with all its channels.

  Every neighbour of a window that lies before it in raster order is in an
  earlier pass, where s is one more than half the window.

  Attributes:
    channels: of the latent (M).
    window: side of the neighbourhood, odd.
  """

  channels: int
  window: int = 5

  reads_far_back = True

  def bounds(self, group: int) -> tuple[int, int]:
    """See `Order`; there is one group, 0."""
    del group
    return 0, self.channels

  def passes(
    self, height: int, width: int, canvas: tuple[int, int] | None = None
  ) -> list[Pass]:
    """See `Order`."""
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
