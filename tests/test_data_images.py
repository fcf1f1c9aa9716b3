"""Photos are read and written exactly, or refused with one clear line."""

import io

import numpy as np
import pytest
from PIL import Image

from roijax.coding import container
from roijax.data import images
from roijax.errors import DataError, RoijaxError


@pytest.fixture
def photo():
  return np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)


def save(path, mode, **options):
  Image.new(mode, (20, 20)).save(path, **options)
  return path


def assert_one_line(info):
  assert "\n" not in str(info.value)


@pytest.mark.parametrize("suffix", [".png", ".PNG", ".tif", ".webp", ".ppm"])
def test_lossless_formats_keep_every_pixel(tmp_path, photo, suffix):
  path = tmp_path / f"new/photo{suffix}"
  images.write_image(path, photo)
  np.testing.assert_array_equal(images.read_image(path), photo)
  assert [p.name for p in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", sorted(set(images.SUFFIXES)))
def test_every_suffix_can_be_written_and_read(tmp_path, suffix):
  smooth = np.full((24, 32, 3), (200, 120, 40), np.uint8)
  images.write_image(tmp_path / f"a{suffix}", smooth)
  read = images.read_image(tmp_path / f"a{suffix}")
  assert read.dtype == np.uint8
  np.testing.assert_allclose(read.astype(int), smooth, atol=3)


def test_exif_orientation_turns_the_photo_upright(tmp_path, photo):
  path = tmp_path / "a.png"
  exif = Image.Exif()
  exif[274] = 6  # Stored on its side: to be turned a quarter clockwise.
  Image.fromarray(photo).save(path, exif=exif)
  np.testing.assert_array_equal(images.read_image(path), np.rot90(photo, -1))
  stored = images.decode_image(path.read_bytes(), "a.png", upright=False)
  np.testing.assert_array_equal(stored, photo)


@pytest.mark.parametrize(
  ("mode", "suffix", "words"),
  [
    ("L", "png", "is grey"),
    ("1", "png", "black and white"),
    ("LA", "png", "transparency"),
    ("RGBA", "png", "transparency"),
    ("P", "png", "palette"),
    ("CMYK", "jpg", "CMYK"),
    ("I;16", "png", "16 bits"),
    ("F", "tif", "more than 8 bits"),
    ("LAB", "tif", "not RGB"),
  ],
)
def test_what_is_not_8_bit_rgb_is_refused(tmp_path, mode, suffix, words):
  path = tmp_path / f"a.{suffix}"
  with pytest.raises(DataError, match=words) as info:
    images.read_image(save(path, mode))
  assert str(path) in str(info.value)
  assert "convert it first" in str(info.value)
  assert_one_line(info)


def test_16_bit_rgb_is_refused_although_pillow_opens_it(tmp_path):
  import struct
  import zlib

  def chunk(kind, data):
    crc = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)

  header = struct.pack(">IIBBBBB", 20, 20, 16, 2, 0, 0, 0)
  pixels = zlib.compress((b"\0" + bytes(20 * 6)) * 20)
  path = tmp_path / "deep.png"
  path.write_bytes(
    b"\x89PNG\r\n\x1a\n"
    + chunk(b"IHDR", header)
    + chunk(b"IDAT", pixels)
    + chunk(b"IEND", b"")
  )
  with pytest.raises(DataError, match="16 bits"):
    images.read_image(path)


def test_a_transparent_colour_is_refused(tmp_path):
  path = save(tmp_path / "a.png", "RGB", transparency=(0, 0, 0))
  with pytest.raises(DataError, match="transparent colour"):
    images.read_image(path)


def test_a_tiny_photo_is_refused_with_its_size(tmp_path):
  Image.new("RGB", (1, 1)).save(tmp_path / "a.png")
  with pytest.raises(DataError, match="is 1x1 pixels; the smallest side is 16"):
    images.read_image(tmp_path / "a.png")


# Pillow warns of the TIFF's tags before it gives up.
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "BMP"])
def test_a_truncated_photo_is_one_line(tmp_path, photo, kind):
  buffer = io.BytesIO()
  Image.fromarray(photo).save(buffer, format=kind)
  data = buffer.getvalue()
  for length in (0, 1, 12, len(data) // 2):
    path = tmp_path / "a"
    path.write_bytes(data[:length])
    with pytest.raises(DataError) as info:
      images.read_image(path)
    assert_one_line(info)


def test_missing_folder_and_foreign_files_are_named(tmp_path):
  with pytest.raises(DataError, match="no such photo"):
    images.read_image(tmp_path / "none.png")
  with pytest.raises(DataError, match="is a folder"):
    images.read_image(tmp_path)
  (tmp_path / "a.txt").write_text("words")
  with pytest.raises(DataError, match="not an image"):
    images.read_image(tmp_path / "a.txt")
  (tmp_path / "a.png").write_bytes(container.MAGIC + b" and more")
  with pytest.raises(DataError, match="`roijax decompress`"):
    images.read_image(tmp_path / "a.png")


def test_an_unknown_suffix_is_refused_before_writing(tmp_path, photo):
  for name, words in (("a.xyz", "unknown suffix '.xyz'"), ("a", "no suffix")):
    with pytest.raises(DataError, match=words):
      images.write_image(tmp_path / name, photo)
  assert not list(tmp_path.iterdir())


def test_a_path_that_cannot_be_written_is_one_line(tmp_path, photo):
  (tmp_path / "file").write_text("")
  with pytest.raises(RoijaxError, match="cannot write") as info:
    images.write_image(tmp_path / "file/a.png", photo)
  assert_one_line(info)
