import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from roijax.ops import special
from roijax.ops.bounds import lower_bound, upper_bound
from roijax.ops.chunks import map_in_chunks
from roijax.ops.padding import crop_to_size, pad_to_multiple, padded_size
from roijax.ops.quantize import add_noise, round_centred, round_ste
from roijax.ops.resample import average_pool, depth_to_space, space_to_depth

RNG = np.random.default_rng(0)
SHAPE_INVERSES = np.linspace(0.3, 2.2, 39)


def _pull(bound, x, limit, g):
  return jax.vjp(lambda x: bound(x, limit), jnp.asarray(x))[1](jnp.asarray(g))


def test_bounds_are_maximum_and_minimum():
  x = jnp.array([-1.0, 0.5, 2.0])
  np.testing.assert_array_equal(lower_bound(x, 0.5), [0.5, 0.5, 2.0])
  np.testing.assert_array_equal(upper_bound(x, 0.5), [-1.0, 0.5, 0.5])


def test_below_a_bound_only_a_gradient_that_climbs_passes():
  x, g = [0.0, 0.0, 1.0, 2.0, 2.0], [1.0, -1.0, 1.0, 1.0, -1.0]
  (found,) = _pull(lower_bound, x, 1.0, g)
  np.testing.assert_array_equal(found, [0.0, -1.0, 1.0, 1.0, -1.0])


def test_above_a_bound_only_a_gradient_that_descends_passes():
  x, g = [2.0, 2.0, 1.0, 0.0, 0.0], [1.0, -1.0, -1.0, 1.0, -1.0]
  (found,) = _pull(upper_bound, x, 1.0, g)
  np.testing.assert_array_equal(found, [1.0, 0.0, -1.0, 1.0, -1.0])


def test_a_bound_that_is_an_array_receives_no_gradient():
  bound = jnp.array([1.0, 2.0])
  found = jax.grad(lambda b: lower_bound(jnp.ones(2), b).sum())(bound)
  np.testing.assert_array_equal(found, [0.0, 0.0])


def test_noise_fills_one_step_around_each_value():
  keys = jax.random.split(jax.random.key(0), 4)
  x = jnp.asarray(RNG.normal(size=(4, 20, 20, 8)), jnp.float32)
  noise = np.asarray(add_noise(x, keys) - x)
  assert np.abs(noise).max() <= 0.5 + 1e-6
  assert abs(noise.mean()) < 0.01
  assert noise.var() == pytest.approx(1 / 12, rel=0.03)


def test_noise_of_a_sample_depends_on_its_own_key_alone():
  keys = jax.random.split(jax.random.key(1), 3)
  x = jnp.zeros((3, 4, 4, 2))
  together = add_noise(x, keys)
  for i in range(3):
    alone = add_noise(x[i : i + 1], keys[i : i + 1])
    np.testing.assert_array_equal(alone[0], together[i])
  assert not np.array_equal(together[0], together[1])


def test_straight_through_rounds_and_has_a_gradient_of_one():
  x = jnp.array([-1.6, -0.5, 0.2, 1.5, 7.0])
  np.testing.assert_array_equal(round_ste(x), np.round(x))
  found = jax.grad(lambda x: round_ste(x).sum())(x)
  np.testing.assert_array_equal(found, np.ones(5))


def test_centred_rounding_leaves_whole_steps_to_the_mean():
  x = jnp.asarray(RNG.normal(size=100) * 5, jnp.float32)
  mean = jnp.asarray(RNG.normal(size=100), jnp.float32)
  residual = np.asarray(round_centred(x, mean) - mean, np.float64)
  np.testing.assert_allclose(residual, np.round(x - mean), atol=2e-6)
  assert np.abs(np.asarray(round_centred(x, mean) - x)).max() <= 0.5 + 1e-5


@pytest.mark.parametrize("height, width", [(1, 1), (15, 33), (64, 65)])
def test_padding_reaches_the_multiple_and_crops_back(height, width):
  x = jnp.asarray(RNG.random((2, height, width, 3)), jnp.float32)
  padded = pad_to_multiple(x, 16)
  assert padded.shape[1:3] == padded_size(height, width, 16)
  assert all(side % 16 == 0 for side in padded.shape[1:3])
  assert padded.shape[1] - height < 16 and padded.shape[2] - width < 16
  np.testing.assert_array_equal(crop_to_size(padded, height, width), x)


def test_padding_repeats_the_last_row_and_column():
  x = jnp.asarray(RNG.random((1, 3, 5, 1)), jnp.float32)
  padded = np.asarray(pad_to_multiple(x, 4))
  np.testing.assert_array_equal(padded[:, 3, :5], x[:, 2])
  np.testing.assert_array_equal(
    padded[:, :, 5:], np.repeat(padded[:, :, 4:5], 3, axis=2)
  )


@pytest.mark.parametrize("block", [1, 2, 4])
def test_depth_to_space_inverts_space_to_depth(block):
  x = jnp.asarray(RNG.random((2, 8, 12, 3)), jnp.float32)
  deep = space_to_depth(x, block)
  assert deep.shape == (2, 8 // block, 12 // block, 3 * block * block)
  np.testing.assert_array_equal(depth_to_space(deep, block), x)


def test_space_to_depth_gathers_a_patch_row_by_row():
  x = jnp.arange(4 * 4).reshape(1, 4, 4, 1)
  np.testing.assert_array_equal(space_to_depth(x, 2)[0, 0, 1], [2, 3, 6, 7])


def test_average_pool_is_the_mean_of_each_patch():
  x = RNG.random((1, 4, 6, 2)).astype(np.float32)
  found = average_pool(jnp.asarray(x), 2)
  np.testing.assert_allclose(
    found[0, 1, 2], x[0, 2:4, 4:6].mean((0, 1)), rtol=1e-6
  )


def test_lower_series_is_the_incomplete_gamma_function():
  x = np.append(np.geomspace(1e-6, 1e-2, 9), np.linspace(0.02, 2.5, 101))
  a, x = np.meshgrid(SHAPE_INVERSES, x)
  expected = (
    scipy.special.gammainc(a, x)
    * scipy.special.gamma(a + 1)
    * np.exp(x - a * np.log(x))
  )
  found = special.lower_series(jnp.float32(a), jnp.float32(x))
  np.testing.assert_allclose(found, expected, rtol=2e-6)


def test_lower_series_is_one_at_zero():
  a = jnp.float32(SHAPE_INVERSES)
  np.testing.assert_allclose(special.lower_series(a, 0 * a), 1.0, rtol=1e-6)


def test_upper_fraction_is_the_complementary_function():
  x = np.geomspace(special.SWITCH, 300, 201)
  a, x = np.meshgrid(SHAPE_INVERSES, x)
  expected = (
    scipy.special.gammaincc(a, x)
    * scipy.special.gamma(a)
    * np.exp(x - a * np.log(x))
  )
  found = special.upper_fraction(jnp.float32(a), jnp.float32(x))
  np.testing.assert_allclose(found, expected, rtol=2e-6)


def test_series_and_fraction_are_finite_where_they_are_selected_away():
  x = jnp.array([0.0, 1e-30, 2.4, 2.6, 100.0, 1e10, jnp.finfo("float32").max])
  for a in (0.3, 1.0, 2.2):
    for function in (special.lower_series, special.upper_fraction):
      value, slope = jax.vmap(jax.value_and_grad(function, (0, 1)))(
        jnp.full_like(x, a), x
      )
      assert np.isfinite(value).all() and np.isfinite(slope).all()


def test_series_and_fraction_meet_around_the_switch():
  a = jnp.float32(SHAPE_INVERSES)
  for x in (2.4, 2.5, 2.6):
    x = jnp.full_like(a, x)
    lower = x**a * jnp.exp(-x) * special.lower_series(a, x)
    upper = x**a * jnp.exp(-x) * a * special.upper_fraction(a, x)
    total = np.asarray(lower + upper) / scipy.special.gamma(SHAPE_INVERSES + 1)
    np.testing.assert_allclose(total, 1.0, atol=3e-6)


def test_fitted_polynomial_agrees_with_its_function_and_differentiates():
  found = special.fit_polynomial(np.sin, -1.0, 2.0, 12)
  x = jnp.linspace(-1, 2, 50)
  np.testing.assert_allclose(found(x), np.sin(x), atol=1e-6)
  slope = jax.vmap(jax.grad(found))(x)
  np.testing.assert_allclose(slope, np.cos(x), atol=1e-5)


@pytest.mark.parametrize("dims", [(7,), (8,), (23,), (5, 3, 2), (64,)])
def test_work_in_chunks_equals_work_at_once(dims):
  def function(a, b):
    return jnp.sin(a) * b, {"sum": a + b}

  a, b = (jnp.asarray(RNG.normal(size=dims), jnp.float32) for _ in range(2))
  expected = function(a, b)
  found = jax.jit(lambda a, b: map_in_chunks(function, a, b, chunk=4))(a, b)
  jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_work_in_chunks_can_be_mapped_over():
  a = jnp.asarray(RNG.normal(size=(3, 23)), jnp.float32)
  found = jax.vmap(lambda a: map_in_chunks(jnp.square, a, chunk=4))(a)
  np.testing.assert_array_equal(found, a * a)


@pytest.mark.parametrize("platform, is_cut", [("cpu", True), ("cuda", False)])
def test_only_a_cpu_works_in_chunks(platform, is_cut):
  program = jax.jit(lambda a: map_in_chunks(jnp.sin, a, chunk=4))
  lowered = program.trace(jnp.ones(23)).lower(lowering_platforms=(platform,))
  assert ("while" in lowered.as_text()) == is_cut
