"""Swin blocks against attention over all positions, masked by coordinates."""

import itertools

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

from roijax.layers.swin import (
  ATTENTION,
  SwinPair,
  WindowAttention,
  attend,
  join_windows,
  relative_indexes,
  split_windows,
  window_groups,
)

KEY = jax.random.key(0)


def _normal(*dims, seed=0):
  rng = np.random.default_rng(seed)
  return jnp.asarray(rng.standard_normal(dims), jnp.float32)


def _random(layer, *inputs):
  """Parameters of every array's size, none too small to be missed."""
  shapes = jax.eval_shape(layer.init, KEY, *inputs)["params"]
  rng = np.random.default_rng(2)

  def one(leaf):
    # A bias table has an odd number of offsets.
    is_table = leaf.ndim > 1 and leaf.shape[0] % 2
    spread = 0.5 if leaf.ndim == 1 or is_table else leaf.shape[0] ** -0.5
    return jnp.asarray(spread * rng.standard_normal(leaf.shape), jnp.float32)

  return jax.tree.map(one, shapes)


def _may_see(height, width, window, shift):
  """[HW, HW], from pixel coordinates alone."""
  rows, columns = np.divmod(np.arange(height * width), width)
  rows, columns = (rows - shift) // window, (columns - shift) // window
  same_row = rows[:, None] == rows[None, :]
  return same_row & (columns[:, None] == columns[None, :])


def _dense(params, x):
  return x @ np.asarray(params["kernel"], np.float64) + np.asarray(
    params["bias"], np.float64
  )


def _reference_attention(params, x, heads, window, shift):
  """Every position against every other of the picture, in float64."""
  weights, value = _reference_weights(params, x, heads, window, shift)
  read = np.einsum("banm,bmad->bnad", weights, value)
  return _dense(params["out"], read.reshape(len(x), -1, x.shape[-1])).reshape(
    x.shape
  )


def _reference_weights(params, x, heads, window, shift):
  batch, height, width, channels = x.shape
  flat = np.asarray(x, np.float64).reshape(batch, -1, channels)
  query, key, value = (
    part.reshape(batch, height * width, heads, -1)
    for part in np.split(_dense(params["in"], flat), 3, axis=-1)
  )
  logits = np.einsum("bnad,bmad->banm", query, key)
  logits /= np.sqrt(channels // heads)
  visible = _may_see(height, width, window, shift)
  table = np.asarray(params["bias"], np.float64)
  for n, m in zip(*np.nonzero(visible), strict=True):
    down, right = n // width - m // width, n % width - m % width
    row = (down + window - 1) * (2 * window - 1) + right + window - 1
    logits[:, :, n, m] += table[row]
  weights = np.where(visible, np.exp(logits - logits.max()), 0)
  return weights / weights.sum(axis=-1, keepdims=True), value


def _reference_norm(params, x):
  x = x - x.mean(axis=-1, keepdims=True)
  x = x / np.sqrt(np.square(x).mean(axis=-1, keepdims=True) + 1e-6)
  return x * np.asarray(params["scale"]) + np.asarray(params["bias"])


def _reference_pair(params, x, heads, window):
  x = np.asarray(x, np.float64)
  for name, shift in (("plain", 0), ("shifted", window // 2)):
    part = params[name]
    normed = _reference_norm(part["norm_attention"], x)
    x = x + _reference_attention(
      part["attention"], normed, heads, window, shift
    )
    wide = _dense(part["wide"], _reference_norm(part["norm_mlp"], x))
    cubic = wide + 0.044715 * wide**3
    wide = 0.5 * wide * (1 + np.tanh(np.sqrt(2 / np.pi) * cubic))
    x = x + _dense(part["narrow"], wide)
  return x


@pytest.mark.parametrize("window", [1, 2, 4])
def test_relative_indexes_count_the_offsets_in_raster_order(window):
  reach = range(1 - window, window)
  order = list(itertools.product(reach, reach))
  found = relative_indexes(window)
  cells = list(itertools.product(range(window), range(window)))
  for i, (row, column) in enumerate(cells):
    for j, (other_row, other_column) in enumerate(cells):
      offset = (row - other_row, column - other_column)
      assert order[found[i, j]] == offset


def test_windows_are_pieces_of_the_picture():
  x = np.arange(2 * 6 * 9 * 2).reshape(2, 6, 9, 2)
  windows = split_windows(x, 3)
  for i, (row, column) in enumerate(itertools.product((0, 3), (0, 3, 6))):
    piece = x[:, row : row + 3, column : column + 3]
    np.testing.assert_array_equal(windows[:, i], piece.reshape(2, 9, 2))
  np.testing.assert_array_equal(join_windows(jnp.asarray(windows), 6, 9), x)


@pytest.mark.parametrize("window", [2, 3, 4])
def test_groups_are_the_rule_by_coordinates(window):
  sizes = itertools.product(range(1, 10), (1, 3, 4, 9), range(window))
  for height, width, shift in sizes:
    # Which position of the picture lies where in which window; -1: none.
    place = np.full(
      (height + -height % window, width + -width % window), -1, int
    )
    place[:height, :width] = np.arange(height * width).reshape(height, width)
    place = np.roll(place, (-shift, -shift), axis=(0, 1))
    place = split_windows(place[None, :, :, None], window)[0, :, :, 0]
    query, key = window_groups(height, width, window, shift)
    mask = query[:, :, None] == key[:, None, :]
    assert not mask[np.broadcast_to(place[:, None, :] < 0, mask.shape)].any()
    found = np.zeros((height * width, height * width), bool)
    for k, n, m in zip(*np.nonzero(mask), strict=True):
      if place[k, n] >= 0:
        found[place[k, n], place[k, m]] = True
    expected = _may_see(height, width, window, shift)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("shift", [0, 2])
@pytest.mark.parametrize("size", [(8, 8), (5, 7), (2, 3), (1, 1), (9, 4)])
def test_window_attention_is_masked_attention_over_all(size, shift):
  x = _normal(2, *size, 6)
  layer = WindowAttention(heads=3, window=4, shift=shift)
  params = _random(layer, x)
  found = jax.jit(layer.apply)({"params": params}, x)
  expected = _reference_attention(params, x, 3, 4, shift)
  np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shift", [0, 1, 2])
@pytest.mark.parametrize("size", [(8, 8), (5, 7), (2, 3)])
def test_the_weights_can_be_had_and_cost_nothing_else(size, shift):
  height, width = size
  x = _normal(2, *size, 6)
  layer = WindowAttention(heads=3, window=4, shift=shift)
  params = _random(layer, x)
  expected, _ = _reference_weights(params, x, 3, 4, shift)
  out, taken = layer.apply({"params": params}, x, mutable=[ATTENTION])
  np.testing.assert_array_equal(out, layer.apply({"params": params}, x))
  (weights,) = taken[ATTENTION]["weights"]
  assert weights.shape == (2, *size, 3, 16)
  found = np.zeros_like(expected)
  for row, column, n in itertools.product(
    range(height), range(width), range(16)
  ):
    # The window's first position, then the n-th.
    down = (row - shift) // 4 * 4 + shift + n // 4
    right = (column - shift) // 4 * 4 + shift + n % 4
    weight = weights[:, row, column, :, n]
    if 0 <= down < height and 0 <= right < width:
      place = row * width + column, down * width + right
      found[:, :, *place] = weight
    else:
      assert not weight.any()
  np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
  assert set(jax.eval_shape(layer.init, KEY, x)) == {"params"}


@pytest.mark.parametrize("remat", [False, True])
def test_a_pair_gives_the_weights_of_both_blocks(remat):
  x = _normal(1, 6, 5, 4)
  layer = SwinPair(heads=2, window=4, remat=remat)
  params = _random(layer, x)
  _, taken = jax.jit(lambda p, x: layer.apply(p, x, mutable=[ATTENTION]))(
    {"params": params}, x
  )
  for block in ("plain", "shifted"):
    (weights,) = taken[ATTENTION][block]["attention"]["weights"]
    np.testing.assert_allclose(weights.sum(axis=-1), 1, rtol=1e-5)


@pytest.mark.parametrize("size", [(7, 5), (6, 11)])
def test_a_pair_is_its_formula_and_exact_in_float64(size):
  layer = SwinPair(heads=2, window=4)
  params = _random(layer, _normal(1, *size, 4))
  with jax.enable_x64(True):
    params = jax.tree.map(lambda p: jnp.asarray(p, jnp.float64), params)
    x = jnp.asarray(np.random.default_rng(1).standard_normal((1, *size, 4)))
    found = jax.jit(layer.apply)({"params": params}, x)
  expected = _reference_pair(params, x, 2, 4)
  np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(("shift", "crop"), [(0, 8), (2, 10), (2, 6)])
def test_nothing_beyond_the_edge_has_influence(shift, crop):
  # Cut where windows end, a picture is as if the rest of it were not there.
  canvas = _normal(1, 14, 14, 4)
  inside = canvas[:, :crop, :crop]
  layer = WindowAttention(heads=2, window=4, shift=shift)
  params = {"params": _random(layer, canvas)}
  beyond = jnp.full_like(canvas, 1e3).at[:, :crop, :crop].set(inside)
  apply = jax.jit(layer.apply)
  expected = apply(params, inside)
  for whole in (canvas, beyond):
    found = apply(params, whole)[:, :crop, :crop]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_opposite_sides_do_not_meet():
  x = _normal(1, 8, 8, 4)
  layer = SwinPair(heads=2, window=4)
  params = {"params": _random(layer, x)}
  apply = jax.jit(layer.apply)
  change = apply(params, x.at[0, 0, 0, 0].add(1.0)) - apply(params, x)
  touched = np.abs(np.asarray(change)).max(axis=(0, 3)) > 1e-6
  # The first window, then the moved ones that it lies in.
  assert touched[:6, :6].all()
  assert not touched[6:].any() and not touched[:, 6:].any()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_gradients_are_finite_where_windows_hold_padding_alone(dtype):
  x = _normal(1, 9, 3, 4)
  layer = SwinPair(heads=2, window=8, dtype=jnp.dtype(dtype))
  params = _random(layer, x)

  def loss(params, x):
    return jnp.sum(layer.apply({"params": params}, x) ** 2)

  for leaf in jax.tree.leaves(jax.jit(jax.grad(loss, (0, 1)))(params, x)):
    assert np.isfinite(leaf).all()
    assert np.any(leaf != 0)


def test_bfloat16_stays_close_and_stays_bfloat16():
  x = _normal(1, 6, 7, 16)
  layer = SwinPair(heads=2, window=4)
  params = {"params": _random(layer, x)}
  expected = np.asarray(jax.jit(layer.apply)(params, x))
  layer = SwinPair(heads=2, window=4, dtype=jnp.dtype("bfloat16"))
  found = jax.jit(layer.apply)(params, x.astype(jnp.bfloat16))
  assert found.dtype == jnp.bfloat16
  error = np.asarray(found, np.float32) - expected
  assert np.sqrt(np.mean(error**2)) < 0.01 * np.std(expected)


def test_softmax_of_bfloat16_is_float32():
  # Logits about 100, where bfloat16 counts in halves.
  query = jnp.full((1, 1, 1, 2, 2), 8.0, jnp.bfloat16)
  key = jnp.asarray([[18.0, 0.0], [18.0, 0.0625]], jnp.bfloat16)
  value = jnp.asarray([[0.0, 0.0], [1.0, 1.0]], jnp.bfloat16)
  found = attend(
    query, key[None, None, None], value[None, None, None], jnp.zeros((1, 2, 2))
  )
  expected = 1 / (1 + np.exp(-8 * 0.0625 / np.sqrt(2)))
  assert found.dtype == jnp.bfloat16
  np.testing.assert_allclose(np.asarray(found, float), expected, rtol=4e-3)


def test_remat_changes_what_is_kept_and_nothing_else():
  x = _normal(1, 8, 16, 8)
  plain = SwinPair(heads=2, window=4)
  remat = SwinPair(heads=2, window=4, remat=True)
  params = _random(plain, x)
  kept, gradients = [], []
  for layer in (plain, remat):

    def apply(params, layer=layer):
      return layer.apply({"params": params}, x)

    def gradient(params, apply=apply):
      return jax.grad(lambda p: jnp.sum(jnp.sin(apply(p))))(params)

    _, pull = jax.eval_shape(lambda p, f=apply: jax.vjp(f, p), params)
    kept.append(sum(leaf.size for leaf in jax.tree.leaves(pull)))
    gradients.append(jax.jit(gradient)(params))
  assert kept[1] < kept[0] / 2
  for leaves in zip(*map(jax.tree.leaves, gradients), strict=True):
    np.testing.assert_allclose(*leaves, rtol=1e-3, atol=1e-4)


def test_heads_that_do_not_divide_the_channels_are_named():
  with pytest.raises(ValueError, match="4 heads do not divide 6 channels"):
    WindowAttention(heads=4).init(KEY, _normal(1, 8, 8, 6))


def test_shapes_are_checked():
  x = _normal(1, 1, 2, 4, 3)
  with pytest.raises(jaxtyping.TypeCheckError):
    attend(x, x, x, _normal(3, 4, 4))
  with pytest.raises(jaxtyping.TypeCheckError):
    WindowAttention(heads=1).init(KEY, _normal(8, 8, 4))
