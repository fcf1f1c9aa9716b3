"""Every variant of every config builds; every smoke variant does it all."""

import os
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from smoke_model import ROOT, load_config_file, read_photo

from roijax.models.registry import SYSTEMS, build_model

FILES = sorted((ROOT / "configs").glob("*.py"))
# Those of codecs: the predictor of regions is another kind of model.
CODECS = [
  file
  for file in FILES
  if load_config_file(file).get_config("smoke").system in SYSTEMS
]
VARIANTS = [
  (file, variant)
  for file in CODECS
  for variant in load_config_file(file).VARIANTS
]


def _command(*arguments):
  done = subprocess.run(
    [sys.executable, *map(str, arguments)],
    cwd=ROOT,
    env={
      **os.environ,
      "PYTHONPATH": str(ROOT),
      "JAX_COMPILATION_CACHE_DIR": jax.config.jax_compilation_cache_dir,
    },
    capture_output=True,
    text=True,
    timeout=900,
  )
  assert done.returncode == 0, done.stderr
  return done.stdout


@pytest.mark.parametrize(
  ("file", "variant"), VARIANTS, ids=lambda x: getattr(x, "stem", x or "none")
)
def test_every_variant_builds_its_model(file, variant):
  config = load_config_file(file).get_config(variant)
  model = build_model(config.system, config.model)
  inputs = (
    jnp.zeros((1, 64, 128, 3)),
    jnp.zeros((1, 64, 128, 1)),
    jnp.zeros(1),
    jax.random.split(jax.random.key(0), 1),
  )
  # Shapes alone: nothing is compiled and no memory is taken.
  out, _ = jax.eval_shape(
    lambda key: model.init_with_output(key, *inputs), jax.random.key(0)
  )
  assert out.x_hat.shape == (1, 64, 128, 3)
  assert out.bits_y.shape == (1, 4, 8, model.latent_channels)
  assert config.data.crop % model.STRIDE == 0
  assert max(config.eval.qualities) <= len(config.model.lmbdas) - 1
  assert list(config.model.lmbdas) == sorted(config.model.lmbdas)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_an_unknown_variant_is_one_line_that_names_the_known(file, tmp_path):
  done = subprocess.run(
    [
      sys.executable,
      ROOT / "train.py",
      f"--config={file}:smoky",
      f"--workdir={tmp_path / 'run'}",
    ],
    env={**os.environ, "PYTHONPATH": str(ROOT)},
    capture_output=True,
    text=True,
    timeout=120,
  )
  assert done.returncode == 2
  assert done.stderr.count("\n") == 1
  assert "'smoky'" in done.stderr
  assert "smoke" in done.stderr
  assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.parametrize("file", CODECS, ids=lambda file: file.stem)
def test_smoke_trains_evaluates_compresses_and_decompresses(file, tmp_path):
  workdir = tmp_path / "run"
  _command(
    "train.py",
    f"--config={file}:smoke",
    f"--workdir={workdir}",
    "--config.train.steps=2",
    "--config.data.batch_size=2",
  )
  assert (workdir / "samples" / "step_00000002.png").stat().st_size > 0
  curves = _command("-m", "roijax", "plot", "run", workdir)
  assert curves.startswith(str(workdir / "curves.png"))
  photo = read_photo(60, 100)
  photo_path = tmp_path / "photos" / "photo.png"
  photo_path.parent.mkdir()
  Image.fromarray(photo).save(photo_path)
  out = _command(
    "eval.py",
    f"--checkpoint={workdir}",
    f"--data={photo_path.parent}",
    "--roi=center",
    "--qualities=0,1",
  )
  assert "results.json" in out
  for name in ("results.json", "results.csv", "rd.png"):
    assert (workdir / "eval" / name).stat().st_size > 0
  file, back = tmp_path / "photo.roij", tmp_path / "back.png"
  roijax = ("-m", "roijax")
  weights = ("--checkpoint", workdir)
  region = ("--roi", "box:10,10,40,40")
  out = _command(*roijax, "compress", photo_path, "-o", file, *weights, *region)
  assert f"{file.stat().st_size:,} bytes" in out
  assert "inside the region" in out
  assert "100x60 pixels" in _command(*roijax, "info", file)
  _command(*roijax, "decompress", file, "-o", back, *weights)
  decoded = np.asarray(Image.open(back))
  assert decoded.shape == photo.shape
  assert np.mean((decoded.astype(float) - photo) ** 2) < 30**2
  assert not list(pathlib.Path(tmp_path).glob("*.tmp*"))


@pytest.mark.slow
@pytest.mark.parametrize(
  ("config", "options", "made"),
  [
    ("roi_predictor", [], "model.npz"),
    ("swin", ["--config.predictor.mode=joint"], "predictor.npz"),
  ],
)
def test_predictors_train_by_the_same_command(config, options, made, tmp_path):
  out = _command(
    "train.py",
    f"--config=configs/{config}.py:smoke",
    f"--workdir={tmp_path / 'run'}",
    "--config.train.steps=2",
    "--config.data.batch_size=8",
    *options,
  )
  assert "trained: " in out
  assert (tmp_path / "run" / made).stat().st_size > 0
