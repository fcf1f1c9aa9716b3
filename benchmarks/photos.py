"""Photos as several benchmarks take them: which ones, and with what region."""

import argparse
from collections.abc import Iterator, Sequence

from roijax.data.photo import Photo, Source, with_region
from roijax.data.sources import open_source
from roijax.errors import ConfigError
from roijax.evaluation.progress import PhotoProgress


def numbers(text: str) -> list[float]:
  """The type of an option that is several numbers, ascending."""
  return sorted(float(part) for part in text.split(","))


def add_options(parser: argparse.ArgumentParser) -> None:
  """Adds --photos, --data_dir, --roi and --limit."""
  parser.add_argument("--photos", default="sample:val")
  parser.add_argument("--data_dir", default=None)
  parser.add_argument(
    "--roi", default="own", help="for every photo; the data's own"
  )
  parser.add_argument("--limit", type=int, default=None)


def read(
  arguments: argparse.Namespace, source: Source | Sequence[Photo] | None = None
) -> Iterator[Photo]:
  """The photos that the options name, with progress.

  Args:
    arguments: with the options of `add_options`.
    source: in place of the one that --photos names.

  Raises:
    ConfigError: there are none.
  """
  if source is None:
    source = open_source(arguments.photos, arguments.data_dir)
  count = len(source)
  if arguments.limit is not None:
    count = min(count, arguments.limit)
  if count < 1:
    raise ConfigError(f"no photos in {arguments.photos}: see --limit")
  with PhotoProgress(count) as progress:
    for number in range(count):
      photo = source[number]
      if arguments.roi != "own":
        photo = with_region(photo, arguments.roi)
      yield photo
      progress(photo["name"])
