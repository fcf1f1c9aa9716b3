import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from roijax.coding.tables import make_tables
from roijax.entropy.factorized import (
  SUPPORT_MAX,
  TAIL_MASS,
  FactorizedPrior,
  cumulative_logits,
  make_pmfs,
)

CHANNELS = 5


def _parameters(stir=0.4, seed=0, init_scale=10.0):
  """A prior's parameters, stirred so that no two channels are alike."""
  prior = FactorizedPrior(CHANNELS, init_scale)
  variables = prior.init(jax.random.key(seed), jnp.zeros((1, 1, 1, CHANNELS)))
  rng = np.random.default_rng(seed)
  return prior, {
    name: np.float32(leaf + stir * rng.normal(size=leaf.shape))
    for name, leaf in variables["params"].items()
  }


def _bits(prior, parameters, z):
  return prior.apply({"params": parameters}, jnp.asarray(z, jnp.float32))


def _distribution(parameters, x):
  """Each channel's distribution function at x [K], written out, float64."""
  hidden = np.tile(np.float64(x), (CHANNELS, 1, 1))
  for i in range(5):
    matrix = np.float64(parameters[f"matrix_{i}"])
    hidden = np.einsum("coi,cik->cok", np.log1p(np.exp(matrix)), hidden)
    hidden += parameters[f"bias_{i}"][..., None]
    if i < 4:
      factor = np.tanh(np.float64(parameters[f"factor_{i}"]))[..., None]
      hidden += factor * np.tanh(hidden)
  return scipy.special.expit(hidden[:, 0])


def test_bits_are_differences_of_the_distribution_function():
  prior, parameters = _parameters()
  x = np.linspace(-25, 25, 400)
  z = np.tile(x[:, None], (1, CHANNELS)).reshape(4, 10, 10, CHANNELS)
  found = np.asarray(_bits(prior, parameters, z))
  assert found.shape == z.shape
  found = found.reshape(-1, CHANNELS).T
  expected = _distribution(parameters, x + 0.5)
  expected -= _distribution(parameters, x - 0.5)
  valid = expected > 1e-7
  assert valid.mean() > 0.5
  np.testing.assert_allclose(2.0 ** -found[valid], expected[valid], rtol=1e-3)


@pytest.mark.parametrize("seed", range(4))
def test_distribution_function_rises_whatever_the_parameters(seed):
  _, parameters = _parameters(stir=2.0, seed=seed)
  layers = [
    tuple(
      None
      if kind == "factor" and i == 4
      else np.float64(parameters[f"{kind}_{i}"])
      for kind in ("matrix", "bias", "factor")
    )
    for i in range(5)
  ]
  x = np.tile(np.linspace(-300, 300, 20001), (CHANNELS, 1))
  logits = cumulative_logits(layers, x)
  assert (np.diff(logits) > 0).all()


def test_a_fresh_prior_is_about_as_wide_as_asked():
  _, parameters = _parameters(stir=0, init_scale=10.0)
  first, pmfs = make_pmfs(parameters)
  for start, pmf in zip(first, pmfs, strict=True):
    x = start + np.arange(len(pmf))
    deviation = np.sqrt(np.sum(pmf * x**2) - np.sum(pmf * x) ** 2)
    assert 5 < deviation < 40


def test_a_value_at_the_exact_median_is_likely():
  prior, parameters = _parameters(stir=0)
  parameters = {
    name: np.zeros_like(leaf) if "bias" in name else leaf
    for name, leaf in parameters.items()
  }
  bits = np.asarray(_bits(prior, parameters, np.zeros((1, 1, 1, CHANNELS))))
  near = np.asarray(_bits(prior, parameters, np.full((1, 1, 1, CHANNELS), 0.1)))
  np.testing.assert_allclose(bits, near, rtol=1e-2)
  first, pmfs = make_pmfs(parameters)
  for start, pmf in zip(first, pmfs, strict=True):
    assert pmf[-start] == pmf.max()


def test_gradients_are_finite_and_pull_lost_values_back():
  prior, parameters = _parameters()
  z = np.array([0, 0.5, -3, 30, -1e3, 1e5], np.float32)
  z = np.tile(z[:, None], (1, CHANNELS)).reshape(1, 2, 3, CHANNELS)
  bits, slopes = jax.value_and_grad(
    lambda p, z: _bits(prior, p, z).sum(), argnums=(0, 1)
  )(parameters, z)
  assert np.isfinite(bits)
  assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(slopes))
  assert (np.asarray(slopes[1]).reshape(-1, CHANNELS)[3] > 0).all()


def test_tables_support_holds_all_but_the_tail_mass():
  _, parameters = _parameters()
  first, pmfs = make_pmfs(parameters)
  assert first.dtype == np.int32 and len(pmfs) == CHANNELS
  for channel, (start, pmf) in enumerate(zip(first, pmfs, strict=True)):
    edges = start - 0.5 + np.arange(len(pmf) + 1)
    mass = np.diff(_distribution(parameters, edges)[channel])
    np.testing.assert_allclose(pmf, mass, rtol=1e-6, atol=1e-14)
    assert 1 - TAIL_MASS <= pmf.sum() <= 1
    # Bisection, not a guess: one integer less on a side would not do.
    ends = _distribution(parameters, edges[[1, -2]])[channel]
    assert ends[0] > TAIL_MASS / 2 / 4 and 1 - ends[1] > TAIL_MASS / 2 / 4


def test_a_support_too_wide_is_cut_around_the_median():
  _, parameters = _parameters(init_scale=1e4)
  first, pmfs = make_pmfs(parameters)
  assert {len(pmf) for pmf in pmfs} == {2 * SUPPORT_MAX + 1}
  middle = (first + SUPPORT_MAX).astype(float)
  at_middle = np.diag(_distribution(parameters, middle))
  np.testing.assert_allclose(at_middle, 0.5, atol=1e-3)


def test_coding_tables_cost_what_the_prior_says():
  prior, parameters = _parameters()
  first, pmfs = make_pmfs(parameters)
  tables = make_tables(pmfs, first)
  rng = np.random.default_rng(0)
  symbols = np.stack(
    [
      start + rng.choice(len(pmf), 4000, p=pmf / pmf.sum())
      for start, pmf in zip(first, pmfs, strict=True)
    ],
    axis=-1,
  )
  indexes = np.broadcast_to(np.arange(CHANNELS), symbols.shape)
  coded = tables.bits(symbols, indexes).sum()
  estimate = np.sum(_bits(prior, parameters, symbols.reshape(40, 10, 10, -1)))
  assert coded == pytest.approx(float(estimate), rel=1e-2)
