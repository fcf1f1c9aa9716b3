import jax
import jax.numpy as jnp
import numpy as np

from roijax.coding.grid import NUM_SCALES, NUM_TABLES, SCALES, SHAPES
from roijax.entropy.grid import select_tables


def _select(scale, shape):
  """Indexes and close calls, in float64."""
  with jax.enable_x64(True):
    scale, shape = (jnp.asarray(a, jnp.float64) for a in (scale, shape))
    found = jax.jit(select_tables)(scale, shape)
    return tuple(np.asarray(a) for a in found)


def _nearest(scale, shape):
  """By brute force: the nearest level in the log domain."""
  levels = np.abs(np.log(shape)[:, None] - np.log(SHAPES)).argmin(1)
  distances = np.abs(np.log(scale)[:, None] - np.log(SCALES[levels]))
  return levels * NUM_SCALES + distances.argmin(1)


def _draw(count=20000):
  rng = np.random.default_rng(0)
  return (
    np.exp(rng.uniform(np.log(0.01), np.log(600), count)),
    np.exp(rng.uniform(np.log(0.4), np.log(4), count)),
  )


def test_selection_is_the_nearest_level_of_each():
  scale, shape = _draw()
  indexes, close = _select(scale, shape)
  assert indexes.dtype == np.int32
  np.testing.assert_array_equal(indexes, _nearest(scale, shape))
  assert not close.any()


def test_every_table_selects_itself():
  shape = np.repeat(SHAPES, NUM_SCALES)
  indexes, close = _select(SCALES.ravel(), shape)
  np.testing.assert_array_equal(indexes, np.arange(NUM_TABLES))
  assert not close.any()


def test_beyond_the_grid_the_last_level_serves():
  scale, shape = [1e-6, 1e6, 1e-6, 1e6], [0.1, 0.1, 9.0, 9.0]
  indexes, close = _select(scale, shape)
  last = NUM_TABLES - NUM_SCALES
  expected = [0, NUM_SCALES - 1, last, last + NUM_SCALES - 1]
  np.testing.assert_array_equal(indexes, expected)
  assert not close.any()


def test_close_calls_are_flagged_at_boundaries_of_the_scale():
  level = 7
  middle = np.sqrt(SCALES[level, :-1] * SCALES[level, 1:])
  step = np.log(SCALES[level, 1] / SCALES[level, 0])
  shape = np.full(middle.shape, SHAPES[level])
  for offset, expected in ((0, True), (3e-10, True), (3e-9, False)):
    for sign in (1, -1):
      scale = middle * np.exp(sign * offset * step)
      indexes, close = _select(scale, shape)
      assert (close == expected).all()
      if not expected:
        up = np.arange(len(middle)) + (sign > 0)
        np.testing.assert_array_equal(indexes, level * NUM_SCALES + up)


def test_close_calls_are_flagged_at_boundaries_of_the_shape():
  middle = np.sqrt(SHAPES[:-1] * SHAPES[1:])
  step = np.log(SHAPES[1] / SHAPES[0])
  scale = np.full(middle.shape, 1.0)
  for offset, expected in ((0, True), (3e-10, True), (3e-9, False)):
    _, close = _select(scale, middle * np.exp(offset * step))
    assert (close == expected).all()


def test_a_tiny_difference_flips_only_what_was_flagged():
  scale, shape = _draw()
  level = np.arange(len(scale)) % (NUM_SCALES - 1)
  scale[::3] = np.sqrt(SCALES[5, level] * SCALES[5, level + 1])[::3]
  shape[::3] = SHAPES[5]
  first, close = _select(scale, shape)
  second, _ = _select(scale * (1 + 1e-12), shape * (1 - 1e-12))
  assert (first != second).any()
  assert close[first != second].all()
