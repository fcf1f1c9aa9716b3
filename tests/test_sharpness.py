import numpy as np
import pytest
from scipy import stats

from roijax.metrics import sharpness


@pytest.mark.parametrize("shape", [0.5, 1.0, 1.5, 2.0, 3.0])
def test_fitted_shape_and_kurtosis_are_those_of_the_samples(shape):
  draw = np.random.default_rng(0)
  values = stats.gennorm.rvs(shape, size=200_000, random_state=draw)
  assert sharpness.fit_shape(7 * values) == pytest.approx(shape, rel=0.02)
  expected = sharpness.kurtosis_of_shape(shape)
  assert sharpness.kurtosis(values + 3) == pytest.approx(expected, rel=0.06)


def test_kurtosis_of_a_shape_is_scipy_s():
  for shape in (0.6, 1.0, 2.0):
    expected = 3 + stats.gennorm.stats(shape, moments="k")
    assert sharpness.kurtosis_of_shape(shape) == pytest.approx(expected)


def test_a_shape_needs_something_to_fit():
  with pytest.raises(ValueError, match="not all zero"):
    sharpness.fit_shape(np.zeros(9))


@pytest.mark.parametrize("offset", [0.0, 0.3, 0.5])
def test_masses_of_all_integers_sum_to_one(offset):
  for shape, scale in ((0.5, 2.0), (1.0, 0.2), (2.0, 5.0)):
    masses = sharpness.bin_masses(shape, scale, offset)
    assert masses.sum() == pytest.approx(1, abs=1e-9)
    assert masses.min() >= 0


def test_a_gaussian_loses_nothing_on_a_gaussian():
  for scale in (0.5, 1.0, 5.0):
    excess, entropy = sharpness.gaussian_excess(2.0, scale, 0.2)
    assert excess == pytest.approx(0, abs=1e-6)
    assert entropy > 0


@pytest.mark.parametrize("shape", [0.5, 0.7, 1.0, 1.5])
def test_at_high_rates_the_loss_is_the_divergence_of_the_densities(shape):
  # Of a density from the Gaussian of equal variance: a difference of
  # differential entropies.
  truth = stats.gennorm(shape)
  expected = (stats.norm(scale=truth.std()).entropy() - truth.entropy()) / (
    np.log(2)
  )
  excess, _ = sharpness.gaussian_excess(shape, 60.0)
  # The likelihood's floor spares a Gaussian what it cannot see, and the
  # heavier the tail the more.
  assert 0.8 * expected < excess <= 1.001 * expected
