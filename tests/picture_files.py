"""Picture files that Pillow cannot write, made byte by byte."""

import io
import struct
import zlib

import numpy as np
from PIL import Image, ImageCms

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def save(image, kind, **options):
  """The bytes of a file; `image` is Pillow's or an array."""
  # Copies, for Pillow leaves an encoder's settings on what it saved.
  array = isinstance(image, np.ndarray)
  image = Image.fromarray(image) if array else image.copy()
  if "append_images" in options:
    more = [frame.copy() for frame in options["append_images"]]
    options = {**options, "append_images": more}
  buffer = io.BytesIO()
  image.save(buffer, kind, **options)
  return buffer.getvalue()


def chunk(kind, data):
  crc = zlib.crc32(kind + data)
  return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)


def png(width, height, depth, colour, pixels, *chunks):
  """A PNG of raw rows (each a multiple of 8 bits), with more chunks."""
  size = len(pixels) // height if pixels else 0
  rows = [
    pixels[size * y : size * (y + 1)] for y in range(height if size else 0)
  ]
  header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
  data = zlib.compress(b"".join(b"\0" + row for row in rows))
  return b"".join(
    [
      b"\x89PNG\r\n\x1a\n",
      chunk(b"IHDR", header),
      *chunks,
      chunk(b"IDAT", data),
      chunk(b"IEND", b""),
    ]
  )


def png16(values, *chunks):
  """A PNG of uint16 [H, W] or [H, W, C]."""
  colour = {1: 0, 2: 4, 3: 2, 4: 6}[1 if values.ndim == 2 else values.shape[2]]
  height, width = values.shape[:2]
  pixels = values.astype(">u2").tobytes()
  return png(width, height, 16, colour, pixels, *chunks)


def tiff(values, photometric, bits=16, sample_format=1):
  """An uncompressed little-endian TIFF of [H, W] or [H, W, 3]."""
  height, width = values.shape[:2]
  channels = 1 if values.ndim == 2 else values.shape[2]
  data = values.tobytes()
  data += b"\0" * (len(data) % 2)
  start = 8 + len(data)
  entries = [
    (256, width),
    (257, height),
    (258, bits),
    (259, 1),
    (262, photometric),
    (273, 8),
    (277, channels),
    (278, height),
    (279, len(data)),
    (339, sample_format),
  ]
  directory = struct.pack("<H", len(entries))
  for tag, value in entries:
    directory += struct.pack("<HHII", tag, 4, 1, value)
  return b"II*\0" + struct.pack("<I", start) + data + directory + bytes(4)


def grey_profile(gamma):
  """A minimal ICC profile of grey with a gamma. (ICC.1:2022, section 10.6.)"""
  curve = b"curv" + struct.pack(">IIH", 0, 1, round(gamma * 256))
  return _profile(b"GRAY", b"XYZ ", {b"kTRC": curve, b"wtpt": _white()})


def ink_profile():
  """One of CMYK in which each full ink takes a quarter of L*, without hue."""
  ramp = bytes(range(256))
  table = b"".join(
    bytes([255 - 255 * node.bit_count() // 4, 128, 128]) for node in range(16)
  )
  identity = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
  head = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + identity
  tables = head + ramp * 4 + table + ramp * 3
  return _profile(b"CMYK", b"Lab ", {b"A2B0": tables, b"wtpt": _white()})


def _white():
  return b"XYZ " + struct.pack(">I3i", 0, 0xF6D6, 0x10000, 0xD32D)


def _profile(space, connection, tags):
  place = 128 + 4 + 12 * len(tags)
  table, body = struct.pack(">I", len(tags)), b""
  for name, data in tags.items():
    table += name + struct.pack(">II", place + len(body), len(data))
    body += data + bytes(-len(data) % 4)
  device = b"prtr" if space == b"CMYK" else b"mntr"
  head = struct.pack(">I4sI", place + len(body), b"lcms", 0x02400000)
  head += device + space + connection + bytes(12) + b"acsp" + bytes(28)
  return (head + _white()[8:]).ljust(128, b"\0") + table + body


def camera_exif(orientation, order="<"):
  """An Exif block as cameras make it: a maker's note, a thumbnail behind."""
  note, thumbnail = b"MAKER NOTE", b"\xff\xd8 a thumbnail \xff\xd9" * 9
  first = 8 + 2 + 2 * 12 + 4
  inner = first + 2 + 2 * 12 + 4
  second = inner + len(note)
  picture = second + 2 + 2 * 12 + 4
  block = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(f"{order}I", 8)
  block += struct.pack(f"{order}HHHIHH", 2, 0x0112, 3, 1, orientation, 0)
  block += struct.pack(f"{order}HHIII", 0x8769, 4, 1, first, second)
  block += struct.pack(f"{order}HHHIHH", 2, 0x8827, 3, 1, 200, 0)
  block += struct.pack(f"{order}HHIII", 0x927C, 7, len(note), inner, 0)
  block += note
  block += struct.pack(f"{order}HHHII", 2, 0x0201, 4, 1, picture)
  block += struct.pack(f"{order}HHIII", 0x0202, 4, 1, len(thumbnail), 0)
  return block + thumbnail
