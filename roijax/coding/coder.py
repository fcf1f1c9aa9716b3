"""The range coder: symbols with table numbers to bytes, and back.

Symbols come in calls (one a coding pass); a call's symbols are coded grouped by
table, tables in ascending order, within a group in the order given; then the
excesses of all symbols that escaped, in the order given: signs, classes, low
digits, high digits. Encoder and decoder must make the same calls with the same
indexes and tables.

The arithmetic is constriction's 32-bit range coder with 24-bit probabilities.
Models are always made from float64 multiples of 1 / 65536 with
`perfect=False`: then constriction's own rounding is exact, so that every
machine has the same intervals.
"""

import functools
import weakref
from typing import Any, TypeAlias

import constriction
import numpy as np

from roijax.coding import escape
from roijax.coding.tables import TOTAL, Tables, class_frequencies
from roijax.errors import BitstreamError

models = constriction.stream.model  # pyright: ignore
queue = constriction.stream.queue  # pyright: ignore
# constriction ships no types.
Model: TypeAlias = Any

DIGITS = 16
"""Digits of an excess are coded in two parts, the low one this wide."""


class Encoder:
  """Turns calls of `encode` into one stream of bytes."""

  def __init__(self):
    self._encoder = queue.RangeEncoder()

  def encode(
    self, symbols: np.ndarray, indexes: np.ndarray, tables: Tables
  ) -> None:
    """Appends symbols.

    Args:
      symbols: integers in int32's range [n].
      indexes: the number of each symbol's table [n].
      tables: the tables that the numbers name.

    Raises:
      ValueError: not lists of one length, a symbol that does not fit 32 bits,
        or an index that names no table.
    """
    symbols, indexes = tables.checked(symbols, indexes)
    if symbols.ndim != 1:
      raise ValueError(
        f"symbols must be a list, not {symbols.ndim}-dimensional"
      )
    escapes = tables.sizes[indexes] - 1
    entries = symbols - tables.offsets[indexes]
    outside = (entries < 0) | (entries >= escapes)
    coded = np.where(outside, escapes, entries).astype(np.int32)
    order, groups = _group(indexes, len(tables))
    coded = coded[order]
    for index, begin, end in groups:
      self._encoder.encode(coded[begin:end], _model(tables, index))
    if outside.any():
      self._encode_excess(entries[outside], escapes[outside])

  def _encode_excess(self, entries: np.ndarray, escapes: np.ndarray) -> None:
    """Appends what the escape entry leaves open, for int64 arrays [k]."""
    above = entries >= escapes
    excess = np.where(above, entries - escapes, -1 - entries)
    order = escape.escape_order(escapes + 1)
    classes, digits = escape.split_excess(excess, order)
    self._encoder.encode(above.astype(np.int32), _sign_model())
    self._encoder.encode(classes.astype(np.int32), _class_model())
    shift = 0
    for sizes, present in _digit_parts(classes + order):
      part = (digits[present] >> shift) % sizes
      self._encoder.encode(part.astype(np.int32), models.Uniform(), sizes)
      shift += DIGITS

  def finish(self) -> bytes:
    """Returns the stream: 32-bit words, little end first.

    Nothing encoded gives no bytes. The stream is whole after any call, so that
    `finish` may be called early to see the size so far.
    """
    return self._encoder.get_compressed().astype("<u4").tobytes()


class Decoder:
  """Reads what an `Encoder` wrote, call by call.

  Args:
    data: the whole stream.

  Raises:
    BitstreamError: the length is not one that an encoder writes.
  """

  def __init__(self, data: bytes):
    if len(data) % 4:
      raise BitstreamError(
        f"the coded data is damaged: {len(data)} bytes are no whole words"
      )
    words = np.frombuffer(data, "<u4").astype(np.uint32)
    self._decoder = queue.RangeDecoder(words)

  def decode(self, indexes: np.ndarray, tables: Tables) -> np.ndarray:
    """Reads the symbols of one call.

    Damaged data may decode without an error, to other symbols: whoever needs to
    know compares a checksum.

    Args:
      indexes: the number of each symbol's table [n], as the encoder had them.
      tables: the tables that the numbers name.

    Returns:
      int32 [n], the symbols.

    Raises:
      ValueError: indexes are no list of table numbers.
      BitstreamError: the data cannot come from an encoder.
    """
    indexes = tables.checked_indexes(indexes)
    if indexes.ndim != 1:
      raise ValueError(
        f"indexes must be a list, not {indexes.ndim}-dimensional"
      )
    order, groups = _group(indexes, len(tables))
    coded = np.empty(indexes.size, np.int32)
    try:
      for index, begin, end in groups:
        model = _model(tables, index)
        coded[begin:end] = self._decoder.decode(model, end - begin)
      entries = np.empty(indexes.size, np.int64)
      entries[order] = coded
      escapes = tables.sizes[indexes] - 1
      outside = entries == escapes
      if outside.any():
        entries[outside] = self._decode_excess(
          escapes[outside].astype(np.int64)
        )
    except AssertionError as error:
      # constriction's word for an interval that no encoder can produce.
      raise BitstreamError("the coded data is damaged") from error
    symbols = entries + tables.offsets[indexes]
    result = symbols.astype(np.int32)
    if not np.array_equal(result, symbols):
      raise BitstreamError("the coded data is damaged: a symbol is too large")
    return result

  def _decode_excess(self, escapes: np.ndarray) -> np.ndarray:
    """Reads excesses; returns entries below 0 or from `escapes` on, int64."""
    count = escapes.size
    above = self._decoder.decode(_sign_model(), count) == 1
    order = escape.escape_order(escapes + 1)
    classes = self._decoder.decode(_class_model(), count).astype(np.int64)
    digits = np.zeros(count, np.int64)
    shift = 0
    for sizes, present in _digit_parts(classes + order):
      part = self._decoder.decode(models.Uniform(), sizes).astype(np.int64)
      digits[present] += part << shift
      shift += DIGITS
    excess = escape.join_excess(classes, digits, order)
    return np.where(above, escapes + excess, -1 - excess)

  def finish(self) -> None:
    """Checks that nothing is left.

    Raises:
      BitstreamError: data is left over. What is missing does not show here.
    """
    if not self._decoder.maybe_exhausted():
      raise BitstreamError("the coded data is damaged: some is left over")


def _group(
  indexes: np.ndarray, count: int
) -> tuple[np.ndarray, list[tuple[int, int, int]]]:
  """The order that groups by table, and (table, begin, end) of each group."""
  # NumPy sorts 16-bit integers by radix, ten times faster than wider ones.
  keys = indexes.astype(np.uint16) if count <= 1 << 16 else indexes
  order = np.argsort(keys, kind="stable")
  keys = keys[order]
  if not keys.size:
    return order, []
  changes = np.flatnonzero(keys[1:] != keys[:-1]) + 1
  begins, ends = [0, *changes.tolist()], [*changes.tolist(), keys.size]
  return order, list(zip(keys[begins].tolist(), begins, ends, strict=True))


def _digit_parts(widths: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
  """How digits split: alphabet sizes (int32) and whose they are, per part.

  Args:
    widths: int64 [k], number of binary digits of each excess.

  Returns:
    For the low and then the high digits, where there are any: the sizes of the
    alphabets, and the positions in [0, k) of those with digits in this part.
  """
  parts = []
  while (present := np.flatnonzero(widths > 0)).size:
    parts.append(
      ((1 << np.minimum(widths[present], DIGITS)).astype(np.int32), present)
    )
    # Positions stay those of the whole list: what is used up has no digits.
    widths = widths - DIGITS
  return parts


_MODELS: weakref.WeakKeyDictionary[Tables, dict[int, Model]] = (
  weakref.WeakKeyDictionary()
)


def _model(tables: Tables, index: int) -> Model:
  """The model of one table, made when first used and kept with the tables."""
  made = _MODELS.setdefault(tables, {})
  model = made.get(index)
  if model is None:
    begin = tables.starts[index]
    end = begin + tables.sizes[index]
    model = made[index] = _categorical(tables.frequencies[begin:end])
  return model


@functools.cache
def _class_model() -> Model:
  return _categorical(class_frequencies())


@functools.cache
def _sign_model() -> Model:
  return _categorical(np.array([TOTAL // 2, TOTAL // 2]))


def _categorical(frequencies: np.ndarray) -> Model:
  """The coder's model of integer frequencies; see the module's note."""
  return models.Categorical(
    frequencies.astype(np.float64) / TOTAL, perfect=False
  )
