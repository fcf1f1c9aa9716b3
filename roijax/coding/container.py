"""The `.roij` container, version 1: a header, one coded stream, two checksums.

The layout, byte by byte, is in docs/format.md. The last checksum covers the
whole file and tells damage; the one before it covers the decoded symbols and
tells a machine that computes other table numbers than the encoder's did.
"""

import dataclasses
import zlib
from collections.abc import Iterable

import numpy as np

from roijax.errors import BitstreamError, ConfigError

MAGIC = b"ROIJ"
VERSION = 1
FINGERPRINT_BYTES = 8
MAX_SIDE = 65535
MAX_PIXELS = 1 << 28
QUALITY_STEPS = 32
BACKGROUND_STEPS = 255

_CRC_BYTES = 4
_VARINT_BYTES = 5


@dataclasses.dataclass(frozen=True)
class Header:
  """What a decoder must know before it reads the stream.

  Attributes:
    fingerprint: 8 bytes that name the weights.
    width: of the photo in pixels, 1 to `MAX_SIDE`.
    height: likewise; width * height is at most `MAX_PIXELS`.
    quality_code: 0 to 255, see `quantize_quality`.
    background_code: 1 to 255, see `quantize_background`.

  Raises:
    BitstreamError: a field is out of its range.
  """

  fingerprint: bytes
  width: int
  height: int
  quality_code: int
  background_code: int

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
    if self.width * self.height > MAX_PIXELS:
      raise BitstreamError(
        f"{self.width}x{self.height} pixels are too many; a .roij file allows "
        f"{MAX_PIXELS:,}"
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
    payload: the range coder's stream.
    symbols_crc: checksum of the decoded symbols, see `symbols_crc`.
  """

  header: Header
  boundary: tuple[tuple[int, int], ...]
  payload: bytes
  symbols_crc: int


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


def symbols_crc(symbols: Iterable[np.ndarray]) -> int:
  """CRC-32 of integer arrays, one after another, as little-endian int32.

  Only the order of the numbers counts, not how they are split or shaped.
  """
  crc = 0
  for array in symbols:
    crc = zlib.crc32(np.asarray(array, "<i4").tobytes(), crc)
  return crc


def write(container: Container) -> bytes:
  """Returns the bytes of a `.roij` file.

  Raises:
    ValueError: boundary positions do not ascend, or a number does not fit.
  """
  header = container.header
  out = bytearray(MAGIC)
  out.append(VERSION)
  out += header.fingerprint
  _put_varint(out, header.width)
  _put_varint(out, header.height)
  out.append(header.quality_code)
  out.append(header.background_code)
  _put_varint(out, len(container.boundary))
  # The first position may be 0; each later one is at least one further on.
  expected = 0
  for position, index in container.boundary:
    _put_varint(out, position - expected)
    _put_varint(out, index)
    expected = position + 1
  _put_varint(out, len(container.payload))
  out += container.payload
  out += container.symbols_crc.to_bytes(_CRC_BYTES, "little")
  out += zlib.crc32(out).to_bytes(_CRC_BYTES, "little")
  return bytes(out)


def read(data: bytes) -> Container:
  """Reads the bytes of a `.roij` file and checks its checksum.

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
  cursor = _Cursor(data)
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
  boundary = _read_boundary(cursor)
  payload = cursor.take(cursor.varint())
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
  return Container(Header(*fields), boundary, payload, crc)


def _read_boundary(cursor: "_Cursor") -> tuple[tuple[int, int], ...]:
  boundary = []
  expected = 0
  for _ in range(cursor.varint()):
    position = expected + cursor.varint()
    boundary.append((position, cursor.varint()))
    expected = position + 1
  return tuple(boundary)


def _put_varint(out: bytearray, value: int) -> None:
  """Appends `value` seven bits a byte, low bits first, high bit = more."""
  if not 0 <= value < 1 << 7 * _VARINT_BYTES:
    raise ValueError(f"{value} cannot be written as a varint")
  while value > 127:
    out.append(value & 127 | 128)
    value >>= 7
  out.append(value)


class _Cursor:
  """Reads forward through bytes; the end is an error of its own."""

  def __init__(self, data: bytes):
    self._data = data
    self.place = 0

  def take(self, count: int) -> bytes:
    end = self.place + count
    if end > len(self._data):
      raise BitstreamError(
        f"this .roij file is truncated: {len(self._data)} bytes, at least "
        f"{end} expected"
      )
    taken = bytes(self._data[self.place : end])
    self.place = end
    return taken

  def byte(self) -> int:
    return self.take(1)[0]

  def varint(self) -> int:
    value = 0
    for place in range(_VARINT_BYTES):
      byte = self.byte()
      value |= (byte & 127) << 7 * place
      if byte < 128:
        # One number, one form: a file that is read and written stays itself.
        if place and not byte:
          break
        return value
    raise BitstreamError("this .roij file is damaged: a number is malformed")
