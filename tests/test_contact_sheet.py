"""What `benchmarks.contact_sheet` draws."""

import numpy as np
import pytest
from PIL import Image

from benchmarks import contact_sheet
from benchmarks.contact_sheet import (
  CAPTION,
  GAP,
  THUMBNAIL,
  Cell,
  draw_sheet,
  shrink,
)
from roijax.errors import ConfigError


def _flat(colour):
  return shrink(np.full((90, 120, 3), colour, np.uint8))


def test_the_worst_photo_comes_first_and_rows_are_filled():
  colours = {40.0: (255, 0, 0), 20.0: (0, 255, 0), 30.0: (0, 0, 255)}
  cells = [
    Cell("a", 0.5, decibels, _flat(colour))
    for decibels, colour in colours.items()
  ]
  sheet = np.asarray(draw_sheet(cells, columns=2))
  down, across = (side // 2 for side in sheet.shape[:2])
  found = [
    tuple(sheet[top + CAPTION + 45, left + 60])
    for top, left in ((0, 0), (0, across), (down, 0))
  ]
  assert found == [(0, 255, 0), (0, 0, 255), (255, 0, 0)]
  # Nothing stands in the fourth place.
  assert not sheet[down:, across:].any()


def test_a_large_photo_is_made_small_and_keeps_its_shape():
  wide = np.full((300, 1200, 3), 255, np.uint8)
  sheet = np.asarray(draw_sheet([Cell("", 1.0, 30.0, shrink(wide))], columns=1))
  picture = sheet[CAPTION:].min(axis=-1) == 255
  assert picture.sum() == THUMBNAIL[0] * THUMBNAIL[0] // 4


def test_the_command_draws_a_sheet_for_each_quality(
  smoke_path, tmp_path, monkeypatch, capsys
):
  arguments = f"--photos=drawn --checkpoint={smoke_path} --limit=2 --out"
  monkeypatch.setattr(
    "sys.argv",
    ["contact_sheet", *arguments.split(), str(tmp_path), "--qualities=0,1"],
  )
  assert contact_sheet.main() == 0
  assert sorted(path.name for path in tmp_path.iterdir()) == [
    "quality-0.png",
    "quality-1.png",
  ]
  with Image.open(tmp_path / "quality-0.png") as sheet:
    assert sheet.size == (
      6 * (THUMBNAIL[0] + GAP),
      THUMBNAIL[1] + CAPTION + GAP,
    )
  assert "worst" in capsys.readouterr().out


def test_nothing_to_draw_is_told(smoke_path, monkeypatch):
  arguments = f"--photos=drawn --checkpoint={smoke_path} --limit=0"
  monkeypatch.setattr("sys.argv", ["contact_sheet", *arguments.split()])
  with pytest.raises(ConfigError, match="no photos"):
    contact_sheet.main()
