"""The mask's coder: without loss, small, the same for ever, hard to fool."""

import numpy as np
import pytest

from benchmarks import mask as benchmark
from roijax.coding.mask import (
  EVERYTHING,
  NEIGHBOURS,
  NOTHING,
  START,
  decode_mask,
  encode_mask,
  find_contexts,
)
from roijax.data.sample import SampleSource
from roijax.errors import BitstreamError
from roijax.tiling import pool_mask

# What was written first. A test that fails here has changed the format.
PINNED_SIZE = (13, 17)
PINNED = "92957cea93d0c547"


def _disc(height=13, width=17):
  rows, columns = np.mgrid[:height, :width]
  return (rows - height / 2) ** 2 + (columns - width / 3) ** 2 < 20


def _check(mask):
  data = encode_mask(mask)
  back = decode_mask(data, *mask.shape)
  assert back.dtype == np.bool_ and np.array_equal(back, mask)
  return data


@pytest.mark.parametrize(
  "size", [(1, 1), (1, 2), (2, 1), (1, 90), (90, 1), (3, 5), (31, 47)]
)
def test_masks_come_back_whatever_their_size_and_density(size):
  rng = np.random.default_rng(sum(size))
  for density in (0, 0.01, 0.3, 0.5, 0.9, 0.99, 1):
    for _ in range(4):
      _check(rng.random(size) < density)


def test_masks_of_a_few_blobs_come_back():
  rng = np.random.default_rng(0)
  for _ in range(60):
    height, width = rng.integers(1, 70, 2)
    mask = np.zeros((height, width), np.bool_)
    for _ in range(rng.integers(4)):
      top, left = rng.integers(height), rng.integers(width)
      mask[top : top + 9, left : left + 14] ^= True
    _check(mask)


def test_all_masks_of_a_small_size_have_codes_of_their_own():
  codes = set()
  for number in range(1 << 9):
    bits = [bool(number >> i & 1) for i in range(9)]
    codes.add(_check(np.array(bits).reshape(3, 3)))
  assert len(codes) == 1 << 9


def test_a_mask_that_is_all_alike_is_a_byte():
  for size in ((1, 1), (40, 30), (700, 900)):
    assert _check(np.zeros(size, np.bool_)) == NOTHING
    assert _check(np.ones(size, np.bool_)) == EVERYTHING


def test_the_code_is_that_of_the_first_day():
  assert encode_mask(_disc(*PINNED_SIZE)).hex() == PINNED
  found = decode_mask(bytes.fromhex(PINNED), *PINNED_SIZE)
  assert np.array_equal(found, _disc(*PINNED_SIZE))


def test_neighbours_are_decoded_before_the_cell():
  assert all(row < 0 or (row == 0 and column < 0) for row, column in NEIGHBOURS)
  assert START.shape == (1 << len(NEIGHBOURS),)
  assert START.min() >= 1
  # What comes later changes no context.
  rng = np.random.default_rng(1)
  mask = rng.random((9, 11)) < 0.5
  other = mask.copy()
  other[4, 6:] ^= True
  other[5:] ^= True
  one, two = find_contexts(mask), find_contexts(other)
  assert np.array_equal(one[:4], two[:4])
  assert np.array_equal(one[4, :7], two[4, :7])
  assert not np.array_equal(one, two)


def test_shapes_cost_far_less_than_raw_bits_and_noise_a_quarter_more():
  disc = _disc(60, 80)
  disc[20:40, 50:70] = True
  assert len(_check(disc)) < disc.size / 8 / 8
  noise = np.random.default_rng(2).random((60, 80)) < 0.5
  assert len(_check(noise)) < 1.25 * noise.size / 8


def test_counts_that_grow_long_are_halved():
  """Ninety thousand cells in one context, then the other value."""
  mask = np.zeros((300, 300), np.bool_)
  mask[-1, -1] = True
  assert len(_check(mask)) < 40


def _try(data, size):
  try:
    return decode_mask(data, *size)
  except BitstreamError as error:
    assert "\n" not in str(error)
    return None


def test_damage_raises_or_is_another_mask_s_code():
  mask = _disc(30, 40)
  data = encode_mask(mask)
  caught = 0
  tries = [data[:end] for end in range(len(data))]
  tries += [data + b"\x00", data + b"\x01" * 3, data + data]
  for place in range(8 * len(data)):
    flipped = bytearray(data)
    flipped[place // 8] ^= 1 << place % 8
    tries.append(bytes(flipped))
  for one in tries:
    found = _try(one, mask.shape)
    if found is None:
      caught += 1
    else:
      assert encode_mask(found) == one
      assert not np.array_equal(found, mask)
  assert caught >= len(data) + 3


def test_noise_for_a_code_raises_or_is_a_mask_s():
  rng = np.random.default_rng(3)
  for _ in range(300):
    data = rng.integers(0, 256, rng.integers(0, 40), np.uint8).tobytes()
    height, width = (int(side) for side in rng.integers(1, 30, 2))
    found = _try(data, (height, width))
    assert found is None or encode_mask(found) == data


def test_no_bytes_are_no_mask():
  with pytest.raises(BitstreamError, match="5x4 cells is damaged"):
    decode_mask(b"", 4, 5)


@pytest.mark.parametrize(
  "mask", [np.zeros((0, 3), np.bool_), np.zeros(4, np.bool_), np.zeros((2, 2))]
)
def test_what_is_no_mask_is_not_coded(mask):
  with pytest.raises(ValueError, match="a mask is bool"):
    encode_mask(mask)


def test_cells_that_touch_the_photo_by_a_pixel_are_cells():
  roi = np.zeros((17, 33), np.float32)
  roi[16, 32] = 1
  roi[:8, :16] = 1
  expected = np.array([[True, False, False], [False, False, True]])
  assert np.array_equal(pool_mask(roi, 16), expected)
  assert pool_mask(roi, 8).shape == (3, 5)


def test_the_benchmark_s_figures_are_of_codes_that_come_back():
  source = SampleSource("train")
  found = benchmark.measure(source, 16)
  assert found["photos"] == len(source)
  assert 0 < found["ours"] <= found["worst"]
  assert found["ours"] < found["raw"] / 2
  # What START was counted by, on other photos: likely neighbours are likely.
  start = benchmark.count_start(source)
  assert start.shape == START.shape and start.min() >= 1
  assert start[0] < 64 and start[255] > 192
  assert START[0] < 8 and START[255] > 248
