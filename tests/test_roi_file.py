"""Masks painted in image files: what counts, and what is refused."""

import numpy as np
import pytest
from PIL import Image

from roijax.errors import DataError
from roijax.roi import file, parse_roi

SIZE = (40, 60)


def write_mask(path, array, mode=None):
  Image.fromarray(array).convert(mode or "L").save(path)
  return str(path)


def test_mask_values_are_weights(tmp_path):
  values = np.zeros(SIZE, np.uint8)
  values[3, 4], values[5, 6] = 255, 51
  path = write_mask(tmp_path / "m.png", values)
  for spec in (path, f"file:{path}"):
    roi = parse_roi(spec, SIZE)
    assert roi.dtype == np.float32
    assert roi[3, 4] == 1
    assert roi[5, 6] == pytest.approx(0.2)
    assert roi.sum() == pytest.approx(1.2)


def test_a_black_and_white_mask_is_zero_and_one(tmp_path):
  values = np.zeros(SIZE, np.uint8)
  values[:, 30:] = 255
  path = write_mask(tmp_path / "m.png", values, "1")
  assert set(np.unique(parse_roi(path, SIZE))) == {0, 1}


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "LA"])
def test_grey_pixels_count_whatever_the_mode(tmp_path, mode):
  values = np.tile(np.arange(0, 240, 4, dtype=np.uint8), (40, 1))
  grey = parse_roi(write_mask(tmp_path / "g.png", values), SIZE)
  mask = Image.fromarray(values)
  if mode == "P":
    mask = mask.quantize(64)
    grey = np.asarray(mask.convert("L"), np.float32) / 255
  mask.convert(mode).save(tmp_path / "m.png")
  np.testing.assert_allclose(
    parse_roi(str(tmp_path / "m.png"), SIZE), grey, atol=1e-6
  )


def test_a_larger_mask_is_averaged(tmp_path):
  values = np.random.default_rng(0).integers(0, 256, (120, 180), np.uint8)
  roi = parse_roi(write_mask(tmp_path / "m.png", values), SIZE)
  expected = values.reshape(40, 3, 60, 3).mean((1, 3)) / 255
  np.testing.assert_allclose(roi, expected, atol=1 / 255)


def test_a_smaller_mask_is_interpolated(tmp_path):
  values = np.zeros((4, 6), np.uint8)
  values[:, 3:] = 255
  roi = parse_roi(write_mask(tmp_path / "m.png", values), SIZE)
  assert roi.shape == SIZE
  assert not roi[:, :25].any() and (roi[:, 35:] == 1).all()
  assert (np.diff(roi, axis=1) >= 0).all()


@pytest.mark.parametrize(
  ("mask", "photo", "fits"),
  [
    ((40, 60), (40, 60), True),
    ((3, 4), (3000, 4032), True),
    ((1, 1), (100, 100), True),
    ((255, 382), (512, 768), True),
    ((100, 149), (100, 150), True),
    ((100, 100), (100, 103), False),
    ((60, 40), (40, 60), False),
    ((2, 3), (100, 100), False),
    ((480, 640), (1080, 1920), False),
  ],
)
def test_the_aspect_has_to_fit(tmp_path, mask, photo, fits):
  path = write_mask(tmp_path / "m.png", np.full(mask, 255, np.uint8))
  if fits:
    assert (parse_roi(path, photo) == np.ones(photo)).all()
    return
  with pytest.raises(DataError, match="of another aspect") as info:
    parse_roi(path, photo)
  for height, width in (mask, photo):
    assert f"{width}x{height}" in str(info.value)
  assert "\n" not in str(info.value)


def test_a_mask_is_turned_upright_as_its_photo_is(tmp_path):
  values = np.zeros((60, 40), np.uint8)
  values[:20] = 255
  exif = Image.Exif()
  exif[0x0112] = 6
  Image.fromarray(values).save(tmp_path / "m.png", exif=exif)
  roi = parse_roi(str(tmp_path / "m.png"), SIZE)
  np.testing.assert_array_equal(roi, np.rot90(values, -1) / 255)


def make_transparent():
  mask = np.full((*SIZE, 4), 255, np.uint8)
  mask[0, 0, 3] = 0
  return Image.fromarray(mask)


def make_keyed():
  mask = Image.fromarray(np.full(SIZE, 255, np.uint8))
  mask.info["transparency"] = 255
  return mask


def make_colored():
  mask = np.full((*SIZE, 3), 200, np.uint8)
  mask[7, 7] = (255, 0, 0)
  return Image.fromarray(mask)


@pytest.mark.parametrize(
  ("mask", "words"),
  [
    (np.zeros(SIZE, np.uint8), "empty mask: .*use --roi none"),
    (np.ones(SIZE, np.uint8), "only 0 and 1"),
    (np.full(SIZE, 9000, np.uint16), "has mode I;16"),
    (make_transparent(), "transparent in parts"),
    (make_keyed(), "transparent in parts"),
    (make_colored(), "is coloured"),
    (make_colored().quantize(4), "is coloured"),
  ],
)
def test_an_unusable_mask_is_one_clear_line(tmp_path, mask, words):
  if isinstance(mask, np.ndarray):
    mask = Image.fromarray(mask)
  mask.save(tmp_path / "m.png", transparency=mask.info.get("transparency"))
  with pytest.raises(DataError, match=words) as info:
    parse_roi(str(tmp_path / "m.png"), SIZE)
  assert "\n" not in str(info.value)


def test_a_mask_that_shrinks_to_nothing_is_empty(tmp_path):
  values = np.zeros((400, 600), np.uint8)
  values[0, 0] = 20
  path = write_mask(tmp_path / "m.png", values)
  with pytest.raises(DataError, match="empty mask"):
    parse_roi(path, SIZE)


def test_an_animated_mask_is_refused(tmp_path):
  frames = [Image.new("L", SIZE[::-1], value) for value in (255, 128)]
  path = tmp_path / "m.gif"
  frames[0].save(path, save_all=True, append_images=frames[1:])
  with pytest.raises(DataError, match="holds 2 images"):
    parse_roi(str(path), SIZE)


def test_a_damaged_mask_is_one_clear_line(tmp_path):
  path = tmp_path / "m.png"
  path.write_bytes(b"\x89PNG\r\n\x1a\n")
  with pytest.raises(DataError, match=r"cannot be decoded|not an image"):
    parse_roi(str(path), SIZE)


def test_a_cut_off_mask_is_one_clear_line(tmp_path):
  noise = np.random.default_rng(0).integers(0, 256, SIZE, np.uint8)
  path = tmp_path / "m.png"
  write_mask(path, noise)
  data = path.read_bytes()
  path.write_bytes(data[: len(data) // 2])
  with pytest.raises(DataError, match="damaged or cannot be decoded") as info:
    parse_roi(str(path), SIZE)
  assert "\n" not in str(info.value)


@pytest.mark.parametrize("side", [400, 1000])
def test_a_huge_mask_is_refused_before_it_is_decoded(
  tmp_path, monkeypatch, side
):
  # Of the photo's aspect, so that nothing else refuses it. Pillow's own guard
  # is the first to see the larger one.
  monkeypatch.setattr(file, "MAX_PIXELS", 300 * 300)
  mask = Image.new("1", (side, side), 1)
  mask.save(tmp_path / "m.png")
  monkeypatch.setattr(Image.Image, "load", pytest.fail)
  with pytest.raises(DataError, match=r"pixels") as info:
    parse_roi(str(tmp_path / "m.png"), (10, 10))
  assert "\n" not in str(info.value)


def test_a_mask_may_be_as_large_as_its_photo(tmp_path, monkeypatch):
  monkeypatch.setattr(file, "MAX_PIXELS", 300)
  path = write_mask(tmp_path / "m.png", np.full(SIZE, 255, np.uint8))
  assert parse_roi(path, SIZE).all()
