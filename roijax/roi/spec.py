"""The short texts that name a region of interest, and their union."""

import contextlib
import dataclasses
import difflib
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

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
  saliency_model,
  shapes,
  similarity,
  text,
)
from roijax.roi.choices import NO_CHOICES, Choices
from roijax.roi.similarity import Similarity

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
  "text:PHRASE": 'what a phrase such as "a dog" names',
  "sim:MAP.png|.npy": "similarities, from 0.85 (a grey of 217) on",
  "face": "faces (OpenCV)",
  "person": "people, whole or below their faces (OpenCV)",
  "saliency": "what stands out, with soft weights (OpenCV)",
  "saliency:MODEL.onnx": "what a saliency network finds, such as U2-Net",
  "auto": "objects, by a trained network",
  "auto:0.2": "the same, from a probability of 0.2 on, not 0.3",
  "center": "an ellipse over the middle quarter",
  "all": "everything: an ordinary file",
  "none": "nothing: the same ordinary file",
}
USAGE = "--roi takes " + ", ".join(SPELLINGS)


class Region(NamedTuple):
  """A region, and what it was cut from.

  Attributes:
    roi: float32 [H, W] in [0, 1], never all zero.
    similarities: the soft maps of those specs that have one, in their order.
  """

  roi: np.ndarray
  similarities: tuple[Similarity, ...]


@dataclasses.dataclass(frozen=True)
class _Photo:
  """What sources may look at, and go by."""

  size: Size
  path: Path
  image: np.ndarray | None
  choices: Choices

  @property
  def name(self) -> str:
    return str(self.path or "the photo")

  def pixels(self, kind: str) -> np.ndarray:
    if self.image is None:
      raise DataError(f"--roi {kind} needs the photo's pixels, not its size")
    if self.image.shape[:2] != tuple(self.size):
      raise ValueError(f"{self.image.shape} is not a photo of size {self.size}")
    return self.image

  def detect(self, kind: str) -> np.ndarray:
    return DETECTORS[kind](self.pixels(kind), self.name)

  def predict(self, threshold: str = "") -> Similarity:
    return predictor.measure(
      self.pixels("auto"), self.name, threshold, self.choices.threshold
    )

  def find_salient(self, model: str) -> Similarity:
    return saliency_model.measure(
      model, self.pixels("saliency"), self.name, self.choices.threshold
    )

  def find_phrase(self, phrase: str) -> np.ndarray | Similarity:
    annotations = self.choices.annotations
    if annotations is not None:
      return text.mark(phrase, annotations, self.size, self.path)
    return text.measure(self.pixels("text"), self.name, phrase, self.choices)

  def read_similarity(self, path: str) -> Similarity:
    given = self.choices.threshold
    tau = similarity.TAU if given is None else given
    return similarity.read(path, self.size, tau)

  def fill(self) -> np.ndarray:
    return np.ones(self.size, np.float32)


# What stands before the colon, and who reads what stands behind it.
_SOURCES: dict[str, Callable[[str, _Photo], np.ndarray | Similarity]] = {
  "box": lambda text, photo: shapes.box(text, photo.size),
  "ellipse": lambda text, photo: shapes.ellipse(text, photo.size),
  "polygon": lambda text, photo: shapes.polygon(text, photo.size),
  "coco": lambda text, photo: coco.parse(text, photo.size, photo.path),
  "text": lambda text, photo: photo.find_phrase(text),
  "sim": lambda text, photo: photo.read_similarity(text),
  "file": lambda text, photo: file.read_mask(text, photo.size),
  "saliency": lambda text, photo: photo.find_salient(text),
  "auto": lambda text, photo: photo.predict(text),
}

DETECTORS: dict[str, Callable[[np.ndarray, str], np.ndarray]] = {
  "face": face.parse,
  "person": person.parse,
  "saliency": saliency.parse,
}
"""Specs that look at the photo's pixels; called with it and its name."""

# The others that stand alone. `all` and `none` are the same: a map without
# contrast asks for an ordinary codec.
_WORDS: dict[str, Callable[[_Photo], np.ndarray | Similarity]] = {
  "auto": _Photo.predict,
  "center": lambda photo: shapes.center(photo.size),
  "all": _Photo.fill,
  "none": _Photo.fill,
}


def needs_pixels(spec: str, choices: Choices = NO_CHOICES) -> bool:
  """Whether a spec looks at the photo, not only at its size and name."""
  kind = spec.partition(":")[0]
  if kind == "text":
    return choices.annotations is None
  return kind == "auto" or kind in DETECTORS


def parse_roi(
  spec: str,
  size: Size,
  image_path: Path = None,
  image: np.ndarray | None = None,
  choices: Choices = NO_CHOICES,
) -> np.ndarray:
  """Makes the map that a spec describes, for one photo.

  Args:
    spec: one of `SPELLINGS`; `file:PATH` for a mask image whose path looks like
      something else. Lengths are pixels from the upper left corner.
    size: the photo's height and width.
    image_path: the photo's path; `coco:` and `text:` find annotations by the
      file name.
    image: uint8 [H, W] or [H, W, 3], RGB; what `needs_pixels` looks
      at it.
    choices: where to cut, and what `text:` asks.

  Returns:
    float32 [H, W] in [0, 1], 1 in the region of interest, never all zero.

  Raises:
    DataError: the spec is misspelled, the mask is missing, empty or of another
      aspect, the shape lies outside the photo, or nothing was found in it.
    RoijaxError: also, a network that the spec asks cannot run.
    ValueError: `image` is not of `size`.
  """
  found = _find(spec, _Photo(size, image_path, image, choices))
  return found.cut() if isinstance(found, Similarity) else found


def _find(spec: str, photo: _Photo) -> np.ndarray | Similarity:
  """The map that a spec describes, not yet cut where it is to be."""
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
    return file.read_mask(spec, photo.size)
  known = {*_SOURCES, *DETECTORS, *_WORDS}
  near = difflib.get_close_matches(kind.lower(), known, 1, 0.6)
  # A suffix tells a file, unless it is what follows the point of a number.
  if near and (colon or not pathlib.PurePath(spec).suffix):
    raise DataError(
      f"unknown region {spec!r}: did you mean {near[0]!r}? {USAGE}"
    )
  raise DataError(f"no mask file {spec!r}: {USAGE}")


def find_roi(
  spec: str,
  size: Size,
  image_path: Path,
  image: np.ndarray,
  choices: Choices = NO_CHOICES,
) -> np.ndarray | None:
  """As `parse_roi`, for many photos that need not all have what is sought.

  Returns:
    The map; None where nothing was found in this photo.
  """
  try:
    return parse_roi(spec, size, image_path, image, choices)
  except NothingFoundError:
    return None


def open_networks(specs: Sequence[str], choices: Choices) -> None:
  """Opens the user's networks, so that many photos are not read in vain.

  Args:
    specs: as `unite`.
    choices: as `unite`.

  Raises:
    RoijaxError: one is missing or unfit.
  """
  for spec in specs:
    kind, _, rest = spec.partition(":")
    if kind == "saliency" and rest:
      saliency_model.load(rest)
    if kind == "text" and rest and choices.annotations is None:
      text.load(choices)


def find_all(
  specs: Sequence[str],
  size: Size,
  image_path: Path,
  image: np.ndarray,
  choices: Choices = NO_CHOICES,
  *,
  cut: bool = True,
) -> np.ndarray:
  """The union for many photos that need not have what is sought.

  Args:
    specs: as `unite`.
    size: as `unite`.
    image_path: as `unite`.
    image: as `unite`.
    choices: as `unite`.
    cut: whether maps are cut at their thresholds; else they stay soft.

  Returns:
    float32 [H, W] in [0, 1]; a spec that finds nothing adds nothing.

  Raises:
    DataError: as `unite`, but for what is not found.
    RoijaxError: as `parse_roi`.
  """
  _check_none(specs)
  photo = _Photo(size, image_path, image, choices)
  union = np.zeros(size, np.float32)
  for spec in specs:
    with contextlib.suppress(NothingFoundError):
      found = _find(spec, photo)
      if isinstance(found, Similarity):
        found = found.cut() if cut else found.values
      union = np.maximum(union, found)
  return union


def unite(
  specs: Sequence[str],
  size: Size,
  image_path: Path = None,
  image: np.ndarray | None = None,
  choices: Choices = NO_CHOICES,
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
    choices: as `parse_roi`.
    dilate: how far the union's edge moves outward, in pixels.
    feather: how wide a soft edge lies around that, in pixels; see
      `edges.spread`.

  Returns:
    float32 [H, W] in [0, 1], never all zero.

  Raises:
    DataError: as `parse_roi`; `none` stands beside another spec; a width is
      negative; or a choice is of no use to any spec.
    RoijaxError: as `parse_roi`.
    ValueError: there is no spec, or `image` is not of `size`.
  """
  return unite_detailed(
    specs, size, image_path, image, choices, dilate=dilate, feather=feather
  ).roi


def unite_detailed(
  specs: Sequence[str],
  size: Size,
  image_path: Path = None,
  image: np.ndarray | None = None,
  choices: Choices = NO_CHOICES,
  *,
  dilate: float = 0.0,
  feather: float = 0.0,
) -> Region:
  """As `unite`, with the soft maps that parts of the region were cut from."""
  if not specs:
    raise ValueError("a union needs one spec at least")
  _check_none(specs)
  edges.check_widths(dilate, feather)
  choices.check(specs)
  photo = _Photo(size, image_path, image, choices)
  union, soft = None, []
  for spec in specs:
    found = _find(spec, photo)
    if isinstance(found, Similarity):
      soft.append(found)
      found = found.cut()
    union = found if union is None else np.maximum(union, found, out=union)
  assert union is not None
  return Region(edges.spread(union, dilate, feather), tuple(soft))


def _check_none(specs: Sequence[str]) -> None:
  if "none" in specs and set(specs) != {"none"}:
    raise DataError("--roi none says that there is no region: give it alone")


def _is_file(spec: str) -> bool:
  try:
    return pathlib.Path(spec).is_file()
  except (OSError, ValueError):
    # A name too long for the system, or one with characters it cannot write.
    return False
