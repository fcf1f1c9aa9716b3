"""Integer frequency tables: what a symbol costs, exactly, on every machine.

A table lists how often, out of 65536, each of some consecutive integers is
expected; its last entry is the escape, for everything else. The range coder
and the rate that evaluation reports both read these integers, so that estimate
and file agree.
"""

import dataclasses
import functools
import importlib.resources
import io
from collections.abc import Mapping, Sequence

import numpy as np

from roijax.coding.escape import CLASSES, escape_bits, escape_order

TOTAL = 65536
"""Every table's frequencies sum to this."""

MAX_ENTRIES = 4096
"""The most entries a table may have, with its escape."""


@dataclasses.dataclass(frozen=True, eq=False)
class Tables:
  """Frequency tables of one family, numbered 0 ... T - 1.

  Attributes:
    offsets: int32 [T], the integer that each table's first entry stands for.
    sizes: int32 [T], number of entries of each table, the escape included.
    frequencies: uint32 [sum of sizes], the tables one after another; each sums
      to `TOTAL`, every entry is at least 1, the last one is the escape.

  Raises:
    ValueError: the arrays break one of these rules.
  """

  offsets: np.ndarray
  sizes: np.ndarray
  frequencies: np.ndarray

  def __post_init__(self):
    """Checks the arrays, fixes their types and makes them read-only."""
    for name, dtype in _DTYPES.items():
      value = np.asarray(getattr(self, name))
      if value.ndim != 1 or value.dtype.kind not in "iu":
        raise ValueError(f"{name} must be a list of integers")
      cast = value.astype(dtype)
      if not np.array_equal(cast, value):
        raise ValueError(f"{name} does not fit {np.dtype(dtype).name}")
      cast.setflags(write=False)
      object.__setattr__(self, name, cast)
    if self.offsets.size == 0 or self.offsets.shape != self.sizes.shape:
      raise ValueError("offsets and sizes must name the same tables")
    if self.sizes.min() < 2 or self.sizes.max() > MAX_ENTRIES:
      raise ValueError(f"a table must have 2 to {MAX_ENTRIES} entries")
    if self.sizes.sum() != self.frequencies.size:
      raise ValueError("frequencies must have sum(sizes) entries")
    sums = np.add.reduceat(self.frequencies.astype(np.int64), self.starts)
    if self.frequencies.min() < 1 or np.any(sums != TOTAL):
      raise ValueError(f"frequencies must be >= 1 and sum to {TOTAL}")

  def __len__(self) -> int:
    """The number of tables."""
    return self.offsets.size

  @functools.cached_property
  def starts(self) -> np.ndarray:
    """int64 [T], where each table begins in `frequencies`."""
    ends = np.cumsum(self.sizes, dtype=np.int64)
    return ends - self.sizes

  @functools.cached_property
  def entry_bits(self) -> np.ndarray:
    """float64 [sum of sizes], what each entry costs in bits."""
    return -np.log2(self.frequencies / TOTAL)

  def bits(self, symbols: np.ndarray, indexes: np.ndarray) -> np.ndarray:
    """What each symbol costs, the escape code included.

    Args:
      symbols: integers in int32's range, any shape.
      indexes: table numbers, same shape.

    Returns:
      float64 array of the same shape, bits. The coder's output is their sum
      within 0.1 % and a few bytes.

    Raises:
      ValueError: shapes differ or an index names no table.
    """
    symbols, indexes = self.checked(symbols, indexes)
    entries = symbols - self.offsets[indexes]
    escapes = self.sizes[indexes] - 1
    outside = (entries < 0) | (entries >= escapes)
    places = self.starts[indexes] + np.where(outside, escapes, entries)
    bits = self.entry_bits[places]
    if outside.any():
      beyond = entries[outside]
      excess = np.where(beyond < 0, -1 - beyond, beyond - escapes[outside])
      order = escape_order(escapes[outside] + 1)
      bits[outside] += escape_bits(excess, order, class_bits())
    return bits

  def checked(
    self, symbols: np.ndarray, indexes: np.ndarray
  ) -> tuple[np.ndarray, np.ndarray]:
    """Returns both as int64 arrays, or raises ValueError (see `bits`)."""
    symbols, indexes = np.asarray(symbols), self.checked_indexes(indexes)
    if symbols.shape != indexes.shape:
      raise ValueError(
        f"symbols have shape {symbols.shape}, indexes {indexes.shape}"
      )
    if symbols.size and symbols.dtype.kind not in "iu":
      raise ValueError(f"symbols must be integers, not {symbols.dtype}")
    if symbols.size and not -(2**31) <= symbols.min() <= symbols.max() < 2**31:
      raise ValueError("symbols must fit 32 bits")
    return symbols.astype(np.int64), indexes

  def checked_indexes(self, indexes: np.ndarray) -> np.ndarray:
    """Returns table numbers as int64, or raises ValueError."""
    indexes = np.asarray(indexes)
    if indexes.size and indexes.dtype.kind not in "iu":
      raise ValueError(f"indexes must be integers, not {indexes.dtype}")
    if indexes.size and not 0 <= indexes.min() <= indexes.max() < len(self):
      raise ValueError(f"indexes must lie in [0, {len(self)})")
    return indexes.astype(np.int64)

  def to_arrays(self) -> dict[str, np.ndarray]:
    """The fields by name, to be saved with a model."""
    return {name: getattr(self, name) for name in _DTYPES}

  @classmethod
  def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "Tables":
    """The inverse of `to_arrays`; other names in `arrays` are ignored.

    Raises:
      ValueError: an array is missing or breaks the rules of the class.
    """
    missing = [name for name in _DTYPES if name not in arrays]
    if missing:
      raise ValueError(f"tables lack {', '.join(missing)}")
    return cls(**{name: arrays[name] for name in _DTYPES})


_DTYPES = {"offsets": np.int32, "sizes": np.int32, "frequencies": np.uint32}


def apportion(weights: np.ndarray, total: int = TOTAL) -> np.ndarray:
  """Shares `total` among entries in proportion to weights, each at least 1.

  Entries whose share is below 1 get 1; the rest is shared among the others,
  rounded by largest remainder. The same weights give the same integers.

  Args:
    weights: float [n], finite, not negative, not all zero.
    total: the sum to reach, >= n.

  Returns:
    int64 [n], each >= 1, sum `total`.

  Raises:
    ValueError: weights are not as stated.
  """
  weights = np.asarray(weights, np.float64)
  if weights.ndim != 1 or not 0 < weights.size <= total:
    raise ValueError(f"need 1 to {total} weights in a list")
  if not np.isfinite(weights).all() or weights.min() < 0:
    raise ValueError("weights must be finite and not negative")
  if weights.sum() <= 0:
    raise ValueError("weights must not all be zero")
  small = np.zeros(weights.size, bool)
  while True:
    large = np.where(small, 0.0, weights)
    shares = large / large.sum() * (total - small.sum())
    # The slack keeps rounding errors from calling every entry small.
    found = ~small & (shares < 1 - 1e-9)
    if not found.any():
      break
    small |= found
  counts = np.maximum(np.floor(shares), 1).astype(np.int64)
  order = np.argsort(np.where(small, 1.0, counts - shares), kind="stable")
  counts[order[: total - counts.sum()]] += 1
  return counts


def make_tables(pmfs: Sequence[np.ndarray], offsets: Sequence[int]) -> Tables:
  """Makes tables from probabilities.

  Args:
    pmfs: for each table the probabilities of consecutive integers, float; what
      is missing to one goes to the escape.
    offsets: for each table the integer of its first probability.

  Returns:
    The tables, in the order given.

  Raises:
    ValueError: a list is empty or too long, holds numbers that are no
      probabilities, or sums to more than one (beyond 1e-4).
  """
  if not pmfs or len(pmfs) != len(offsets):
    raise ValueError(f"got {len(pmfs)} lists and {len(offsets)} offsets")
  rows = []
  for number, pmf in enumerate(pmfs):
    pmf = np.asarray(pmf, np.float64)
    if not (pmf.sum() <= 1 + 1e-4):
      raise ValueError(f"probabilities of table {number} exceed one")
    rows.append(apportion(np.append(pmf, max(0.0, 1.0 - pmf.sum()))))
  return Tables(
    np.asarray(offsets),
    np.array([row.size for row in rows]),
    np.concatenate(rows),
  )


@functools.cache
def class_frequencies() -> np.ndarray:
  """int64 [CLASSES], frequencies of the escape code's classes."""
  return apportion(0.5 ** np.arange(1, CLASSES + 1))


@functools.cache
def class_bits() -> np.ndarray:
  """float64 [CLASSES], what the escape code's classes cost in bits."""
  return -np.log2(class_frequencies() / TOTAL)


@functools.cache
def load_tables() -> Tables:
  """The generalized Gaussian's tables of format version 1.

  Table `shape_level * NUM_SCALES + scale_level` of `roijax.coding.grid` is the
  zero-mean distribution of that shape and scale over unit bins. They depend on
  no weights and were made once (`roijax.coding.make_tables`).
  """
  package = importlib.resources.files("roijax.coding")
  with np.load(io.BytesIO((package / "tables_v1.npz").read_bytes())) as file:
    return unfold(file["halves"], file["supports"])


def unfold(halves: np.ndarray, supports: np.ndarray) -> Tables:
  """Expands symmetric tables from the form in which they are stored.

  Args:
    halves: integers, for each table half the frequency of 0, the frequencies
      of 1 ... support, half the frequency of the escape; together 32768.
    supports: integers [T], the largest covered integer of each table.

  Returns:
    Tables over -support ... support.
  """
  supports = supports.astype(np.int64)
  ends = np.cumsum(supports + 2)
  rows = []
  for half in np.split(halves.astype(np.uint32), ends[:-1]):
    sides, middle, escape = half[1:-1], 2 * half[:1], 2 * half[-1:]
    rows += [sides[::-1], middle, sides, escape]
  return Tables(-supports, 2 * supports + 2, np.concatenate(rows))
