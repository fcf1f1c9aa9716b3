"""Causality, and one pass at a time equals all at once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from smoke_model import stir

from roijax.layers.checkerboard import CheckerboardSlices

SIZES = [(5, 7), (4, 6), (1, 6), (5, 1), (1, 1)]
CONTEXT = CheckerboardSlices(slices=(3, 1, 4), outputs=3, hidden=5)
CHANNELS, FEATURES = 8, 6


def _make(height, width, seed=0):
  rng = np.random.default_rng(seed)
  h = jnp.asarray(
    rng.standard_normal((1, height, width, FEATURES)), jnp.float32
  )
  y_hat = np.round(3 * rng.standard_normal((1, height, width, CHANNELS)))
  return h, y_hat.astype(np.float32)


@pytest.fixture(name="params", scope="module")
def _params():
  h, y_hat = _make(4, 4)
  fresh = CONTEXT.init(
    jax.random.key(0), h, jnp.asarray(y_hat), method="parameters"
  )
  return stir(fresh)


def _parameters(params, h, y_hat):
  return np.asarray(
    CONTEXT.apply(params, h, jnp.asarray(y_hat), method="parameters")
  )


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_every_pass_alone_equals_all_passes_at_once(params, height, width):
  h, y_hat = _make(height, width)
  whole = _parameters(params, h, y_hat)[0]
  order = CONTEXT.order(height, width)
  for number, one in enumerate(CONTEXT.passes(height, width)):
    decoded = np.where(order[None] < number, y_hat, 0)
    found = CONTEXT.apply(
      params,
      h,
      jnp.asarray(decoded),
      jnp.asarray(one.rows),
      jnp.asarray(one.columns),
      jnp.float32(one.local),
      jnp.asarray(one.size),
      one.group,
      method="parameters_at",
    )
    rows, columns = one.rows[: one.count], one.columns[: one.count]
    np.testing.assert_allclose(
      found[: one.count],
      whole[rows, columns, slice(*one.channels)],
      rtol=1e-5,
      atol=1e-6,
    )


def test_no_latent_reads_its_own_or_a_later_pass(params):
  h, y_hat = _make(5, 7)
  _, other = _make(5, 7, seed=1)
  order = CONTEXT.order(5, 7)
  whole = _parameters(params, h, y_hat)[0]
  for number in range(order.max() + 1):
    changed = np.where(order[None] < number, y_hat, other)
    found = _parameters(params, h, changed)[0]
    np.testing.assert_array_equal(
      found[order <= number], whole[order <= number]
    )


def test_every_pass_but_the_first_reads_what_came_before(params):
  h, y_hat = _make(5, 7)
  order = CONTEXT.order(5, 7)
  whole = _parameters(params, h, y_hat)[0]
  for number in range(1, order.max() + 1):
    changed = np.where(order[None] == number - 1, y_hat + 5, y_hat)
    found = _parameters(params, h, changed)[0]
    assert np.any(found[order == number] != whole[order == number])


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_the_passes_code_every_latent_once(height, width):
  seen = np.zeros((height, width, CHANNELS), int)
  order = CONTEXT.order(height, width)
  sizes = set()
  for number, one in enumerate(CONTEXT.passes(height, width)):
    sizes.add(one.rows.size)
    rows, columns = one.rows[: one.count], one.columns[: one.count]
    place = (rows[:, None], columns[:, None], np.arange(*one.channels)[None])
    np.add.at(seen, place, 1)
    assert np.all(order[place] == number)
  assert np.all(seen == 1)
  assert len(sizes) == 1
