"""Bytes and varints, written and read forward."""

from roijax.errors import BitstreamError

VARINT_BYTES = 5


def put_varint(out: bytearray, value: int) -> None:
  """Appends `value` seven bits a byte, low bits first, high bit = more.

  Raises:
    ValueError: the value is negative or has more than 35 binary digits.
  """
  if not 0 <= value < 1 << 7 * VARINT_BYTES:
    raise ValueError(f"{value} cannot be written as a varint")
  while value > 127:
    out.append(value & 127 | 128)
    value >>= 7
  out.append(value)


class Cursor:
  """Reads forward through bytes; the end is an error of its own.

  Args:
    data: the whole file.

  Attributes:
    place: how many bytes have been read.
  """

  def __init__(self, data: bytes):
    self._data = data
    self.place = 0

  def take(self, count: int) -> bytes:
    """The next bytes.

    Raises:
      BitstreamError: there are not so many.
    """
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
    """The next byte."""
    return self.take(1)[0]

  def varint(self) -> int:
    """The next number.

    Raises:
      BitstreamError: it is malformed, or the file ends.
    """
    value = 0
    for place in range(VARINT_BYTES):
      byte = self.byte()
      value |= (byte & 127) << 7 * place
      if byte < 128:
        # One number, one form: a file that is read and written stays itself.
        if place and not byte:
          break
        return value
    raise BitstreamError("this .roij file is damaged: a number is malformed")
