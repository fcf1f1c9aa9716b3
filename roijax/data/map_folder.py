"""Photos whose regions are maps in a folder, one PNG a photo.

  roijax roi PHOTOS -o MAPS --roi saliency:u2net.onnx
  python train.py ... --config.data.masks=maps --config.data.maps=MAPS

The map of `a/b.jpg` is `MAPS/a/b.png`, or `MAPS/a/b.jpg.png`, which is how
`roijax roi` names those of photos that differ in their suffixes alone. Its 0 to
255 is 0 to 1, and stays as soft as it is unless a threshold is given.
"""

import os
import pathlib
from collections.abc import Iterable

import numpy as np

from roijax.data import sources
from roijax.data.photo import Photo, Source
from roijax.errors import DataError
from roijax.roi.file import read_map

MADE_BY = "`roijax roi {photos} -o {maps} --roi SPEC`"
# So many photos are looked up at the start where a source cannot list its
# names: each costs the reading of a record.
PROBES = 256


class MapSource:
  """A source's photos with the maps of a folder.

  A photo whose map is black has no region; it then trains with random maps, as
  one that nobody annotated.

  Args:
    source: the photos.
    folder: of their maps.
    threshold: from which value on a pixel is inside; None for soft maps.

  Raises:
    DataError: the folder is missing; a photo has no map, or two have the same
      one; or the first photo's map is not fit. Where the source cannot list its
      photos, some are looked up, and all if there are too few maps.
  """

  def __init__(
    self,
    source: Source,
    folder: str | os.PathLike,
    threshold: float | None = None,
  ):
    self._source = source
    self._folder = pathlib.Path(folder)
    self._threshold = threshold
    if not self._folder.is_dir():
      raise DataError(
        f"no folder of maps {folder}: write one with {self._command()}"
      )
    self._check_names()
    self._check_first()
    cut = "" if threshold is None else f" from {threshold:g} on"
    place = self._folder.resolve().name
    self.name = f"{source.name} with the maps of {place}{cut}"

  def __len__(self) -> int:
    """Returns the number of photos."""
    return len(self._source)

  def __getitem__(self, index: int) -> Photo:
    """Reads one photo and its map.

    Raises:
      DataError: the photo cannot be read, or its map is missing or unfit.
    """
    photo = self._source[index]
    places = _places(photo["name"])
    there = (path for path in places if (self._folder / path).is_file())
    place = next(there, None)
    if place is None:
      raise self._missing(photo["name"])
    height, width = photo["image"].shape[:2]
    roi = read_map(self._folder / place, (height, width), "map")
    if self._threshold is not None:
      roi = (roi >= self._threshold).astype(np.float32)
    return {**photo, "roi": roi if roi.any() else None}

  def _check_names(self) -> None:
    there = _list_maps(self._folder)
    names = sources.list_names(self._source)
    if names is not None:
      self._check(names, there)
      return
    count = len(self._source)
    # With fewer maps than photos one is missing: worth looking for.
    probes = range(count)
    if len(there) >= count:
      probes = np.linspace(0, count - 1, min(count, PROBES)).astype(int)
    self._check((self._read_name(int(i)) for i in probes), there)

  def _check(self, names: Iterable[str | None], there: set[str]) -> None:
    taken: dict[str, str] = {}
    for name in names:
      if name is None:
        continue
      place = next((path for path in _places(name) if path in there), None)
      if place is None:
        raise self._missing(name)
      if taken.get(place) == name:
        raise DataError(
          f"two photos of {self._source.name} are named {name}, so that their"
          f" maps in {self._folder} cannot be told apart: rename one"
        )
      if place in taken:
        raise DataError(
          f"{taken[place]} and {name} would both have the map"
          f" {self._folder / place}: write them apart with {self._command()}"
        )
      taken[place] = name

  def _read_name(self, index: int) -> str | None:
    """None for a photo that cannot be read: that is told where it is used."""
    try:
      return sources.read_name(self._source, index)
    except DataError:
      return None

  def _check_first(self) -> None:
    """Reads one map, so that a folder of other pictures is told at once."""
    try:
      self._source[0]
    except DataError:
      return
    self[0]

  def _missing(self, name: str) -> DataError:
    return DataError(
      f"{name} has no map in {self._folder}: write what is missing with"
      f" {self._command()}"
    )

  def _command(self) -> str:
    photos = getattr(self._source, "folder", "PHOTOS")
    return MADE_BY.format(photos=photos, maps=self._folder)


def _places(name: str) -> tuple[str, str]:
  """Where a photo's map may lie, below the folder; the surer one first."""
  path = pathlib.PurePosixPath(name)
  return f"{name}.png", str(path.with_suffix(".png"))


def _list_maps(folder: pathlib.Path) -> set[str]:
  return {
    path.relative_to(folder).as_posix()
    for path in folder.rglob("*")
    if path.suffix == ".png"
  }
