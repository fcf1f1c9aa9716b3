"""Damaged files end in a line or a picture; minutes of it: benchmarks.fuzz."""

import numpy as np
import pytest

from benchmarks import fuzz
from roijax.codec import Codec
from roijax.coding import container
from roijax.errors import BitstreamError
from roijax.weights.archive import load_weights

TINY = fuzz.GOLDEN / "tiny-1.npz"
FILES = fuzz.read_files(load_weights(TINY).fingerprint)


@pytest.fixture(name="codec", scope="module")
def _codec():
  return Codec.load(TINY)


def test_every_file_that_is_damaged_is_a_picture_before(codec):
  assert len(FILES) > 5
  assert {fuzz.run_case(codec, data) for data in FILES} == {"a picture"}


@pytest.mark.parametrize("mutate", [fuzz.mutate_bytes, fuzz.mutate_fields])
def test_damage_is_told_in_a_line(codec, mutate):
  outcomes = set()
  for case in range(400):
    rng = np.random.default_rng(case)
    data = FILES[case % len(FILES)]
    outcomes.add(fuzz.run_case(codec, mutate(data, rng)))
  # Many faults were reached, not one check in front of them all.
  assert len(outcomes) >= 6


def test_a_file_cut_anywhere_is_told(codec):
  for data in FILES:
    for length in range(0, len(data), 1 if len(data) < 300 else 7):
      with pytest.raises(BitstreamError):
        codec.decompress(data[:length])


def test_a_file_of_absurd_size_allocates_nothing(codec):
  header = container.read(FILES[0]).header
  for width, height in ((65535, 65535), (65535, 3000)):
    wide = container.Header(
      header.fingerprint, width, height, header.quality_code, 1
    )
    count = container.count_groups(height, width)
    data = container.write(container.Container(wide, (), (b"",) * count, 0))
    with pytest.raises(BitstreamError, match="raise it with --max-pixels"):
      codec.decompress(data)
    with pytest.raises(BitstreamError, match="a stream is empty"):
      # Let in, it ends at its first group.
      codec.decompress(data, max_pixels=1 << 40)
