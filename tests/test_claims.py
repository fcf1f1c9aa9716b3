"""The claims' experiments compare what they say they compare."""

import jax
import numpy as np
import pytest

from benchmarks.claims import ceiling, report
from benchmarks.claims.latents import Frozen, Latents
from benchmarks.claims.priors import ARMS, Row
from benchmarks.claims.refit import Charge, Refit, rates
from benchmarks.claims.sharpness import mixture_kurtosis
from roijax.evaluation.rate_distortion import training_loss
from roijax.metrics.psnr import psnr_weighted
from roijax.metrics.sharpness import gaussian_excess


@pytest.fixture(name="frozen", scope="module")
def _frozen(smoke):
  arguments = smoke.config.model.to_dict()
  return Frozen("smoke", "ggm", arguments, smoke.model, smoke.params)


def make_latents(frozen, count=4):
  draw = np.random.default_rng(1)
  size = (count, 4, 4, frozen.model.latent_channels)
  hyper = (count, 1, 1, frozen.arguments["hyper_channels"])
  roi = np.zeros(size[:3], np.float32)
  roi[:, :2] = 1
  return Latents(
    y=draw.laplace(0, 2, size).astype(np.float32),
    z_hat=np.round(draw.normal(0, 2, hyper)).astype(np.float32),
    roi=roi,
    quality=np.zeros(count, np.float32),
    mse_roi=np.full(count, 1e-3),
    mse_background=np.full(count, 1e-2),
    pixels=64**2,
  )


def test_every_prior_of_a_seed_starts_with_the_same_means_and_scales(frozen):
  largest = Refit(frozen, 1, kind="ggm_e").start(5)
  other = Refit(frozen, 1, kind="ggm_e").start(6)
  for kind in ("gaussian", "ggm_c"):
    start = Refit(frozen, 1, kind=kind).start(5)
    assert ("prior" in start) == (kind == "ggm_c")
    for name, leaf in start["context"].items():
      full = largest["context"][name]
      if not name.startswith("head"):
        jax.tree.map(np.testing.assert_array_equal, leaf, full)
        continue
      kernel = np.asarray(full["kernel"])
      outputs = kernel.reshape(kernel.shape[0], -1, 3)[..., :2]
      expected = outputs.reshape(kernel.shape[0], -1)
      np.testing.assert_array_equal(leaf["kernel"], expected)
  assert not np.array_equal(
    largest["context"]["head_0"]["kernel"], other["context"]["head_0"]["kernel"]
  )


def test_a_fit_moves_the_entropy_networks_alone_and_pays_off(frozen):
  latents = make_latents(frozen)
  refit = Refit(frozen, 12, kind="ggm_e")
  fitted = refit.fit(latents, seed=0)
  assert set(fitted) == {"hyper_synthesis", "context"}
  again = refit.fit(latents, seed=0)
  jax.tree.map(np.testing.assert_array_equal, fitted, again)
  before = rates(refit.charge(refit.start(0), latents).bits, latents)
  after = rates(refit.charge(fitted, latents).bits, latents)
  assert after["whole"] < before["whole"]
  # Equal areas: the whole is the mean of the two.
  assert after["whole"] == pytest.approx(
    (after["roi"] + after["background"]) / 2, rel=1e-5
  )
  noisy = refit.charge(fitted, latents, noise=0)
  assert rates(noisy.bits, latents)["whole"] != after["whole"]


def test_the_ceiling_is_what_a_gaussian_loses_on_the_residuals():
  draw = np.random.default_rng(0)
  scale = np.full((4, 50, 50, 10), 2.0, np.float32)
  residual = draw.laplace(0, 2 / np.sqrt(2), scale.shape).astype(np.float32)
  bits = np.ones(scale.shape[:3])
  expected = gaussian_excess(1.0, 2.0)[0] * scale.size
  gaussian = Charge(bits, residual, scale, np.full_like(scale, 2))
  lost, rows = ceiling.find_fitted_ceiling(gaussian)
  assert lost == pytest.approx(expected, rel=0.1)
  assert rows[0]["fitted shape"] == pytest.approx(1, rel=0.05)
  stated = Charge(bits, residual, scale, np.ones_like(scale))
  # Cells of the table are 13 % wide in the shape.
  found = ceiling.find_predicted_ceiling(stated)
  assert found == pytest.approx(expected, rel=0.25)
  gaussian_stated = ceiling.find_predicted_ceiling(gaussian)
  assert gaussian_stated < 0.05 * expected


def test_savings_are_counted_seed_by_seed_against_the_first_arm():
  def row(arm, seed, bits):
    return Row(arm, seed, bits, bits, bits, bits, 1.0, 1.0)

  rows = [row("a", 0, 1.0), row("a", 1, 2.0), row("b", 0, 0.9)]
  rows.append(row("b", 1, 1.0))
  found = report.savings(rows, "whole")
  np.testing.assert_allclose(found["a"], [0, 0])
  np.testing.assert_allclose(found["b"], [10, 50])


def test_the_loss_of_files_is_what_training_minimises():
  draw = np.random.default_rng(0)
  x = draw.integers(0, 256, (32, 48, 3), np.uint8)
  x_hat = draw.integers(0, 256, x.shape, np.uint8)
  roi = (draw.random((32, 48)) < 0.3).astype(np.float32)
  difference = (x.astype(np.float64) - x_hat) / 255
  weight = np.maximum(roi, 0.25)[..., None] ** 2
  expected = 0.02 * 255**2 * np.mean(weight * difference**2) + 0.7
  rows = [
    {
      "name": "photo",
      "quality": 1.0,
      "bpp": 0.7,
      "psnr_weighted": psnr_weighted(x, x_hat, roi),
    }
  ]
  photos = [{"image": x, "roi": roi, "name": "photo"}]
  found = training_loss(rows, photos, (0.01, 0.02))
  assert found == pytest.approx(expected, rel=1e-6)


def test_a_mixture_s_kurtosis_is_that_of_its_samples():
  draw = np.random.default_rng(0)
  values = draw.normal(size=400_000)
  values[: len(values) // 5] *= 4
  centred = values - values.mean()
  measured = np.mean(centred**4) / np.mean(centred**2) ** 2
  assert mixture_kurtosis(0.2, 4.0) == pytest.approx(measured, rel=0.03)


def test_every_arm_is_a_prior_that_can_be_built(frozen):
  for group in ARMS.values():
    for options in group.values():
      assert frozen.with_prior(**options).prior.kind == options["kind"]
