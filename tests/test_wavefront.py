"""Wavefronts: causal, each latent once, one pass equals all at once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from smoke_model import load_config_file, stir

from roijax.coding.passes import number_passes
from roijax.layers.wavefront import BEFORE, Wavefronts
from roijax.models.registry import build_model

SIZES = [(5, 7), (4, 6), (1, 6), (5, 2), (5, 1), (1, 1)]
CHANNELS, FEATURES = 4, 6
CONTEXT = Wavefronts(CHANNELS, outputs=3, hidden=5)


def _make(height, width, seed=0):
  rng = np.random.default_rng(seed)
  h = rng.standard_normal((1, height, width, FEATURES))
  y_hat = np.round(3 * rng.standard_normal((1, height, width, CHANNELS)))
  return h.astype(np.float32), y_hat.astype(np.float32)


@pytest.fixture(name="params", scope="module")
def _params():
  h, y_hat = map(jnp.asarray, _make(4, 4))
  return stir(CONTEXT.init(jax.random.key(0), h, y_hat, method="parameters"))


@pytest.fixture(name="parameters", scope="module")
def _parameters(params):
  # Compiled: operation by operation takes seconds.
  run = jax.jit(lambda *a: CONTEXT.apply(params, *a, method="parameters"))
  return lambda *arrays: np.asarray(run(*arrays))[0]


def test_the_taps_are_the_twelve_before_in_raster_order():
  near = [(r, c) for r in range(-2, 3) for c in range(-2, 3)]
  assert list(BEFORE) == near[: near.index((0, 0))]
  assert len(BEFORE) == 12


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_every_tap_lies_in_an_earlier_pass(height, width):
  order = number_passes(CONTEXT.order, height, width)[..., 0]
  for row, column in np.ndindex(height, width):
    for down, right in BEFORE:
      there = row + down, column + right
      if 0 <= there[0] < height and 0 <= there[1] < width:
        assert order[there] < order[row, column]


@pytest.mark.parametrize("size", [(32, 48), (8, 8), (5, 3), (1, 9), (64, 64)])
def test_the_passes_are_as_many_and_as_long_as_stated(size):
  height, width = size
  passes = CONTEXT.order.passes(height, width)
  assert len(passes) == width + 3 * (height - 1)
  longest = min(height, -(-width // 3))
  assert max(one.count for one in passes) == longest
  assert {one.rows.size for one in passes} == {longest}


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_the_passes_code_every_latent_once(height, width):
  seen = np.zeros((height, width, CHANNELS), int)
  order = number_passes(CONTEXT.order, height, width)
  for number, one in enumerate(CONTEXT.order.passes(height, width)):
    assert one.count > 0
    rows, columns = one.rows[: one.count], one.columns[: one.count]
    place = (rows[:, None], columns[:, None], np.arange(*one.channels)[None])
    np.add.at(seen, place, 1)
    assert np.all(order[place] == number)
  assert np.all(seen == 1)


def test_the_canvas_alone_decides_how_long_the_lists_are():
  for region in ((5, 7), (8, 12), (1, 1)):
    passes = CONTEXT.order.passes(*region, (8, 12))
    assert {one.rows.size for one in passes} == {4}
    plain = CONTEXT.order.passes(*region)
    assert [one.count for one in passes] == [one.count for one in plain]


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_every_pass_alone_equals_all_passes_at_once(
  params, parameters, height, width
):
  h, y_hat = _make(height, width)
  whole = parameters(h, y_hat)
  order = number_passes(CONTEXT.order, height, width)

  rest = jnp.float32(1), jnp.asarray([height, width]), 0

  @jax.jit
  def run(*arrays):
    return CONTEXT.apply(params, *arrays, *rest, method="parameters_at")

  for number, one in enumerate(CONTEXT.order.passes(height, width)):
    decoded = np.where(order[None] < number, y_hat, 0)
    found = run(h, decoded, one.rows, one.columns)
    rows, columns = one.rows[: one.count], one.columns[: one.count]
    np.testing.assert_allclose(
      found[: one.count], whole[rows, columns], rtol=1e-5, atol=1e-6
    )


def test_no_latent_reads_its_own_or_a_later_pass(parameters):
  h, y_hat = _make(5, 7)
  _, other = _make(5, 7, seed=1)
  order = number_passes(CONTEXT.order, 5, 7)
  whole = parameters(h, y_hat)
  for number in range(order.max() + 1):
    changed = np.where(order[None] < number, y_hat, other)
    found = parameters(h, changed)
    np.testing.assert_array_equal(
      found[order <= number], whole[order <= number]
    )


def test_a_position_reads_each_of_its_taps_and_nothing_else(parameters):
  h, y_hat = _make(6, 7)
  whole = parameters(h, y_hat)
  for row, column in np.ndindex(6, 7):
    changed = y_hat.copy()
    changed[0, row, column] += 5
    moved = np.any(parameters(h, changed) != whole, axis=(2, 3))
    expected = np.zeros((6, 7), bool)
    for down, right in BEFORE:
      reader = row - down, column - right
      if 0 <= reader[0] < 6 and 0 <= reader[1] < 7:
        expected[reader] = True
    np.testing.assert_array_equal(moved, expected)


def _smoke_config(**changes):
  from smoke_model import ROOT

  config = load_config_file(ROOT / "configs" / "ggm.py").get_config("smoke")
  return {**config.model.to_dict(), **changes}


def test_a_config_names_its_context():
  # Weights that were exported before there was a choice lack the key.
  older = _smoke_config()
  del older["context"]
  kinds = {
    name: type(build_model("ggm", arguments).context).__name__
    for name, arguments in {
      "none": older,
      "checkerboard": _smoke_config(context="checkerboard"),
      "wavefront": _smoke_config(context="wavefront", slices=(24,)),
    }.items()
  }
  assert kinds == {
    "none": "CheckerboardSlices",
    "checkerboard": "CheckerboardSlices",
    "wavefront": "Wavefronts",
  }
