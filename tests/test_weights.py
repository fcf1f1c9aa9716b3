"""The weights file: what goes in comes out, and its name is its content."""

import os
import subprocess
import sys

import jax
import numpy as np
import pytest
from smoke_model import ROOT

from roijax.errors import CheckpointError
from roijax.training.export import export_model
from roijax.weights.archive import FILE_NAME, load_weights, save_weights

MODEL = {"lmbdas": (0.01, 0.1), "slices": (1, 2)}


def _params(seed=0):
  rng = np.random.default_rng(seed)
  channels, widths = 3, (1, 3, 3, 3, 3, 1)
  z_prior = {}
  for i in range(5):
    out, fan_in = widths[i + 1], widths[i]
    z_prior[f"matrix_{i}"] = rng.normal(0.2, 0.3, (channels, out, fan_in))
    z_prior[f"bias_{i}"] = rng.normal(0, 0.3, (channels, out))
    if i < 4:
      z_prior[f"factor_{i}"] = rng.normal(0, 0.1, (channels, out))
  dense = {"kernel": rng.normal(size=(4, 5)), "bias": rng.normal(size=5)}
  params = {"z_prior": z_prior, "synthesis": {"trunk": {"up_0": dense}}}
  return jax.tree.map(lambda x: x.astype(np.float32), params)


def test_what_is_saved_is_loaded_rounded_to_float16(tmp_path):
  params = _params()
  save_weights(tmp_path / FILE_NAME, "ggm", MODEL, params)
  for path in (tmp_path, tmp_path / FILE_NAME, str(tmp_path)):
    found = load_weights(path)
    assert found.system == "ggm"
    assert found.model == {"lmbdas": [0.01, 0.1], "slices": [1, 2]}
    assert jax.tree.structure(found.params) == jax.tree.structure(params)
    for one, other in zip(
      jax.tree.leaves(found.params), jax.tree.leaves(params), strict=True
    ):
      assert one.dtype == np.float32
      np.testing.assert_array_equal(one, other.astype(np.float16))
    assert len(found.z_tables) == 3


def test_a_file_saved_again_is_the_same_file(tmp_path):
  one, other = tmp_path / "one.npz", tmp_path / "other.npz"
  save_weights(one, "ggm", MODEL, _params())
  found = load_weights(one)
  save_weights(other, found.system, found.model, found.params)
  again = load_weights(other)
  assert again.fingerprint == found.fingerprint
  for name, array in found.z_tables.to_arrays().items():
    np.testing.assert_array_equal(array, again.z_tables.to_arrays()[name])


def test_the_fingerprint_names_every_weight_and_the_configuration(tmp_path):
  seen = set()

  def fingerprint(system="ggm", model=MODEL, change=None):
    params = _params()
    if change is not None:
      change(params)
    save_weights(tmp_path / FILE_NAME, system, model, params)
    return load_weights(tmp_path).fingerprint

  def nudge(params):
    kernel = params["synthesis"]["trunk"]["up_0"]["kernel"]
    kernel[3, 4] = np.nextafter(np.float16(kernel[3, 4]), np.float16(9))

  def nudge_prior(params):
    params["z_prior"]["bias_0"][0, 0] += 0.01

  def rename(params):
    trunk = params["synthesis"]["trunk"]
    trunk["up_1"] = trunk.pop("up_0")

  seen.add(fingerprint())
  assert {fingerprint()} == seen
  for arguments in (
    {"change": nudge},
    {"change": nudge_prior},
    {"change": rename},
    {"system": "other"},
    {"model": {**MODEL, "lmbdas": (0.01, 0.2)}},
  ):
    seen.add(fingerprint(**arguments))
  assert len(seen) == 6


def test_the_fingerprint_is_the_same_in_another_process(tmp_path):
  save_weights(tmp_path / FILE_NAME, "ggm", MODEL, _params())
  script = (
    "import sys; from roijax.weights.archive import load_weights\n"
    "print(load_weights(sys.argv[1]).fingerprint.hex())"
  )
  done = subprocess.run(
    [sys.executable, "-c", script, tmp_path],
    cwd=ROOT,
    env={**os.environ, "PYTHONHASHSEED": "7"},
    capture_output=True,
    text=True,
    check=True,
  )
  assert done.stdout.strip() == load_weights(tmp_path).fingerprint.hex()


def test_exporting_a_run_writes_what_codes(smoke, tmp_path):
  export_model(tmp_path / "run", smoke.config, smoke.params)
  found = load_weights(tmp_path / "run")
  assert found.system == "ggm"
  assert len(found.z_tables) == smoke.config.model.hyper_channels


@pytest.mark.parametrize("value", [np.inf, np.nan, 1e5])
def test_weights_that_float16_cannot_hold_are_told_by_name(tmp_path, value):
  params = _params()
  params["synthesis"]["trunk"]["up_0"]["bias"][2] = value
  with pytest.raises(CheckpointError, match="synthesis/trunk/up_0/bias"):
    save_weights(tmp_path / FILE_NAME, "ggm", MODEL, params)
  assert not list(tmp_path.iterdir())


def _assert_one_line(path, words):
  with pytest.raises(CheckpointError) as caught:
    load_weights(path)
  assert words in str(caught.value)
  assert "\n" not in str(caught.value)


def test_a_missing_file_is_told_in_one_line(tmp_path):
  _assert_one_line(tmp_path / "none", "no checkpoint at")
  _assert_one_line(tmp_path, "holds no model.npz")


def test_a_damaged_file_is_told_in_one_line(tmp_path):
  path = tmp_path / FILE_NAME
  save_weights(path, "ggm", MODEL, _params())
  data = path.read_bytes()
  for cut in (0, 1, 10, len(data) // 2, len(data) - 1):
    path.write_bytes(data[:cut])
    _assert_one_line(path, "damaged")
  rng = np.random.default_rng(0)
  # A flip in a ZIP file's own notes may change nothing that is read.
  fingerprint = None
  for place in rng.integers(0, len(data), 60):
    flipped = bytearray(data)
    flipped[place] ^= 1 << int(rng.integers(8))
    path.write_bytes(flipped)
    try:
      found = load_weights(path)
    except CheckpointError as error:
      assert "\n" not in str(error)
      continue
    fingerprint = fingerprint or found.fingerprint
    assert found.fingerprint == fingerprint
  path.write_bytes(b"not an archive")
  _assert_one_line(path, "damaged")


def test_an_archive_of_other_things_is_told_in_one_line(tmp_path):
  np.savez(tmp_path / FILE_NAME, image=np.zeros(3))
  _assert_one_line(tmp_path, "not a roijax weights file")
