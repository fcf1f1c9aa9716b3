"""The format's documentation suffices: a decoder written from it agrees."""

import pathlib

import numpy as np
import numpy_decoder
import pytest
from PIL import Image

from roijax.coding.mask import START

HERE = pathlib.Path(__file__).resolve().parent
GOLDEN = HERE / "golden"
PACKAGE = HERE.parent / "roijax"
TABLES = PACKAGE / "coding" / "tables_v1.npz"
# docs/decoder.md describes the networks of systems A and B.
OTHERS = ("custom-", "swin-", "tlic-", "rounded")
NAMES = sorted(
  path.stem
  for path in GOLDEN.glob("*.roij")
  if not path.stem.startswith(OTHERS)
)


@pytest.mark.parametrize("name", NAMES)
def test_decodes_a_golden_file(name):
  shipped = PACKAGE / "weights" / f"{name}.npz"
  weights = shipped if shipped.exists() else GOLDEN / "tiny-1.npz"
  data = (GOLDEN / f"{name}.roij").read_bytes()
  right_crc, pixels = numpy_decoder.decode(data, weights, TABLES, bytes(START))
  with Image.open(GOLDEN / f"{name}.png") as picture:
    wanted = np.asarray(picture)
  assert right_crc
  assert pixels.shape == wanted.shape and pixels.dtype == np.uint8
  assert np.abs(pixels.astype(int) - wanted).max() <= 1


def test_refuses_a_damaged_file():
  data = bytearray((GOLDEN / "pixel.roij").read_bytes())
  data[20] ^= 1
  with pytest.raises(AssertionError, match="CRC"):
    numpy_decoder.decode(bytes(data), GOLDEN / "tiny-1.npz", TABLES)
