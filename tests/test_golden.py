"""Files of version 1 decode for ever; `golden/make.py` made them."""

import hashlib

import numpy as np
import pytest
from PIL import Image
from smoke_model import ROOT

from roijax.codec import Codec
from roijax.coding import container

FOLDER = ROOT / "tests" / "golden"
NAMES = sorted(path.stem for path in FOLDER.glob("*.roij"))

# What was written then. A test that fails here has changed the format.
DIGESTS = {
  "boxes": "ad9827f2b633c57a",
  "grey": "bbc9b542b398b4b4",
  "groups": "2a825f5481ab1183",
  "pixel": "3572e7a6c991974e",
  "plain": "8eee5481d4cf3ed7",
  "region": "8526215075a99124",
  "weights": "407729688467106c",
}


@pytest.fixture(name="codec", scope="module")
def _codec():
  return Codec.load(FOLDER / "tiny-1.npz")


def test_all_of_them_are_there():
  assert set(NAMES) == set(DIGESTS) - {"weights"}


@pytest.mark.parametrize("name", sorted(DIGESTS))
def test_nobody_has_touched_them(name):
  file = "tiny-1.npz" if name == "weights" else f"{name}.roij"
  digest = hashlib.sha256((FOLDER / file).read_bytes()).hexdigest()
  assert digest[:16] == DIGESTS[name]


@pytest.mark.parametrize("name", NAMES)
def test_a_file_of_then_decodes_now(codec, name):
  data = (FOLDER / f"{name}.roij").read_bytes()
  # That the symbols are those of then, the file's own checksum tells: where
  # they differ, this raises.
  found = codec.decompress(data)
  expected = np.asarray(Image.open(FOLDER / f"{name}.png"))
  assert found.shape == expected.shape
  assert np.abs(found.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("name", NAMES)
def test_a_container_of_then_is_written_alike_now(name):
  data = (FOLDER / f"{name}.roij").read_bytes()
  found = container.read(data)
  again = container.read(container.write(found))
  assert again == found


def test_boxes_of_then_are_read_now():
  found = container.read((FOLDER / "boxes.roij").read_bytes())
  assert [box.kind for box in found.boxes] == ["icc", "exif", "alpha", "mask"]
  assert len(container.read((FOLDER / "groups.roij").read_bytes()).streams) == 2
  assert container.read((FOLDER / "grey.roij").read_bytes()).header.grey
