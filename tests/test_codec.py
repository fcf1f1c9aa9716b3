"""Real files: exact, of the foretold size, and safe against damage."""

import dataclasses

import jax
import numpy as np
import pytest
from smoke_model import read_photo

from roijax.codec import Codec
from roijax.coding import container
from roijax.entropy import grid
from roijax.errors import BitstreamError, ConfigError, DataError
from roijax.programs import Programs
from roijax.weights.archive import load_weights

SIZES = [(16, 16), (17, 63), (65, 40), (100, 128)]


@pytest.fixture(name="data", scope="module")
def _data(smoke_codec, photo, roi):
  return smoke_codec.compress(photo, roi, quality=0.75, background=0.25)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_a_photo_of_any_size_comes_back(smoke_codec, height, width):
  photo = read_photo(height, width)
  encoded = smoke_codec.compress_detailed(photo, None, quality=1.0)
  back = smoke_codec.decompress(encoded.data)
  assert back.shape == photo.shape
  assert back.dtype == np.uint8
  assert (encoded.header.height, encoded.header.width) == (height, width)
  # It is a picture of the photo: better than no picture.
  error = np.mean((back.astype(float) - photo) ** 2)
  assert error < np.mean((photo - 127.5) ** 2)


def test_the_decoder_sees_what_the_encoder_saw(smoke_codec, photo, roi):
  settings = dict(quality=0.75, background=0.25)
  written = smoke_codec._encode(photo, roi, **settings, count_bits=True)
  data, _, walk, _ = written
  found = container.read(data)
  back = smoke_codec._decode(found, max_pixels=10**6, count_bits=True)
  np.testing.assert_array_equal(back.z_hat, walk.z_hat)
  np.testing.assert_array_equal(back.y_hat, walk.y_hat)
  np.testing.assert_array_equal(back.cells, walk.cells)
  np.testing.assert_array_equal(smoke_codec.measure_cells(data), walk.cells)


def test_an_encoder_keeps_no_latents_that_nobody_asks_for(
  smoke_codec, photo, roi, data
):
  settings = dict(quality=0.75, background=0.25)
  plain, _, walk, _ = smoke_codec._encode(photo, roi, **settings)
  assert walk.y_hat.size == walk.z_hat.size == 0
  assert walk.h is None
  assert plain == smoke_codec.compress_detailed(photo, roi, **settings).data
  assert plain == data


def test_the_file_is_as_large_as_the_tables_foretell(smoke_codec):
  for size, quality in ((64, 0.0), (192, 0.5), (192, 1.0)):
    encoded = smoke_codec.compress_detailed(
      read_photo(size, size), quality=quality
    )
    coded = container.read(encoded.data).coded_bytes
    foretold = encoded.bits_tables / 8
    assert abs(coded - foretold) <= 0.001 * foretold + 16
    assert len(encoded.data) - coded < 32


def test_the_likelihoods_foretell_the_tables_within_a_percent(smoke_codec):
  # At the coarsest rate: a model that was never trained puts some latents of
  # a fine one far in the tails, where tables pay an escape and likelihoods
  # 29.9 bits.
  encoded = smoke_codec.compress_detailed(read_photo(192, 192), quality=0.0)
  np.testing.assert_allclose(
    encoded.bits_tables, encoded.bits_likelihood, rtol=0.01
  )


def test_bits_by_region_sum_to_all_bits(smoke_codec, photo, roi):
  encoded = smoke_codec.compress_detailed(photo, roi)
  total = encoded.bits_roi + encoded.bits_bg
  np.testing.assert_allclose(total, encoded.bits_tables, rtol=1e-6)
  assert 0 < encoded.bits_roi < encoded.bits_tables


def test_no_region_is_the_region_that_is_everything(smoke_codec, photo):
  ones = np.ones(photo.shape[:2], np.float32)
  assert smoke_codec.compress(photo) == smoke_codec.compress(photo, ones)


def test_the_region_changes_the_file(smoke_codec, photo, data):
  assert smoke_codec.compress(photo, quality=0.75) != data


def test_the_same_photo_gives_the_same_bytes(
  smoke_codec, smoke_path, photo, roi, data
):
  for codec in (smoke_codec, Codec.load(smoke_path)):
    assert codec.compress(photo, roi, quality=0.75) == data


def test_compress_is_the_file_of_compress_detailed(
  smoke_codec, photo, roi, data
):
  encoded = smoke_codec.compress_detailed(photo, roi, quality=0.75)
  assert encoded.data == data


@pytest.mark.parametrize(
  ("quality", "background", "words"),
  [
    (-0.1, 0.25, "outside 0 to 1"),
    (1.1, 0.25, "outside 0 to 1"),
    (float("nan"), 0.25, "outside 0 to 1"),
    (0.5, 0.0, "background is 0"),
    (0.5, 1.1, "background is 1.1"),
  ],
)
def test_settings_out_of_range_are_told(
  smoke_codec, photo, quality, background, words
):
  with pytest.raises(ConfigError, match=words):
    smoke_codec.compress(photo, quality=quality, background=background)


def test_inputs_of_the_wrong_kind_are_told(smoke_codec, photo, roi):
  for image, region in (
    (photo.astype(np.float32), None),
    (photo[..., :2], None),
    (photo[None], None),
    (photo[:0], None),
    (np.zeros((1, 65536, 3), np.uint8), None),
    (photo, roi[1:]),
    (photo, roi * 2),
    (photo, roi * np.nan),
  ):
    with pytest.raises(DataError):
      smoke_codec.compress(image, region)


def test_other_weights_refuse_the_file(smoke_codec, data):
  other = dataclasses.replace(smoke_codec.weights, fingerprint=b"8 bytes.")
  with pytest.raises(BitstreamError, match="give the checkpoint that made it"):
    Codec(other).decompress(data)


def test_truncation_at_every_byte_is_told(smoke_codec, data):
  for length in range(len(data)):
    with pytest.raises(BitstreamError):
      smoke_codec.decompress(data[:length])
  with pytest.raises(BitstreamError, match="trailing"):
    smoke_codec.decompress(data + b"\0")


def test_a_flipped_bit_is_told_wherever_it_is(smoke_codec, data):
  for place in range(0, 8 * len(data), 11):
    flipped = bytearray(data)
    flipped[place // 8] ^= 1 << place % 8
    with pytest.raises(BitstreamError):
      smoke_codec.decompress(bytes(flipped))


def _rewrite(data, **changes):
  """The file with other content and right checksums."""
  found = container.read(data)
  return container.write(dataclasses.replace(found, **changes))


def test_damage_under_a_right_checksum_is_told_too(smoke_codec, data):
  found = container.read(data)
  rng = np.random.default_rng(0)
  for _ in range(8):
    stream = bytearray(found.streams[0])
    stream[rng.integers(len(stream))] ^= 1 << int(rng.integers(8))
    with pytest.raises(BitstreamError):
      smoke_codec.decompress(_rewrite(data, streams=(bytes(stream),)))
  header = dataclasses.replace(found.header, quality_code=255)
  with pytest.raises(BitstreamError, match="beyond these weights"):
    smoke_codec.decompress(_rewrite(data, header=header))
  with pytest.raises(BitstreamError, match="other coding tables"):
    smoke_codec.decompress(_rewrite(data, symbols_crc=found.symbols_crc ^ 1))
  for boundary in ((3, 5), (100, 10**6), (10**8, 3)):
    with pytest.raises(BitstreamError, match="a close call"):
      smoke_codec.decompress(_rewrite(data, boundary=(boundary,)))


def _copy(smoke_codec):
  """A codec of its own whose programs are traced anew."""
  return Codec(smoke_codec.weights)


def test_noise_of_float64_in_the_entropy_networks_changes_nothing(
  smoke_codec, photo, roi, data
):
  noisy = _copy(smoke_codec)
  rng = np.random.default_rng(0)
  noisy.programs.entropy_params = jax.tree.map(
    lambda x: np.asarray(x) * (1 + 1e-11 * rng.standard_normal(x.shape)),
    noisy.programs.entropy_params,
  )
  assert noisy.compress(photo, roi, quality=0.75) == data
  np.testing.assert_array_equal(
    noisy.decompress(data), smoke_codec.decompress(data)
  )


class _Contrary(Programs):
  """A machine that takes the other side at every close call."""

  def tables_at(self, *arguments):
    mean, indexes, close = super().tables_at(*arguments)
    return mean, np.where(close, indexes ^ 1, indexes), close


def test_the_list_of_close_calls_is_obeyed(
  smoke_codec, photo, roi, monkeypatch
):
  monkeypatch.setattr(grid, "MARGIN", 0.01)
  wide = _copy(smoke_codec)
  encoded = wide.compress_detailed(photo, roi, quality=0.75)
  assert encoded.boundary > 20
  expected = smoke_codec.decompress(encoded.data)
  contrary = _copy(smoke_codec)
  model = contrary.model
  contrary.programs = _Contrary(lambda: model, contrary.weights.params)
  np.testing.assert_array_equal(contrary.decompress(encoded.data), expected)
  # Without the list it cannot be decoded, and that is told.
  with pytest.raises(BitstreamError):
    contrary.decompress(_rewrite(encoded.data, boundary=()))


def test_the_usual_file_lists_no_close_call(smoke_codec, photo, roi):
  assert smoke_codec.compress_detailed(photo, roi).boundary == 0


def test_a_loaded_codec_says_what_it_can(smoke_codec, smoke_path):
  assert smoke_codec.max_quality == 1.0
  assert smoke_codec.default_quality == 0.5
  assert load_weights(smoke_path).fingerprint == smoke_codec.weights.fingerprint
