import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from roijax.coding.grid import (
  SCALE_MAX,
  SHAPE_MAX,
  SHAPE_MIN,
  alpha_per_scale,
  scale_min,
)
from roijax.entropy import scale_bound
from roijax.entropy.priors import PRIORS, SHAPE_START, Parameters, Prior
from roijax.entropy.scale_bound import SCALE_BOUNDS, dynamic_scale_bound

CHANNELS = 4
UNIT = jnp.array([0.5, 1.0, 2.0, 4.0])


def _make(kind, **options):
  """A prior and its parameters."""
  prior = Prior(kind, CHANNELS, **options)
  raw = jnp.zeros((1, CHANNELS, prior.outputs))
  return prior, prior.init(jax.random.key(0), raw, UNIT, method="split")


def _split(kind, raw, **options):
  prior, variables = _make(kind, **options)
  return prior.apply(variables, raw, UNIT, method="split")


def _raw(kind, spread, seed=0):
  rng = np.random.default_rng(seed)
  dims = (50, CHANNELS, PRIORS[kind].outputs)
  return jnp.asarray(spread * rng.normal(size=dims), jnp.float32)


@pytest.mark.parametrize("kind", PRIORS)
def test_heads_stay_within_bounds_whatever_they_are_told(kind):
  mean, scale, shape = _split(kind, _raw(kind, 300))
  assert mean.shape == scale.shape == shape.shape == (50, CHANNELS)
  assert np.min(shape) >= SHAPE_MIN and np.max(shape) <= SHAPE_MAX
  assert np.max(scale) <= SCALE_MAX
  assert (scale >= dynamic_scale_bound(shape) * (1 - 1e-6)).all()


@pytest.mark.parametrize("kind", PRIORS)
def test_a_silent_head_predicts_the_usual_size(kind):
  outputs = PRIORS[kind].outputs
  mean, scale, shape = _split(kind, jnp.zeros((3, CHANNELS, outputs)))
  np.testing.assert_array_equal(mean, np.zeros((3, CHANNELS)))
  np.testing.assert_allclose(scale, np.tile(UNIT, (3, 1)), rtol=1e-4)
  start = {"gaussian": 2.0, "laplace": 1.0}.get(kind, SHAPE_START)
  np.testing.assert_allclose(shape, start, rtol=1e-6)


def test_the_shape_is_learned_for_model_channel_or_latent():
  counts = {
    kind: sum(leaf.size for leaf in jax.tree.leaves(_make(kind)[1]))
    for kind in PRIORS
  }
  assert counts == {
    "gaussian": 0,
    "laplace": 0,
    "ggm_m": 1,
    "ggm_c": CHANNELS,
    "ggm_e": 0,
  }
  assert [PRIORS[kind].outputs for kind in PRIORS] == [2, 2, 2, 2, 3]


def test_a_slice_of_channels_takes_its_own_shapes():
  prior, variables = _make("ggm_c")
  variables = {"params": {"raw_shape": jnp.array([0.6, 1.0, 1.5, 2.0])}}
  raw = jnp.zeros((7, CHANNELS, 2))
  whole = prior.apply(variables, raw, UNIT, method="split")
  part = prior.apply(
    variables, raw[:, 1:3], UNIT[1:3], slice(1, 3), method="split"
  )
  for found, expected in zip(part, whole, strict=True):
    np.testing.assert_array_equal(found, expected[:, 1:3])
  assert len(np.unique(whole.shape)) == CHANNELS


@pytest.mark.parametrize("kind", PRIORS)
def test_bits_are_those_of_the_distribution(kind):
  prior, variables = _make(kind)
  parameters = prior.apply(variables, _raw(kind, 1.0), UNIT, method="split")
  mean, scale, shape = parameters
  y = mean + 2 * scale * np.linspace(-1, 1, 50, dtype=np.float32)[:, None]
  found = prior.apply(variables, y, parameters, method="bits")
  r, scale, shape = (np.float64(a) for a in (y - mean, scale, shape))
  alpha = scale * alpha_per_scale(shape)
  expected = stats.gennorm.cdf(r + 0.5, shape, scale=alpha)
  expected -= stats.gennorm.cdf(r - 0.5, shape, scale=alpha)
  np.testing.assert_allclose(2.0**-found, expected, rtol=1e-3)


@pytest.mark.parametrize("kind", PRIORS)
def test_expected_bits_are_at_least_the_entropy(kind):
  """A prior that is wrong pays for it, and one that is right does not."""
  x = np.arange(-60, 61)
  truth = np.diff(stats.gennorm.cdf(np.arange(-60.5, 61), 1.2, scale=2.0))
  entropy = -np.sum(truth * np.log2(np.maximum(truth, 1e-300)))
  prior, variables = _make(kind)
  right = np.sqrt(stats.gennorm.var(1.2, scale=2.0))
  for scale in (right, 0.4 * right, 3 * right):
    for shape in (1.2, 0.6, 2.5):
      full = [jnp.full(x.shape, v, jnp.float32) for v in (0.0, scale, shape)]
      y = jnp.asarray(x, jnp.float32)
      bits = prior.apply(variables, y, Parameters(*full), method="bits")
      # Below 1e-9 bits are cut: such integers cost less than they should,
      # and are too rare to matter.
      expected = np.sum(truth * np.float64(bits))
      assert expected >= entropy - 1e-4
      if kind.startswith("ggm") and (scale, shape) == (right, 1.2):
        assert expected == pytest.approx(entropy, abs=1e-4)


def test_bits_are_float32_whatever_comes_in():
  prior, variables = _make("ggm_e")
  half = jnp.ones((2, CHANNELS), jnp.bfloat16)
  parameters = Parameters(half, half, half)
  bits = prior.apply(variables, half, parameters, method="bits")
  assert bits.dtype == jnp.float32


def test_dynamic_bound_is_the_bound_of_the_coding_grid():
  shape = np.linspace(SHAPE_MIN, SHAPE_MAX, 301)
  found = dynamic_scale_bound(jnp.float32(shape))
  np.testing.assert_allclose(found, scale_min(shape), rtol=1e-4)


def test_the_bound_that_is_written_down_is_the_one_of_its_rule():
  low, high = math.log(SHAPE_MIN), math.log(SHAPE_MAX)
  u = np.linspace(-1, 1, 101)
  found = np.polynomial.Polynomial(scale_bound.COEFFICIENTS)(u)
  shape = np.exp(0.5 * (low + high) + 0.5 * (high - low) * u)
  np.testing.assert_allclose(found, np.log(scale_min(shape)), atol=1e-6)


def test_the_three_bounds_differ_as_they_should():
  shape = np.linspace(SHAPE_MIN, SHAPE_MAX, 26)
  found = {
    name: np.float64(bound(jnp.float32(shape)))
    for name, bound in SCALE_BOUNDS.items()
  }
  assert set(found) == {"dynamic", "std", "constant"}
  np.testing.assert_allclose(found["std"], 0.11, rtol=1e-6)
  alpha = found["constant"] * alpha_per_scale(shape)
  np.testing.assert_allclose(alpha, 0.12, rtol=1e-5)
  assert (np.diff(found["dynamic"]) > 0).all()
  alpha = found["dynamic"] * alpha_per_scale(shape)
  outside = 2 * stats.gennorm.sf(0.5, shape, scale=alpha)
  np.testing.assert_allclose(outside, 1e-4, rtol=2e-3)


@pytest.mark.parametrize("bound", SCALE_BOUNDS)
def test_each_bound_holds_and_gives_the_shape_no_gradient(bound):
  raw = _raw("ggm_e", 1.0).at[..., 1].set(-20.0)
  _, scale, shape = _split("ggm_e", raw, bound=bound)
  np.testing.assert_allclose(scale, SCALE_BOUNDS[bound](shape), rtol=1e-6)
  slope = jax.grad(lambda raw: _split("ggm_e", raw, bound=bound).scale.sum())(
    raw
  )
  np.testing.assert_array_equal(slope[..., 2], np.zeros((50, CHANNELS)))


@pytest.mark.parametrize(
  "raw, index, name, back",
  [
    (-9.0, 1, "scale", +1),
    (900.0, 1, "scale", -1),
    (-9.0, 2, "shape", +1),
    (9.0, 2, "shape", -1),
  ],
)
def test_gradients_at_a_bound_lead_back_and_no_further(raw, index, name, back):
  def parameter(value, sign):
    raw = jnp.zeros((1, CHANNELS, 3)).at[..., index].set(value)
    return sign * getattr(_split("ggm_e", raw), name).sum()

  # Descent on `-back * parameter` wants back inside; the other wants out.
  assert jax.grad(parameter)(raw, -back) * back < 0
  assert jax.grad(parameter)(raw, back) == 0


def test_training_pulls_a_scale_at_its_bound_up_again():
  prior, variables = _make("ggm_e")

  def bits(raw):
    parameters = prior.apply(variables, raw, UNIT, method="split")
    y = jnp.full((1, CHANNELS), 3.0)
    return prior.apply(variables, y, parameters, method="bits").sum()

  raw = jnp.zeros((1, CHANNELS, 3)).at[..., 1].set(-5.0)
  slope = jax.grad(bits)(raw)
  assert np.isfinite(slope).all()
  assert (slope[..., 1] < 0).all()


def test_a_misspelled_prior_or_bound_fails_loudly():
  with pytest.raises(KeyError, match="ggm_x"):
    _split("ggm_x", jnp.zeros((1, CHANNELS, 3)))
  with pytest.raises(KeyError, match="dynamite"):
    _split("ggm_e", jnp.zeros((1, CHANNELS, 3)), bound="dynamite")
