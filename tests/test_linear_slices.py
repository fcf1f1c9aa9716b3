"""Linear attention: its quadratic form, and how far a slice sees.

Order and causality are tested with the checkerboard's.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from smoke_model import draw_params

from roijax.coding.passes import number_passes
from roijax.layers.linear_attention import attend_linearly
from roijax.layers.linear_slices import LinearSlices
from roijax.models.contexts import build_context

CONTEXT = LinearSlices((2, 4), outputs=2, hidden=(5, 4, 6, 5, 4))


def _softmax(x, axis):
  x = np.exp(x - x.max(axis=axis, keepdims=True))
  return x / x.sum(axis=axis, keepdims=True)


@pytest.mark.parametrize("bounded", [False, True])
def test_linear_attention_equals_its_quadratic_form(bounded):
  rng = np.random.default_rng(0)
  height, width, heads = 5, 6, 2
  query, key, value = rng.normal(size=(3, 2, height, width, 8))
  query, key = 3 * query, 3 * key
  inside = np.zeros((1, height, width, 1), bool)
  inside[:, :4, :5] = True
  inside |= not bounded
  with jax.enable_x64(True):
    found = attend_linearly(
      *(jnp.asarray(x) for x in (query, key, value)),
      heads,
      jnp.asarray(inside) if bounded else None,
    )
  # Every position against every other, one head after the other.
  counted = inside.ravel()
  for image, start in np.ndindex(2, heads):
    part = np.s_[image, :, :, 4 * start : 4 * start + 4]
    q, k, v = (x[part].reshape(-1, 4) for x in (query, key, value))
    weights = _softmax(q, 1) @ _softmax(k[counted], 0).T
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    expected = (weights @ v[counted]).reshape(height, width, 4)
    np.testing.assert_allclose(found[part], expected, rtol=1e-12, atol=1e-14)


def _make(height, width):
  rng = np.random.default_rng(0)
  h = rng.standard_normal((1, height, width, 3))
  y = np.round(3 * rng.standard_normal((1, height, width, 6)))
  return jnp.asarray(h, jnp.float32), jnp.asarray(y, jnp.float32)


@pytest.fixture(name="params", scope="module")
def _params():
  make = functools.partial(CONTEXT.init, method="parameters")
  return draw_params(jax.eval_shape(make, jax.random.key(0), *_make(4, 4)))


def test_an_anchor_is_read_everywhere_by_its_slice_s_second_pass(params):
  h, y = _make(3, 24)
  run = jax.jit(functools.partial(CONTEXT.apply, method="parameters"))
  whole = np.asarray(run(params, h, y))[0]
  order = number_passes(CONTEXT.order, 3, 24)

  def moved(channel):
    found = np.asarray(run(params, h, y.at[0, 0, 1, channel].add(20)))[0]
    return np.any(found != whole, axis=-1)

  # The first slice has its 5x5 neighbours alone.
  assert not moved(0)[:, 4:, :2].any()
  assert moved(0)[:, :4, :2].any()
  # The second slice's own anchors, and no anchor by another.
  second = order[..., 2:] == 3
  np.testing.assert_array_equal(moved(3)[..., 2:], second)


def test_every_parameter_has_a_finite_gradient_that_is_not_zero(params):
  h, y = _make(4, 4)

  def loss(params, size):
    raw = CONTEXT.apply(params, h, y, size, method="parameters")
    return jnp.sum(jnp.sin(raw[:, :3, :4]))

  for path, leaf in jax.tree.leaves_with_path(
    jax.jit(jax.grad(loss))(params, jnp.asarray((3, 4)))
  ):
    name = jax.tree_util.keystr(path)
    assert np.isfinite(leaf).all(), name
    assert np.any(leaf != 0), name


@pytest.mark.parametrize(
  ("slices", "hidden", "words"),
  [
    ((4, 3), (8,) * 5, "2 heads"),
    ((4, 4), 8, "5 widths"),
    ((4, 4), (8,) * 4, "5 widths"),
  ],
)
def test_sizes_that_do_not_fit_are_told(slices, hidden, words):
  with pytest.raises(ValueError, match=words):
    build_context("linear_attention", slices, 2, hidden)
