"""The TFDS dataset `coco_roi`, made from COCO's own folders.

TensorFlow is needed neither to prepare nor to read it: examples are stored as
ArrayRecord, photos as the bytes of their files, masks as PNG and RLE.
"""

import io
import pathlib
import sys
from collections.abc import Iterator, Mapping, Set
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from roijax.data import images
from roijax.data.coco import SPLITS
from roijax.errors import DataError
from roijax.roi import coco

_DESCRIPTION = """
COCO 2017 photos, each with the union of its instance masks as a region of
interest and every instance's own mask and category. Photos without instances
are kept with an empty region; photos that are not RGB are left out.
"""

_CITATION = """
@inproceedings{lin2014microsoft,
  title={Microsoft {COCO}: Common Objects in Context},
  author={Lin, Tsung-Yi and Maire, Michael and Belongie, Serge and others},
  booktitle={ECCV},
  year={2014}
}
"""

_MANUAL = """
The folder that holds COCO's `train2017/`, `val2017/` and
`annotations/instances_{train,val}2017.json`.
"""


class CocoRoi(tfds.core.GeneratorBasedBuilder):
  """Builds `coco_roi`, splits `train` and `val`.

  A record holds `image` (the file's bytes), `roi` (PNG, 0 or 255; the union of
  all instances, crowds included), `file_name`, `image_id`, `annotated` (`all`
  unless the annotations say that only some categories were marked), and
  `instances`: for each, `category_id` (COCO's), `category` (its name),
  `is_crowd`, and `mask` (COCO's compressed RLE as text; the size is the
  photo's).

  Attributes:
    excerpt: the names of each split's photos, wherever in COCO they lie; None
      for COCO's own splits, whole.
  """

  excerpt: Mapping[str, frozenset[str]] | None = None

  VERSION = tfds.core.Version("1.0.0")
  RELEASE_NOTES = {"1.0.0": "First release."}  # noqa: RUF012
  MANUAL_DOWNLOAD_INSTRUCTIONS = _MANUAL

  def _info(self) -> tfds.core.DatasetInfo:
    features = tfds.features
    return self.dataset_info_from_configs(
      description=_DESCRIPTION,
      citation=_CITATION,
      homepage="https://cocodataset.org",
      features=features.FeaturesDict(
        {
          "image": features.Image(shape=(None, None, 3)),
          "roi": features.Image(shape=(None, None, 1), encoding_format="png"),
          "file_name": features.Text(),
          "image_id": features.Scalar(np.int64),
          "annotated": features.Text(),
          "instances": features.Sequence(
            {
              "category_id": features.Scalar(np.int64),
              "category": features.Text(),
              "is_crowd": features.Scalar(np.bool_),
              "mask": features.Text(),
            }
          ),
        }
      ),
    )

  def _split_generators(self, dl_manager) -> dict[str, Iterator]:
    folder = pathlib.Path(dl_manager.manual_dir)
    return {split: self._read_split(folder, split) for split in SPLITS}

  def _read_split(
    self, folder: pathlib.Path, split: str
  ) -> Iterator[tuple[str, dict[str, Any]]]:
    if self.excerpt is None:
      yield from self._generate_examples(folder, split, None)
      return
    left = set(self.excerpt[split])
    for place in SPLITS:
      for name, example in self._generate_examples(folder, place, left):
        left.remove(name)
        yield name, example
    if left:
      raise DataError(
        f"no RGB photo {min(left)} in the annotations below {folder}"
      )

  def _generate_examples(
    self, coco_folder: pathlib.Path, split: str, names: Set[str] | None
  ) -> Iterator[tuple[str, dict[str, Any]]]:
    """The photos of one of COCO's splits; of `names` alone, if there are."""
    folder = coco_folder / f"{split}2017"
    path = coco_folder / "annotations" / f"instances_{split}2017.json"
    index = coco.read_annotations(path)
    left_out = 0
    for name, entry in index.images.items():
      if names is not None and name not in names:
        continue
      data = _read_photo(folder / name, entry)
      if data is None:
        left_out += 1
      else:
        yield name, _make_example(name, data, entry, index)
    if left_out:
      # On a line of its own: a progress bar is open.
      print(
        f"\n{folder}: left out {left_out} photos that are not RGB",
        file=sys.stderr,
      )


def _make_example(
  name: str, data: bytes, entry: dict[str, Any], index: coco.Annotations
) -> dict[str, Any]:
  size = (entry["height"], entry["width"])
  instances = index.instances.get(entry["id"], [])
  rles = [coco.instance_rle(instance, size) for instance in instances]
  return {
    "image": data,
    "roi": _encode_png(coco.union_mask(rles, size)),
    "file_name": name,
    "image_id": entry["id"],
    "annotated": entry.get("annotated", "all"),
    "instances": [
      {
        "category_id": instance["category_id"],
        "category": index.categories[instance["category_id"]],
        "is_crowd": bool(instance.get("iscrowd", 0)),
        "mask": rle["counts"].decode("ascii"),
      }
      for instance, rle in zip(instances, rles, strict=True)
    ],
  }


def _read_photo(path: pathlib.Path, entry: dict[str, Any]) -> bytes | None:
  """Reads a photo's bytes; None for the few that are not RGB."""
  try:
    data = path.read_bytes()
  except OSError as error:
    raise DataError(f"cannot read {path}: {error.strerror}") from error
  try:
    with Image.open(io.BytesIO(data)) as photo:
      width, height = photo.size
      try:
        images.check_rgb(photo, str(path))
      except DataError:
        return None
  except images.DECODER_ERRORS as error:
    raise DataError(images.explain_undecodable(path, data, error)) from error
  if (height, width) != (entry["height"], entry["width"]):
    raise DataError(
      f"{path} is {width}x{height} pixels, but its annotations are for "
      f"{entry['width']}x{entry['height']}"
    )
  return data


def _encode_png(mask: np.ndarray) -> bytes:
  buffer = io.BytesIO()
  Image.fromarray(mask.astype(np.uint8) * np.uint8(255)).save(
    buffer, format="PNG"
  )
  return buffer.getvalue()
