"""The Python interface, by its own examples and beyond."""

import doctest
import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from smoke_model import ROOT, read_photo

import roijax
from roijax import api
from roijax.errors import BitstreamError, CheckpointError, DataError


@pytest.fixture(name="photo", scope="module")
def _photo():
  return read_photo(90, 120)


def test_the_examples_are_true():
  result = doctest.testmod(api)
  assert result.attempted >= 8
  assert result.failed == 0


def test_what_is_promised_is_there():
  assert set(roijax.__all__) <= set(dir(roijax))
  assert roijax.compress is api.compress
  with pytest.raises(AttributeError, match="no attribute 'compres'"):
    _ = roijax.compres  # pyright: ignore


def test_importing_loads_nothing_heavy():
  code = (
    "import sys, roijax; roijax.inspect;"
    "heavy = {'jax', 'flax', 'cv2', 'matplotlib', 'scipy', 'PIL',"
    " 'constriction', 'typer'};"
    "print(sorted(heavy & set(sys.modules)))"
  )
  done = subprocess.run(
    [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True
  )
  assert done.stdout == "[]\n", done.stderr


@pytest.mark.parametrize("channels", [0, 1, 2, 3, 4])
def test_every_layout_returns(smoke_path, photo, channels):
  image = np.concatenate([photo, photo[..., :1]], axis=2)
  image = image[..., 0] if channels == 0 else image[..., :channels]
  data = roijax.compress(image, weights=smoke_path)
  back = roijax.decompress(data, weights=smoke_path)
  shape = image.shape[:2] if channels == 1 else image.shape
  assert back.shape == shape
  assert roijax.inspect(data).grey == (channels < 3)
  if channels in (2, 4):
    np.testing.assert_array_equal(back[..., -1], image[..., -1])


def test_a_file_keeps_its_profile_unless_stripped(smoke_path, photo, tmp_path):
  from PIL import ImageCms

  profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
  path = tmp_path / "a.png"
  Image.fromarray(photo).save(path, icc_profile=profile)
  kept = roijax.compress(path, weights=smoke_path)
  stripped = roijax.compress(str(path), weights=smoke_path, strip=True)
  assert list(roijax.inspect(kept).boxes) == ["icc"]
  assert roijax.inspect(stripped).boxes == {}
  assert stripped == roijax.compress(photo, weights=smoke_path)
  assert stripped == roijax.compress(
    Image.open(path), weights=smoke_path, strip=True
  )


def test_regions_are_arrays_or_specs(smoke_path, photo):
  mask = np.zeros(photo.shape[:2], bool)
  mask[10:40, 20:80] = True
  by_spec = roijax.compress(photo, "box:20,10,60,30", weights=smoke_path)
  assert by_spec == roijax.compress(photo, mask, weights=smoke_path)
  both = ["box:20,10,30,30", "box:50,10,30,30"]
  assert by_spec == roijax.compress(photo, both, weights=smoke_path)
  assert by_spec != roijax.compress(photo, mask, weights=smoke_path, dilate=9)
  kept = roijax.compress(photo, mask, weights=smoke_path, keep_mask=True)
  box = api.container.read(kept).box("mask")
  np.testing.assert_array_equal(
    np.asarray(Image.open(io.BytesIO(box))), mask * 255
  )


@pytest.mark.parametrize(
  ("roi", "settings", "words"),
  [
    (np.zeros((3, 3)), {}, "one size"),
    (np.full((90, 120), 2.0), {}, "0 to 1"),
    (np.zeros((90, 120)), {}, "zero everywhere"),
    ("bax:1,2,3,4", {}, "did you mean 'box'"),
    ([], {}, "or several specs"),
    ([1, 2], {}, "or several specs"),
    (None, {"feather": 3}, "give one with roi="),
  ],
)
def test_bad_regions_are_told(smoke_path, photo, roi, settings, words):
  with pytest.raises(DataError, match=words):
    roijax.compress(photo, roi, weights=smoke_path, **settings)


def test_bad_files_and_weights_are_told(smoke_path, photo):
  data = roijax.compress(photo, weights=smoke_path)
  # These weights are in no index.
  with pytest.raises(BitstreamError, match="give --checkpoint"):
    roijax.decompress(data)
  with pytest.raises(BitstreamError, match="limit is 100"):
    roijax.decompress(data, weights=smoke_path, max_pixels=100)
  with pytest.raises(BitstreamError):
    roijax.inspect(data[:-1])
  with pytest.raises(DataError, match="not str"):
    roijax.inspect("a.roij")  # pyright: ignore
  with pytest.raises(DataError, match="not PosixPath"):
    roijax.decompress(ROOT)  # pyright: ignore
  with pytest.raises(CheckpointError, match="ggm-small-1"):
    roijax.load("ggm-smal-1")
