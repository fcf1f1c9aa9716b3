"""Causality, and one pass at a time equals all at once.

For both contexts that are coded in slices of two passes. In float64, as
coding has it, on a canvas that is larger than the latent.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from smoke_model import draw_params

from roijax.coding.passes import number_passes
from roijax.layers.checkerboard import CheckerboardSlices
from roijax.layers.linear_slices import LinearSlices

SIZES = [(5, 7), (4, 6), (1, 6), (5, 1), (1, 1), (8, 8)]
CANVAS = (8, 8)
CONTEXTS = {
  "plain": CheckerboardSlices((2, 4, 2), outputs=3, hidden=5),
  "linear": LinearSlices((2, 4, 2), outputs=3, hidden=(5, 4, 6, 5, 4)),
}
CHANNELS, FEATURES = 8, 6


def _make(height, width, seed=0):
  rng = np.random.default_rng(seed)
  h = rng.standard_normal((1, height, width, FEATURES))
  y_hat = np.round(3 * rng.standard_normal((1, height, width, CHANNELS)))
  return h, y_hat


def _on_canvas(values, beyond=0.0):
  """`values` at the upper left of a canvas, something else around."""
  height, width = values.shape[1:3]
  out = np.full((1, *CANVAS, values.shape[-1]), beyond)
  out[:, :height, :width] = values
  return out


class _Case:
  """A context with parameters, its programs compiled once a size."""

  def __init__(self, context):
    h, y_hat = (jnp.asarray(x, jnp.float32) for x in _make(4, 4))
    make = functools.partial(context.init, method="parameters")
    shapes = jax.eval_shape(make, jax.random.key(0), h, y_hat)
    self.context = context
    self.params = jax.tree.map(
      lambda x: np.asarray(x, np.float64), draw_params(shapes)
    )
    self._whole = jax.jit(functools.partial(context.apply, method="parameters"))
    self._one = jax.jit(
      functools.partial(context.apply, method="parameters_at"),
      static_argnames="group",
    )

  def parameters(self, h, y_hat, *size):
    with jax.enable_x64(True):
      return np.asarray(self._whole(self.params, h, y_hat, *size))[0]

  def parameters_at(self, h, y_hat, one):
    rest = one.rows, one.columns, np.float64(one.local), np.asarray(one.size)
    with jax.enable_x64(True):
      found = self._one(self.params, h, y_hat, *rest, group=one.group)
    assert found.dtype == np.float64
    return np.asarray(found)[: one.count]


@pytest.fixture(name="case", params=CONTEXTS, scope="module")
def _case(request):
  return _Case(CONTEXTS[request.param])


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_every_pass_alone_equals_all_passes_at_once(case, height, width):
  h, y_hat = _make(height, width)
  # What the hyper-synthesis says beyond the latent is nobody's business.
  h = _on_canvas(h, beyond=9.0)
  size = np.asarray((height, width))
  whole = case.parameters(h, _on_canvas(y_hat), size)
  order = number_passes(case.context.order, height, width)
  passes = case.context.order.passes(height, width, CANVAS)
  for number, one in enumerate(passes):
    decoded = _on_canvas(np.where(order[None] < number, y_hat, 0))
    found = case.parameters_at(h, decoded, one)
    rows, columns = one.rows[: one.count], one.columns[: one.count]
    np.testing.assert_allclose(
      found,
      whole[rows, columns, slice(*one.channels)],
      rtol=1e-12,
      atol=1e-12,
    )
    assert one.channels == case.context.order.bounds(one.group)
    assert one.size == (height, width)


@pytest.mark.parametrize(("height", "width"), [(5, 7), (1, 6)])
def test_the_canvas_around_a_latent_is_not_read(case, height, width):
  h, y_hat = _make(height, width)
  plain = case.parameters(h, y_hat)
  size = np.asarray((height, width))
  found = case.parameters(_on_canvas(h, beyond=9.0), _on_canvas(y_hat), size)
  np.testing.assert_allclose(
    found[:height, :width], plain, rtol=1e-12, atol=1e-12
  )


def test_no_latent_reads_its_own_or_a_later_pass(case):
  h, y_hat = _make(5, 7)
  _, other = _make(5, 7, seed=1)
  order = number_passes(case.context.order, 5, 7)
  whole = case.parameters(h, y_hat)
  for number in range(order.max() + 1):
    changed = np.where(order[None] < number, y_hat, other)
    found = case.parameters(h, changed)
    np.testing.assert_array_equal(
      found[order <= number], whole[order <= number]
    )


def test_every_pass_but_the_first_reads_what_came_before(case):
  h, y_hat = _make(5, 7)
  order = number_passes(case.context.order, 5, 7)
  whole = case.parameters(h, y_hat)
  for number in range(1, order.max() + 1):
    changed = np.where(order[None] == number - 1, y_hat + 5, y_hat)
    found = case.parameters(h, changed)
    assert np.any(found[order == number] != whole[order == number])


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize("kind", CONTEXTS)
def test_the_passes_code_every_latent_once(kind, height, width):
  context = CONTEXTS[kind]
  seen = np.zeros((height, width, CHANNELS), int)
  order = number_passes(context.order, height, width)
  sizes = set()
  for number, one in enumerate(context.order.passes(height, width)):
    sizes.add(one.rows.size)
    rows, columns = one.rows[: one.count], one.columns[: one.count]
    place = (rows[:, None], columns[:, None], np.arange(*one.channels)[None])
    np.add.at(seen, place, 1)
    assert np.all(order[place] == number)
  assert np.all(seen == 1)
  assert len(sizes) == 1
