"""The two directions of the walk: symbols to streams, and back.

`walk.Walk` calls a direction for each group, and in it for each pass.
"""

from concurrent import futures

import numpy as np

from roijax.coding import coder, container, groups
from roijax.coding.tables import Tables
from roijax.errors import BitstreamError
from roijax.tiling import hyper_analyse
from roijax.walk import Walk, channel_indexes

SYMBOL_MAX = 2**30
DISAGREEMENT = (
  "the file is whole, but this machine computes other coding tables than the "
  "one that made it; please report both"
)


class Encoding:
  """The direction that writes.

  A thread codes the symbols of a pass while the networks are at the next one.
  It ends with the `with` block.

  Attributes:
    streams: one a group.
    boundary: the close calls, as `container.Container` has them.
  """

  def __init__(
    self,
    walk: Walk,
    y: np.ndarray,
    pooled: np.ndarray,
    z: np.ndarray | None = None,
  ):
    """Takes what is to be written.

    Args:
      walk: the walk it goes with.
      y: as `tiling.transform` gave it, or refined.
      pooled: as `tiling.transform` gave it.
      z: float [p, q, N], refined; None: what the hyper-analysis makes of y.
    """
    self._walk, self._y, self._pooled, self._z = walk, y, pooled, z
    self.streams: list[bytes] = []
    self.boundary: list[tuple[int, int]] = []
    self._ordinal = 0
    # One thread, so that calls stay in order.
    self._writer = futures.ThreadPoolExecutor(1)
    self._pending: list[futures.Future] = []

  def __enter__(self):
    """Returns itself."""
    return self

  def __exit__(self, *_):
    """Ends the thread."""
    self._writer.shutdown()

  def begin(self, group: groups.Group) -> None:
    """Starts a stream."""
    self._group, self._encoder = group, coder.Encoder()

  def _write(self, symbols, indexes, tables: Tables) -> None:
    """Has the symbols appended to the stream."""
    self._pending.append(
      self._writer.submit(
        self._encoder.encode, symbols.ravel(), indexes, tables
      )
    )

  def exchange_z(self) -> np.ndarray:
    """Writes the group's hyper-symbols, computed if need be."""
    group, walk = self._group, self._walk
    if self._z is None:
      z = hyper_analyse(walk.programs, self._y, self._pooled, group)
    else:
      z = self._z[group.cells]
    symbols = _to_symbols(z)
    self._write(symbols, channel_indexes(symbols), walk.z_tables)
    self._ordinal += symbols.size
    return symbols

  def exchange_y(self, mean, indexes, close, place) -> np.ndarray:
    """Rounds and writes the symbols of a pass."""
    symbols = _to_symbols(self._y[place] - mean)
    flat = indexes.ravel()
    self._write(symbols, flat, self._walk.y_tables)
    self.boundary.extend(
      (self._ordinal + int(i), int(flat[i])) for i in np.flatnonzero(close)
    )
    self._ordinal += flat.size
    return symbols

  def finish(self) -> None:
    """Ends the stream, when all is written that was to be."""
    for call in self._pending:
      call.result()
    self._pending.clear()
    self.streams.append(self._encoder.finish())


class Decoding:
  """The direction that reads."""

  def __init__(self, walk: Walk, found: container.Container):
    """Takes the walk it goes with and the file.

    Raises:
      BitstreamError: a close call names no table.
    """
    self._walk, self._streams = walk, iter(found.streams)
    self._calls = _in_order(found.boundary, len(walk.y_tables))
    self._next = next(self._calls, None)
    self._ordinal = 0

  def begin(self, group: groups.Group) -> None:
    """Opens a stream.

    Raises:
      BitstreamError: it is empty, which no encoder leaves it, or has parts of
        a word.
    """
    stream = next(self._streams)
    if not stream:
      raise BitstreamError("the coded data is damaged: a stream is empty")
    self._group, self._decoder = group, coder.Decoder(stream)

  def exchange_z(self) -> np.ndarray:
    """Reads the group's hyper-symbols."""
    dims = self._group.rows, self._group.columns, len(self._walk.z_tables)
    indexes = np.broadcast_to(np.arange(dims[2], dtype=np.int32), dims)
    symbols = self._decoder.decode(indexes.ravel(), self._walk.z_tables)
    self._ordinal += symbols.size
    return _checked(symbols.reshape(dims))

  def exchange_y(self, mean, indexes, close, place) -> np.ndarray:
    """Reads the symbols of a pass."""
    del close, place
    if not np.isfinite(mean).all():
      raise BitstreamError("the coded data is damaged: means are not finite")
    # A view: the walk counts bits by the tables that were really used.
    flat = indexes.reshape(-1)
    while self._next and self._next[0] < self._ordinal + flat.size:
      position, index = self._next
      if position < self._ordinal:
        raise BitstreamError(
          "the file is damaged: a close call names no latent"
        )
      flat[position - self._ordinal] = index
      self._next = next(self._calls, None)
    self._ordinal += flat.size
    symbols = self._decoder.decode(flat, self._walk.y_tables)
    return _checked(symbols.reshape(mean.shape))

  def finish(self) -> None:
    """Checks that the stream ends where the group does."""
    self._decoder.finish()

  def close(self, stated_crc: int) -> None:
    """Checks the whole.

    Raises:
      BitstreamError: something is left over, or the symbols are not those
        that were written.
    """
    if self._next:
      raise BitstreamError("the file is damaged: a close call has no place")
    if self._walk.symbols_crc != stated_crc:
      raise BitstreamError(DISAGREEMENT)


def _in_order(boundary, count: int):
  if any(index >= count for _, index in boundary):
    raise BitstreamError("the file is damaged: a close call names no table")
  return iter(boundary)


def _checked(symbols: np.ndarray) -> np.ndarray:
  """What no encoder writes is damage; further on it would overflow."""
  if np.abs(symbols, dtype=np.int64).max(initial=0) > SYMBOL_MAX:
    raise BitstreamError("the coded data is damaged: a symbol is too large")
  return symbols


def _to_symbols(values: np.ndarray) -> np.ndarray:
  return np.clip(np.round(values), -SYMBOL_MAX, SYMBOL_MAX).astype(np.int32)
