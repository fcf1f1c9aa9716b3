"""The spatial feature transform against its formula in NumPy."""

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from smoke_model import stir

from roijax.layers.sft import SpatialFeatureTransform, match_size

KEY = jax.random.key(0)


def _normal(*dims, seed=0):
  rng = np.random.default_rng(seed)
  return jnp.asarray(rng.standard_normal(dims), jnp.float32)


def _convolve(params, x):
  """Every tap by itself, zeros beyond the edge, float64."""
  kernel = np.asarray(params["kernel"], np.float64)
  reach = kernel.shape[0] // 2
  height, width = x.shape[1:3]
  x = np.pad(x, ((0, 0), (reach, reach), (reach, reach), (0, 0)))
  return np.asarray(params["bias"], np.float64) + sum(
    x[:, row : row + height, column : column + width] @ kernel[row, column]
    for row, column in np.ndindex(kernel.shape[:2])
  )


@pytest.mark.parametrize("size", [1, 3])
def test_sft_is_its_formula(size):
  x, condition = _normal(2, 5, 6, 3), _normal(2, 5, 6, 4, seed=1)
  layer = SpatialFeatureTransform(hidden=7, size=size)
  params = stir(layer.init(KEY, x, condition)["params"])
  found = jax.jit(layer.apply)({"params": params}, x, condition)
  hidden = _convolve(params["hidden"], np.asarray(condition, np.float64))
  maps = _convolve(params["maps"], np.maximum(hidden, 0))
  expected = np.asarray(x) * (1 + maps[..., :3]) + maps[..., 3:]
  np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_sft_starts_as_the_identity(dtype):
  x, condition = _normal(1, 4, 6, 3).astype(dtype), _normal(1, 8, 12, 2)
  layer = SpatialFeatureTransform(dtype=jnp.dtype(dtype))
  found = layer.apply(layer.init(KEY, x, condition), x, condition)
  assert found.dtype == dtype
  np.testing.assert_array_equal(found, x)


def test_gradients_are_finite_and_can_leave_the_start():
  x, condition = _normal(1, 4, 4, 3), _normal(1, 4, 4, 2, seed=1)
  layer = SpatialFeatureTransform(hidden=5)
  start = layer.init(KEY, x, condition)["params"]

  def loss(params, x, condition):
    return jnp.sum(layer.apply({"params": params}, x, condition) ** 2)

  gradient = jax.jit(jax.grad(loss))(start, x, condition)["maps"]
  for leaf in jax.tree.leaves(gradient):
    assert np.all(leaf != 0)
  gradients = jax.jit(jax.grad(loss, (0, 1, 2)))(stir(start), x, condition)
  for leaf in jax.tree.leaves(gradients):
    assert np.isfinite(leaf).all()
    assert np.any(leaf != 0)


def test_the_condition_acts_where_it_is():
  x, condition = _normal(1, 9, 9, 3), _normal(1, 9, 9, 2, seed=1)
  layer = SpatialFeatureTransform(hidden=16)
  params = {"params": stir(layer.init(KEY, x, condition)["params"])}
  other = condition.at[0, 4, 4].add(1.0)
  apply = jax.jit(layer.apply)
  change = apply(params, x, other) - apply(params, x, condition)
  touched = np.abs(np.asarray(change)).max(axis=(0, 3)) > 0
  expected = np.zeros((9, 9), bool)
  expected[2:7, 2:7] = True
  np.testing.assert_array_equal(touched, expected)


def test_bfloat16_stays_close():
  x, condition = _normal(1, 6, 7, 8), _normal(1, 6, 7, 4, seed=1)
  layer = SpatialFeatureTransform()
  params = {"params": stir(layer.init(KEY, x, condition)["params"])}
  expected = np.asarray(jax.jit(layer.apply)(params, x, condition))
  layer = SpatialFeatureTransform(dtype=jnp.dtype("bfloat16"))
  found = jax.jit(layer.apply)(params, x.astype(jnp.bfloat16), condition)
  assert found.dtype == jnp.bfloat16
  error = np.asarray(found, np.float32) - expected
  assert np.sqrt(np.mean(error**2)) < 0.01 * np.std(expected)


def test_a_condition_goes_down_by_means_and_up_by_repetition():
  condition = _normal(2, 4, 8, 3)
  down = match_size(condition, 2, 4)
  for row, column in np.ndindex(2, 4):
    patch = condition[
      :, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2
    ].mean(axis=(1, 2))
    np.testing.assert_allclose(down[:, row, column], patch, atol=1e-6)
  up = match_size(condition, 12, 24)
  for row, column in np.ndindex(12, 24):
    np.testing.assert_array_equal(
      up[:, row, column], condition[:, row // 3, column // 3]
    )
  np.testing.assert_array_equal(match_size(condition, 4, 8), condition)


@pytest.mark.parametrize("size", [(3, 6), (2, 8), (8, 8), (5, 10), (16, 2)])
def test_sizes_without_a_whole_factor_are_named(size):
  with pytest.raises(ValueError, match="condition of 4x8"):
    match_size(_normal(1, 4, 8, 1), *size)


def test_shapes_are_checked():
  x = _normal(1, 4, 4, 2)
  with pytest.raises(jaxtyping.TypeCheckError):
    SpatialFeatureTransform().init(KEY, x, _normal(2, 4, 4, 2))
