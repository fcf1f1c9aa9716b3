"""The short texts that name a region of interest, and their union."""

import dataclasses
import difflib
import os
import pathlib
from collections.abc import Callable, Sequence

import numpy as np

from roijax.errors import DataError, NothingFoundError
from roijax.roi import (
  coco,
  edges,
  face,
  file,
  person,
  predictor,
  saliency,
  shapes,
)

Size = tuple[int, int]
Path = str | os.PathLike | None

# All spellings and what they take, for help texts: with the longest spelling
# before it, each fits a line.
SPELLINGS = {
  "MASK.png": "an image whose grey, 0 to 255, is the weight",
  "box:x,y,w,h": "upper left corner, width, height, in pixels",
  "ellipse:cx,cy,rx,ry": "centre and semi-axes, in pixels",
  "polygon:x,y,x,y,...": "corners in order, in pixels",
  "coco:FILE.json[#category]": "annotations, found by the photo's name",
  "face": "faces (OpenCV)",
  "person": "people, whole or below their faces (OpenCV)",
  "saliency": "what stands out, with soft weights (OpenCV)",
  "auto": "objects, by a trained network",
  "auto:0.2": "the same, from a probability of 0.2 on, not 0.5",
  "center": "an ellipse over the middle quarter",
  "all": "everything: an ordinary file",
  "none": "nothing: the same ordinary file",
}
USAGE = "--roi takes " + ", ".join(SPELLINGS)


@dataclasses.dataclass(frozen=True)
class _Photo:
  """What sources may look at."""

  size: Size
  path: Path
  image: np.ndarray | None

  def detect(self, kind: str, **options) -> np.ndarray:
    if self.image is None:
      raise DataError(f"--roi {kind} needs the photo's pixels, not its size")
    if self.image.shape[:2] != tuple(self.size):
      raise ValueError(f"{self.image.shape} is not a photo of size {self.size}")
    name = str(self.path or "the photo")
    return DETECTORS[kind](self.image, name, **options)

  def fill(self) -> np.ndarray:
    return np.ones(self.size, np.float32)


# What stands before the colon, and who reads what stands behind it.
_SOURCES: dict[str, Callable[[str, _Photo], np.ndarray]] = {
  "box": lambda text, photo: shapes.box(text, photo.size),
  "ellipse": lambda text, photo: shapes.ellipse(text, photo.size),
  "polygon": lambda text, photo: shapes.polygon(text, photo.size),
  "coco": lambda text, photo: coco.parse(text, photo.size, photo.path),
  "file": lambda text, photo: file.read_mask(text, photo.size),
  "auto": lambda text, photo: photo.detect(
    "auto", threshold=predictor.parse_threshold(text)
  ),
}

DETECTORS: dict[str, Callable[..., np.ndarray]] = {
  "face": face.parse,
  "person": person.parse,
  "saliency": saliency.parse,
  "auto": predictor.parse,
}
"""Specs that look at the photo's pixels; called with it and its name."""

# The others that stand alone. `all` and `none` are the same: a map without
# contrast asks for an ordinary codec.
_WORDS: dict[str, Callable[[_Photo], np.ndarray]] = {
  "center": lambda photo: shapes.center(photo.size),
  "all": _Photo.fill,
  "none": _Photo.fill,
}


def needs_pixels(spec: str) -> bool:
  """Whether a spec looks at the photo, not only at its size and name."""
  return spec.partition(":")[0] in DETECTORS


def parse_roi(
  spec: str,
  size: Size,
  image_path: Path = None,
  image: np.ndarray | None = None,
) -> np.ndarray:
  """Makes the map that a spec describes, for one photo.

  Args:
    spec: one of `SPELLINGS`; `file:PATH` for a mask image whose path looks like
      something else. Lengths are pixels from the upper left corner.
    size: the photo's height and width.
    image_path: the photo's path; `coco:` finds its annotations by the file
      name.
    image: uint8 [H, W] or [H, W, 3], RGB; what `needs_pixels` looks
      at it.

  Returns:
    float32 [H, W] in [0, 1], 1 in the region of interest, never all zero.

  Raises:
    DataError: the spec is misspelled, the mask is missing, empty or of another
      aspect, the shape lies outside the photo, or nothing was found in it.
    ValueError: `image` is not of `size`.
  """
  photo = _Photo(size, image_path, image)
  if spec in DETECTORS:
    return photo.detect(spec)
  if spec in _WORDS:
    return _WORDS[spec](photo)
  kind, colon, rest = spec.partition(":")
  if kind in _SOURCES and not rest:
    raise DataError(f"{spec!r} says too little: {USAGE}")
  if kind in _SOURCES:
    return _SOURCES[kind](rest, photo)
  if _is_file(spec):
    return file.read_mask(spec, size)
  known = [*_SOURCES, *DETECTORS, *_WORDS]
  near = difflib.get_close_matches(kind.lower(), known, 1, 0.6)
  # A suffix tells a file, unless it is what follows the point of a number.
  if near and (colon or not pathlib.PurePath(spec).suffix):
    raise DataError(
      f"unknown region {spec!r}: did you mean {near[0]!r}? {USAGE}"
    )
  raise DataError(f"no mask file {spec!r}: {USAGE}")


def find_roi(
  spec: str, size: Size, image_path: Path, image: np.ndarray
) -> np.ndarray | None:
  """As `parse_roi`, for many photos that a detector need not all know.

  Returns:
    The map; None where a detector found nothing in this photo.
  """
  try:
    return parse_roi(spec, size, image_path, image)
  except NothingFoundError:
    return None


def unite(
  specs: Sequence[str],
  size: Size,
  image_path: Path = None,
  image: np.ndarray | None = None,
  *,
  dilate: float = 0.0,
  feather: float = 0.0,
) -> np.ndarray:
  """Makes the union of several specs' maps, with the edge that is asked for.

  Args:
    specs: each as `parse_roi` takes it; one at least. A pixel gets the largest
      weight that any of them gives it.
    size: the photo's height and width.
    image_path: as `parse_roi`.
    image: as `parse_roi`.
    dilate: how far the union's edge moves outward, in pixels.
    feather: how wide a soft edge lies around that, in pixels; see
      `edges.spread`.

  Returns:
    float32 [H, W] in [0, 1], never all zero.

  Raises:
    DataError: as `parse_roi`; `none` stands beside another spec; or a width is
      negative.
    ValueError: there is no spec, or `image` is not of `size`.
  """
  if not specs:
    raise ValueError("a union needs one spec at least")
  if "none" in specs and set(specs) != {"none"}:
    raise DataError("--roi none says that there is no region: give it alone")
  edges.check_widths(dilate, feather)
  union = parse_roi(specs[0], size, image_path, image)
  for spec in specs[1:]:
    np.maximum(union, parse_roi(spec, size, image_path, image), out=union)
  return edges.spread(union, dilate, feather)


def _is_file(spec: str) -> bool:
  try:
    return pathlib.Path(spec).is_file()
  except (OSError, ValueError):
    # A name too long for the system, or one with characters it cannot write.
    return False
