"""The short texts that name a region of interest."""

import difflib
import os
import pathlib
from collections.abc import Callable

import numpy as np

from roijax.errors import DataError
from roijax.roi import coco, file, shapes

Size = tuple[int, int]
Path = str | os.PathLike | None

# What stands before the colon, and who reads what stands behind it.
SOURCES: dict[str, Callable[[str, Size, Path], np.ndarray]] = {
  "box": lambda text, size, _: shapes.box(text, size),
  "ellipse": lambda text, size, _: shapes.ellipse(text, size),
  "polygon": lambda text, size, _: shapes.polygon(text, size),
  "coco": coco.parse,
  "file": lambda text, size, _: file.read_mask(text, size),
}

# Specs that stand alone. `all` and `none` are the same: a map without contrast
# asks for an ordinary codec.
WORDS: dict[str, Callable[[Size], np.ndarray]] = {
  "all": lambda size: np.ones(size, np.float32),
  "none": lambda size: np.ones(size, np.float32),
  "center": shapes.center,
}

_USAGE = (
  "--roi takes a mask image, box:x,y,w,h, ellipse:cx,cy,rx,ry, "
  "polygon:x,y,x,y,..., coco:FILE.json[#category], center, all or none"
)


def parse_roi(spec: str, size: Size, image_path: Path = None) -> np.ndarray:
  """Makes the map that a spec describes, for one photo.

  Args:
    spec: `all` or `none` (ones everywhere), `center` (an ellipse),
      `box:x,y,w,h`, `ellipse:cx,cy,rx,ry`, `polygon:x,y,x,y,...`,
      `coco:FILE.json` or `coco:FILE.json#category`, or the path of a mask
      image (`file:PATH` where the path looks like something else). Lengths
      are pixels from the upper left corner.
    size: the photo's height and width.
    image_path: the photo's path; `coco:` finds its annotations by the file
      name.

  Returns:
    float32 [H, W] in [0, 1], 1 in the region of interest, never all zero.

  Raises:
    DataError: the spec is misspelled, the mask is missing, empty or of another
      size, or the shape lies outside the photo.
  """
  if spec in WORDS:
    return WORDS[spec](size)
  kind, colon, rest = spec.partition(":")
  if colon and kind in SOURCES:
    return SOURCES[kind](rest, size, image_path)
  if pathlib.Path(spec).is_file():
    return file.read_mask(spec, size)
  near = difflib.get_close_matches(kind, [*SOURCES, *WORDS], 1, 0.6)
  if near and not pathlib.Path(spec).suffix:
    raise DataError(
      f"unknown region {spec!r}: did you mean {near[0]!r}? {_USAGE}"
    )
  raise DataError(f"no mask file {spec!r}: {_USAGE}")
