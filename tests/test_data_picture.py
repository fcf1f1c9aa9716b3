"""Every kind of picture is read as it looks, told of, and written back."""

import io
import struct

import numpy as np
import picture_files
import pytest
from picture_files import SRGB, save
from PIL import Image, ImageOps

from roijax.data import images, picture
from roijax.data.picture import Picture, decode_picture, make_picture
from roijax.errors import DataError, RoijaxError

GENERATOR = np.random.default_rng(0)
GREY = GENERATOR.integers(0, 256, (5, 7), np.uint8)
RGB = GENERATOR.integers(0, 256, (5, 7, 3), np.uint8)
RGBA = GENERATOR.integers(0, 256, (5, 7, 4), np.uint8)
LA = GENERATOR.integers(0, 256, (5, 7, 2), np.uint8)
DEEP = GENERATOR.integers(0, 65536, (5, 7, 4), np.uint16)


def check(found, image, alpha=None, *words):
  """Compares pixels, alpha, and one word of each note."""
  np.testing.assert_array_equal(found.image, image)
  assert found.image.dtype == np.uint8
  assert found.image.flags.c_contiguous
  if alpha is None:
    assert found.alpha is None
  else:
    np.testing.assert_array_equal(found.alpha, alpha)
  assert len(found.notes) == len(words), found.notes
  for note, word in zip(found.notes, words, strict=True):
    assert word in note
    assert "\n" not in note


def rounded(values):
  return np.rint(values / 257).astype(np.uint8)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM", "BMP"])
def test_grey_stays_grey_and_rgb_stays_rgb(kind):
  check(decode_picture(save(GREY, kind), "a"), GREY)
  check(decode_picture(save(RGB, kind), "a"), RGB)
  equal = np.repeat(GREY[..., None], 3, -1)
  check(decode_picture(save(equal, kind), "a"), equal)


def test_black_and_white_is_grey():
  check(
    decode_picture(save(Image.fromarray(GREY > 99), "PNG"), "a"),
    np.where(GREY > 99, 255, 0),
  )


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_alpha_lies_beside_the_colours(kind):
  check(decode_picture(save(RGBA, kind), "a"), RGBA[..., :3], RGBA[..., 3])
  check(decode_picture(save(LA, kind), "a"), LA[..., 0], LA[..., 1])


def test_opaque_alpha_is_dropped_without_a_word():
  opaque = np.dstack([RGB, np.full(GREY.shape, 255, np.uint8)])
  check(decode_picture(save(opaque, "PNG"), "a"), RGB)


def test_a_palette_becomes_its_colours():
  indexed = Image.fromarray(RGB).quantize(9)
  colours = np.asarray(indexed.convert("RGB"))
  check(decode_picture(save(indexed, "PNG"), "a"), colours)
  levels = bytes(range(0, 90, 10))
  check(
    decode_picture(save(indexed, "PNG", transparency=levels), "a"),
    colours,
    10 * np.asarray(indexed),
  )
  check(
    decode_picture(save(indexed, "GIF", transparency=3, optimize=False), "a"),
    colours,
    np.where(np.asarray(indexed) == 3, 0, 255),
  )


def test_a_transparent_colour_becomes_alpha():
  colour = tuple(int(value) for value in RGB[2, 3])
  expected = np.where((RGB[2, 3] == RGB).all(-1), 0, 255)
  assert (expected == 0).sum() == 1
  data = save(RGB, "PNG", transparency=colour)
  check(decode_picture(data, "a"), RGB, expected)
  grey = int(GREY[1, 1])
  data = save(GREY, "PNG", transparency=grey)
  check(decode_picture(data, "a"), GREY, np.where(grey == GREY, 0, 255))


def test_a_transparent_grey_of_two_bits_is_widened_like_the_pixels():
  key = picture_files.chunk(b"tRNS", struct.pack(">H", 1))
  data = picture_files.png(4, 1, 2, 0, bytes([0b00011011]), key)
  check(decode_picture(data, "a"), [[0, 85, 170, 255]], [[255, 0, 255, 255]])


def test_16_bits_of_grey_are_rounded_and_told():
  grey = DEEP[..., 0]
  for data in (
    picture_files.png16(grey),
    picture_files.tiff(grey, 1),
    picture_files.tiff(grey.astype("<i4"), 1, bits=32, sample_format=2),
    b"P5 7 5 65535\n" + grey.astype(">u2").tobytes(),
  ):
    check(decode_picture(data, "a"), rounded(grey), None, "rounded")
  inverted = picture_files.tiff(grey, 0)
  check(decode_picture(inverted, "a"), 255 - rounded(grey), None, "rounded")
  key = picture_files.chunk(b"tRNS", struct.pack(">H", grey[2, 2]))
  keyed = decode_picture(picture_files.png16(grey, key), "a")
  check(keyed, rounded(grey), np.where(grey == grey[2, 2], 0, 255), "rounded")


def test_every_16_bit_value_is_rounded_to_the_nearest():
  values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
  check(make_picture(values), np.rint(values / 257), None, "rounded")


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_16_bits_of_colour_are_cut_by_pillow_and_told(channels):
  values = DEEP[..., :channels]
  cut = values >> 8
  alpha = cut[..., -1] if channels in (2, 4) else None
  image = cut[..., 0] if channels == 2 else cut[..., :3]
  data = picture_files.png16(values)
  check(decode_picture(data, "a"), image, alpha, "cut off")


def test_what_lies_beyond_16_bits_is_refused():
  with pytest.raises(DataError, match=r"a\.tif holds floating-point"):
    decode_picture(save(DEEP[..., 0].astype(np.float32), "TIFF"), "a.tif")
  large = picture_files.tiff(DEEP[..., 0].astype("<i4") - 9, 1, 32, 2)
  with pytest.raises(DataError, match="more than 16 bits"):
    decode_picture(large, "a.tif")


def test_cmyk_goes_through_its_profile_where_it_has_one():
  inks = np.zeros((1, 3, 4), np.uint8)
  inks[0, 1, 0] = inks[0, 2] = 255
  image = Image.frombytes("CMYK", (3, 1), inks.tobytes())
  data = save(image, "TIFF", icc_profile=picture_files.ink_profile())
  found = decode_picture(data, "a")
  # L* of 100, 75 and 0 in sRGB.
  np.testing.assert_allclose(
    found.image, [[[255] * 3, [185] * 3, [0] * 3]], atol=1
  )
  assert found.icc is None
  assert "through its colour profile, which is dropped" in found.notes[0]
  plain = [[[255, 255, 255], [0, 255, 255], [0, 0, 0]]]
  check(decode_picture(save(image, "TIFF"), "a"), plain, None, "no colour")
  for unfit in (SRGB, picture_files.ink_profile()[:300]):
    data = save(image, "TIFF", icc_profile=unfit)
    found = decode_picture(data, "a")
    check(found, plain, None, "damaged or unfit, and dropped")
    assert found.icc is None


def test_other_colours_become_rgb():
  lab = picture_files.save(
    Image.frombytes("LAB", (2, 1), bytes([128, 0, 0, 255, 0, 0])),
    "TIFF",
  )
  found = decode_picture(lab, "a")
  np.testing.assert_allclose(found.image, [[[119] * 3, [255] * 3]], atol=1)
  assert "LAB" in found.notes[0]
  ycbcr = Image.fromarray(RGB).convert("YCbCr")
  ycbcr.info["icc_profile"] = SRGB
  found = make_picture(ycbcr)
  check(found, np.asarray(ycbcr.convert("RGB")), None, "YCbCr")
  assert found.icc == SRGB


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF", "AVIF"])
def test_the_first_of_several_frames_is_taken_and_told(kind):
  frames = [
    Image.fromarray(np.full((24, 32, 3), v, np.uint8)) for v in (9, 200)
  ]
  data = save(frames[0], kind, save_all=True, append_images=frames[1:])
  found = decode_picture(data, "a")
  np.testing.assert_allclose(found.image, np.full((24, 32, 3), 9), atol=2)
  assert found.notes == ("the first of its 2 frames is taken",)
  alone = decode_picture(save(frames[0], kind), "a")
  assert alone.notes == ()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_orientation_is_applied_to_image_and_alpha(kind, orientation):
  exif = Image.Exif()
  exif[0x0112], exif[0x010F] = orientation, "Maker"
  options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
  data = save(RGBA, kind, exif=exif.tobytes(), **options)
  with Image.open(io.BytesIO(data)) as opened:
    upright = np.asarray(ImageOps.exif_transpose(opened))
  found = decode_picture(data, "a")
  check(found, upright[..., :3], upright[..., 3])
  kept = Image.Exif()
  kept.load(found.exif)
  assert kept.get(0x0112, 1) == 1
  assert kept[0x010F] == "Maker"


@pytest.mark.parametrize("order", ["<", ">"])
def test_exif_keeps_all_but_orientation_and_thumbnail(order):
  block = picture_files.camera_exif(6, order)
  data = save(RGB, "PNG", exif=b"Exif\0\0" + block)
  found = decode_picture(data, "a")
  np.testing.assert_array_equal(found.image, np.rot90(RGB, -1))
  assert b"thumbnail" not in found.exif
  upright = picture_files.camera_exif(1, order)[: len(found.exif)]
  differing = sum(a != b for a, b in zip(found.exif, upright, strict=True))
  # Only the link to the thumbnail's directory.
  assert 1 <= differing <= 4
  assert b"MAKER NOTE" in found.exif


def test_an_orientation_in_xmp_counts_as_in_training(tmp_path):
  xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/" tiff:Orientation="3"/>'
  (tmp_path / "a.webp").write_bytes(save(RGB, "WEBP", lossless=True, xmp=xmp))
  check(picture.read_picture(tmp_path / "a.webp"), RGB[::-1, ::-1])


def test_a_damaged_exif_block_is_dropped_and_told():
  data = save(RGB, "PNG", exif=b"Exif\0\0" + b"II*\0\x08\0\0\0\xff")
  found = decode_picture(data, "a")
  check(found, RGB, None, "damaged Exif")
  assert found.exif is None


def test_a_profile_is_kept_where_it_fits():
  grey = picture_files.grey_profile(1.8)
  for pixels, profile in ((GREY, grey), (RGB, SRGB), (RGBA, SRGB)):
    found = decode_picture(save(pixels, "PNG", icc_profile=profile), "a")
    assert found.icc == profile
    assert found.notes == ()
  for pixels, profile in ((GREY, SRGB), (RGB, grey)):
    found = decode_picture(save(pixels, "PNG", icc_profile=profile), "a")
    assert found.icc is None
    assert "colour profile is dropped" in found.notes[0]


@pytest.mark.parametrize("suffix", images.SUFFIXES)
@pytest.mark.parametrize("size", [(1, 1), (3, 5), (24, 32)])
def test_what_is_written_is_read_back(tmp_path, suffix, size):
  lossless = suffix not in (".avif", ".jpg", ".jpeg")
  profile = picture_files.grey_profile(2.2)
  height, width = size
  ramp = np.linspace(40, 200, width).astype(np.uint8)
  grey = np.repeat(ramp[None], height, 0)
  rgb = np.stack([grey, grey[:, ::-1], np.full(size, 90, np.uint8)], -1)
  alpha = grey.copy()
  exif, _ = picture.exif.mend(picture_files.camera_exif(6))
  for written in (
    Picture(grey, None, profile),
    Picture(rgb, None, SRGB, exif),
    Picture(grey, alpha),
    Picture(rgb, alpha, SRGB, exif),
  ):
    path = tmp_path / f"new/a{suffix}"
    if written.alpha is not None and suffix in (
      ".jpg",
      ".jpeg",
      ".bmp",
      ".ppm",
    ):
      with pytest.raises(
        DataError, match=r"has no transparency; write a \.png"
      ):
        picture.write_picture(path, written)
      continue
    picture.write_picture(path, written)
    read = picture.read_picture(path)
    assert read.notes == ()
    losses = " ".join(picture.list_losses(written, suffix))
    assert ("Exif" in losses) == bool(written.exif and not read.exif)
    if suffix == ".webp" and written.image.ndim == 2:
      # It has no grey; a profile was applied instead.
      assert read.icc is None
      assert np.ptp(read.image, axis=-1).max() == 0
      np.testing.assert_allclose(read.image[..., 0], written.image, atol=9)
      continue
    assert ("colour" in losses) == (read.icc != written.icc)
    np.testing.assert_allclose(
      read.image.astype(int), written.image, atol=0 if lossless else 4
    )
    if written.alpha is not None:
      np.testing.assert_allclose(
        read.alpha.astype(int), written.alpha, atol=0 if lossless else 4
      )


def test_colours_under_full_transparency_survive():
  hidden = RGBA.copy()
  hidden[..., 3] = 0
  written = make_picture(hidden)
  for suffix in (".png", ".tif", ".webp", ".jp2"):
    data = picture.encode_picture(written, suffix)
    check(decode_picture(data, "a"), hidden[..., :3], hidden[..., 3])


def test_a_file_that_cannot_be_written_is_one_line(tmp_path):
  plain = make_picture(RGB)
  with pytest.raises(DataError, match="unknown suffix"):
    picture.encode_picture(plain, ".xyz")
  (tmp_path / "file").write_text("")
  with pytest.raises(RoijaxError, match="cannot write"):
    picture.write_picture(tmp_path / "file/a.png", plain)
  long = Picture(RGB, None, None, b"II*\0" + bytes(70000))
  with pytest.raises(DataError, match=r"cannot write a\.jpg as JPEG"):
    picture.encode_picture(long, ".jpg", name="a.jpg")
  wide = Picture(np.zeros((1, 70000), np.uint8))
  for suffix in (".jpg", ".webp"):
    with pytest.raises(DataError, match=r"cannot write .* try \.png"):
      picture.encode_picture(wide, suffix)


def test_arrays_of_every_shape_are_taken(tmp_path):
  check(make_picture(GREY), GREY)
  check(make_picture(GREY[..., None]), GREY)
  check(make_picture(LA), LA[..., 0], LA[..., 1])
  check(make_picture(RGB), RGB)
  check(make_picture(RGBA[::-1]), RGBA[::-1, :, :3], RGBA[::-1, :, 3])
  check(make_picture(GREY > 9), np.where(GREY > 9, 255, 0), None, "0 and 255")
  check(make_picture(Image.fromarray(LA)), LA[..., 0], LA[..., 1])
  (tmp_path / "a.png").write_bytes(save(RGB, "PNG"))
  check(make_picture(tmp_path / "a.png"), RGB)
  check(make_picture(str(tmp_path / "a.png")), RGB)
  with Image.open(tmp_path / "a.png") as lazy:
    check(make_picture(lazy), RGB)


@pytest.mark.parametrize(
  ("array", "words"),
  [
    (np.zeros((4, 4), np.float32), r"\(image \* 255\)"),
    (np.zeros((4, 4), np.int64), "of int64; give uint8"),
    (np.zeros((4, 4, 5), np.uint8), "with 1 to 4 channels"),
    (np.zeros((4,), np.uint8), "with 1 to 4 channels"),
    (np.zeros((0, 4), np.uint8), "is empty"),
    (np.zeros((4, 4, 0), np.uint8), "is empty"),
    (None, "of shape"),
  ],
)
def test_an_unfit_array_is_one_line(array, words):
  with pytest.raises(DataError, match=words) as info:
    make_picture(array)
  assert "\n" not in str(info.value)
