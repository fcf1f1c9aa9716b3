"""Photos that cannot be read: replaced, counted and told.

  source --> ReplacingReader --photo, report--> ... --> SkippedPhotos

A long run must not end because one photo of a hundred thousand is damaged, nor
train in silence on what is left of a wrong folder. The reader, wherever it
runs, takes the next photo of the source and reports the bad one; the reports
travel with the batches to the main process, which tells each photo once.
"""

import json
import sys
from collections.abc import Iterable

from roijax.data.photo import Photo, Source
from roijax.errors import DataError

# So many photos one behind the other are no accident: a lost disk or shard.
TRIES = 8
# Nor is a larger share than this, once so many photos were asked for. One bad
# photo is borne with in any case.
MAX_SHARE = 0.1
ENOUGH = 100
# How many lines the last line of a run repeats.
REPEATED = 3


class ReplacingReader:
  """A source that gives the next readable photo for one that is not.

  Which one that is depends on the source alone, so that every process, worker
  and resumed run replaces a photo by the same other one.

  Args:
    source: the photos.
  """

  def __init__(self, source: Source):
    self._source = source

  def __len__(self) -> int:
    """Returns the number of photos, bad ones included."""
    return len(self._source)

  def __getitem__(self, index: int) -> tuple[Photo, str]:
    """Reads one photo.

    Args:
      index: the photo to begin with.

    Returns:
      The photo, and a report of those that were skipped: empty, or JSON that
      maps each one's index to what is wrong with it.

    Raises:
      DataError: `TRIES` photos in a row cannot be read.
    """
    skipped = {}
    for offset in range(min(TRIES, len(self._source))):
      place = (int(index) + offset) % len(self._source)
      try:
        photo = self._source[place]
      except DataError as error:
        skipped[place] = str(error)
      else:
        return photo, json.dumps(skipped) if skipped else ""
    raise DataError(
      f"{len(skipped)} photos in a row cannot be read in {self._source.name}; "
      f"the first: {skipped[int(index)]}"
    )


class SkippedPhotos:
  """The account of what could not be read, kept in the main process.

  Args:
    name: the source's.
    total: how many photos it has.
  """

  def __init__(self, name: str, total: int):
    self._name = name
    self._total = total
    self._asked = 0
    self.lines: dict[int, str] = {}

  def add(self, reports: Iterable[str]) -> None:
    """Takes in a batch's reports and tells what is new on stderr.

    Args:
      reports: `ReplacingReader`'s, one for each sample.

    Raises:
      DataError: too many photos cannot be read.
    """
    for report in reports:
      self._asked += 1
      for index, line in json.loads(report or "{}").items():
        if int(index) not in self.lines:
          self.lines[int(index)] = line
          print(f"skipped: {line}", file=sys.stderr, flush=True)
    seen = min(self._asked, self._total)
    if seen < min(ENOUGH, self._total):
      return
    if len(self.lines) > max(1, MAX_SHARE * seen):
      raise DataError(
        f"{len(self.lines)} of {seen} photos of {self._name} could not be "
        "read; more than one in ten is no accident: mend or remove them, or "
        "train on other photos"
      )

  def describe(self) -> str:
    """Says how many photos were skipped and why; empty when none was."""
    if not self.lines:
      return ""
    lines = [self.lines[index] for index in sorted(self.lines)]
    more = len(lines) - REPEATED
    rest = [f"and {more} more, told above"] if more > 0 else []
    return (
      f"{len(lines)} of {self._total} photos could not be read: "
      + "; ".join(lines[:REPEATED] + rest)
    )
