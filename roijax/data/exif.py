"""Exif blocks: set upright, rid of their thumbnail, otherwise as they were.

A block is a small TIFF file: a header, directories of 12-byte entries, values.
It is mended in place, for makers' notes hold offsets that do not survive
rewriting. `block` always means these bytes without the `Exif\\0\\0` that JPEG
puts before them. (CIPA DC-008, Exif 2.32, sections 4.5 and 4.6.)
"""

import struct

from PIL import Image

PREFIX = b"Exif\0\0"

_ORIENTATION = 0x0112
_THUMBNAIL, _THUMBNAIL_BYTES = 0x0201, 0x0202
_EXIF, _GPS = 0x8769, 0x8825
_ENTRY = 12

# What describes the picture, not the file: description, make, model,
# software, date, artist, copyright.
_DESCRIPTIONS = (0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x8298)
# Maker's note, link to the interoperability directory: offsets.
_OFFSETS = (0x927C, 0xA005)


def read_exif(image: Image.Image) -> tuple[bytes | None, int, str | None]:
  """Takes the Exif block out of a picture that Pillow has decoded.

  Args:
    image: with its pixels loaded: some formats store Exif behind them, and
      Pillow turns a TIFF upright by itself while it loads it.

  Returns:
    The block with its orientation set to 1, or None; the orientation still to
    be applied, 1 to 8; a note for the user where a block had to be dropped.
  """
  raw = _find_raw(image)
  if raw is None:
    return _describe(image), _pillow_orientation(image), None
  try:
    block, orientation = mend(raw)
  except (struct.error, ValueError):
    return None, 1, "its damaged Exif block is dropped"
  return block, orientation or _pillow_orientation(image), None


def mend(block: bytes) -> tuple[bytes, int | None]:
  """Sets the orientation to 1 and takes the thumbnail out.

  The thumbnail would be the largest thing in a small `.roij` file, and shows
  the photo before it was turned and cropped.

  Args:
    block: an Exif block.

  Returns:
    The mended block; the orientation it had, None where it had no valid one.

  Raises:
    ValueError: it is no Exif block.
    struct.error: it ends too early.
  """
  data = bytearray(block)
  order = {b"II*\0": "<", b"MM\0*": ">"}.get(bytes(data[:4]))
  if order is None:
    raise ValueError("no TIFF header")
  (first,) = struct.unpack_from(f"{order}I", data, 4)
  entries, end = _read_directory(data, order, first)
  orientation = None
  for kind, place, value in entries:
    if kind == _ORIENTATION:
      orientation = value if value in range(1, 9) else None
      struct.pack_into(f"{order}HHIHH", data, place, kind, 3, 1, 1, 0)
  if len(data) >= end + 4:
    (second,) = struct.unpack_from(f"{order}I", data, end)
    struct.pack_into(f"{order}I", data, end, 0)
    if second:
      _blank_thumbnail(data, order, second, end + 4)
  return bytes(data), orientation


def pick_descriptions(block: bytes) -> bytes | None:
  """What of an Exif block may go into a TIFF file's own directory.

  The rest of its first directory, such as a width, would be taken for the
  file's.

  Args:
    block: an Exif block.

  Returns:
    A block of the descriptions, the Exif and the GPS directory; None where
    there are none.

  Raises:
    Exception: whatever Pillow raises where it cannot read the block.
  """
  found = Image.Exif()
  found.load(PREFIX + block)
  return _pick(found)


def _read_directory(data: bytearray, order: str, start: int):
  """Its entries as (tag, place, value where it is a number), and its end."""
  (count,) = struct.unpack_from(f"{order}H", data, start)
  end = start + 2 + _ENTRY * count
  if start < 8 or end > len(data):
    raise ValueError("a directory outside the block")
  entries = []
  for place in range(start + 2, end, _ENTRY):
    tag, kind, amount = struct.unpack_from(f"{order}HHI", data, place)
    form = {1: "B", 3: "H", 4: "I"}.get(kind) if amount == 1 else None
    value = None
    if form:
      (value,) = struct.unpack_from(order + form, data, place + 8)
    entries.append((tag, place, value))
  return entries, end


def _blank_thumbnail(
  data: bytearray, order: str, start: int, first_end: int
) -> None:
  """Zeroes it, which deflates to nothing; cuts it off where it comes last."""
  try:
    entries, end = _read_directory(data, order, start)
  except (struct.error, ValueError):
    return
  values = {tag: value for tag, _, value in entries}
  left, size = values.get(_THUMBNAIL), values.get(_THUMBNAIL_BYTES)
  if not left or not size or left < max(end, first_end):
    return
  if left + size >= len(data):
    del data[left:]
  else:
    data[left : left + size] = bytes(size)


def _find_raw(image: Image.Image) -> bytes | None:
  raw = image.info.get("exif")
  if raw is None and "Raw profile type exif" in image.info:
    # ImageMagick's way to put Exif into PNG: three lines, then hex digits.
    lines = str(image.info["Raw profile type exif"]).split("\n")
    try:
      raw = bytes.fromhex("".join(lines[3:]))
    except ValueError:
      raw = b"?"
  if not isinstance(raw, bytes) or not raw:
    return None
  while raw.startswith(PREFIX):
    raw = raw[len(PREFIX) :]
  return raw


def _pillow_orientation(image: Image.Image) -> int:
  """What Pillow knows: from XMP, or of an image that a program made."""
  try:
    orientation = image.getexif().get(_ORIENTATION, 1)
  except Exception:  # Whatever Pillow trips over in a damaged directory.
    return 1
  return orientation if orientation in range(1, 9) else 1


def _describe(image: Image.Image) -> bytes | None:
  """Makes a block of what a TIFF file's own directory says of the photo."""
  try:
    return _pick(image.getexif())
  except Exception:  # Whatever Pillow trips over in a damaged directory.
    return None


def _pick(found: Image.Exif) -> bytes | None:
  kept = Image.Exif()
  for tag in _DESCRIPTIONS:
    if tag in found:
      kept[tag] = found[tag]
  for tag in (_EXIF, _GPS):
    inner = {
      key: value
      for key, value in found.get_ifd(tag).items()
      if key not in _OFFSETS
    }
    if inner:
      kept[tag] = inner
  return kept.tobytes()[len(PREFIX) :] if len(kept) else None
