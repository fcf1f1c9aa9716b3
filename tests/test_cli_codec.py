"""The command line with the real codec, on its smallest weights."""

import json
import pathlib

import numpy as np
import pytest
from PIL import Image
from smoke_model import read_photo

from roijax import cli
from roijax.commands import engine


@pytest.fixture(name="roijax")
def _roijax(tmp_path, monkeypatch, capsys, smoke_codec, smoke_path):
  """Runs the command with weights that are loaded once for all tests."""
  monkeypatch.chdir(tmp_path)
  monkeypatch.setattr(engine, "load_codec", lambda path: smoke_codec)
  Image.fromarray(read_photo(90, 130)).save("photo.png")
  Image.fromarray(read_photo(70, 64)[..., 1]).save("grey.png")

  def run(command, *arguments):
    weights = ["--checkpoint", str(smoke_path)]
    with pytest.raises(SystemExit) as stop:
      cli.main([command, *map(str, arguments), *weights])
    out, err = capsys.readouterr()
    assert (stop.value.code, err) == (0, "")
    return out

  return run


def _pixels(name):
  with Image.open(name) as picture:
    return np.asarray(picture)


def test_photos_go_there_and_back(roijax, smoke_codec):
  roijax("compress", ".", "-o", "out", "--quality", "1")
  roijax("decompress", "out", "-o", "back")
  for name in ("photo", "grey"):
    data = pathlib.Path(f"out/{name}.roij").read_bytes()
    assert data == smoke_codec.compress(_pixels(f"{name}.png"), quality=1)
    decoded = smoke_codec.decompress(data)
    np.testing.assert_array_equal(_pixels(f"back/{name}.png"), decoded)


def test_bits_that_compress_tells_are_those_that_info_finds(roijax):
  region = ("--roi", "ellipse:60,40,30,25", "--feather", "6", "--keep-mask")
  made = json.loads(roijax("compress", "photo.png", "--json", *region))
  found = json.loads(roijax("info", "photo.roij", "--json"))
  assert made["roi"]["share"] == pytest.approx(found["roi"]["share"], abs=1e-3)
  for side in ("bits_inside", "bits_outside"):
    # The mask that is kept has 8 bits.
    assert made["roi"][side] == pytest.approx(found["roi"][side], rel=0.01)
  coded = 8 * sum(found["streams"])
  total = found["roi"]["bits_inside"] + found["roi"]["bits_outside"]
  assert coded - 64 <= total <= coded


@pytest.mark.parametrize("size", [(1, 1), (65, 65), (160, 200)])
def test_the_map_holds_all_bits(roijax, smoke_codec, size):
  height, width = size
  photo = read_photo(*size)
  Image.fromarray(photo).save("any.png")
  roijax("compress", "any.png")
  found = json.loads(roijax("info", "any.roij", "--json"))
  density = np.array(found["bits_per_pixel"])
  assert density.shape == (-(-height // 16), -(-width // 16))
  pixelwise = density.repeat(16, 0).repeat(16, 1)[:height, :width]
  whole = smoke_codec.compress_detailed(photo).bits_tables
  # The figures are rounded to four digits.
  assert pixelwise.mean() == pytest.approx(whole / (height * width), abs=1e-4)


def test_a_target_is_met_from_below(roijax):
  sizes = []
  for quality in (0, 1):
    roijax("compress", "photo.png", "--quality", quality, "--overwrite")
    sizes.append(pathlib.Path("photo.roij").stat().st_size)
  target = sum(sizes) // 2
  roijax("compress", "photo.png", "--target-size", target, "--overwrite")
  size = pathlib.Path("photo.roij").stat().st_size
  assert min(sizes) < size <= target
  assert size > 0.9 * target
