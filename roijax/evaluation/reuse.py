"""Rows of an earlier run, so that slow rivals are coded once."""

import csv
import os
import pathlib
import types
from collections.abc import Iterable
from typing import Any, cast, get_args, get_type_hints

import numpy as np

from roijax.data.photo import Photo
from roijax.errors import RoijaxError
from roijax.evaluation.rows import COLUMNS, Row
from roijax.metrics.psnr import region

Key = tuple[str, float, str, int, int, int | None]


def read_rows(path: str | os.PathLike) -> list[Row]:
  """Reads a results.csv back, as `report.write_csv` wrote it.

  Raises:
    RoijaxError: the file is missing, or not a results.csv.
  """
  try:
    text = pathlib.Path(path).read_text("utf-8")
  except (OSError, UnicodeDecodeError) as error:
    reason = getattr(error, "strerror", None) or error
    raise RoijaxError(f"cannot read {path}: {reason}") from error
  reader = csv.DictReader(text.splitlines())
  if tuple(reader.fieldnames or ()) != COLUMNS:
    raise RoijaxError(
      f"{path} is not a results.csv of this version: its columns differ"
    )
  hints = get_type_hints(Row)
  try:
    return [
      cast(Row, {name: _parse(line[name], hints[name]) for name in COLUMNS})
      for line in reader
    ]
  except (ValueError, TypeError, AttributeError) as error:
    raise RoijaxError(f"{path}, line {reader.line_num}: {error}") from error


def by_key(rows: Iterable[Row]) -> dict[Key, Row]:
  """Rows by codec, setting, photo and region.

  A region is known by its number of pixels only: masks that differ otherwise
  must not share a file of results.
  """
  return {
    (
      row["codec"],
      row["quality"],
      row["name"],
      row["width"],
      row["height"],
      row["roi_pixels"],
    ): row
    for row in rows
  }


def key_of(codec: str, setting: float, photo: Photo) -> Key:
  """Where `by_key` has a photo's row."""
  height, width = photo["image"].shape[:2]
  roi = photo["roi"]
  pixels = None if roi is None else int(np.count_nonzero(region(roi)))
  return codec, float(setting), photo["name"], width, height, pixels


def _parse(text: str, hint: Any) -> Any:
  """A CSV cell as its column's type; empty is None where that may be."""
  if isinstance(hint, types.UnionType):
    if not text:
      return None
    hint = next(kind for kind in get_args(hint) if kind is not type(None))
  if hint is bool:
    return text == "True"
  return hint(text)
