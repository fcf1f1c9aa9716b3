"""Files of implicit allocation: the mask travels, and only where it must."""

import dataclasses
import zlib

import jax
import numpy as np
import pytest
from smoke_model import ROOT, load_config_file, read_crops, read_photo, stir

from roijax import tiling
from roijax.codec import Codec
from roijax.coding import container, groups
from roijax.coding.mask import (
  BACKGROUND,
  EVERYTHING,
  FOREGROUND,
  NOTHING,
  encode_mask,
)
from roijax.errors import BitstreamError
from roijax.models.registry import build_model
from roijax.training.objective import init_model
from roijax.weights.archive import FILE_NAME, load_weights, save_weights


def _make_codec(folder, **changes):
  config = load_config_file(ROOT / "configs" / "implicit.py")
  config = config.get_config("smoke")
  config.model.update(changes)
  params, _ = init_model(
    build_model("implicit", config.model),
    config,
    jax.random.key(0),
    read_crops(16, config.data.crop),
  )
  path = folder / FILE_NAME
  save_weights(path, "implicit", config.model.to_dict(), stir(params))
  return Codec(load_weights(path))


@pytest.fixture(name="codec", scope="module")
def _codec(tmp_path_factory):
  return _make_codec(tmp_path_factory.mktemp("implicit"))


def _half(height, width):
  roi = np.zeros((height, width), np.float32)
  roi[:, : width // 2 + 1] = 1
  return roi


@pytest.mark.parametrize(
  ("height", "width"), [(1, 1), (33, 70), (100, 128), (129, 65)]
)
def test_a_photo_of_any_size_comes_back(codec, height, width):
  photo, roi = read_photo(height, width), _half(height, width)
  encoded = codec.compress_detailed(photo, roi, quality=1.0)
  back = codec.decompress(encoded.data)
  assert back.shape == photo.shape
  error = np.mean((back.astype(float) - photo) ** 2)
  assert error < np.mean((photo - 127.5) ** 2)
  mask = container.read(encoded.data).mask
  assert mask == encode_mask(tiling.pool_mask(roi, 16))
  grey = photo[..., 1]
  assert codec.decompress(codec.compress(grey, roi)).shape == grey.shape


def test_a_region_that_is_all_alike_costs_two_bytes_and_its_decoder(codec):
  photo = read_photo(100, 128)
  for roi, mask in (
    (None, EVERYTHING),
    (np.ones((100, 128), np.float32), EVERYTHING),
    (np.zeros((100, 128), np.float32), NOTHING),
  ):
    data = codec.compress(photo, roi)
    assert container.read(data).mask == mask
    assert codec.decompress(data).shape == photo.shape
  names = []
  original = codec.programs.synthesise
  codec.programs.synthesise = lambda *given: (
    names.append(given[-1]) or original(*given)
  )
  try:
    codec.decompress(data)
    codec.decompress(codec.compress(photo))
    codec.decompress(codec.compress(photo, _half(100, 128)))
  finally:
    codec.programs.synthesise = original
  assert names[:2] == [BACKGROUND, FOREGROUND]
  assert names[2].shape == (1, 8, 8, 1)


@pytest.mark.parametrize("composite", ["mask", "predicted"])
def test_a_mask_of_stride_8_travels_unless_it_is_predicted(composite, tmp_path):
  codec = _make_codec(tmp_path, composite=composite, mask_stride=8)
  photo, roi = read_photo(70, 100), _half(70, 100)
  data = codec.compress(photo, roi, quality=1.0)
  assert codec.decompress(data).shape == photo.shape
  mask = container.read(data).mask
  expected = encode_mask(tiling.pool_mask(roi, 8))
  assert mask == (expected if composite == "mask" else None)


def _rewrite(data, **changes):
  """The file with other content and right checksums."""
  found = container.read(data)
  return container.write(dataclasses.replace(found, **changes))


def test_a_damaged_mask_is_one_line(codec):
  photo, roi = read_photo(100, 128), np.zeros((100, 128), np.float32)
  roi[30:70, 20:60] = 1
  roi[10:20, 90:120] = 1
  data = codec.compress(photo, roi)
  mask = container.read(data).mask
  assert mask is not None
  place = data.index(mask)
  for bit in range(8 * len(mask)):
    flipped = bytearray(data)
    flipped[place + bit // 8] ^= 1 << bit % 8
    with pytest.raises(BitstreamError, match="checksum is wrong"):
      codec.decompress(bytes(flipped))
    # As someone who mends the checksum would have it: a mask's other code is
    # not what the encoder saw.
    again = bytes(flipped[:-4])
    again += zlib.crc32(again).to_bytes(4, "little")
    with pytest.raises(BitstreamError) as caught:
      codec.decompress(again)
    assert "\n" not in str(caught.value)
  for other in (b"", mask[:-1], mask + b"\0", mask + b"\1", bytes(500)):
    with pytest.raises(BitstreamError) as caught:
      codec.decompress(_rewrite(data, mask=other))
    assert "\n" not in str(caught.value)
  for end in range(place, place + len(mask) + 1):
    with pytest.raises(BitstreamError):
      codec.decompress(data[:end])


def test_a_mask_is_where_weights_need_it_and_nowhere_else(codec, smoke_codec):
  photo, roi = read_photo(64, 64), _half(64, 64)
  data = codec.compress(photo, roi)
  with pytest.raises(BitstreamError, match="no mask, which its weights need"):
    codec.decompress(_rewrite(data, mask=None))
  plain = smoke_codec.compress(photo, roi)
  assert container.read(plain).mask is None
  with pytest.raises(BitstreamError, match="its weights take none"):
    smoke_codec.decompress(_rewrite(plain, mask=EVERYTHING))


def test_tiles_use_their_part_of_the_mask(codec, monkeypatch):
  """Windows of 4 cells against one of 10: the same photo."""
  rng = np.random.default_rng(3)
  dims = (630, 120, 3)
  y = 3 * rng.standard_normal((40, 8, 24)).astype(np.float32)
  h = rng.standard_normal((40, 8, 16)).astype(np.float32)
  mask = rng.random((40, 8)) < 0.5
  # The first window has the one decoder, the last the other, others both.
  mask[:16], mask[24:] = True, False
  quality = np.ones(1, np.float32)

  def synthesise(mask):
    return tiling.synthesise(
      codec.programs, y, h, quality, dims, mask=mask
    ).astype(int)

  monkeypatch.setattr(tiling, "SPAN", 4)
  monkeypatch.setattr(groups, "pick_canvas", lambda rows, columns: (4, 2))
  assert len(list(tiling.split_windows(630, 120, codec.model.halo))) == 4
  tiled = synthesise(mask)
  monkeypatch.setattr(tiling, "SPAN", 10)
  monkeypatch.setattr(groups, "pick_canvas", lambda rows, columns: (10, 2))
  assert np.abs(tiled - synthesise(mask)).max() <= 1
  assert np.abs(tiled - synthesise(np.roll(mask, 1, 0))).max() > 1
