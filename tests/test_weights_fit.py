"""Weights whose arrays, or whose model, are not what this version knows."""

import json

import numpy as np
import pytest
from PIL import Image
from smoke_model import ROOT
from weights_box import make_run, ship

from roijax import cli
from roijax.codec import Codec
from roijax.commands import engine
from roijax.errors import CheckpointError
from roijax.weights import index, shipped

TINY = ROOT / "tests" / "golden" / "tiny-1.npz"


@pytest.fixture(name="save")
def _save(tmp_path):
  """Saves the tiny weights with something changed; gives their path."""
  with np.load(TINY) as file:
    arrays = dict(file)
  config = json.loads(arrays["config"].tobytes())

  def save(model=None, system=None, **changed):
    own = {**config, "system": system or config["system"]}
    own["model"] = {**config["model"], **(model or {})}
    text = np.frombuffer(json.dumps(own).encode(), np.uint8)
    path = tmp_path / "other.npz"
    np.savez(path, **{**arrays, "config": text, **changed})
    return path

  return save


@pytest.mark.parametrize(
  ("changes", "words"),
  [
    ({"model": {"hologram": 3}}, "hologram.*newer roijax"),
    ({"model": {"lmbdas": 3}}, "newer roijax"),
    ({"system": "mbt"}, "unknown system 'mbt'.*newer roijax"),
  ],
)
def test_another_model_is_told_with_the_file_s_name(save, changes, words):
  path = save(**changes)
  words = f"{path.name}: .*{words}"
  with pytest.raises(CheckpointError, match=words) as caught:
    Codec.load(path)
  assert "\n" not in str(caught.value)


def test_an_array_of_another_shape_is_told(save):
  with np.load(TINY) as file:
    name = "weights/log_unit"
    wrong = file[name][:-1]
  codec = Codec.load(save(**{name: wrong}))
  with pytest.raises(CheckpointError, match=r"do not fit.*log_unit"):
    codec.compress(np.zeros((64, 64, 3), np.uint8))


@pytest.mark.parametrize(
  ("kind", "words"),
  [
    ("predictor", "predicts regions and codes nothing"),
    ("newer", "newer roijax"),
    ("cut", "is damaged"),
    ("flipped", "is not the file that was shipped"),
  ],
)
def test_the_command_line_refuses_weights_in_one_line(
  save, tmp_path, monkeypatch, capfd, kind, words
):
  monkeypatch.chdir(tmp_path)
  Image.new("RGB", (40, 40)).save("photo.png")
  box = tmp_path / "box"
  ship(make_run(tmp_path / "run"), "tiny-1", box)
  monkeypatch.setattr(index, "read_index", lambda: shipped.read_index(box))
  engine.forget()
  if kind == "predictor":
    name = shipped.FOLDER / "roi-predictor-2.npz"
  elif kind == "newer":
    name = save({"hologram": 3})
  elif kind == "cut":
    name = tmp_path / "cut.npz"
    name.write_bytes(TINY.read_bytes()[:-40])
  else:
    name = "tiny-1"
    data = bytearray((box / "tiny-1.npz").read_bytes())
    data[len(data) // 2] ^= 1
    (box / "tiny-1.npz").write_bytes(data)
  with pytest.raises(SystemExit) as stop:
    cli.main(["compress", "photo.png", "-o", "a.roij", f"--checkpoint={name}"])
  told = capfd.readouterr()
  assert (stop.value.code, told.out) == (2, "")
  assert told.err.startswith("error: ")
  assert told.err.count("\n") == 1
  assert words in told.err
  assert not (tmp_path / "a.roij").exists()
