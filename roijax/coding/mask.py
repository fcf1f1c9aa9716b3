"""The coded mask: which cells of a photo are the region's, without loss.

    cell by cell:  8 neighbours --> context --counts--> odds --> range coder
                                       ^                 |
                                       +-- +1 for the cell's value

The neighbours are those already coded: two rows up to here. Each context
counts the zeros and ones that it has seen, and starts with the odds that it
had in other photos. All of it is integers, so that every machine has the same
odds. Cell by cell in Python, the coder takes some microseconds each.

Source: ours; JBIG's (ITU-T T.82) is the same idea.
"""

import functools

import numpy as np

from roijax.coding.coder import Model, models, queue
from roijax.errors import BitstreamError

NEIGHBOURS = (
  (0, -1),
  (-1, -1),
  (-1, 0),
  (-1, 1),
  (0, -2),
  (-2, 0),
  (-1, 2),
  (-2, 1),
)
"""Rows and columns from the cell; the first is the context's lowest bit."""

START = np.frombuffer(
  bytes.fromhex(
    "01b30d58a9f253e95ad35795c2fb6bf7038a0258c3ea52f567d360b8d3fa7afd"
    "0279022a81e139d61360646b98f183f8096b022293c031e02b972b22a8c777fd"
    "0cdd0f49a7f762f05df93f92cdfe5cfb0eb61868dbe465f059eb51a2b8fd68ff"
    "07cb16349be032d545f35b4796f581f4119e1937c3ef85d947d59a8286e382fb"
    "02840734517b45b320b51b3babfa40d609880362a09c2bd125922b69e1df5aec"
    "01a0035845b80dc50b900b5194fa43f4098a0344669508ad1e780556aae344f7"
    "03b3086785a569e22ae6234de1ff65f70c7e1a6680b320e72da12f6bd8fc8cfb"
    "04c30b4e5fbe21b40eda1534bdfe55fd0da50c54b2cb25c21090235baeeb72ff"
  ),
  np.uint8,
)
"""Of 256 cells in each context, how many are the region's, at the start."""

GROWTH = 16
"""What a cell adds to its count: 16 cells weigh as much as the start."""

LIMIT = 1 << 16
"""Counts of a context that sum to more are halved."""

TOTAL = 1 << 12
"""Odds are multiples of 1 / 4096."""

NOTHING, EVERYTHING = b"\x00", b"\x01"
"""A file's codes for masks that are the same everywhere."""

FOREGROUND, BACKGROUND = "foreground", "background"
"""What synthesis is told of a mask that is the same all over its window."""
_REACH = 2


class _Contexts:
  """The counts of all contexts, as they grow."""

  def __init__(self):
    self._ones = START.astype(int).tolist()
    self._zeros = (256 - START.astype(int)).tolist()

  def model(self, context: int) -> Model:
    """The odds in a context."""
    ones = self._ones[context]
    share = ones * TOTAL // (ones + self._zeros[context])
    return _model(min(max(share, 1), TOTAL - 1))

  def count(self, context: int, value: int) -> None:
    """Notes what a cell was."""
    counts = self._ones if value else self._zeros
    counts[context] += GROWTH
    if self._ones[context] + self._zeros[context] > LIMIT:
      self._ones[context] = (self._ones[context] + 1) // 2
      self._zeros[context] = (self._zeros[context] + 1) // 2


@functools.cache
def _model(ones: int) -> Model:
  odds = np.array([TOTAL - ones, ones], np.float64) / TOTAL
  return models.Categorical(odds, perfect=False)


def encode_mask(mask: np.ndarray) -> bytes:
  """Codes a mask.

  Args:
    mask: bool [h, w], at least one cell.

  Returns:
    Some bytes: one where all cells are alike, at least two else.

  Raises:
    ValueError: it is no such mask.
  """
  if mask.ndim != 2 or mask.dtype != np.bool_ or not mask.size:
    raise ValueError(f"a mask is bool [h, w], not {mask.dtype} {mask.shape}")
  if mask.all() or not mask.any():
    return EVERYTHING if mask.any() else NOTHING
  encoder, known = queue.RangeEncoder(), _Contexts()
  contexts = find_contexts(mask).ravel().tolist()
  cells = zip(contexts, mask.ravel().tolist(), strict=True)
  for context, value in cells:
    encoder.encode(int(value), known.model(context))
    known.count(context, value)
  words = encoder.get_compressed().astype("<u4").tobytes()
  # The decoder reads zeros behind the end: those at the end need not be kept.
  return words.rstrip(b"\x00").ljust(2, b"\x00")


def mask_size(height: int, width: int, stride: int) -> tuple[int, int]:
  """Rows and columns of the cells that touch a photo of so many pixels."""
  return -(-height // stride), -(-width // stride)


def find_contexts(mask: np.ndarray) -> np.ndarray:
  """The context of every cell, uint8 like the mask; beyond its edges is 0."""
  height, width = mask.shape
  padded = np.pad(mask, ((_REACH, 0), (_REACH, _REACH))).astype(np.uint8)
  contexts = np.zeros(mask.shape, np.uint8)
  for bit, (row, column) in enumerate(NEIGHBOURS):
    top, left = _REACH + row, _REACH + column
    contexts |= padded[top : top + height, left : left + width] << bit
  return contexts


def decode_mask(data: bytes, height: int, width: int) -> np.ndarray:
  """Decodes a mask.

  Args:
    data: from `encode_mask`.
    height: in cells; whoever calls bounds the cells, which are all held.
    width: likewise.

  Returns:
    bool [height, width].

  Raises:
    BitstreamError: not what `encode_mask` gives for any mask of this size.
      Damage that gives another mask's code is not seen here: a file's
      checksums see it.
  """
  if data in (NOTHING, EVERYTHING):
    return np.full((height, width), data == EVERYTHING)
  mask = _decode_cells(data, height, width) if len(data) > 1 else None
  # One mask, one code: what is cut off, or goes on, is another one.
  if mask is None or encode_mask(mask) != data:
    raise BitstreamError(
      f"the mask of {width}x{height} cells is damaged: its {len(data)} bytes"
      " are no mask's code"
    )
  return mask


def _decode_cells(data: bytes, height: int, width: int) -> np.ndarray | None:
  """The cells; None where the coder meets what no encoder writes."""
  words = np.frombuffer(data.ljust(-(-len(data) // 4) * 4, b"\x00"), "<u4")
  decoder, known = queue.RangeDecoder(words.astype(np.uint32)), _Contexts()
  blank = [0] * (width + 2 * _REACH)
  rows, places = [blank, blank], list(enumerate(NEIGHBOURS))
  try:
    for _ in range(height):
      rows.append(list(blank))
      near = [(bit, rows[row - 1], column) for bit, (row, column) in places]
      for place in range(_REACH, _REACH + width):
        context = 0
        for bit, row, column in near:
          context |= row[place + column] << bit
        value = int(decoder.decode(known.model(context)))
        known.count(context, value)
        rows[-1][place] = value
  except AssertionError:
    # constriction's word for an interval that no encoder can produce.
    return None
  cells = np.array(rows[_REACH:], np.bool_)
  return cells[:, _REACH : _REACH + width]
