"""Metrics agree with formulas, with scikit-image, and with shifted curves."""

import math

import numpy as np
import pytest
from scipy import integrate

from roijax.errors import RoijaxError
from roijax.metrics import bd_rate as bd
from roijax.metrics import ms_ssim as ms
from roijax.metrics import psnr as ps
from roijax.metrics.overlap import iou


@pytest.fixture(name="pair")
def _pair():
  rng = np.random.default_rng(0)
  ramp = np.linspace(0, 200, 192)[:, None, None] + np.arange(176)[:, None] / 8
  x = (ramp + rng.normal(0, 20, (192, 176, 3))).clip(0, 255).astype(np.uint8)
  x_hat = (x + rng.normal(0, 12, x.shape)).clip(0, 255).astype(np.uint8)
  return x, x_hat


def test_psnr_equals_scikit_image(pair):
  skimage_metrics = pytest.importorskip("skimage.metrics")
  expected = skimage_metrics.peak_signal_noise_ratio(*pair)
  assert ps.psnr(*pair) == pytest.approx(expected, abs=1e-10)


def test_constant_error_has_the_psnr_of_its_square():
  x = np.full((4, 6, 3), 100, np.uint8)
  assert ps.psnr(x, x + 5) == pytest.approx(20 * math.log10(255 / 5))
  assert ps.psnr(x, x) == math.inf


def test_regions_have_their_own_errors():
  x = np.zeros((8, 8, 3), np.uint8)
  x_hat = np.full_like(x, 4)
  x_hat[:2] = 1
  roi = np.zeros((8, 8), np.float32)
  roi[:2] = 0.5
  roi[2:] = 0.49
  assert ps.psnr_roi(x, x_hat, roi) == pytest.approx(ps.decibels(1.0))
  assert ps.psnr_bg(x, x_hat, roi) == pytest.approx(ps.decibels(16.0))
  weighted = (16 * 1 + 48 * 16 / 16) / (16 + 48 / 16)
  assert ps.psnr_weighted(x, x_hat, roi) == pytest.approx(ps.decibels(weighted))


def test_region_figures_split_the_whole(pair):
  x, x_hat = pair
  mask = np.zeros(x.shape[:2], bool)
  mask[30:90, 50:120] = True
  inside = ps.mse_within(x, x_hat, mask)
  outside = ps.mse_within(x, x_hat, ~mask)
  whole = ps.squared_error(x, x_hat).mean()
  share = mask.mean()
  assert share * inside + (1 - share) * outside == pytest.approx(whole)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_an_empty_or_full_region_leaves_one_figure_out(pair, value):
  roi = np.full(pair[0].shape[:2], value, np.float32)
  inside, outside = ps.psnr_roi(*pair, roi), ps.psnr_bg(*pair, roi)
  assert (inside is None) == (value == 0)
  assert (outside is None) == (value == 1)
  assert ps.psnr_weighted(*pair, roi) == pytest.approx(ps.psnr(*pair))


# With array types checked at run time, the checker is the one that refuses.
REFUSED = (ValueError, TypeError)


def test_psnr_refuses_floats_and_other_shapes(pair):
  x, x_hat = pair
  for call in (
    lambda: ps.psnr(x / 255, x_hat),
    lambda: ps.psnr(x, x_hat[1:]),
    lambda: ps.psnr_roi(x, x_hat, np.ones((3, 3))),
    lambda: ps.psnr_weighted(x, x_hat, np.ones((3, 3))),
  ):
    with pytest.raises(REFUSED):
      call()


def _reference_ms_ssim(x, x_hat, scales):
  """The definition, with scikit-image's SSIM map at each scale."""
  from skimage.metrics import structural_similarity

  values = []
  weights = np.array(ms.WEIGHTS[:scales]) / sum(ms.WEIGHTS[:scales])
  for c in range(3):
    a, b = x[..., c].astype(float), x_hat[..., c].astype(float)
    product = 1.0
    for scale in range(scales):
      if scale:
        a, b = (
          v.reshape(v.shape[0] // 2, 2, v.shape[1] // 2, 2).mean((1, 3))
          for v in (a, b)
        )
      settings = dict(
        data_range=255, gaussian_weights=True, sigma=1.5, truncate=3.34
      )
      settings |= dict(use_sample_covariance=False, full=True)
      _, full = structural_similarity(a, b, **settings)
      crop = (slice(5, -5), slice(5, -5))
      # With K2 huge the contrast term is one, so that luminance is left.
      _, luminance = structural_similarity(a, b, K2=1e9, **settings)
      term = full if scale == scales - 1 else full / luminance
      product *= term[crop].mean() ** weights[scale]
    values.append(product)
  return np.mean(values)


def test_ms_ssim_equals_a_reference_from_scikit_image(pair):
  pytest.importorskip("skimage.metrics")
  assert ms.ms_ssim(*pair) == pytest.approx(
    _reference_ms_ssim(*pair, 5), abs=2e-5
  )


def test_small_images_use_the_scales_that_fit(pair):
  pytest.importorskip("skimage.metrics")
  x, x_hat = (image[:32, :48] for image in pair)
  assert ms.scales_that_fit(32, 48) == 2
  assert ms.ms_ssim(x, x_hat) == pytest.approx(
    _reference_ms_ssim(x, x_hat, 2), abs=2e-5
  )


@pytest.mark.parametrize(
  ("side", "scales"), [(10, 0), (11, 1), (16, 1), (160, 4), (161, 5), (512, 5)]
)
def test_five_scales_need_more_than_160_pixels(side, scales):
  assert ms.scales_that_fit(side, 600) == scales


def test_ms_ssim_is_one_for_equal_images_and_takes_odd_sizes(pair):
  x, x_hat = (image[:171, :165] for image in pair)
  assert ms.ms_ssim(x, x) == pytest.approx(1)
  assert 0 < ms.ms_ssim(x, x_hat) < 1


def test_ms_ssim_of_a_negative_is_not_nan(pair):
  assert 0 <= ms.ms_ssim(pair[0], 255 - pair[0]) < 0.5


def test_ms_ssim_refuses_images_below_the_window(pair):
  with pytest.raises(ValueError, match="below 11"):
    ms.ms_ssim(pair[0][:10], pair[1][:10])
  with pytest.raises(REFUSED):
    ms.ms_ssim(pair[0], pair[1][:100])


RATES = [0.1, 0.22, 0.45, 0.8, 1.4]
PSNRS = [27.0, 29.5, 32.2, 34.4, 37.0]


@pytest.mark.parametrize("factor", [0.7, 1.0, 1.9])
def test_scaled_rates_give_their_factor(factor):
  scaled = [factor * rate for rate in RATES]
  assert bd.bd_rate(RATES, PSNRS, scaled, PSNRS) == pytest.approx(
    100 * (factor - 1)
  )


def test_shifted_qualities_give_their_shift():
  shifted = [value + 1.25 for value in PSNRS]
  assert bd.bd_psnr(RATES, PSNRS, RATES, shifted) == pytest.approx(1.25)


def test_order_of_points_does_not_matter():
  flipped = bd.bd_rate(RATES[::-1], PSNRS[::-1], RATES[1:], PSNRS[:-1])
  assert flipped == bd.bd_rate(RATES, PSNRS, RATES[1:], PSNRS[:-1])


def test_log_linear_curves_match_the_analytic_area():
  # q = a + b log r: exact for PCHIP, so the integral has a closed form.
  rates = np.array([0.1, 0.2, 0.4, 0.8])
  anchor, tested = 30 + 4 * np.log(rates), 31 + 5 * np.log(rates)

  def gap(quality):
    return (quality - 31) / 5 - (quality - 30) / 4

  low, high = max(anchor[0], tested[0]), min(anchor[-1], tested[-1])
  mean = integrate.quad(gap, low, high)[0] / (high - low)
  assert bd.bd_rate(rates, anchor, rates, tested) == pytest.approx(
    100 * math.expm1(mean)
  )


@pytest.mark.parametrize(
  ("rates", "psnrs", "line"),
  [
    (RATES[:3], PSNRS[:3], "at least 4"),
    (RATES, PSNRS[:4], "one quality for each"),
    (RATES, [50, 51, 52, 53, 54], "share no range"),
    (RATES, [27, 29, 28, 30, 31], "does not rise"),
    ([0, 0.2, 0.4, 0.8], PSNRS[:4], "not positive"),
    (RATES, [27, 29, 30, 31, math.inf], "finite"),
  ],
)
def test_bd_rate_says_what_is_wrong_with_a_curve(rates, psnrs, line):
  with pytest.raises(RoijaxError, match=line):
    bd.bd_rate(RATES, PSNRS, rates, psnrs)


def test_intersection_over_union_is_what_it_says():
  a = np.zeros((4, 6), bool)
  b = a.copy()
  assert iou(a, b) == 1
  a[:2] = True
  assert iou(a, b) == 0
  b[1:3, :4] = True
  assert iou(a, b) == 4 / (12 + 8 - 4)
  assert iou(a, ~a) == 0
