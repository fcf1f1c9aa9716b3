"""Samples whose region is one category of what a photo shows.

The protocol of arXiv 2507.00373: each time a photo is drawn, one of its
categories is the prompt, and all objects of it are the region.
"""

from typing import Any

import numpy as np

from roijax.data.augment import augment
from roijax.data.photo import Photo, Source
from roijax.errors import DataError
from roijax.roi import coco


class CategoryPhoto(Photo):
  """A photo and its objects by category.

  Attributes:
    categories: for each category's name, COCO's RLEs of its objects; empty
      where nothing is annotated.
  """

  categories: dict[str, list[dict[str, Any]]]


class CategorySource:
  """A source's photos with their categories.

  Args:
    source: the photos.

  Raises:
    DataError: the source knows no categories.
  """

  def __init__(self, source: Source):
    if not hasattr(source, "read_categories"):
      raise DataError(
        f"{source.name} has no categories: leave config.data.masks=truth, or "
        "train on coco_roi:train"
      )
    self._source = source
    self.name = f"{source.name}, one category at a time"

  def __len__(self) -> int:
    """Returns the number of photos."""
    return len(self._source)

  def __getitem__(self, index: int) -> CategoryPhoto:
    """Reads one photo."""
    read: Any = self._source
    return {**self._source[index], "categories": read.read_categories(index)}


def make_category_sample(
  photo: CategoryPhoto, crop: int, generator: np.random.Generator
) -> dict[str, np.ndarray]:
  """Makes one training sample, its region one category of the photo.

  Args:
    photo: from a `CategorySource`; without categories, it keeps its `roi`.
    crop: side of the sample in pixels.
    generator: the only source of randomness.

  Returns:
    See `augment.augment`.
  """
  categories = photo["categories"]
  roi = photo["roi"]
  if categories:
    names = sorted(categories)
    name = names[int(generator.integers(len(names)))]
    mask = coco.union_mask(categories[name], photo["image"].shape[:2])
    roi = mask.astype(np.float32)
  chosen = Photo(image=photo["image"], roi=roi, name=photo["name"])
  return augment(chosen, crop, generator)
