"""Damaged and hostile picture files: one line, or a picture, never more."""

import concurrent.futures
import struct
import warnings
import zlib

import numpy as np
import picture_files
import pytest
from picture_files import SRGB, chunk, save
from PIL import Image, ImageFile

from roijax.data import picture
from roijax.data.picture import decode_picture, make_picture, read_picture
from roijax.errors import DataError

PIXELS = np.random.default_rng(1).integers(0, 256, (20, 24, 4), np.uint8)
EXIF = b"Exif\0\0" + picture_files.camera_exif(6)


def make_files():
  """One file of each kind that has its own reader or its own path in one."""
  rgba = Image.fromarray(PIXELS)
  rgb, grey = rgba.convert("RGB"), rgba.convert("L")
  inks = picture_files.ink_profile()
  more = {"exif": EXIF, "icc_profile": SRGB}
  frames = {"save_all": True, "append_images": [rgb.rotate(180)]}
  return {
    "png": save(rgba, "PNG", **more),
    "png palette": save(rgb.quantize(9), "PNG", transparency=b"\0\x50\xff"),
    "png 16": picture_files.png16(PIXELS[..., :3].astype(np.uint16) * 257),
    "png frames": save(rgb, "PNG", **frames),
    "jpeg": save(rgb, "JPEG", **more),
    "jpeg cmyk": save(rgb.convert("CMYK"), "JPEG", icc_profile=inks),
    "mpo": save(rgb, "MPO", **frames),
    "webp": save(rgba, "WEBP", **more),
    "webp frames": save(rgb, "WEBP", **frames),
    "avif": save(rgba, "AVIF", **more),
    "tiff": save(rgba, "TIFF", exif=EXIF),
    "tiff lzw": save(rgb, "TIFF", compression="tiff_lzw", icc_profile=SRGB),
    "tiff frames": save(rgb, "TIFF", **frames),
    "jpeg 2000": save(rgba, "JPEG2000"),
    "gif": save(rgb.quantize(16), "GIF", **frames),
    "bmp": save(rgb, "BMP"),
    "ppm": save(grey, "PPM"),
    "ico": save(rgba, "ICO"),
  }


FILES = make_files()


def read_or_refuse(data):
  """The picture, or None where a single line named the file."""
  try:
    found = decode_picture(data, "the file", max_pixels=1 << 20)
  except DataError as error:
    assert "the file" in str(error)
    assert "\n" not in str(error)
    return None
  assert found.image.dtype == np.uint8
  if found.alpha is not None:
    assert found.alpha.shape == found.image.shape[:2]
  return found


@pytest.mark.parametrize("kind", FILES)
def test_a_truncated_file_is_a_line_or_a_picture(kind):
  data = FILES[kind]
  assert read_or_refuse(data) is not None
  for length in np.linspace(0, len(data) - 1, 24).astype(int):
    read_or_refuse(data[:length])
  # Half a file never passes for a whole one.
  if kind not in ("gif", "mpo", "png frames"):
    assert read_or_refuse(data[: len(data) // 3]) is None


@pytest.mark.parametrize("kind", FILES)
def test_flipped_bytes_are_a_line_or_a_picture(kind):
  generator = np.random.default_rng(7)
  # A transform from a profile of four inks takes long to make.
  for step in range(10 if kind == "jpeg cmyk" else 40):
    data = bytearray(FILES[kind])
    # Headers are where the parsers are: half of the flips go there.
    reach = len(data) if step % 2 else min(len(data), 300)
    for place in generator.integers(0, reach, 1 + step % 3):
      data[place] = generator.integers(256)
    read_or_refuse(bytes(data))


def make_bombs():
  """Files that claim 60000x50000 pixels and hold next to nothing."""
  small = {
    kind: bytearray(save(Image.new("RGB", (32, 32)), kind))
    for kind in ("BMP", "GIF", "JPEG2000", "WEBP")
  }
  struct.pack_into("<ii", small["BMP"], 18, 60000, 50000)
  struct.pack_into("<HH", small["GIF"], 6, 60000, 50000)
  header = small["JPEG2000"].index(b"ihdr")
  struct.pack_into(">II", small["JPEG2000"], header + 4, 50000, 60000)
  tiff = bytearray(picture_files.tiff(np.zeros((2, 2), np.uint16), 1))
  start = struct.unpack_from("<I", tiff, 4)[0] + 2
  struct.pack_into("<I", tiff, start + 8, 60000)
  struct.pack_into("<I", tiff, start + 20, 50000)
  return {
    "png": picture_files.png(60000, 50000, 8, 2, b""),
    "ppm": b"P6 60000 50000 255\n",
    "tiff": bytes(tiff),
    **{kind.lower(): bytes(small[kind]) for kind in ("BMP", "GIF", "JPEG2000")},
  }


BOMBS = make_bombs()


@pytest.mark.parametrize("kind", BOMBS)
def test_a_bomb_is_refused_by_its_header(kind):
  with pytest.raises(DataError) as info:
    decode_picture(BOMBS[kind], f"bomb.{kind}")
  assert str(info.value) == (
    f"bomb.{kind} is 60000x50000 pixels; the limit is 134217728: raise it "
    "with --max-pixels"
  )


def test_a_bomb_that_pillow_refuses_first_is_told_alike():
  data = bytearray(save(Image.new("RGBA", (32, 32)), "WEBP", exif=EXIF))
  place = data.index(b"VP8X") + 12
  data[place : place + 6] = (16382).to_bytes(3, "little") * 2
  # Before Pillow 13 the decoder itself found that the frame is too small.
  words = r"(16383x16383|more than) .* --max-pixels|cannot be decoded"
  with pytest.raises(DataError, match=words):
    decode_picture(bytes(data), "a.webp")
  data = bytearray(save(Image.new("RGBA", (32, 32)), "ICO", sizes=[(32, 32)]))
  place = data.index(b"IHDR")
  bomb = picture_files.png(60000, 50000, 8, 6, b"")
  data[place : place + 21] = bomb[12:33]
  with pytest.raises(DataError, match=r"has more than .* --max-pixels"):
    decode_picture(bytes(data), "a.ico")


def test_the_limit_is_the_callers_to_the_pixel():
  data = save(Image.new("RGB", (30, 20)), "PNG")
  assert decode_picture(data, "a", max_pixels=600).image.shape == (20, 30, 3)
  with pytest.raises(DataError, match="is 30x20 pixels; the limit is 599"):
    decode_picture(data, "a", max_pixels=599)


@pytest.mark.parametrize("kind", FILES)
def test_pillows_own_limit_neither_stops_nor_warns(monkeypatch, kind):
  monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 5)
  assert decode_picture(FILES[kind], "a").image.size >= 20 * 24
  assert Image.MAX_IMAGE_PIXELS == 5


def test_metadata_bombs_are_one_line():
  zeros = zlib.compress(bytes(1 << 24))
  for name, content in (
    (b"iCCP", b"p\0\0" + zeros),
    (b"zTXt", b"p\0\0" + zeros),
    (b"iTXt", b"p\0\1\0\0\0" + zeros),
  ):
    data = picture_files.png(4, 4, 8, 0, bytes(16), chunk(name, content))
    with pytest.raises(DataError, match="too large"):
      decode_picture(data, "a.png")


def test_an_oversized_profile_is_dropped_and_told(monkeypatch):
  monkeypatch.setattr(picture, "MAX_METADATA", 100)
  found = decode_picture(FILES["jpeg"], "a")
  assert found.icc is None
  assert found.exif is not None or "Exif" in found.notes[-1]
  assert f"of {len(SRGB)} bytes is dropped" in found.notes[0]


def test_threads_leave_the_process_as_it_was():
  limit, filters = Image.MAX_IMAGE_PIXELS, list(warnings.filters)

  def read(turn):
    data = list(FILES.values())[turn % len(FILES)]
    if turn % 5 == 0:
      data = data[: len(data) // 3]
    try:
      decode_picture(data, "a", max_pixels=1000 + turn)
    except DataError:
      return False
    return True

  with concurrent.futures.ThreadPoolExecutor(8) as pool:
    done = list(pool.map(read, range(200)))
  assert all(done[turn] for turn in range(200) if turn % 5)
  assert limit == Image.MAX_IMAGE_PIXELS
  assert filters == warnings.filters
  assert not ImageFile.LOAD_TRUNCATED_IMAGES


def test_missing_foreign_and_empty_files_are_named(tmp_path):
  with pytest.raises(DataError, match="no such photo"):
    read_picture(tmp_path / "none.png")
  with pytest.raises(DataError, match="is a folder"):
    make_picture(tmp_path)
  for bad in ("nul\0byte", "x" * 5000):
    with pytest.raises(DataError, match="cannot read"):
      read_picture(bad)
  for content, words in ((b"", "empty file"), (b"words", "not an image")):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(DataError, match=words):
      read_picture(tmp_path / "a.png")


def test_a_postscript_file_starts_no_program():
  data = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n"
  with pytest.raises(DataError, match="not an image that Pillow can read"):
    decode_picture(data, "a.eps")
