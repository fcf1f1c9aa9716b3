"""Regions of interest from a COCO annotations file.

The format is that of https://cocodataset.org/#format-data, "object detection".
"""

import dataclasses
import difflib
import functools
import json
import os
import pathlib
from collections.abc import Iterable
from typing import Any

import numpy as np

from roijax.errors import DataError, NothingFoundError


@dataclasses.dataclass(frozen=True)
class Annotations:
  """A COCO annotations file, indexed.

  Attributes:
    images: each photo's entry (`id`, `file_name`, `height`, `width`, ...) by
      its file name, in the file's order.
    instances: the annotations of each image id; no key where there are none.
    categories: each category's name by its id.
  """

  images: dict[str, dict[str, Any]]
  instances: dict[int, list[dict[str, Any]]]
  categories: dict[int, str]


def read_annotations(path: str | os.PathLike) -> Annotations:
  """Reads and indexes a COCO annotations file.

  Args:
    path: a JSON file with `images`, `annotations` and `categories`.

  Raises:
    DataError: the file is missing, not JSON, or not of this form.
  """
  path = pathlib.Path(path)
  try:
    content = json.loads(path.read_bytes())
  except FileNotFoundError as error:
    raise DataError(f"no such annotations file: {path}") from error
  except OSError as error:
    raise DataError(f"cannot read {path}: {error.strerror}") from error
  except (ValueError, RecursionError) as error:
    raise DataError(f"{path} is not JSON: {error}") from error
  if not isinstance(content, dict):
    kind = "list" if isinstance(content, list) else "value"
    raise DataError(
      f"{path} is not a COCO annotations file: it holds a {kind}, not an object"
      " with images, annotations and categories"
    )
  try:
    images = {entry["file_name"]: entry for entry in content["images"]}
    categories = {entry["id"]: entry["name"] for entry in content["categories"]}
    instances: dict[int, list[dict[str, Any]]] = {}
    for entry in content["annotations"]:
      if "segmentation" in entry and entry["category_id"] in categories:
        instances.setdefault(entry["image_id"], []).append(entry)
  except KeyError as error:
    raise DataError(
      f"{path} is not a COCO annotations file: it lacks {error}"
    ) from error
  except TypeError as error:
    raise DataError(
      f"{path} is not a COCO annotations file: its entries are malformed"
    ) from error
  return Annotations(images, instances, categories)


def instance_rle(instance: dict[str, Any], size: tuple[int, int]) -> dict:
  """Encodes one annotation's segmentation as COCO's compressed RLE.

  Args:
    instance: a COCO annotation whose `segmentation` is a list of polygons, an
      uncompressed RLE (crowds) or a compressed one.
    size: the photo's height and width.

  Returns:
    pycocotools' dict with `size` [H, W] and `counts` as bytes.

  Raises:
    DataError: the segmentation is malformed, or pycocotools is missing.
  """
  mask = _pycocotools()
  height, width = size
  segmentation = instance["segmentation"]
  try:
    if isinstance(segmentation, list):
      # pycocotools reads a list of four numbers as a box.
      polygons = [points for points in segmentation if len(points) >= 6]
      if not polygons:
        polygons = [[0.0] * 6]
      return mask.merge(mask.frPyObjects(polygons, height, width))
    if isinstance(segmentation["counts"], list):
      return mask.frPyObjects(segmentation, height, width)
    counts = segmentation["counts"]
    return {
      "size": list(segmentation["size"]),
      "counts": counts.encode() if isinstance(counts, str) else counts,
    }
  except (KeyError, TypeError, ValueError) as error:
    raise DataError(
      f"annotation {instance.get('id')} has a malformed segmentation: {error}"
    ) from error


def union_mask(rles: list[dict], size: tuple[int, int]) -> np.ndarray:
  """Decodes and unites RLE masks.

  Args:
    rles: as `instance_rle` gives them; may be empty.
    size: the photo's height and width.

  Returns:
    bool [H, W].

  Raises:
    DataError: an RLE is malformed or of another size.
  """
  union = np.zeros(size, bool)
  for rle in rles:
    if tuple(rle["size"]) != tuple(size):
      raise DataError(
        f"a mask of {rle['size'][1]}x{rle['size'][0]} pixels does not fit a "
        f"photo of {size[1]}x{size[0]}"
      )
    union |= _decode_rle(rle["counts"], size)
  return union


def by_category(
  objects: Iterable[tuple[str, dict[str, Any]]],
) -> dict[str, list[dict[str, Any]]]:
  """Gathers objects, each a category's name and an RLE, by their names."""
  gathered: dict[str, list[dict[str, Any]]] = {}
  for name, rle in objects:
    gathered.setdefault(name, []).append(rle)
  return gathered


def parse(
  text: str, size: tuple[int, int], image_path: str | os.PathLike | None
) -> np.ndarray:
  """Reads `FILE.json` or `FILE.json#category`: the union of a photo's objects.

  Args:
    text: the annotations file and, behind `#`, one category's name.
    size: the photo's height and width.
    image_path: the photo; its file name finds the entry.

  Returns:
    float32 [H, W] of zeros and ones.

  Raises:
    DataError: the file, the photo's entry, the category or its objects are
      missing, or the entry is incomplete or has another size.
  """
  path, _, category = text.partition("#")
  if not path:
    raise DataError(f"coco:{text} names no file: write coco:FILE.json[#name]")
  if category:
    _check_category(category, read_once(path), path)
  return mark(path, category, size, image_path)


def mark(
  path: str,
  category: str,
  size: tuple[int, int],
  image_path: str | os.PathLike | None,
) -> np.ndarray:
  """Marks a photo's objects.

  Args:
    path: the annotations file.
    category: a name that the file has, or empty for all.
    size: the photo's height and width.
    image_path: the photo; its file name finds the entry.

  Returns:
    float32 [H, W] of zeros and ones.

  Raises:
    NothingFoundError: the photo has no such object.
    DataError: as `parse`.
  """
  annotations = read_once(path)
  if image_path is None:
    raise DataError(
      f"{path} knows photos by their file names: this one's is not known"
    )
  name = pathlib.Path(image_path).name
  if name not in annotations.images:
    raise DataError(f"{path} has no photo named {name!r}")
  entry = annotations.images[name]
  missing = [key for key in ("id", "height", "width") if key not in entry]
  if missing:
    raise DataError(f"{path} says no {missing[0]} of {name}")
  if (entry["height"], entry["width"]) != tuple(size):
    raise DataError(
      f"{path} describes {name} as {entry['width']}x{entry['height']} pixels, "
      f"but the photo is {size[1]}x{size[0]}"
    )
  instances = annotations.instances.get(entry["id"], [])
  if category:
    instances = [
      instance
      for instance in instances
      if annotations.categories[instance["category_id"]] == category
    ]
  mask = union_mask([instance_rle(i, size) for i in instances], size)
  if not mask.any():
    what = category or "object"
    raise NothingFoundError(
      f"{path} marks no {what} in {name}; use --roi none for an ordinary file"
    )
  return mask.astype(np.float32)


def _decode_rle(counts: bytes, size: tuple[int, int]) -> np.ndarray:
  """Decodes COCO's compressed RLE text.

  Runs of zeros and ones alternate down the columns. A run's length is written
  in groups of five bits, lowest first, each as a character from "0" on: bit 5
  says that another group follows, bit 4 of the last one is the sign. From the
  fourth run on, it is the difference to the run two before.
  (pycocotools' own decoder warns under NumPy 2.)
  """
  runs: list[int] = []
  value = shift = 0
  for character in counts:
    group = character - 48
    value |= (group & 31) << shift
    shift += 5
    if not group & 32:
      if group & 16:
        value -= 1 << shift
      runs.append(value + (runs[-2] if len(runs) > 2 else 0))
      value = shift = 0
  height, width = size
  if shift or min(runs, default=0) < 0 or sum(runs) != height * width:
    raise DataError("a mask's run lengths are malformed")
  flat = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
  return flat.reshape(width, height).T


@functools.lru_cache(maxsize=2)
def read_once(path: str) -> Annotations:
  """As `read_annotations`; the last two files are kept."""
  return read_annotations(path)


def _check_category(category: str, annotations: Annotations, path: str) -> None:
  names = list(annotations.categories.values())
  if category not in names:
    near = difflib.get_close_matches(category, names, 1)
    hint = (
      f"did you mean {near[0]!r}?" if near else f"it has {len(names)} others"
    )
    raise DataError(f"{path} has no category {category!r}: {hint}")


def _pycocotools() -> Any:
  try:
    from pycocotools import mask
  except ImportError as error:
    raise DataError(
      "COCO annotations need pycocotools: pip install 'roijax[train]'"
    ) from error
  return mask
