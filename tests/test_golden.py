"""Files of version 1 decode for ever; `golden/make.py` made them."""

import hashlib

import numpy as np
import pytest
from PIL import Image
from smoke_model import ROOT

import roijax
from roijax.codec import Codec
from roijax.coding import container
from roijax.weights import index

FOLDER = ROOT / "tests" / "golden"
NAMES = sorted(path.stem for path in FOLDER.glob("*.roij"))

# What was written then. A test that fails here has changed the format.
DIGESTS = {
  "boxes": "728f286bfac225e3",
  "custom-small-1": "0c0ae6987fc24f7b",
  "ggm-small-1": "4771c79ee2f4e1ee",
  "ggm-small-2": "2d769408eec50efd",
  "ggm-small-5": "c5723c67b99fd461",
  "ggm-small-6": "19e781bd574449c0",
  "grey": "42b42c6543b160ab",
  "groups": "5fa0253ca6c9c0e9",
  "implicit-small-1": "2b62f958a0fa2a82",
  "list": "6982b1d87a804ab8",
  "pixel": "06fb39849109cc39",
  "plain": "abed761947e6b095",
  "region": "b3f2a6969dc7e42f",
  "rounded": "6d321dae36ed9746",
  "swin-small-2": "662e1579ed9306ad",
  "tiles": "d776ba04f7fca3f1",
  "tlic-small-1": "79cbcd9dc343c736",
  "weights": "407729688467106c",
}


BOX = {entry.name for entry in index.entries()}
SHIPPED = [name for name in NAMES if name in BOX]


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
  of_the_box = (*SHIPPED, "rounded")
  decompress = roijax.decompress if name in of_the_box else codec.decompress
  found = decompress(data)
  expected = np.asarray(Image.open(FOLDER / f"{name}.png"))
  assert found.shape == expected.shape
  assert np.abs(found.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("name", NAMES)
def test_a_container_of_then_is_written_alike_now(name):
  data = (FOLDER / f"{name}.roij").read_bytes()
  again = container.write(container.read(data))
  # Another zlib may deflate a profile otherwise.
  if name == "boxes":
    assert container.read(again) == container.read(data)
  else:
    assert again == data


def test_what_a_file_can_hold_is_there():
  found = {
    name: container.read((FOLDER / f"{name}.roij").read_bytes())
    for name in NAMES
  }
  kinds = [box.kind for box in found["boxes"].boxes]
  assert kinds == ["icc", "exif", "alpha", "mask"]
  assert len(found["groups"].streams) == 2
  assert found["grey"].header.grey
  assert len(found["list"].boundary) > 5
  assert found["rounded"].header.rounded
  # Contexts in wavefronts were without, once.
  assert not found["swin-small-2"].header.rounded


def test_every_shipped_model_has_a_file():
  in_box = {one.name for one in index.describe() if one.in_box}
  assert in_box == set(SHIPPED)
