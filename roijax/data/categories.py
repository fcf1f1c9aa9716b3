"""One category of what a photo shows as its region, for training and tests.

The protocol of arXiv 2507.00373: each time a photo is drawn in training, one of
its categories is the prompt, and all objects of it are the region; tests go
over all pairs of a photo and a category.
"""

from typing import Any

import numpy as np

from roijax.data.augment import augment
from roijax.data.photo import Photo, Source
from roijax.errors import DataError
from roijax.roi import coco

# Between a photo's name and a category's, which holds none.
SEPARATOR = "#"


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
    _check_categories(source, "config.data.masks=category")
    self._source = source
    self.name = f"{source.name}, one category at a time"

  def __len__(self) -> int:
    """Returns the number of photos."""
    return len(self._source)

  def __getitem__(self, index: int) -> CategoryPhoto:
    """Reads one photo."""
    read: Any = self._source
    return {**self._source[index], "categories": read.read_categories(index)}


class PairSource:
  """A source's pairs of a photo and one of its categories.

  A pair is named `PHOTO#CATEGORY`; its region is all objects of the category.
  Photos without any are left out.

  Args:
    source: the photos.
    limit: pairs of the first so many photos only; None for all.

  Raises:
    DataError: the source knows no categories, or nothing is annotated.
  """

  def __init__(self, source: Source, limit: int | None = None):
    _check_categories(source, "--by-category")
    self._source: Any = source
    self.photos = len(source) if limit is None else min(limit, len(source))
    self._pairs = [
      (index, category)
      for index in range(self.photos)
      for category in sorted(self._source.read_categories(index))
    ]
    if not self._pairs:
      raise DataError(f"nothing is annotated in the photos of {source.name}")
    self.name = f"{source.name}, each category of each photo"

  def __len__(self) -> int:
    """Returns the number of pairs."""
    return len(self._pairs)

  def __getitem__(self, index: int) -> Photo:
    """Reads one pair."""
    place, category = self._pairs[index]
    photo = self._source[place]
    rles = self._source.read_categories(place)[category]
    mask = coco.union_mask(rles, photo["image"].shape[:2])
    return Photo(
      image=photo["image"],
      roi=mask.astype(np.float32),
      name=f"{photo['name']}{SEPARATOR}{category}",
    )


def category_of(name: str) -> str:
  """The category in a pair's name."""
  return name.rpartition(SEPARATOR)[2]


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


def _check_categories(source: Source, wanted_by: str) -> None:
  if not hasattr(source, "read_categories"):
    raise DataError(
      f"{source.name} has no categories, which {wanted_by} needs: use "
      "coco_roi:SPLIT or sample:SPLIT"
    )
