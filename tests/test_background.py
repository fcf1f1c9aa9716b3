"""The sweep of background levels asks for what it says, and reads right."""

import math

import numpy as np
import pytest

from benchmarks import background
from roijax.errors import ConfigError


def test_an_omega_is_the_ratio_of_the_paper_s_weights():
  # Errors are weighed by the level's square.
  levels = background.parse_levels("1", "0,3,6.5")
  assert list(levels) == ["omega 0", "omega 3", "omega 6.5"]
  for name, level in levels.items():
    omega = float(name.split()[1])
    assert level**2 == pytest.approx(math.exp(-omega))


def test_levels_are_told_apart_from_nonsense():
  assert background.parse_levels("1,0.05", None) == {"1": 1.0, "0.05": 0.05}
  for text, line in (
    ("1.5", "background level 1.5 does not lie in"),
    ("0", "background level 0 does not"),
    ("half", "--levels: 'half' is not a list of numbers"),
  ):
    with pytest.raises(ConfigError, match=line):
      background.parse_levels(text, None)


def test_decibels_are_read_off_between_points_and_nowhere_else():
  # On a logarithmic axis .2 lies halfway between .1 and .4.
  curve = np.array([[0.1, 20.0, 10.0], [0.4, 30.0, 14.0]])
  found = background.read_off(curve, [0.05, 0.2, 0.4, 0.5])
  np.testing.assert_allclose(found[1:3], [[25, 12], [30, 14]])
  assert np.isnan(found[[0, 3]]).all()


def test_photos_without_two_regions_are_passed_over():
  def photo(share):
    roi = np.zeros((10, 10), np.float32)
    roi[: round(10 * share)] = 1
    return {"roi": roi if share >= 0 else None, "name": share}

  photos = [photo(share) for share in (-1, 0, 0.5, 1, 0.3, 0.7)]
  found = background.choose_photos(photos, 2)
  assert [item["name"] for item in found] == [0.5, 0.3]


def test_unknown_weights_get_one_line(monkeypatch, capsys):
  monkeypatch.setattr("sys.argv", ["background", "--checkpoint=nothing-1"])
  assert background.exit_code(background.main) == 2
  (line,) = capsys.readouterr().err.splitlines()
  assert line.startswith("error: ")
  assert "nothing-1" in line
