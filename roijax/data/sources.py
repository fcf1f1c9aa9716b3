"""Opening photos by a short text."""

import bisect
import difflib
import itertools
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

from roijax.data.coco import CocoSource
from roijax.data.folder import FolderSource
from roijax.data.photo import Photo, Source
from roijax.data.sample import SampleSource
from roijax.errors import DataError

# What stands before the colon, and who opens what stands behind it.
SOURCES: dict[str, Callable[[str, str | None], Source]] = {
  "coco_roi": CocoSource,
  "folder": lambda path, _: FolderSource(path),
  "sample": lambda split, _: SampleSource(split),
}


class JoinedSource:
  """Several sources, one behind the other.

  Args:
    parts: at least one source.
  """

  def __init__(self, parts: Sequence[Source]):
    self.parts = list(parts)
    self._ends = list(itertools.accumulate(len(part) for part in parts))
    self.name = "+".join(part.name for part in parts)

  def __len__(self) -> int:
    """Returns the number of photos of all parts together."""
    return self._ends[-1]

  def __getitem__(self, index: int) -> Photo:
    """Reads one photo from the part that holds `index`."""
    part, index = self._locate(index)
    return part[index]

  def list_names(self) -> list[str] | None:
    """Every photo's name; None where that would mean to read the photos."""
    lists = [list_names(part) for part in self.parts]
    if any(names is None for names in lists):
      return None
    return [name for names in lists for name in names or ()]

  def read_name(self, index: int) -> str:
    """Reads one photo's name."""
    return read_name(*self._locate(index))

  def read_annotated(self, index: int) -> str:
    """Says what is annotated, as `CocoSource` does; `all` for other parts."""
    part, index = self._locate(index)
    read = getattr(part, "read_annotated", None)
    return "all" if read is None else read(index)

  def read_categories(self, index: int) -> dict[str, list[dict[str, Any]]]:
    """Reads outlines by category, as `CocoSource` does; none of other parts."""
    part, index = self._locate(index)
    read = getattr(part, "read_categories", None)
    return {} if read is None else read(index)

  def _locate(self, index: int) -> tuple[Source, int]:
    part = bisect.bisect_right(self._ends, index)
    start = self._ends[part - 1] if part else 0
    return self.parts[part], index - start


def list_names(source: Source) -> list[str] | None:
  """Every photo's name, in order; None where the source cannot list them."""
  method = getattr(source, "list_names", None)
  return None if method is None else method()


def read_name(source: Source, index: int) -> str:
  """One photo's name, from what holds it.

  Raises:
    DataError: the photo cannot be read.
  """
  method = getattr(source, "read_name", None)
  return source[index]["name"] if method is None else method(index)


def open_source(spec: str, data_dir: str | None = None) -> Source:
  """Opens the photos that a spec names.

  Args:
    spec: `coco_roi:train`, `coco_roi:val`, `sample:train`, `sample:val`,
      `folder:PATH` or simply a folder's path; several joined by `+` follow
      one another.
    data_dir: where prepared datasets (`coco_roi`) lie.

  Returns:
    A sequence of photos; see `photo.Source`.

  Raises:
    DataError: the spec is misspelled, or the dataset is missing; then the line
      says how to prepare it.
  """
  if spec and pathlib.Path(spec).is_dir():
    return FolderSource(spec)
  parts = [_open_one(part.strip(), data_dir) for part in spec.split("+")]
  return parts[0] if len(parts) == 1 else JoinedSource(parts)


def _open_one(spec: str, data_dir: str | None) -> Source:
  if spec and pathlib.Path(spec).is_dir():
    return FolderSource(spec)
  kind, colon, rest = spec.partition(":")
  if colon and kind in SOURCES:
    return SOURCES[kind](rest, data_dir)
  usage = "use coco_roi:SPLIT, sample:SPLIT, folder:PATH or a folder's path"
  near = difflib.get_close_matches(kind, SOURCES, 1)
  if near and (colon or kind == near[0]):
    raise DataError(f"unknown photos {spec!r}: did you mean {near[0]}:...?")
  raise DataError(f"no folder of photos {spec!r}: {usage}")
