"""The preview shows the region as it is, and dims the rest."""

import numpy as np
import pytest

from roijax.roi import parse_roi
from roijax.roi.preview import LONGEST_SIDE, OUTLINE, draw_preview

SIZE = (90, 120)


def make_photo(size=SIZE):
  noise = np.random.default_rng(2).integers(60, 200, (*size, 3))
  return noise.astype(np.uint8)


def test_a_map_without_contrast_shows_the_photo():
  image = make_photo()
  drawn = draw_preview(image, parse_roi("all", SIZE))
  np.testing.assert_array_equal(drawn, image)


def test_inside_is_untouched_and_outside_is_dim_and_grey():
  image = make_photo()
  drawn = draw_preview(image, parse_roi("box:30,20,60,50", SIZE))
  assert drawn.shape == image.shape and drawn.dtype == np.uint8
  inner, outer = np.s_[26:64, 36:84], np.s_[80:, :]
  np.testing.assert_array_equal(drawn[inner], image[inner])
  assert drawn[outer].mean() < image[outer].mean() / 2
  assert np.ptp(drawn[outer], -1).mean() < np.ptp(image[outer], -1).mean() / 5


def test_the_outline_runs_along_the_edge():
  image = make_photo()
  drawn = draw_preview(image, parse_roi("box:30,20,60,50", SIZE))
  for row in (20, 69):
    np.testing.assert_allclose(drawn[row, 35:85].mean(0), OUTLINE, atol=12)
  for column in (30, 89):
    np.testing.assert_allclose(drawn[25:65, column].mean(0), OUTLINE, atol=12)


def test_fading_is_in_proportion():
  image = np.full((*SIZE, 3), 200, np.uint8)
  light = [
    draw_preview(image, np.full(SIZE, weight, np.float32)).mean()
    for weight in (0, 0.2, 0.4, 0.6, 0.8, 1)
  ]
  assert np.diff(light) == pytest.approx([(200 - light[0]) / 5] * 5, abs=1)


def test_a_grey_photo_is_drawn_in_colour():
  grey = make_photo()[..., 0]
  roi = parse_roi("center", SIZE)
  colour = np.repeat(grey[..., None], 3, -1)
  np.testing.assert_array_equal(
    draw_preview(grey, roi), draw_preview(colour, roi)
  )


def test_a_large_photo_is_shown_smaller():
  size = (3, 2 * LONGEST_SIDE)
  drawn = draw_preview(np.zeros((*size, 3), np.uint8), parse_roi("all", size))
  assert drawn.shape == (2, LONGEST_SIDE, 3)


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (2, 2)])
def test_the_smallest_photos_are_drawn(size):
  roi = np.zeros(size, np.float32)
  roi[0, 0] = 1
  assert draw_preview(make_photo(size), roi).shape == (*size, 3)
