"""The predictor's network: resolutions, repeated fusion, a pure function."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from smoke_model import ROOT, load_config_file

from roijax.errors import ConfigError
from roijax.models.hrnet import Exchange, build_hrnet

MODEL = {
  "widths": (4, 6, 8, 10),
  "modules": (1, 1, 2),
  "blocks": 1,
  "stem_width": 4,
  "head_width": 8,
  "side": 64,
}


@pytest.fixture(name="small", scope="module")
def _small():
  model = build_hrnet(**MODEL)
  image = jax.random.uniform(jax.random.key(1), (2, 64, 96, 3))
  params = jax.jit(model.init)(jax.random.key(0), image)["params"]
  return model, params, image


@pytest.fixture(name="predict", scope="module")
def _predict(small):
  model, params, _ = small
  return jax.jit(lambda x: model.apply({"params": params}, x))


@pytest.fixture(name="exchanges", scope="module")
def _exchanges(small):
  """From an image to what every exchange says, by name."""
  model, params, _ = small

  @jax.jit
  def run(x):
    _, state = model.apply(
      {"params": params}, x, capture_intermediates=_is_exchange
    )
    return state["intermediates"]

  return run


def _is_exchange(module, _):
  return isinstance(module, Exchange)


def test_logits_are_as_large_as_the_image(small, predict):
  logits = predict(small[2])
  assert logits.shape == (2, 64, 96)
  assert logits.dtype == jnp.float32


def test_a_photo_s_prediction_does_not_know_its_batch(small, predict):
  image = small[2]
  both, alone = predict(image), predict(image[1:])
  np.testing.assert_allclose(both[1:], alone, atol=1e-5)


def test_four_resolutions_stay_to_the_end(small, exchanges):
  made = exchanges(small[2])
  shapes = [x.shape[1:] for x in made["stage_2_module_1"]["__call__"][0]]
  assert shapes == [(16, 24, 4), (8, 12, 6), (4, 6, 8), (2, 3, 10)]
  assert [len(made[name]["__call__"][0]) for name in sorted(made)] == [
    *(2, 3, 4),  # begin_0, begin_1, begin_2
    *(2, 3, 4, 4),  # one or two modules a stage
  ]


@pytest.mark.parametrize("source", range(3))
def test_every_exchange_tells_every_branch_of_every_other(source):
  exchange = Exchange((4, 6, 8))
  shapes = [(1, 16, 16, 4), (1, 8, 8, 6), (1, 4, 4, 8)]
  keys = jax.random.split(jax.random.key(2), 3)
  branches = [
    jax.random.normal(key, shape)
    for key, shape in zip(keys, shapes, strict=True)
  ]
  params = jax.jit(exchange.init)(jax.random.key(3), branches)
  apply = jax.jit(exchange.apply)
  before = apply(params, branches)
  stirred = list(branches)
  # Not a constant: norms would take it away.
  stirred[source] = stirred[source].at[0, 1, 2, 0].add(3.0)
  after = apply(params, stirred)
  for target, (one, other) in enumerate(zip(before, after, strict=True)):
    moved = np.abs(one - other).max(axis=(0, 3))
    assert moved.max() > 1e-3, f"branch {target} heard nothing of {source}"
    # And only where the stirred pixel lies.
    assert np.count_nonzero(moved) <= max(1, 4 ** (source - target))


def test_one_pixel_reaches_every_branch_in_every_stage(small, exchanges):
  image = small[2]
  before = exchanges(image)
  after = exchanges(image.at[0, 30, 40].add(0.5))
  for name, made in before.items():
    for i, x in enumerate(made["__call__"][0]):
      moved = np.abs(x - after[name]["__call__"][0][i]).max()
      assert moved > 1e-4, f"{name}, branch {i}"


def test_the_shipped_size_fits_into_six_mebibytes():
  config = load_config_file(ROOT / "configs" / "roi_predictor.py")
  model = build_hrnet(**config.get_config("small").model)
  assert len(model.widths) == 4
  image = jnp.zeros((1, model.side, model.side, 3))
  shapes = jax.eval_shape(model.init, jax.random.key(0), image)
  count = sum(leaf.size for leaf in jax.tree.leaves(shapes))
  assert 1e6 < count <= 3e6
  assert 2 * count <= 6 * 2**20


@pytest.mark.parametrize(
  ("changes", "line"),
  [
    ({"widths": (4, 6)}, "three resolutions at least"),
    ({"modules": (1, 1)}, "for each of 2 to 4 branches"),
    ({"modules": (1, 0, 1)}, "1 or more"),
    ({"side": 48}, "a multiple of 32"),
  ],
)
def test_sizes_that_do_not_fit_are_told(changes, line):
  with pytest.raises(ConfigError, match=line):
    build_hrnet(**{**MODEL, **changes})
