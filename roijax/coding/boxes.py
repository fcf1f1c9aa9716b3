"""Boxes: what travels beside a photo in its `.roij` file.

| number | kind  | content                                     | in the file |
| ------ | ----- | ------------------------------------------- | ----------- |
| 1      | icc   | the colour profile                          | zlib        |
| 2      | exif  | the Exif block, upright                     | zlib        |
| 3      | alpha | a PNG of one 8-bit channel, the photo's size | as it is    |
| 4      | mask  | likewise: the region of interest            | as it is    |

A decoder needs none of them to decode; it passes over numbers it does not
know.
"""

import dataclasses
import zlib
from collections.abc import Sequence

from roijax.coding.cursor import Cursor, put_varint
from roijax.errors import BitstreamError

KINDS = {"icc": 1, "exif": 2, "alpha": 3, "mask": 4}
DEFLATED = ("icc", "exif")

MAX_INFLATED = 1 << 24
"""No profile is larger; what inflates to more is an attack."""

_NAMES = {number: kind for kind, number in KINDS.items()}


@dataclasses.dataclass(frozen=True)
class Box:
  """One box.

  Attributes:
    kind: a key of `KINDS`, or "unknown N" for a number that is not there.
    data: the content, as the table above says, not deflated.
    size: its bytes in the file it was read from; None for one to write.
  """

  kind: str
  data: bytes
  size: int | None = dataclasses.field(default=None, compare=False)


def _number(kind: str) -> int:
  if kind in KINDS:
    return KINDS[kind]
  words = kind.split()
  if len(words) == 2 and words[0] == "unknown" and words[1].isdigit():
    return int(words[1])
  raise ValueError(f"no box {kind!r}: there are {', '.join(KINDS)}")


def write(out: bytearray, boxes: Sequence[Box]) -> None:
  """Appends boxes, in ascending order of their numbers.

  Raises:
    ValueError: an unknown kind, or two of one.
  """
  numbers = [_number(box.kind) for box in boxes]
  if len(set(numbers)) != len(numbers):
    raise ValueError("a file has one box of a kind")
  put_varint(out, len(boxes))
  for number, box in sorted(
    zip(numbers, boxes, strict=True), key=lambda pair: pair[0]
  ):
    data = zlib.compress(box.data, 9) if box.kind in DEFLATED else box.data
    put_varint(out, number)
    put_varint(out, len(data))
    out += data


def read(cursor: Cursor) -> tuple[Box, ...]:
  """Reads boxes as they lie in the file; `open_all` makes them readable.

  Raises:
    BitstreamError: their numbers do not ascend, or the file ends.
  """
  found: list[Box] = []
  last = 0
  count = cursor.varint()
  if not count:
    raise BitstreamError("this .roij file is damaged: a list without entries")
  for _ in range(count):
    number = cursor.varint()
    if number <= last:
      raise BitstreamError("this .roij file is damaged: boxes out of order")
    last = number
    data = cursor.take(cursor.varint())
    kind = _NAMES.get(number, f"unknown {number}")
    found.append(Box(kind, data, len(data)))
  return tuple(found)


def open_all(boxes: Sequence[Box]) -> tuple[Box, ...]:
  """Inflates what is deflated.

  Raises:
    BitstreamError: a box cannot be inflated, or grows beyond `MAX_INFLATED`.
  """
  return tuple(
    dataclasses.replace(box, data=_inflate(box))
    if box.kind in DEFLATED
    else box
    for box in boxes
  )


def _inflate(box: Box) -> bytes:
  inflater = zlib.decompressobj()
  try:
    data = inflater.decompress(box.data, MAX_INFLATED)
  except zlib.error as error:
    raise BitstreamError(
      f"this .roij file's {box.kind} box is damaged: {error}"
    ) from error
  if not inflater.eof or inflater.unused_data:
    raise BitstreamError(
      f"this .roij file's {box.kind} box is damaged, or holds more than "
      f"{MAX_INFLATED:,} bytes"
    )
  return data
