"""The entropy model's walk over a photo's latents, for both directions.

    where the decoder needs one:  mask <-> its code
    for each group:  z symbols <-> stream
                     hyper_synthesise, float64 on the CPU
      for each pass: tables_at(h, y_hat) --> table of each latent
                     y symbols <-> stream

Encoder and decoder walk the same passes; one table that differs ruins all
that follows, so the walk exists once and the direction is a parameter. A
group lies at the upper left of a canvas (`groups.pick_canvas`), zeros around.
"""

from collections.abc import Callable
from typing import Protocol

import numpy as np

from roijax.coding import container, groups
from roijax.coding.mask import decode_mask, encode_mask, mask_size
from roijax.coding.tables import Tables
from roijax.errors import BitstreamError
from roijax.programs import Programs
from roijax.tiling import (
  PER_CELL,
  latent_size,
  pad_zeros,
  pool_mask,
  scale,
)

Y_STEPS = 1 << 12
"""What synthesis gets of y_hat is rounded to so many steps.

Two machines differ in a mean's last digits; float32 would show them in a
pixel here and there.
"""

MEAN_STEPS = 1 << 8
"""Means are rounded to so many steps, where the header says so.

A context that goes position by position reads hundreds of passes back. In
smooth parts of a photo attention makes a difference of 1e-15 three times as
large in every pass, until tables differ; on a grid it is gone in the next.
"""


class _Direction(Protocol):
  """Takes or gives the symbols of a call, group by group."""

  def begin(self, group: groups.Group) -> None: ...

  def exchange_z(self) -> np.ndarray:
    """The hyper-symbols of the group, int32 [p, q, N]."""
    ...

  def exchange_y(self, mean, indexes, close, place) -> np.ndarray:
    """The symbols of a pass, like `mean`; `place` indexes the photo's y."""
    ...

  def finish(self) -> None: ...


class Walk:
  """One photo's symbols in the order of coding.

  Attributes:
    y_hat: float32 [h, w, M], multiples of 1 / `Y_STEPS`, filled as groups are
      walked, if they are kept.
    z_hat: float32 [h / 4, w / 4, N], likewise.
    h: float32 [h, w, D], what the hyper-synthesis made of it, likewise.
    cells: bits of each position of y by the tables, z's spread evenly over
      its group; None unless asked for.
    symbols_crc: of all symbols so far.
    mask: bool, cells of the foreground; None where decoders need none.
  """

  def __init__(
    self,
    programs: Programs,
    z_tables: Tables,
    y_tables: Tables,
    size: tuple[int, int],
    *,
    rounded: bool = False,
    count_bits: bool = False,
    keeps: bool = True,
  ):
    """Makes room for a photo.

    Args:
      programs: the compiled flow.
      z_tables: one a channel.
      y_tables: of all scales and shapes.
      size: height and width in pixels.
      rounded: whether means lie on a grid (`MEAN_STEPS`).
      count_bits: whether `cells` are wanted.
      keeps: whether what was walked is wanted. A group needs nothing of
        another, and of a large photo all of them are the most of the memory.
    """
    self._rounded = rounded
    self.programs = programs
    self.z_tables, self.y_tables = z_tables, y_tables
    self.size = size
    rows, columns = map(groups.count_cells, size)
    self._dims = latent_size(*size)
    channels = programs.outline.latent_channels if keeps else 0
    self.y_hat = np.zeros((*self._dims, channels), np.float32)
    self.z_hat = np.zeros((rows, columns, len(z_tables) * keeps), np.float32)
    self._keeps = keeps
    self.h: np.ndarray | None = None
    self.cells = np.zeros(self._dims) if count_bits else None
    self.symbols_crc = 0
    self.mask: np.ndarray | None = None

  def run(
    self,
    direction: _Direction,
    progress: Callable[[float], None] | None = None,
  ) -> None:
    """Walks every group; `progress` is told the share that is done."""
    total = groups.count_groups(*self.size)
    for number, group in enumerate(groups.split_groups(*self.size)):
      direction.begin(group)
      self._run_group(direction, group)
      direction.finish()
      if progress is not None:
        progress((number + 1) / total)

  def _run_group(self, direction: _Direction, group: groups.Group) -> None:
    cells = group.cells
    z_symbols = direction.exchange_z()
    self._note(z_symbols)
    canvas = groups.pick_canvas(group.rows, group.columns)
    h = self.programs.hyper_synthesise(pad_zeros(z_symbols, *canvas)[None])
    dims = canvas[0] * PER_CELL, canvas[1] * PER_CELL
    inside = scale(cells[0], PER_CELL), scale(cells[1], PER_CELL)
    # What lies beyond the photo is not coded.
    height, width = self.y_hat[inside].shape[:2]
    y_hat = np.zeros((1, *dims, self.programs.outline.latent_channels))
    top, left = group.row * PER_CELL, group.column * PER_CELL
    for one in self.programs.outline.order.passes(height, width, dims):
      mean, indexes, close = self.programs.tables_at(h, y_hat, one)
      if self._rounded:
        mean = np.round(mean * MEAN_STEPS) / MEAN_STEPS
      real = slice(one.count)
      rows, columns = one.rows[real], one.columns[real]
      channels = slice(*one.channels)
      place = rows + top, columns + left, channels
      symbols = direction.exchange_y(mean, indexes, close, place)
      self._note(symbols)
      y_hat[0, rows, columns, channels] = symbols + mean
      if self.cells is not None:
        bits = self.y_tables.bits(symbols, indexes).sum(axis=1)
        self.cells[place[:2]] += bits
    if self._keeps:
      if self.h is None:
        self.h = np.empty((*self._dims, h.shape[-1]), np.float32)
      self.z_hat[cells] = z_symbols
      self.h[inside] = h[0, :height, :width]
      known = y_hat[0, :height, :width]
      self.y_hat[inside] = np.round(known * Y_STEPS) / Y_STEPS
    if self.cells is not None:
      bits = self.z_tables.bits(z_symbols.ravel(), channel_indexes(z_symbols))
      self.cells[inside] += bits.sum() / (height * width)

  def _note(self, symbols: np.ndarray) -> None:
    self.symbols_crc = container.symbols_crc([symbols], self.symbols_crc)

  def write_mask(self, roi: np.ndarray | None) -> bytes | None:
    """The code of a region's mask, for weights whose decoder needs it.

    Args:
      roi: float [H, W] in [0, 1]; None is ones.
    """
    stride = self.programs.outline.mask_stride
    if not stride:
      return None
    if roi is None:
      self.mask = np.ones(mask_size(*self.size, stride), np.bool_)
    else:
      self.mask = pool_mask(roi, stride)
    self._note(self.mask)
    return encode_mask(self.mask)

  def read_mask(self, data: bytes | None) -> None:
    """Takes the mask of a file.

    Args:
      data: its code, if there is one.

    Raises:
      BitstreamError: it is damaged, missing, or there for nothing.
    """
    stride = self.programs.outline.mask_stride
    if not stride:
      if data is not None:
        raise BitstreamError(
          "the file is damaged: it has a mask, and its weights take none"
        )
      return
    if data is None:
      raise BitstreamError(
        "the file is damaged: it has no mask, which its weights need"
      )
    self.mask = decode_mask(data, *mask_size(*self.size, stride))
    self._note(self.mask)

  def estimate_bits(self) -> float:
    """Bits of what was walked by the float likelihoods."""
    total = 0.0
    for group in groups.split_groups(*self.size):
      z_place = group.cells
      y_place = scale(z_place[0], PER_CELL), scale(z_place[1], PER_CELL)
      canvas = groups.pick_canvas(group.rows, group.columns)
      dims = canvas[0] * PER_CELL, canvas[1] * PER_CELL
      height, width = self.y_hat[y_place].shape[:2]
      bits_y, bits_z = self.programs.estimate_bits(
        pad_zeros(self.z_hat[z_place], *canvas)[None],
        pad_zeros(self.y_hat[y_place], *dims)[None],
        (height, width),
      )
      total += bits_z[0, : group.rows, : group.columns].sum()
      total += bits_y[0, :height, :width].sum()
    return float(total)


def channel_indexes(values: np.ndarray) -> np.ndarray:
  """The number of each value's channel, which is its table's for z."""
  dims = np.shape(values)
  return np.broadcast_to(np.arange(dims[-1], dtype=np.int32), dims).ravel()
