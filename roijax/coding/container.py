"""The `.roij` container, version 1: a header, boxes, streams, two checksums.

The layout, byte by byte, is in docs/format.md. The last checksum covers the
whole file and tells damage; the one before it covers the decoded symbols and
tells a machine that computes other table numbers than the encoder's did.
"""

import dataclasses
import zlib
from collections.abc import Iterable

import numpy as np

from roijax.coding import boxes as boxes_module
from roijax.coding.boxes import Box
from roijax.coding.cursor import Cursor, put_varint
from roijax.coding.groups import count_groups
from roijax.errors import BitstreamError, ConfigError

MAGIC = b"ROIJ"
VERSION = 1
FINGERPRINT_BYTES = 8
MAX_SIDE = 65535
QUALITY_STEPS = 32
BACKGROUND_STEPS = 255
WORD = 4
DEFAULT_BACKGROUND = 0.25
"""The level that is taken when none is asked for."""

MAX_PIXELS = 1 << 27
"""What readers let in when they are not asked for more."""

_CRC_BYTES = 4
_GREY, _BOUNDARY, _BOXES, _MASK, _ROUNDED = 1, 2, 4, 8, 16


@dataclasses.dataclass(frozen=True)
class Header:
  """What a decoder must know before it reads the streams.

  Attributes:
    fingerprint: 8 bytes that name the weights.
    width: of the photo in pixels, 1 to `MAX_SIDE`.
    height: likewise.
    quality_code: 0 to 255, see `quantize_quality`.
    background_code: 1 to 255, see `quantize_background`.
    grey: whether the photo has one channel in place of three.
    rounded: whether means are rounded to a grid, so that what a machine rounds
      otherwise in one pass does not reach the next; see `walk.MEAN_STEPS`.

  Raises:
    BitstreamError: a field is out of its range.
  """

  fingerprint: bytes
  width: int
  height: int
  quality_code: int
  background_code: int
  grey: bool = False
  rounded: bool = False

  def __post_init__(self):
    """Checks every range, for a header that is read and for one to write."""
    if len(self.fingerprint) != FINGERPRINT_BYTES:
      raise BitstreamError(
        f"a fingerprint has {FINGERPRINT_BYTES} bytes, not "
        f"{len(self.fingerprint)}"
      )
    for name, low, high in (
      ("width", 1, MAX_SIDE),
      ("height", 1, MAX_SIDE),
      ("quality_code", 0, 255),
      ("background_code", 1, 255),
    ):
      value = getattr(self, name)
      if not low <= value <= high:
        raise BitstreamError(
          f"{name} is {value}; a .roij file allows {low} to {high}"
        )

  @property
  def quality(self) -> float:
    """The quality that encoder and decoder use."""
    return self.quality_code / QUALITY_STEPS

  @property
  def background(self) -> float:
    """The background level that the encoder used, in (0, 1]."""
    return self.background_code / BACKGROUND_STEPS


@dataclasses.dataclass(frozen=True)
class Container:
  """A whole `.roij` file.

  Attributes:
    header: sizes, settings and the weights' name.
    boundary: (position, table number) pairs, positions ascending in the order
      in which symbols are coded: where the encoder's table number lay so close
      to a rounding boundary that another machine might take the other side.
      Normally empty.
    streams: the range coder's output for each group of latents (see
      `groups.split_groups`), of whole words of four bytes.
    symbols_crc: checksum of the decoded symbols, see `symbols_crc`.
    boxes: what travels beside the photo, see `boxes.Box`.
    mask: the mask's code (see `mask`), where the weights' decoder composites
      by a mask; None for all others.
  """

  header: Header
  boundary: tuple[tuple[int, int], ...]
  streams: tuple[bytes, ...]
  symbols_crc: int
  boxes: tuple[Box, ...] = ()
  mask: bytes | None = None

  @property
  def coded_bytes(self) -> int:
    """The size of all streams."""
    return sum(map(len, self.streams))

  def box(self, kind: str) -> bytes | None:
    """The content of the box of a kind; None where there is none."""
    return next((box.data for box in self.boxes if box.kind == kind), None)


def quantize_quality(quality: float) -> int:
  """The code of the nearest quality that a header can carry.

  Args:
    quality: 0 to 255 / 32, in steps of 1 / 32.

  Returns:
    The code; `code / QUALITY_STEPS` is the quality to use.

  Raises:
    ConfigError: `quality` is out of range.
  """
  highest = 255 / QUALITY_STEPS
  if not 0 <= quality <= highest:
    raise ConfigError(f"quality is {quality}; it must lie in [0, {highest:g}]")
  return round(quality * QUALITY_STEPS)


def quantize_background(background: float) -> int:
  """The code of the nearest background level that a header can carry.

  Args:
    background: importance of what is not of interest, above 0 (at least 1 /
      255 is kept) and at most 1.

  Returns:
    The code; `code / BACKGROUND_STEPS` is the level to use.

  Raises:
    ConfigError: `background` is out of range.
  """
  if not 0 < background <= 1:
    raise ConfigError(
      f"background is {background}; it must lie above 0 and at most at 1"
    )
  return max(1, round(background * BACKGROUND_STEPS))


def symbols_crc(symbols: Iterable[np.ndarray], crc: int = 0) -> int:
  """CRC-32 of integer arrays, one after another, as little-endian int32.

  Only the order of the numbers counts, not how they are split or shaped.

  Args:
    symbols: the arrays.
    crc: of what came before them.
  """
  for array in symbols:
    crc = zlib.crc32(np.asarray(array, "<i4").tobytes(), crc)
  return crc


def write(container: Container) -> bytes:
  """Returns the bytes of a `.roij` file.

  Raises:
    ValueError: boundary positions do not ascend, a number does not fit, or
      the streams are not one for each group, in whole words.
  """
  header = container.header
  if len(container.streams) != count_groups(header.height, header.width):
    raise ValueError("a file has one stream for each group of latents")
  out = bytearray(MAGIC)
  out.append(VERSION)
  out += header.fingerprint
  put_varint(out, header.width)
  put_varint(out, header.height)
  out.append(header.quality_code)
  out.append(header.background_code)
  out.append(
    _GREY * header.grey
    | _BOUNDARY * bool(container.boundary)
    | _BOXES * bool(container.boxes)
    | _MASK * (container.mask is not None)
    | _ROUNDED * header.rounded
  )
  if container.boundary:
    _write_boundary(out, container.boundary)
  if container.boxes:
    boxes_module.write(out, container.boxes)
  if container.mask is not None:
    put_varint(out, len(container.mask))
    out += container.mask
  for stream in container.streams:
    words, rest = divmod(len(stream), WORD)
    if rest:
      raise ValueError("a stream consists of whole words")
    put_varint(out, words)
    out += stream
  out += container.symbols_crc.to_bytes(_CRC_BYTES, "little")
  out += zlib.crc32(out).to_bytes(_CRC_BYTES, "little")
  return bytes(out)


def read(data: bytes) -> Container:
  """Reads the bytes of a `.roij` file and checks its checksum.

  Nothing larger than the file is allocated, but for compressed boxes, which
  have a limit of their own.

  Args:
    data: the whole file.

  Raises:
    BitstreamError: this is no `.roij` file, or one of a newer version,
      truncated, damaged, with something behind it, or of an absurd size.
  """
  if not data:
    raise BitstreamError("this is no .roij file: it is empty")
  if data[: len(MAGIC)] != MAGIC[: len(data)]:
    raise BitstreamError("this is no .roij file: it does not begin with ROIJ")
  cursor = Cursor(data)
  cursor.take(len(MAGIC))
  version = cursor.byte()
  if version != VERSION:
    raise BitstreamError(
      f"this .roij file has format version {version}; this roijax reads "
      f"version {VERSION}" + ("; update roijax" if version > VERSION else "")
    )
  fields = (
    cursor.take(FINGERPRINT_BYTES),
    cursor.varint(),
    cursor.varint(),
    cursor.byte(),
    cursor.byte(),
  )
  flags = cursor.byte()
  if flags >= 2 * _ROUNDED:
    raise BitstreamError(
      "this .roij file is damaged, or of a newer roijax: it has flags that "
      "this one does not know"
    )
  boundary = _read_boundary(cursor) if flags & _BOUNDARY else ()
  packed = boxes_module.read(cursor) if flags & _BOXES else ()
  mask = cursor.take(cursor.varint()) if flags & _MASK else None
  # Sizes are judged before the streams that they imply are counted.
  header = Header(
    *fields, grey=bool(flags & _GREY), rounded=bool(flags & _ROUNDED)
  )
  streams = tuple(
    cursor.take(WORD * cursor.varint())
    for _ in range(count_groups(header.height, header.width))
  )
  crc = int.from_bytes(cursor.take(_CRC_BYTES), "little")
  actual = zlib.crc32(data[: cursor.place])
  stated = int.from_bytes(cursor.take(_CRC_BYTES), "little")
  if stated != actual:
    raise BitstreamError("this .roij file is damaged: its checksum is wrong")
  if cursor.place != len(data):
    raise BitstreamError(
      f"this .roij file has {len(data) - cursor.place} trailing bytes that do "
      "not belong to it"
    )
  opened = boxes_module.open_all(packed)
  return Container(header, boundary, streams, crc, opened, mask)


def _write_boundary(out: bytearray, boundary) -> None:
  put_varint(out, len(boundary))
  # The first position may be 0; each later one is at least one further on.
  expected = 0
  for position, index in boundary:
    put_varint(out, position - expected)
    put_varint(out, index)
    expected = position + 1


def _read_boundary(cursor: Cursor) -> tuple[tuple[int, int], ...]:
  boundary = []
  expected = 0
  count = cursor.varint()
  if not count:
    raise BitstreamError("this .roij file is damaged: a list without entries")
  for _ in range(count):
    position = expected + cursor.varint()
    boundary.append((position, cursor.varint()))
    expected = position + 1
  return tuple(boundary)
