import numpy as np
import pytest
from scipy import stats

from roijax.coding import grid


def test_grid_spans_the_stated_range():
  assert grid.SHAPES.shape == (20,)
  assert grid.SCALES.shape == (20, 64)
  np.testing.assert_allclose(grid.SHAPES[[0, -1]], [0.5, 3.0])
  np.testing.assert_allclose(grid.SCALES[:, -1], 256.0)
  np.testing.assert_array_equal(grid.SCALES[:, 0], grid.FLOORS)


def test_the_floors_that_are_written_down_are_those_of_their_rule():
  np.testing.assert_allclose(
    grid.FLOORS, grid.scale_min(grid.SHAPES), rtol=1e-14
  )


def test_grid_is_even_in_log():
  for steps in (
    np.diff(np.log(grid.SHAPES)),
    np.diff(np.log(grid.SCALES), axis=-1),
  ):
    np.testing.assert_allclose(steps - steps[..., :1], 0.0, atol=1e-12)


def test_grid_cannot_be_changed_in_place():
  with pytest.raises(ValueError, match="read-only"):
    grid.SCALES[0, 0] = 1.0


def test_alpha_per_scale_gives_unit_standard_deviation():
  for shape in (0.5, 1.0, 1.7, 3.0):
    alpha = float(grid.alpha_per_scale(shape))
    assert stats.gennorm.std(shape, scale=alpha) == pytest.approx(1.0)


def test_scale_min_leaves_the_stated_mass_outside_the_central_bin():
  for shape in (0.5, 1.0, 2.0, 3.0):
    alpha = float(grid.scale_min(shape) * grid.alpha_per_scale(shape))
    outside = 2 * stats.gennorm.sf(0.5, shape, scale=alpha)
    assert outside == pytest.approx(1e-4, rel=1e-8)


def test_scale_min_agrees_with_the_measured_floors():
  floors = grid.scale_min(np.array([0.5, 1.0, 2.0, 3.0]))
  np.testing.assert_allclose(floors, [0.040, 0.077, 0.128, 0.161], atol=6e-4)
