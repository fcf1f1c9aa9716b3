"""Regions of interest from a COCO annotations file.

The format is that of https://cocodataset.org/#format-data, "object detection".
"""

import dataclasses
import difflib
import functools
import json
import os
import pathlib
from typing import Any

import numpy as np

from roijax.errors import DataError


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
    DataError: the file is missing, not JSON, or lacks one of these keys.
  """
  path = pathlib.Path(path)
  try:
    content = json.loads(path.read_bytes())
  except FileNotFoundError as error:
    raise DataError(f"no such annotations file: {path}") from error
  except OSError as error:
    raise DataError(f"cannot read {path}: {error.strerror}") from error
  except ValueError as error:
    raise DataError(f"{path} is not JSON: {error}") from error
  try:
    images = {entry["file_name"]: entry for entry in content["images"]}
    categories = {entry["id"]: entry["name"] for entry in content["categories"]}
    instances: dict[int, list[dict[str, Any]]] = {}
    for entry in content["annotations"]:
      if "segmentation" in entry and entry["category_id"] in categories:
        instances.setdefault(entry["image_id"], []).append(entry)
  except (KeyError, TypeError) as error:
    raise DataError(
      f"{path} is not a COCO annotations file: it lacks {error}"
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
    uint8 [H, W] of zeros and ones.
  """
  if not rles:
    return np.zeros(size, np.uint8)
  mask = _pycocotools()
  return mask.decode(mask.merge(rles))


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
      missing, or the entry has another size.
  """
  path, _, category = text.partition("#")
  annotations = _read_once(path)
  if image_path is None:
    raise DataError("coco: needs the photo's file name, which is not known")
  name = pathlib.Path(image_path).name
  if name not in annotations.images:
    raise DataError(f"{path} has no photo named {name!r}")
  entry = annotations.images[name]
  if (entry["height"], entry["width"]) != tuple(size):
    raise DataError(
      f"{path} describes {name} as {entry['width']}x{entry['height']} pixels, "
      f"but the photo is {size[1]}x{size[0]}"
    )
  instances = annotations.instances.get(entry["id"], [])
  if category:
    _check_category(category, annotations, path)
    instances = [
      instance
      for instance in instances
      if annotations.categories[instance["category_id"]] == category
    ]
  mask = union_mask([instance_rle(i, size) for i in instances], size)
  if not mask.any():
    what = category or "object"
    raise DataError(
      f"{path} marks no {what} in {name}; use --roi none for an ordinary file"
    )
  return mask.astype(np.float32)


@functools.lru_cache(maxsize=2)
def _read_once(path: str) -> Annotations:
  return read_annotations(path)


def _check_category(category: str, annotations: Annotations, path: str) -> None:
  names = list(annotations.categories.values())
  if category not in names:
    near = difflib.get_close_matches(category, names, 1)
    hint = (
      f"did you mean {near[0]!r}?" if near else f"it has {len(names)} others"
    )
    raise DataError(f"{path} has no category {category!r}: {hint}")


def _pycocotools():
  try:
    from pycocotools import mask
  except ImportError as error:
    raise DataError(
      "COCO annotations need pycocotools: pip install 'roijax[train]'"
    ) from error
  return mask
