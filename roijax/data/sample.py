"""A handful of real photos that come with scikit-image, outlined by hand.

They need no download: scikit-image's wheel holds them. The outlines, drawn for
roijax, are in `sample_annotations.json` in COCO's format. They are for trying
things out and for tests, not for results.
"""

import importlib.util
import pathlib
from typing import Any

import numpy as np

from roijax.data import images
from roijax.data.photo import Photo
from roijax.errors import DataError
from roijax.roi import coco

ANNOTATIONS = pathlib.Path(__file__).with_name("sample_annotations.json")


class SampleSource:
  """The bundled photos of one split, decoded once and kept.

  `train` holds an astronaut, a cat, a rocket, a motorcycle, a retina, galaxies
  and stained tissue; `val` a cup of coffee, which nothing trains on.

  Args:
    split: `train` or `val`.

  Raises:
    DataError: the split does not exist, or scikit-image is missing.
  """

  def __init__(self, split: str):
    self._annotations = coco.read_annotations(ANNOTATIONS)
    self._names = [
      name
      for name, entry in self._annotations.images.items()
      if entry["split"] == split
    ]
    if not self._names:
      raise DataError(f"no split {split!r} in sample: use train or val")
    self.folder = _photo_folder()
    self._photos: dict[int, Photo] = {}
    self.name = f"sample:{split}"

  def __len__(self) -> int:
    """Returns the number of photos."""
    return len(self._names)

  def __getitem__(self, index: int) -> Photo:
    """Reads one photo and the union of its outlines."""
    if index not in self._photos:
      self._photos[index] = self._read(self._names[index])
    return self._photos[index]

  def list_names(self) -> list[str]:
    """Every photo's name, in order."""
    return list(self._names)

  def read_categories(self, index: int) -> dict[str, list[dict[str, Any]]]:
    """Reads the outlines of one photo's objects; see `CocoSource`."""
    entry = self._annotations.images[self._names[index]]
    names = self._annotations.categories
    return coco.by_category(
      (names[instance["category_id"]], rle)
      for instance, rle in self._read_outlines(entry)
    )

  def _read_outlines(self, entry):
    size = (entry["height"], entry["width"])
    return [
      (instance, coco.instance_rle(instance, size))
      for instance in self._annotations.instances[entry["id"]]
    ]

  def _read(self, name: str) -> Photo:
    image = images.read_image(self.folder / name)
    entry = self._annotations.images[name]
    size = (entry["height"], entry["width"])
    if image.shape[:2] != size:
      raise DataError(
        f"{name} of this scikit-image is {image.shape[1]}x{image.shape[0]} "
        f"pixels, not {size[1]}x{size[0]}: install another version"
      )
    rles = [rle for _, rle in self._read_outlines(entry)]
    roi = coco.union_mask(rles, size).astype(np.float32)
    # Kept and handed out again, so nobody may write into them.
    image.flags.writeable = roi.flags.writeable = False
    return {"image": image, "roi": roi, "name": name}


def _photo_folder() -> pathlib.Path:
  # Found without importing scikit-image, which takes half a second.
  package = importlib.util.find_spec("skimage")
  if package is None or package.origin is None:
    raise DataError(
      "the sample photos come with scikit-image: pip install 'roijax[train]'"
    )
  return pathlib.Path(package.origin).parent / "data"
