"""Cross-entropy and Dice against NumPy, and what is unknown left out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from roijax.losses.segmentation import cross_entropy, dice


@pytest.fixture(name="maps")
def _maps():
  rng = np.random.default_rng(0)
  logits = rng.normal(0, 3, (3, 5, 7)).astype(np.float32)
  target = rng.random((3, 5, 7)).astype(np.float32)
  weight = rng.random((3, 5, 7)).astype(np.float32)
  return jnp.asarray(logits), jnp.asarray(target), jnp.asarray(weight)


def test_cross_entropy_is_numpy_s(maps):
  logits, target, weight = (np.asarray(x, np.float64) for x in maps)
  likely = 1 / (1 + np.exp(-logits))
  loss = -target * np.log(likely) - (1 - target) * np.log(1 - likely)
  expected = (weight * loss).sum() / weight.sum()
  np.testing.assert_allclose(cross_entropy(*maps), expected, rtol=1e-5)


def test_dice_is_numpy_s(maps):
  logits, target, weight = (np.asarray(x, np.float64) for x in maps)
  likely = 1 / (1 + np.exp(-logits))
  for i in range(3):
    both = (weight[i] * likely[i] * target[i]).sum()
    either = (weight[i] * (likely[i] ** 2 + target[i] ** 2)).sum()
    expected = 1 - (2 * both + 1) / (either + 1)
    np.testing.assert_allclose(dice(*maps)[i], expected, rtol=1e-5)


def test_agreement_costs_nothing_and_its_opposite_most(maps):
  target = (maps[1] > 0.5).astype(jnp.float32)
  sure = 60 * (2 * target - 1)
  weight = jnp.ones_like(target)
  assert float(cross_entropy(sure, target, weight)) < 1e-6
  assert float(dice(sure, target, weight).max()) < 1e-6
  assert float(cross_entropy(-sure, target, weight)) == pytest.approx(60)
  assert float(dice(-sure, target, weight).min()) > 0.9


@pytest.mark.parametrize("loss", [cross_entropy, dice])
def test_what_is_unknown_counts_for_nothing(maps, loss):
  logits, target, weight = maps
  known = (weight > 0.4).astype(jnp.float32)

  def total(logits):
    return jnp.sum(loss(logits, target, known))

  value, gradient = jax.value_and_grad(total)(logits)
  elsewhere = logits + 50 * (1 - known)
  np.testing.assert_allclose(total(elsewhere), value, rtol=1e-6)
  assert not np.asarray(gradient)[known == 0].any()
  assert np.asarray(gradient)[known == 1].all()


@pytest.mark.parametrize("loss", [cross_entropy, dice])
def test_extremes_have_finite_gradients(loss):
  logits = jnp.array([[[1e4, -1e4, 0.0]]])
  target = jnp.array([[[0.0, 1.0, 1.0]]])
  for weight in (jnp.ones_like(target), jnp.zeros_like(target)):
    gradient = jax.grad(lambda x, w=weight: jnp.sum(loss(x, target, w)))(logits)
    assert np.isfinite(gradient).all()
