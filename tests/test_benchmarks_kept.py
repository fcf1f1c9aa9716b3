"""Rows of other settings must not mix in a table that grows."""

import pytest

from benchmarks import kept
from roijax.errors import ConfigError


def test_the_same_settings_go_on(tmp_path):
  path = tmp_path / "rows.csv"
  kept.hold_to(path, {"weights": "a", "qualities": [0.0, 2.0]})
  path.write_text("a row\n")
  kept.hold_to(path, {"weights": "a", "qualities": [0.0, 2.0]})
  assert path.read_text() == "a row\n"


def test_other_settings_are_refused(tmp_path):
  path = tmp_path / "rows.csv"
  kept.hold_to(path, {"weights": "a", "seconds": 2})
  path.write_text("a row\n")
  with pytest.raises(ConfigError, match=r"weights a\).*another --out"):
    kept.hold_to(path, {"weights": "b", "seconds": 2})
  kept.hold_to(path, {"weights": "a", "seconds": 2})


def test_rows_of_unknown_settings_are_refused(tmp_path):
  path = tmp_path / "rows.csv"
  path.write_text("a row\n")
  with pytest.raises(ConfigError, match="weights unknown"):
    kept.hold_to(path, {"weights": "a"})


def test_settings_without_rows_may_change(tmp_path):
  path = tmp_path / "rows.csv"
  kept.hold_to(path, {"weights": "a"})
  kept.hold_to(path, {"weights": "b"})
