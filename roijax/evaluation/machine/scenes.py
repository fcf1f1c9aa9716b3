"""Annotated photos: which are scored, and what is known about each.

A photo and its entry in a COCO annotations file find each other by the file's
name. Left out, and counted, are photos without an entry, and photos whose
entry says by a key `annotated` other than `all` that some of their objects
are not annotated: what a detector rightly finds there would count against it.
"""

import io
import pathlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from roijax.data import images
from roijax.data.folder import FolderSource
from roijax.data.photo import Source
from roijax.data.sources import JoinedSource
from roijax.errors import ConfigError, DataError
from roijax.roi import coco
from roijax.roi.choices import NO_CHOICES, Choices
from roijax.roi.spec import find_roi

# Words for "no region".
UNIFORM_SPECS = ("all", "none")


class Scene(NamedTuple):
  """One photo that is scored.

  Attributes:
    name: the file's name, as in the annotations.
    image: uint8 [H, W, 3], RGB, as stored: outlines do not know of Exif.
    truth: bool [H, W], the union of all its annotated objects.
    roi: the map [H, W] that encoders get; None for none.
  """

  name: str
  image: np.ndarray
  truth: np.ndarray
  roi: np.ndarray | None


class Scenes:
  """The photos of a source that the annotations know whole.

  Iterating reads them one by one; `left_out` is complete afterwards.

  Args:
    source: photos.
    path: the annotations file, for errors.
    annotations: what it holds.
    roi: a spec for every photo (see `roijax.roi.spec.parse_roi`); None for
      what is annotated.
    choices: what the spec goes by.
    limit: only the first so many that are scored.

  Attributes:
    total: how many there will be; of sources that tell no names beforehand, at
      most.
    left_out: names of photos by the reason.

  Raises:
    ConfigError: the limit is below 1.
    DataError: the file knows none of the photos (of a folder; other sources
      tell on reading), or tells two photos by one name.
  """

  def __init__(
    self,
    source: Source,
    path: str,
    annotations: coco.Annotations,
    *,
    roi: str | None = None,
    choices: Choices = NO_CHOICES,
    limit: int | None = None,
  ):
    if limit is not None and limit < 1:
      raise ConfigError(f"limit {limit} leaves no photo: at least 1")
    self._source, self._path, self._annotations = source, path, annotations
    self._roi, self._choices, self._limit = roi, choices, limit
    self.left_out: dict[str, list[str]] = {}
    self._places = [
      (part, index, name)
      for part in (
        source.parts if isinstance(source, JoinedSource) else [source]
      )
      for index, name in enumerate(_names(part))
      if name is None or self._takes(name)
    ]
    self.total = min(len(self._places), limit or len(self._places))
    if not self._places:
      raise DataError(self._nothing_fits())

  def __iter__(self) -> Iterator[Scene]:
    """Reads the photos.

    Raises:
      DataError: a photo is damaged or not as its entry says, or no photo has
        one.
    """
    done: set[str] = set()
    for part, index, known in self._places:
      if len(done) == self._limit:
        return
      name, image = _read(part, index, known)
      if known is None and not self._takes(name):
        continue
      if name in done:
        raise DataError(f"two photos are called {name}: {self._path} knows one")
      done.add(name)
      yield self._make(name, image)
    if not done:
      raise DataError(self._nothing_fits())

  def _takes(self, name: str) -> bool:
    entry = self._annotations.images.get(name)
    if entry is None:
      reason = f"not in {self._path}"
    elif entry.get("annotated", "all") != "all":
      reason = "not all of their objects are annotated"
    else:
      return True
    self.left_out.setdefault(reason, []).append(name)
    return False

  def _make(self, name: str, image: np.ndarray) -> Scene:
    entry, size = self._annotations.images[name], image.shape[:2]
    missing = [key for key in ("id", "height", "width") if key not in entry]
    if missing:
      raise DataError(f"{self._path} says no {missing[0]} of {name}")
    told = entry["height"], entry["width"]
    if told != size:
      raise DataError(
        f"{self._path} describes {name} as {told[1]}x{told[0]} pixels, but the"
        f" photo is {size[1]}x{size[0]}"
      )
    instances = self._annotations.instances.get(entry["id"], [])
    truth = coco.union_mask(
      [coco.instance_rle(i, size) for i in instances], size
    )
    roi = truth.astype(np.float32) if truth.any() else None
    if self._roi in UNIFORM_SPECS:
      roi = None
    elif self._roi is not None:
      roi = find_roi(self._roi, size, name, image, self._choices)
    return Scene(name, image, truth, roi)

  def _nothing_fits(self) -> str:
    whose = f"none of the {len(self._source)} photos of {self._source.name}"
    named = [names[0] for names in self.left_out.values()]
    if any("annotated" in reason for reason in self.left_out):
      return f"{self._path} annotates {whose} whole: they cannot be scored"
    return (
      f"{self._path} knows {whose}, such as {named[0]}: give the annotations"
      " of these photos with --annotations"
    )


def find_annotations(data: str) -> str:
  """Finds the annotations of a folder in COCO's own layout.

  Args:
    data: the folder, such as `coco/val2017`.

  Returns:
    `coco/annotations/instances_val2017.json`.

  Raises:
    ConfigError: it is not there.
  """
  folder = pathlib.Path(data.removeprefix("folder:"))
  name = f"instances_{folder.resolve().name}.json"
  path = folder.resolve().parent / "annotations" / name
  if not folder.is_dir() or not path.is_file():
    raise ConfigError(
      "machine tasks need --annotations, a COCO file such as"
      " annotations/instances_val2017.json"
    )
  return str(path)


def _names(part: Any) -> list[str | None]:
  """The photos' names, where they are known without reading them."""
  if isinstance(part, FolderSource):
    return [path.name for path in part.paths]
  return [None] * len(part)


def _read(part: Source, index: int, known: str | None) -> tuple[str, Any]:
  """A photo's name and pixels."""
  if known is not None and isinstance(part, FolderSource):
    return known, _read_stored(part.paths[index])
  photo = part[index]
  return pathlib.PurePath(photo["name"]).name, photo["image"]


def _read_stored(path: pathlib.Path) -> np.ndarray:
  """A photo's pixels in three channels; some of COCO's are grey."""
  data = images.read_file(path)
  try:
    with Image.open(io.BytesIO(data)) as image:
      if image.mode == "L":
        return np.array(image.convert("RGB"))
  except images.DECODER_ERRORS as error:
    reason = images.explain_undecodable(str(path), data, error)
    raise DataError(reason) from error
  return images.decode_image(data, str(path), upright=False)
