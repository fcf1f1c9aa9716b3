"""What the model does, shown while it trains, and without touching it."""

import json

import jax
import numpy as np
import pytest
import training_run
from PIL import Image
from smoke_model import read_crops

from roijax.training.loop import run_training
from roijax.training.options import TrainOptions
from roijax.training.pictures import draw_row, outline, to_heat, to_pixels
from roijax.training.samples import (
  SAMPLES,
  choose_samples,
  describe_shapes,
  make_observer,
)
from roijax.training.steps import make_steps


class Shown:
  """A log that remembers what it is to show."""

  def __init__(self):
    self.calls = []

  def show(self, step, *, scalars, images, histograms):
    self.calls.append((step, scalars, images, histograms))


class State:
  """As much of a state as may be looked at."""

  def __init__(self, ema_params):
    self.ema_params = ema_params


def test_an_observer_draws_what_the_averaged_parameters_do(smoke, tmp_path):
  log = Shown()
  observe = make_observer(
    smoke.model, smoke.config, read_crops(8, 64), tmp_path
  )
  observe(7, State(smoke.params), log)
  without = jax.tree.map(np.zeros_like, smoke.params)
  observe(12, State(without), log)
  # The parameters are as alive as before.
  assert all(np.isfinite(x).all() for x in jax.tree.leaves(smoke.params))

  files = sorted((tmp_path / "samples").iterdir())
  assert [file.name for file in files] == [
    "step_00000007.png",
    "step_00000012.png",
  ]
  first, second = (np.asarray(Image.open(file)) for file in files)
  assert first.shape == second.shape
  assert first.shape[0] > SAMPLES * 256
  assert first.shape[1] > 5 * 256
  assert np.any(first != second)

  (step, scalars, images, histograms), _ = log.calls
  assert step == 7
  assert images.keys() == {
    *(f"samples/{i}" for i in range(SAMPLES)),
    "gain/curve",
  }
  assert scalars.keys() == {"shape/mean_roi", "shape/mean_bg"}
  assert 0.5 <= scalars["shape/mean_roi"] <= 3
  latents = SAMPLES * 4 * 4 * smoke.model.latent_channels
  for name in ("shape", "log2_scale"):
    inside, outside = histograms[f"{name}/roi"], histograms[f"{name}/bg"]
    assert inside.size + outside.size == latents
    assert min(inside.size, outside.size) > 0
  low, high = histograms["gain/quality_0"], histograms["gain/quality_1"]
  assert low.size == smoke.model.latent_channels
  assert low.mean() < high.mean()


@pytest.mark.parametrize(
  ("kind", "scalars", "histograms"),
  [
    ("gaussian", set(), set()),
    ("laplace", set(), set()),
    ("ggm_m", {"shape/mean"}, set()),
    ("ggm_c", {"shape/mean"}, {"shape/channels"}),
    ("ggm_e", {"shape/mean_bg"}, {"shape/roi", "shape/bg"}),
  ],
)
def test_a_prior_s_shapes_are_told_as_far_as_it_learns_them(
  kind, scalars, histograms
):
  shape = np.broadcast_to(np.arange(3.0), (2, 4, 4, 3))
  found = describe_shapes(kind, shape, np.zeros((2, 4, 4, 1), bool))
  assert [set(part) for part in found] == [scalars, histograms]
  if kind == "ggm_e":
    assert found[0]["shape/mean_bg"] == 1.0
    assert found[1]["shape/roi"].size == 0


def test_samples_with_both_regions_come_first():
  roi = np.zeros((6, 8, 8, 1), np.float32)
  roi[1] = 1
  for row in (2, 4):
    roi[row, :3] = 1
  assert choose_samples({"roi": roi}, 4).tolist() == [2, 4, 0, 1]
  assert len(choose_samples({"roi": roi[:1]}, 4)) == 1


def test_pictures_show_what_they_are_given():
  grey = to_pixels(np.full((8, 8, 1), 0.5))
  assert np.all(grey == 128)
  heat = to_heat(np.array([[0.0, 1.0], [2.0, 4.0]]), 4.0).astype(int)
  assert np.all(np.diff(heat.sum(-1).ravel()) > 0)
  assert to_heat(np.zeros((2, 2)), 0.0).shape == (2, 2, 3)
  half = np.zeros((8, 8))
  half[:, 4:] = 1
  marked = np.any(outline(grey, half) != grey, axis=-1)
  assert marked.sum(0).tolist() == [0, 0, 0, 0, 8, 0, 0, 0]
  row = draw_row((grey, grey[:2, :2]), ("one\ntwo", "three"))
  # Both tiles are enlarged to the same size.
  assert np.all(row[100, 50] == 128)
  assert np.all(row[100, 400] == 128)


def observed_run(workdir, observe=None, observe_every=None):
  state, (optimizer, schedule) = training_run.make_fresh_state()
  options = TrainOptions(steps=7, log_every=2, observe_every=observe_every)
  state = run_training(
    state,
    training_run.Photos(),
    make_steps(training_run.loss_fn, optimizer, options.ema_decay),
    options,
    batch_size=training_run.BATCH_SIZE,
    workdir=workdir,
    config=training_run.CONFIG,
    schedule=schedule,
    observe=observe,
  )
  lines = (workdir / "metrics.jsonl").read_text().splitlines()
  rows = [json.loads(line) for line in lines]
  for row in rows:
    del row["images_per_second"], row["seconds"]
  return state, rows


def test_a_watched_run_has_the_numbers_of_an_unwatched_one(tmp_path):
  seen = []
  program = jax.jit(lambda params: jax.tree.map(lambda x: 2 * x, params))

  def observe(step, state, log):
    doubled = program(jax.device_get(state.ema_params))
    kernel = np.asarray(doubled["analysis"]["kernel"])
    log.show(step, histograms={"kernel": kernel})
    seen.append(step)

  plain, rows = observed_run(tmp_path / "plain")
  watched, same_rows = observed_run(tmp_path / "watched", observe, 3)
  assert seen == [3, 6, 7]
  assert rows == same_rows
  jax.tree.map(
    np.testing.assert_array_equal,
    (plain.params, plain.ema_params, plain.opt_state),
    (watched.params, watched.ema_params, watched.opt_state),
  )
