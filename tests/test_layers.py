"""Layers against formulas in NumPy and against slower references."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from smoke_model import stir

from roijax.layers.depthwise import DepthwiseBlock, DepthwiseConv, shifted_sum
from roijax.layers.gain import Gain, interpolate, start_gain
from roijax.layers.gdn import GDN
from roijax.layers.mgfe import (
  MGFE,
  FrequencySpatialAttention,
  RegionAdaptiveAttention,
  window_signal,
  window_spectrum,
)
from roijax.layers.neighbours import NeighbourDense

KEY = jax.random.key(0)


def _normal(*dims, seed=0):
  rng = np.random.default_rng(seed)
  return jnp.asarray(rng.standard_normal(dims), jnp.float32)


@pytest.mark.parametrize("inverse", [False, True])
def test_gdn_is_its_formula(inverse):
  x = _normal(2, 3, 4, 5)
  rng = np.random.default_rng(1)
  root_beta, root_gamma = 0.5 + rng.random(5), rng.random((5, 5))
  params = {
    "root_beta": jnp.asarray(root_beta, jnp.float32),
    "root_gamma": jnp.asarray(root_gamma, jnp.float32),
  }
  found = GDN(inverse=inverse).apply({"params": params}, x)
  x = np.asarray(x, np.float64)
  energy = root_beta**2 + np.einsum("bhwk,ck->bhwc", x**2, root_gamma**2)
  expected = x * np.sqrt(energy) if inverse else x / np.sqrt(energy)
  np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_inverse_gdn_starts_close_to_the_inverse():
  x = 0.05 * _normal(1, 4, 4, 6)
  there, back = GDN(), GDN(inverse=True)
  y = there.apply(there.init(KEY, x), x)
  np.testing.assert_allclose(back.apply(back.init(KEY, y), y), x, rtol=1e-3)


def test_gdn_stays_finite_and_can_return_from_negative_parameters():
  x = _normal(1, 2, 2, 3)
  params = {
    "root_beta": jnp.full(3, -1.0),
    "root_gamma": jnp.full((3, 3), -1.0),
  }
  found = GDN().apply({"params": params}, x)
  assert np.isfinite(found).all()
  # A larger divisor would help this loss: the gradient must say so.
  grads = jax.grad(lambda p: jnp.sum(GDN().apply({"params": p}, x) ** 2))(
    params
  )
  for leaf in jax.tree.leaves(grads):
    assert np.isfinite(leaf).all()
  assert np.all(np.asarray(grads["root_beta"]) < 0)


@pytest.mark.parametrize("inverse", [False, True])
def test_gdn_gradients_match_finite_differences(inverse):
  layer = GDN(inverse=inverse)
  x = _normal(1, 2, 2, 3)
  params = jax.tree.map(lambda p: p + 0.3, layer.init(KEY, x))

  def apply(*arguments):
    # What probes the function does so with NumPy arrays.
    return layer.apply(*jax.tree.map(jnp.asarray, arguments))

  check_grads(apply, (params, x), 1, modes=["rev"], rtol=2e-2, eps=1e-2)


def test_gdn_keeps_bfloat16_and_computes_in_float32():
  x = _normal(1, 4, 4, 3)
  layer = GDN()
  params = layer.init(KEY, x)
  found = layer.apply(params, x.astype(jnp.bfloat16))
  assert found.dtype == jnp.bfloat16
  exact = layer.apply(params, x.astype(jnp.bfloat16).astype(jnp.float32))
  np.testing.assert_allclose(found.astype(jnp.float32), exact, rtol=1e-2)


def _grouped_convolution(x, kernel):
  return jax.lax.conv_general_dilated(
    x,
    kernel[:, :, None],
    (1, 1),
    "SAME",
    dimension_numbers=("NHWC", "HWIO", "NHWC"),
    feature_group_count=x.shape[-1],
    precision="highest",
  )


@pytest.mark.parametrize("size", [3, 5])
def test_the_sum_of_shifted_images_is_a_grouped_convolution(size):
  x, kernel = _normal(2, 7, 6, 4), _normal(size, size, 4, seed=1)
  np.testing.assert_allclose(
    shifted_sum(x, kernel),
    _grouped_convolution(x, kernel),
    rtol=1e-4,
    atol=1e-5,
  )


@pytest.mark.parametrize("size", [3, 5])
def test_its_gradients_are_those_of_the_grouped_convolution(size):
  x, kernel = _normal(2, 7, 6, 4), _normal(size, size, 4, seed=1)
  gradient = _normal(2, 7, 6, 4, seed=2)
  _, pull = jax.vjp(shifted_sum, x, kernel)
  _, expected_pull = jax.vjp(_grouped_convolution, x, kernel)
  for found, expected in zip(
    pull(gradient), expected_pull(gradient), strict=True
  ):
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("layer", [DepthwiseConv(), DepthwiseBlock()])
def test_depthwise_layers_start_as_the_identity(layer):
  x = _normal(1, 5, 6, 4)
  np.testing.assert_array_equal(layer.apply(layer.init(KEY, x), x), x)


def test_a_neighbour_map_is_a_convolution_with_masked_taps():
  offsets = ((-1, 0), (0, -1), (2, 1))
  x = _normal(1, 5, 6, 3)
  layer = NeighbourDense(4, offsets)
  params = layer.init(KEY, x)
  found = layer.apply(params, x)
  taps = np.asarray(params["params"]["kernel"]).reshape(3, 3, 4)
  kernel = np.zeros((5, 5, 3, 4), np.float32)
  for (row, column), tap in zip(offsets, taps, strict=True):
    kernel[row + 2, column + 2] = tap
  expected = jax.lax.conv_general_dilated(
    x,
    jnp.asarray(kernel),
    (1, 1),
    "SAME",
    dimension_numbers=("NHWC", "HWIO", "NHWC"),
    precision="highest",
  )
  np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
  rows, columns = jnp.array([0, 4, 2]), jnp.array([5, 0, 3])
  at = layer.apply(params, x, rows, columns, method="at")
  np.testing.assert_allclose(at, found[0, rows, columns], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize(("residual", "factor"), [(False, 0.9), (True, 1.9)])
def test_attention_starts_nearly_as_the_identity(per_channel, residual, factor):
  x, roi = _normal(1, 4, 5, 6), _normal(1, 4, 5, 1, seed=1)
  layer = RegionAdaptiveAttention(
    hidden=3, per_channel=per_channel, residual=residual, start=0.9
  )
  found = layer.apply(layer.init(KEY, x, roi), x, roi)
  np.testing.assert_allclose(found, factor * x, rtol=1e-5)


def test_attention_attenuates_and_never_erases_or_amplifies():
  x, roi = _normal(1, 4, 5, 6), _normal(1, 4, 5, 1, seed=1)
  layer = RegionAdaptiveAttention(hidden=3)
  found = layer.apply(stir(layer.init(KEY, x, roi)), x, roi) / x
  assert np.all((np.asarray(found) > 0) & (np.asarray(found) < 1))
  assert np.ptp(found) > 0


@pytest.mark.parametrize("window", [8, 5, "full"])
@pytest.mark.parametrize("width", [0, 2])
def test_collaboration_starts_as_the_identity_at_any_size(window, width):
  x = _normal(2, 11, 13, 4)
  layer = FrequencySpatialAttention(width=width, window=window)
  params = layer.init(KEY, x)
  np.testing.assert_array_equal(layer.apply(params, x), x)
  found = layer.apply(stir(params), x)
  assert found.shape == x.shape
  assert np.isfinite(found).all()
  assert np.any(found != x)


@pytest.mark.parametrize("window", [4, 5, 8])
def test_a_window_spectrum_is_orthonormal_and_inverts(window):
  x = _normal(2, 2 * window, 3 * window, 3)
  spectrum = window_spectrum(x, window)
  assert spectrum.shape[:3] == (2, 2, 3)
  np.testing.assert_allclose(window_signal(spectrum, window), x, atol=1e-5)
  # Half of a real signal's spectrum is not stored; it mirrors the other.
  half = window // 2 + 1
  twice = np.full(half, 2.0)
  twice[0] = 1
  twice[-1] = 1 if window % 2 == 0 else 2
  energy = np.sum(
    np.asarray(spectrum).reshape(-1, half, 6) ** 2 * twice[None, :, None]
  )
  np.testing.assert_allclose(energy, np.sum(np.asarray(x) ** 2), rtol=1e-5)


def test_fourier_windows_do_not_see_each_other():
  layer = FrequencySpatialAttention(window=4)
  x = _normal(1, 8, 12, 3)
  params = stir(layer.init(KEY, x))
  changed = layer.apply(params, x.at[0, 1, 1].add(1.0)) - layer.apply(params, x)
  assert np.all(np.asarray(changed)[0, 4:] == 0)
  assert np.all(np.asarray(changed)[0, :, 4:] == 0)
  assert np.all(np.any(np.asarray(changed)[0, :4, :4] != 0, axis=-1))


def test_either_half_of_the_enhancement_can_be_left_out():
  x, roi = _normal(1, 4, 4, 3), jnp.ones((1, 4, 4, 1))
  for attention, collaboration, names in (
    (None, None, set()),
    ({"hidden": 2}, None, {"attention"}),
    (None, {"window": 4}, {"collaboration"}),
    ({"hidden": 2}, {"window": 4}, {"attention", "collaboration"}),
  ):
    layer = MGFE(attention, collaboration)
    assert set(layer.init(KEY, x, roi).get("params", {})) == names


def test_gains_hit_the_rates_and_are_geometric_between():
  layer = Gain(4, (0.01, 0.02, 0.08))
  params = {"log_gain": _normal(3, 4)}

  def gain(*quality):
    found = layer.apply({"params": params}, jnp.asarray(quality))
    return np.asarray(found)[:, 0, 0]

  rows = np.exp(np.asarray(params["log_gain"]))
  np.testing.assert_allclose(gain(0.0, 1.0, 2.0), rows, rtol=1e-6)
  np.testing.assert_allclose(
    gain(0.5, 1.25),
    [np.sqrt(rows[0] * rows[1]), rows[1] ** 0.75 * rows[2] ** 0.25],
    rtol=1e-5,
  )
  np.testing.assert_allclose(gain(-1.0, 9.0), rows[[0, 2]], rtol=1e-6)


def test_one_rate_needs_no_quality():
  table = _normal(1, 3)
  for quality in (0.0, 0.7, 5.0):
    np.testing.assert_allclose(
      interpolate(table, jnp.asarray([quality])), table
    )


def test_dividing_by_the_gain_undoes_it():
  layer = Gain(4, (0.01, 0.08))
  quality = jnp.asarray([0.0, 0.3])
  gain = layer.apply(layer.init(KEY, quality), quality)
  y = _normal(2, 3, 3, 4)
  np.testing.assert_allclose(y * gain / gain, y, rtol=1e-6)


@pytest.mark.parametrize("lmbda", [0.0018, 0.18])
def test_the_start_gain_is_the_best_step_of_an_orthonormal_transform(lmbda):
  steps = np.geomspace(0.001, 1, 100_001)
  # Three latents a pixel, uniform error, log2(1 / step) bits each.
  loss = lmbda * 255**2 * steps**2 / 12 - 3 * np.log2(steps)
  best = steps[np.argmin(loss)]
  assert math.isclose(1 / start_gain(lmbda), best, rel_tol=1e-3)
