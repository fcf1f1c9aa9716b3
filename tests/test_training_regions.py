"""Metrics by region, against NumPy and over any number of devices."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from roijax.metrics import psnr as reference
from roijax.training import parallel
from roijax.training.regions import average, measure_regions
from roijax.training.state import make_state
from roijax.training.steps import make_steps

SIZE, BLOCK, CHANNELS = 32, 16, 3


def make_batch(count, seed=0):
  """8-bit photos and reconstructions; of regions, one is none, one is all."""
  rng = np.random.default_rng(seed)
  x = rng.integers(0, 256, (count, SIZE, SIZE, 3))
  x_hat = np.clip(x + rng.integers(-9, 10, x.shape), 0, 255)
  roi = (rng.random((count, SIZE, SIZE, 1)) > 0.7).astype(np.float32)
  roi[:, :8] = 0.49
  roi[0], roi[1] = 0, 1
  cells = (count, SIZE // BLOCK, SIZE // BLOCK, CHANNELS)
  return {
    "x": x.astype(np.float32) / 255,
    "x_hat": x_hat.astype(np.float32) / 255,
    "roi": roi,
    "bits": rng.gamma(1.0, 3.0, cells).astype(np.float32),
  }


def measure_by_hand(x, x_hat, roi, bits):
  """One sample, a pixel at a time: None where it has no such region."""
  image, back = (np.round(255 * a).astype(np.uint8) for a in (x, x_hat))
  region = roi[..., 0]
  totals = {True: 0.0, False: 0.0}
  for row in range(SIZE):
    for column in range(SIZE):
      # A pixel's part of its cell's bits.
      part = bits[row // BLOCK, column // BLOCK].sum() / BLOCK**2
      totals[bool(region[row, column] >= 0.5)] += part
  area = (region >= 0.5).sum()
  return {
    "psnr_weighted": reference.psnr_weighted(image, back, region),
    "psnr_roi": reference.psnr_roi(image, back, region),
    "psnr_bg": reference.psnr_bg(image, back, region),
    "bpp_roi": totals[True] / area if area else None,
    "bpp_bg": totals[False] / (SIZE**2 - area) if area < SIZE**2 else None,
  }


def test_every_sample_is_measured_as_numpy_measures_it():
  batch = make_batch(4)
  measures = jax.jit(measure_regions)(*batch.values())
  for i in range(4):
    expected = measure_by_hand(*(array[i] for array in batch.values()))
    assert measures.keys() == expected.keys()
    for name, (values, found) in measures.items():
      assert found[i] == (expected[name] is not None)
      if found[i]:
        assert values[i] == pytest.approx(expected[name], rel=1e-4), name
  assert measures["psnr_roi"][1].tolist() == [0, 1, 1, 1]
  assert measures["bpp_bg"][1].tolist() == [1, 0, 1, 1]


def test_the_bits_of_both_regions_are_all_bits():
  batch = make_batch(4)
  measures = measure_regions(*map(jnp.asarray, batch.values()))
  area = (batch["roi"] >= 0.5).sum((1, 2, 3))
  both = measures["bpp_roi"][0] * area
  both += measures["bpp_bg"][0] * (SIZE**2 - area)
  np.testing.assert_allclose(both, batch["bits"].sum((1, 2, 3)), rtol=1e-5)


@pytest.mark.parametrize(("devices", "accumulate"), [(1, 1), (8, 1), (2, 2)])
def test_a_mean_leaves_out_samples_without_the_region_on_any_devices(
  devices, accumulate
):
  def loss_fn(params, collections, batch, keys):
    measures = measure_regions(*(batch[name] for name in names))
    return jnp.sum(params["w"] ** 2), (average(measures), collections)

  batch = make_batch(8)
  names = tuple(batch)
  optimizer = optax.sgd(0.1)
  chosen = parallel.pick_devices(devices)
  state = make_state({"w": jnp.ones(2)}, {}, optimizer, jax.random.key(0))
  update = parallel.make_update(
    make_steps(loss_fn, optimizer), chosen, accumulate
  )
  _, metrics = update(parallel.place_state(state, chosen), batch)
  by_hand = [
    measure_by_hand(*(array[i] for array in batch.values())) for i in range(8)
  ]
  for name in by_hand[0]:
    total, weight = jax.device_get(metrics[name])
    known = [one[name] for one in by_hand if one[name] is not None]
    assert weight == pytest.approx(len(known) / 8)
    assert total / weight == pytest.approx(np.mean(known), rel=1e-4)
