import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from roijax.coding.grid import alpha_per_scale, scale_min
from roijax.entropy import generalized_gaussian
from roijax.entropy.gaussian import gaussian_bits, laplace_bits
from roijax.entropy.generalized_gaussian import generalized_gaussian_bits
from roijax.ops.chunks import CHUNK

GRADIENTS = ("finite_difference", "exact", "paper")
ACCURATE = ("finite_difference", "exact")
COUNT = 60000


@functools.cache
def _bits(gradient):
  return jax.jit(
    functools.partial(generalized_gaussian_bits, gradient=gradient)
  )


@functools.cache
def _slopes(gradient):
  """Gradients in x, mean, scale and shape, latent by latent."""
  return jax.jit(
    jax.grad(
      lambda *arrays: _bits(gradient)(*arrays).sum(), argnums=(0, 1, 2, 3)
    )
  )


@functools.cache
def _latents():
  """Latents over all shapes and scales, most within a likelihood of 1e-9."""
  rng = np.random.default_rng(0)
  shape = rng.uniform(0.5, 3, COUNT)
  scale = np.geomspace(0.04, 256, COUNT)
  mean = rng.normal(size=COUNT)
  spread = np.where(rng.random(COUNT) < 0.1, 4.0, 1.5)
  r = spread * scale * rng.laplace(size=COUNT) + rng.uniform(-0.7, 0.7, COUNT)
  # The steepest tails of the shapes near 3 are where errors hide.
  near = slice(COUNT // 2, None, 8)
  shape[near], r[near] = 2.9, scale[near] * rng.uniform(0, 5, r[near].size)
  return tuple(np.float32(a) for a in (mean + r, mean, scale, shape))


def _likelihood(r, scale, shape):
  """SciPy's gennorm in float64, from the upper tail."""
  v, alpha = np.abs(r), scale * alpha_per_scale(shape)
  tail = functools.partial(stats.gennorm.sf, beta=shape, scale=alpha)
  mass = functools.partial(stats.gennorm.cdf, beta=shape, scale=alpha)
  return np.where(
    v >= 0.5,
    tail(v - 0.5) - tail(v + 0.5),
    mass(v + 0.5) - mass(v - 0.5),
  )


@functools.cache
def _reference():
  """Where the likelihood exceeds 1e-9, it, and the gradients of its bits."""
  x, mean, scale, shape = _latents()
  r, scale, shape = (np.float64(a) for a in (x - mean, scale, shape))
  likelihood = _likelihood(r, scale, shape)
  valid = likelihood > 1e-9
  r, scale, shape = (a[valid] for a in (r, scale, shape))
  likelihood = likelihood[valid]
  alpha = scale * alpha_per_scale(shape)
  low = stats.gennorm.pdf(r - 0.5, shape, scale=alpha)
  high = stats.gennorm.pdf(r + 0.5, shape, scale=alpha)
  step = 1e-5
  by_shape = np.log(
    _likelihood(r, scale, shape + step) / _likelihood(r, scale, shape - step)
  )
  slopes = {
    "x": (high - low) / likelihood,
    "mean": (low - high) / likelihood,
    "scale": ((r - 0.5) * low - (r + 0.5) * high) / (scale * likelihood),
    "shape": by_shape / (2 * step),
  }
  return valid, likelihood, {k: -v / np.log(2) for k, v in slopes.items()}


def test_likelihood_agrees_with_scipy_wherever_it_exceeds_1e_9():
  valid, likelihood, _ = _reference()
  assert valid.mean() > 0.8 and likelihood.min() < 2e-9
  bits = np.float64(_bits("finite_difference")(*_latents()))[valid]
  assert np.abs(2**-bits / likelihood - 1).max() < 1e-4


@pytest.mark.parametrize("gradient", ACCURATE)
def test_gradients_agree_with_float64(gradient):
  valid, _, slopes = _reference()
  limits = {"x": 1e-3, "mean": 1e-3, "scale": 1e-3, "shape": 1e-2}
  found = _slopes(gradient)(*_latents())
  for slope, (name, limit) in zip(found, limits.items(), strict=True):
    error = np.float64(slope)[valid] - slopes[name]
    rms = np.sqrt(np.mean(slopes[name] ** 2))
    assert np.abs(error).max() < limit * rms, name


def test_finite_difference_is_near_the_exact_derivative():
  valid, _, slopes = _reference()
  rms = np.sqrt(np.mean(slopes["shape"] ** 2))
  found = [np.asarray(_slopes(g)(*_latents())[3])[valid] for g in ACCURATE]
  assert np.abs(found[0] - found[1]).max() < 1e-2 * rms


def test_paper_smoothing_agrees_where_the_density_is_smooth():
  rng = np.random.default_rng(1)
  scale = rng.uniform(0.5, 4, 2000)
  x = scale * rng.uniform(-2, 2, 2000)
  arrays = [
    np.float32(a) for a in (x, 0 * x, scale, rng.uniform(0.8, 2.5, x.shape))
  ]
  exact = _slopes("exact")(*arrays)
  for slope, expected in zip(_slopes("paper")(*arrays), exact, strict=True):
    rms = np.sqrt(np.mean(np.square(expected)))
    error = np.sqrt(np.mean(np.square(slope - expected)))
    assert error < 0.03 * rms
  np.testing.assert_allclose(
    _bits("paper")(*arrays), _bits("exact")(*arrays), rtol=1e-2, atol=2e-3
  )


@pytest.mark.parametrize("gradient", GRADIENTS)
def test_bits_and_gradients_are_finite_everywhere(gradient):
  distance = [0, 1e-20, 1e-6, 0.4999999, 0.5, 0.5000001, 1, 30, 1e3, 1e4, 1e5]
  r, scale, shape = np.meshgrid(
    [sign * d for d in distance for sign in (1, -1)],
    [0.04, 0.11, 1, 3.99, 4, 64, 256],
    [0.5, 0.7, 1, 1.5, 2, 3],
  )
  for mean in (0.0, 0.5):
    arrays = [
      np.float32(a).ravel() for a in (r + mean, 0 * r + mean, scale, shape)
    ]
    bits = np.asarray(_bits(gradient)(*arrays))
    assert np.isfinite(bits).all()
    assert bits.min() >= 0 and bits.max() < 29.9
    for slope in _slopes(gradient)(*arrays):
      assert np.isfinite(slope).all()


@pytest.mark.parametrize("gradient", GRADIENTS)
def test_gradient_is_zero_in_x_at_the_mean(gradient):
  x = np.zeros(3, np.float32)
  shape = np.array([0.5, 1, 3], np.float32)
  found = _slopes(gradient)(x, x, x + 1, shape)[0]
  np.testing.assert_allclose(found, 0, atol=1e-6)


@pytest.mark.parametrize("gradient", ACCURATE)
def test_a_latent_lost_in_the_tail_is_still_pulled_back(gradient):
  x = np.array([-1e5, -500.0, 500.0, 1e5], np.float32)
  one = np.ones(4, np.float32)
  by_x, by_mean, by_scale, _ = _slopes(gradient)(x, 0 * x, one, 2 * one)
  np.testing.assert_array_equal(np.sign(by_x), np.sign(x))
  np.testing.assert_array_equal(np.sign(by_mean), -np.sign(x))
  np.testing.assert_array_equal(np.sign(by_scale), -one)


@pytest.mark.parametrize(
  "shape, other", [(2.0, gaussian_bits), (1.0, laplace_bits)]
)
def test_two_shapes_are_the_gaussian_and_the_laplacian(shape, other):
  x, mean, scale, _ = _latents()
  found = _bits("exact")(x, mean, scale, np.full_like(x, shape))
  expected = other(*(jnp.asarray(a) for a in (x, mean, scale)))
  ordinary = np.asarray(expected) < 25
  # The Gaussian's erfc is the coarser one at large scales.
  np.testing.assert_allclose(
    found[ordinary], expected[ordinary], rtol=1e-3, atol=1e-3
  )


def test_laplace_bits_and_gradients_agree_with_scipy():
  x, mean, scale, _ = (jnp.asarray(a) for a in _latents())
  r, s = np.float64(x - mean), np.float64(scale)
  likelihood = _likelihood(r, s, np.ones_like(s))
  valid = likelihood > 1e-9
  bits = np.asarray(laplace_bits(x, mean, scale))[valid]
  np.testing.assert_allclose(2.0**-bits, likelihood[valid], rtol=1e-4)
  step = 1e-6 * s
  above = _likelihood(r + step, s, np.ones_like(s))
  below = _likelihood(r - step, s, np.ones_like(s))
  with np.errstate(all="ignore"):
    expected = (np.log2(below / above) / (2 * step))[valid]
  slope = jax.grad(lambda x: laplace_bits(x, mean, scale).sum())(x)
  rms = np.sqrt(np.mean(expected**2))
  assert np.abs(np.asarray(slope)[valid] - expected).max() < 1e-3 * rms


@pytest.mark.parametrize("bits", [gaussian_bits, laplace_bits])
def test_elementary_priors_are_finite_and_cut_at_1e_9(bits):
  x = jnp.array([0.0, 0.5, -0.5, 1.0, 1e3, -1e5])
  for scale in (0.04, 1.0, 256.0):
    value, slopes = jax.vmap(
      jax.value_and_grad(lambda x, s: bits(x, 0 * x, s), (0, 1)), (0, None)
    )(x, scale)
    assert np.isfinite(value).all() and np.max(value) < 29.9
    assert np.isfinite(slopes).all()
  np.testing.assert_allclose(bits(x[-1], x[0], x[3]), -np.log2(1e-9), rtol=1e-6)


@pytest.mark.parametrize("shape", [0.5, 0.8, 1.0, 1.5, 2.0, 3.0])
@pytest.mark.parametrize("scale", [0.04, 0.3, 1.0, 6.0, 40.0])
def test_likelihoods_of_the_integers_sum_to_one(shape, scale):
  x = np.arange(-2000, 2001, dtype=np.float32)
  for mean in (0.0, 0.3, 0.5):
    full = functools.partial(np.full_like, x)
    bits = np.asarray(
      _bits("exact")(x, full(mean), full(scale), full(shape)), np.float64
    )
    # Bits are cut at 1e-9, so lost tails count for nothing here.
    total = np.sum(2**-bits, where=bits < 29.8)
    assert total == pytest.approx(1, abs=2e-5)


def test_a_rounded_zero_at_the_scale_bound_costs_next_to_nothing():
  shape = np.linspace(0.5, 3, 11, dtype=np.float32)
  zero = 0 * shape
  bits = _bits("exact")(zero, zero, np.float32(scale_min(shape)), shape)
  np.testing.assert_allclose(bits, 1e-4 / np.log(2), rtol=1e-2)


@pytest.mark.parametrize("gradient", GRADIENTS)
def test_bits_map_batch_and_broadcast(gradient):
  rng = np.random.default_rng(2)
  x = jnp.asarray(rng.normal(size=(3, 4, 5)), jnp.float32)
  loss = functools.partial(generalized_gaussian_bits, gradient=gradient)
  ones = jnp.ones_like(x)
  expected = loss(x, 0 * x, ones, 1.5 * ones)
  np.testing.assert_array_equal(loss(x, 0.0, 1.0, 1.5), expected)
  mapped = jax.jit(jax.vmap(lambda x: loss(x, 0.0, 1.0, 1.5)))(x)
  np.testing.assert_allclose(mapped, expected, rtol=1e-6, atol=1e-6)
  slope = jax.grad(lambda shape: loss(x, 0.0, 1.0, shape).sum())(1.5)
  each = jax.grad(lambda shape: loss(x, 0 * x, ones, shape).sum())(1.5 * ones)
  np.testing.assert_allclose(slope, each.sum(), rtol=1e-4)


def test_float64_stays_float64():
  with jax.enable_x64(True):
    x = jnp.linspace(-5.0, 5.0, 11)
    assert x.dtype == jnp.float64
    for gradient in GRADIENTS:
      bits, slope = jax.value_and_grad(
        lambda s, x=x, gradient=gradient: generalized_gaussian_bits(
          x, 0 * x, 1 + 0 * x, s, gradient=gradient
        ).sum()
      )(1.5 + 0 * x)
      assert bits.dtype == slope.dtype == jnp.float64
      assert np.isfinite(slope).all()


@pytest.mark.parametrize("gradient", GRADIENTS)
def test_many_latents_at_once_equal_few(gradient):
  count = 2 * CHUNK + 4321
  many = [np.resize(a, count) for a in _latents()]
  few = _latents()
  found = _bits(gradient)(*many)
  expected = np.resize(_bits(gradient)(*few), count)
  if gradient == "paper":
    # A difference of two numbers near 1, whose last digit the compiler decides.
    found, expected = np.exp2(-found), np.exp2(-expected)
  np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
  slopes = zip(_slopes(gradient)(*many), _slopes(gradient)(*few), strict=True)
  for found, expected in slopes:
    expected = np.resize(expected, count)
    scale = np.sqrt(np.mean(np.square(expected)))
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3 * scale)


def test_an_unknown_gradient_is_refused():
  one = jnp.ones(1)
  # Without the tests' own type checker, which would refuse it before.
  function = inspect.unwrap(generalized_gaussian_bits)
  with pytest.raises(ValueError, match="unknown shape gradient 'best'"):
    function(one, one, one, one, gradient="best")


def test_log_alpha_per_scale_agrees_with_the_coding_grid():
  shape = np.linspace(0.5, 3, 101)
  found = generalized_gaussian.log_alpha_per_scale(jnp.float32(shape))
  np.testing.assert_allclose(found, np.log(alpha_per_scale(shape)), atol=3e-6)
