"""An encoder that takes its time: a better file, the same decoder."""

import json
import math
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from smoke_model import read_photo

from roijax import cli, efforts
from roijax.coding import groups
from roijax.commands import engine
from roijax.commands.encode import fit
from roijax.data.images import write_image
from roijax.errors import ConfigError
from roijax.ops.quantize import anneal_rounding

STEPS = 30


@pytest.fixture(autouse=True)
def _few_steps(monkeypatch):
  monkeypatch.setattr(efforts, "EFFORTS", (0, STEPS))


@pytest.fixture(name="roijax")
def _roijax(tmp_path, monkeypatch, capsys, smoke_codec, smoke_path, photo):
  """Runs `roijax compress a.png` with weights that are loaded once."""
  monkeypatch.chdir(tmp_path)
  monkeypatch.setattr(engine, "load_codec", lambda path: smoke_codec)
  write_image(tmp_path / "a.png", photo)

  def run(*arguments):
    weights = ["--checkpoint", str(smoke_path)]
    with pytest.raises(SystemExit) as stop:
      cli.main(["compress", "a.png", *map(str, arguments), *weights])
    return stop.value.code, *capsys.readouterr()

  return run


def _loss(codec, photo, roi, effort, quality=0.5, background=0.25):
  """What is minimised, of a real file, in bits."""
  settings = dict(quality=quality, background=background)
  data = codec.compress(photo, roi, effort=effort, **settings)
  error = (codec.decompress(data).astype(float) - photo) ** 2
  weight = np.ones(photo.shape[:2])
  if roi is not None:
    weight = np.maximum(roi, background) ** 2
  mean = error.reshape(*photo.shape[:2], -1).mean(axis=-1)
  return 8 * len(data) + codec.trade_off(quality) * np.sum(weight * mean)


def test_cold_rounding_is_rounding():
  x = jnp.asarray(np.random.default_rng(0).normal(0, 3, 4000), jnp.float32)
  near = jnp.abs(x - jnp.round(x)) < 0.4
  found = anneal_rounding(x, jax.random.key(0), 0.02)
  np.testing.assert_allclose(
    np.asarray(found)[near], np.round(np.asarray(x))[near], atol=1e-3
  )


@pytest.mark.parametrize("temperature", [0.1, 0.5, 2.0])
def test_annealed_rounding_stays_between_neighbours(temperature):
  x = jnp.linspace(-3, 3, 601)
  found = anneal_rounding(x, jax.random.key(1), temperature)
  assert bool(jnp.all(found >= jnp.floor(x) - 1e-6))
  assert bool(jnp.all(found <= jnp.floor(x) + 1 + 1e-6))


def test_annealed_rounding_has_a_gradient_on_integers_too():
  def total(x):
    return jnp.sum(anneal_rounding(x, jax.random.key(2), 0.3))

  assert bool(jnp.isfinite(jax.grad(total)(jnp.arange(-3.0, 4.0))).all())


def test_the_nearer_neighbour_is_the_likelier():
  x = jnp.full(4000, 0.2)
  up = np.mean(np.asarray(anneal_rounding(x, jax.random.key(3), 0.5)) > 0.5)
  assert 0.01 < up < 0.4


def test_warm_rounding_halfway_is_uniform_noise():
  x = jnp.full(40_000, -1.5)
  found = np.asarray(anneal_rounding(x, jax.random.key(4), 1.0))
  counts, _ = np.histogram(found, bins=10, range=(-2, -1))
  np.testing.assert_allclose(counts, 4000, rtol=0.06)


@pytest.mark.parametrize("with_roi", [True, False])
def test_an_effort_makes_the_file_better(smoke_codec, photo, roi, with_roi):
  region = roi if with_roi else None
  before = _loss(smoke_codec, photo, region, 0)
  assert _loss(smoke_codec, photo, region, 1) < 0.97 * before


def test_a_grey_photo_takes_an_effort(smoke_codec, photo):
  grey = photo[..., 0]
  assert _loss(smoke_codec, grey, None, 1) < _loss(smoke_codec, grey, None, 0)


def test_the_same_effort_gives_the_same_bytes(smoke_codec, photo, roi):
  files = [smoke_codec.compress(photo, roi, effort=1) for _ in range(2)]
  assert files[0] == files[1]


def test_progress_grows_to_one(smoke_codec, photo):
  told = []
  smoke_codec.compress(photo, effort=1, progress=told.append)
  assert told == sorted(told)
  assert told[-1] == 1
  assert len(told) > STEPS


def test_groups_are_refined_beside_their_neighbours(smoke_codec, monkeypatch):
  photo = read_photo(160, 256)
  monkeypatch.setattr(groups, "GROUP_CELLS", 2)
  assert groups.count_groups(160, 256) == 4
  before = _loss(smoke_codec, photo, None, 0)
  assert _loss(smoke_codec, photo, None, 1) < 0.97 * before


@pytest.mark.parametrize("effort", [-1, 2, 99])
def test_an_unknown_effort_is_told(smoke_codec, photo, effort):
  with pytest.raises(ConfigError, match=rf"effort {effort} is unknown"):
    smoke_codec.compress(photo, effort=effort)


@pytest.mark.parametrize("effort", ["7", "-1", "much"])
def test_the_command_tells_an_unknown_effort(roijax, tmp_path, effort):
  code, out, err = roijax("--effort", effort)
  assert code == 2
  assert not out
  assert "effort" in err
  assert len(err.strip().splitlines()) == 1
  assert not (tmp_path / "a.roij").exists()


def test_a_target_is_kept_with_an_effort(roijax, tmp_path, photo):
  qualities = []
  budget = math.floor(1.5 * photo.shape[0] * photo.shape[1] / 8)
  for effort in (0, 1):
    place = tmp_path / f"{effort}.roij"
    code, out, _ = roijax(
      *("-o", place, "--target-bpp", "1.5", "--effort", effort, "--json")
    )
    assert code == 0
    assert place.stat().st_size <= budget
    qualities.append(json.loads(out)["quality"])
  assert qualities[1] >= qualities[0]


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    (("--effort", "9"), "effort 9 is unknown: it is 0 (no time) to 1"),
    (("--effort", "1", "--target-bpp", "0.3"), "leave --effort out"),
    (("--effort", "1", "--task", "detection"), "--effort is of no use with"),
  ],
)
def test_evaluation_tells_an_effort_that_it_cannot_make(
  smoke_path, tmp_path, capsys, arguments, message
):
  with pytest.raises(SystemExit) as stop:
    cli.main(
      [
        *("eval", "--data", "sample:val", "--checkpoint", str(smoke_path)),
        *("--out", str(tmp_path / "out"), *arguments),
      ]
    )
  out, err = capsys.readouterr()
  assert (stop.value.code, out) == (2, "")
  assert message in err
  assert len(err.strip().splitlines()) == 1


def test_where_no_file_with_an_effort_fits_the_plain_one_is_kept_and_told():
  def encode(quality, effort):
    size = 10 + int(10 * quality) + 1000 * effort
    return types.SimpleNamespace(data=bytes(size))

  found, remarks = fit(encode, 7.0, 40, effort=1)
  assert 10 < len(found.data) <= 40
  assert remarks == ["made without an effort: files with one exceed the target"]
