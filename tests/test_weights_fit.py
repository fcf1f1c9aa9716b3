"""Weights whose arrays, or whose model, are not what this version knows."""

import json

import numpy as np
import pytest
from smoke_model import ROOT

from roijax.codec import Codec
from roijax.errors import CheckpointError

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
