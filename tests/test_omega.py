"""The experiment with omega asks for what it says, and reads curves right."""

import math

import numpy as np
import pytest

from benchmarks import omega


def test_an_omega_is_the_ratio_of_the_paper_s_weights():
  # Errors are weighed by the level's square.
  for value in omega.OMEGAS:
    assert omega.level(value) ** 2 == pytest.approx(math.exp(-value))


def test_decibels_are_read_off_between_points_and_nowhere_else():
  # On a logarithmic axis .2 lies halfway between .1 and .4.
  curve = np.array([[0.1, 20.0, 10.0], [0.4, 30.0, 14.0]])
  found = omega.read_off(curve, [0.05, 0.2, 0.4, 0.5])
  np.testing.assert_allclose(found[1:3], [[25, 12], [30, 14]])
  assert np.isnan(found[[0, 3]]).all()


def test_photos_without_two_regions_are_passed_over():
  def photo(share):
    roi = np.zeros((10, 10), np.float32)
    roi[: round(10 * share)] = 1
    return {"roi": roi if share >= 0 else None, "name": share}

  photos = [photo(share) for share in (-1, 0, 0.5, 1, 0.3, 0.7)]
  found = omega.choose_photos(photos, 2)
  assert [item["name"] for item in found] == [0.5, 0.3]


def test_unknown_weights_get_one_line(monkeypatch, capsys):
  monkeypatch.setattr("sys.argv", ["omega", "--checkpoint=nothing-1"])
  assert omega.exit_code(omega.main) == 2
  (line,) = capsys.readouterr().err.splitlines()
  assert line.startswith("error: ")
  assert "nothing-1" in line
