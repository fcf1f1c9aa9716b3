import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from roijax.errors import ConfigError
from roijax.training.optimizer import (
  leaf_paths,
  make_optimizer,
  make_schedule,
)

PARAMS = {
  "analysis": {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)},
  "prior": {"scale": jnp.ones(3)},
}
GRADIENTS = jax.tree.map(lambda leaf: 0.1 * jnp.ones_like(leaf), PARAMS)


def update_once(**config):
  config = {"learning_rate": 0.5, "schedule": "constant", **config}
  optimizer, _ = make_optimizer(config, steps=10)
  state = optimizer.init(PARAMS)
  updates, _ = optimizer.update(GRADIENTS, state, PARAMS)
  return updates


def test_warm_up_then_cosine():
  schedule = make_schedule(
    steps=110, learning_rate=1.0, warmup_steps=10, final_fraction=0.1
  )
  rates = np.array([schedule(step) for step in range(111)])
  assert 0 < rates[0] < 0.1
  assert np.all(np.diff(rates[:11]) > 0)
  np.testing.assert_allclose(rates[10], 1.0)
  np.testing.assert_allclose(rates[60], 0.55, rtol=1e-5)
  np.testing.assert_allclose(rates[110], 0.1, rtol=1e-5)


def test_a_constant_rate_stays():
  schedule = make_schedule(steps=9, learning_rate=0.3, schedule="constant")
  assert schedule(0) == schedule(8) == 0.3


def test_sgd_moves_against_the_gradient():
  updates = update_once(name="sgd", clip_norm=None)
  np.testing.assert_allclose(updates["prior"]["scale"], -0.05, rtol=1e-6)


def test_clipping_bounds_the_whole_gradient():
  updates = update_once(name="sgd", clip_norm=0.01)
  np.testing.assert_allclose(optax.tree.norm(updates), 0.005, rtol=1e-5)


@pytest.mark.parametrize("name", ["adam", "adamw", "muon", "sgd"])
def test_a_group_has_its_own_rate(name):
  plain = update_once(name=name)
  grouped = update_once(
    name=name, multipliers={"prior": 3.0, "analysis/bias": 0.5}
  )
  ratios = jax.tree.map(lambda a, b: float((a / b).mean()), grouped, plain)
  assert ratios["prior"]["scale"] == pytest.approx(3.0)
  assert ratios["analysis"]["bias"] == pytest.approx(0.5)
  assert ratios["analysis"]["kernel"] == pytest.approx(1.0)


def test_decay_spares_what_is_not_a_matrix():
  plain = update_once(name="adamw", weight_decay=0.0)
  decayed = update_once(name="adamw", weight_decay=0.1)
  change = jax.tree.map(lambda a, b: float(jnp.mean(b - a)), plain, decayed)
  assert change["analysis"]["kernel"] == pytest.approx(-0.05, rel=1e-4)
  assert change["analysis"]["bias"] == 0
  assert change["prior"]["scale"] == 0


def test_muon_moves_all_directions_of_a_kernel_alike_and_the_rest_as_adam():
  rng = np.random.default_rng(0)
  shapes = {
    "dense": {"kernel": (16, 12), "bias": (12,)},
    "conv": {"kernel": (3, 3, 8, 16)},
    "narrow": {"kernel": (4, 12)},
    "gain": {"log_gain": (8, 16)},
  }

  def draw(shape):
    return jnp.asarray(rng.normal(size=shape), jnp.float32)

  params, gradients = (
    jax.tree.map(draw, shapes, is_leaf=lambda x: isinstance(x, tuple))
    for _ in range(2)
  )

  config = {"learning_rate": 0.5, "schedule": "constant", "clip_norm": None}
  muon, adam = (
    optimizer.update(gradients, optimizer.init(params), params)[0]
    for optimizer in (
      make_optimizer({"name": "muon", **config}, steps=10)[0],
      optax.adam(0.5, nesterov=True),
    )
  )
  for path in (("dense", "bias"), ("narrow", "kernel"), ("gain", "log_gain")):
    np.testing.assert_allclose(
      muon[path[0]][path[1]], adam[path[0]][path[1]], rtol=1e-5
    )
  for name in ("dense", "conv"):
    step = np.asarray(muon[name]["kernel"]).reshape(
      -1, shapes[name]["kernel"][-1]
    )
    gradient = np.asarray(gradients[name]["kernel"]).reshape(step.shape)
    values = np.linalg.svd(step, compute_uv=False)
    spread = np.linalg.svd(gradient, compute_uv=False)
    # Newton and Schulz's iteration, not the exact sign.
    assert values.max() / values.min() < 2 < spread.max() / spread.min()
    assert np.sum(step * gradient) < 0
    # As long as Adam's steps in the mean, by the rule of a fifth.
    assert np.sqrt(np.mean(step**2)) == pytest.approx(0.1, rel=0.25)


@pytest.mark.parametrize(
  ("config", "line"),
  [
    ({"learning_rat": 1.0}, "learning_rat does not exist: did you mean lear"),
    ({"weight_decay": 0.1}, "optimizer.weight_decay does not exist"),
    (
      {"name": "adamm"},
      "'adamm' does not exist: one of adam, adamw, muon, sgd",
    ),
    ({"schedule": "cosin"}, "'cosin' does not exist: one of constant, cosine"),
    ({"multipliers": {"pryor": 2.0}}, "under 'pryor'; the groups are anal"),
    ({"warmup_steps": 11}, "warmup_steps=11 must lie in 0 to"),
  ],
)
def test_a_wrong_key_is_one_line(config, line):
  with pytest.raises(ConfigError, match=line):
    update_once(**{"name": "sgd", **config})


def test_a_missing_key_is_one_line():
  with pytest.raises(ConfigError, match=r"optimizer\.learning_rate is missing"):
    make_optimizer({"name": "adam"}, steps=10)
  with pytest.raises(ConfigError, match=r"optimizer\.name is missing"):
    make_optimizer({}, steps=10)


def test_leaves_are_named_by_their_path():
  assert leaf_paths(PARAMS) == [
    "analysis/bias",
    "analysis/kernel",
    "prior/scale",
  ]
