"""Photos whose regions are predicted, once and before training.

  python -m roijax.training.maps --data=coco_roi:train --out=MAPS
  python train.py ... --config.data.masks=predicted:0.2 --config.data.maps=MAPS

A folder of maps holds `maps.npy`, uint8 [photos, side, side], one map a photo
in the source's order, 255 where the predictor is sure; and `maps.json`, which
says whose maps they are. Thresholds are applied when photos are read.
"""

import json
import os
import pathlib

import numpy as np

from roijax.data.categories import CategorySource
from roijax.data.map_folder import MADE_BY, MapSource
from roijax.data.photo import Photo, Source
from roijax.errors import DataError
from roijax.files import write_whole
from roijax.roi.predictor import parse_threshold
from roijax.roi.similarity import resize

MAPS = "maps.npy"
ABOUT = "maps.json"
TRUTH = "truth"
CATEGORY = "category"
COMMAND = "python -m roijax.training.maps --data={data} --out={folder}"


class PredictedSource:
  """A source's photos with predicted regions.

  A photo in which nothing is found has no region; it then trains with random
  maps, as one that nobody annotated.

  Args:
    source: the photos.
    folder: of their maps.
    threshold: from which probability on a pixel is inside.

  Raises:
    DataError: there are no maps, or they are of other photos.
  """

  def __init__(
    self, source: Source, folder: str | os.PathLike, threshold: float
  ):
    self._source = source
    self._path = pathlib.Path(folder) / MAPS
    self._threshold = threshold
    about = _read_about(pathlib.Path(folder), source.name)
    if about["source"] != source.name or about["photos"] != len(source):
      raise DataError(
        f"the maps in {folder} are of {about['photos']} photos of "
        f"{about['source']}, not of {len(source)} of {source.name}: write them "
        f"with {COMMAND.format(data=source.name, folder=folder)}"
      )
    self.name = (
      f"{source.name} with regions of predictor {about['fingerprint']} at "
      f"{threshold:g}"
    )

  def __len__(self) -> int:
    """Returns the number of photos."""
    return len(self._source)

  def __getitem__(self, index: int) -> Photo:
    """Reads one photo and its map."""
    photo = self._source[index]
    # Opened anew: reader processes would get a copy of all maps.
    square = np.load(self._path, mmap_mode="r")[index]
    height, width = photo["image"].shape[:2]
    likely = resize(square.astype(np.float32) / 255, (height, width))
    roi = (likely >= self._threshold).astype(np.float32)
    return {**photo, "roi": roi if roi.any() else None}


def with_masks(source: Source, masks: str, maps: str) -> Source:
  """The source with the regions that a config's `data.masks` asks for.

  Args:
    source: the photos with their own annotations.
    masks: `truth`, `category`, `predicted:THRESHOLD`, `maps` or
      `maps:THRESHOLD`.
    maps: the folder of maps, for the last three.

  Raises:
    DataError: it is misspelled, there are no maps, or no categories.
  """
  if masks == TRUTH:
    return source
  if masks == CATEGORY:
    return CategorySource(source)
  kind, colon, threshold = masks.partition(":")
  try:
    level = parse_threshold(threshold)
  except DataError:
    level = None
  if kind == "predicted" and level is not None and maps:
    return PredictedSource(source, maps, level)
  if kind == "maps" and (level is not None or not colon) and maps:
    return MapSource(source, maps, level)
  command = COMMAND.format(data=source.name, folder="MAPS")
  raise DataError(
    f"config.data.masks={masks!r} with config.data.maps={maps!r}: use "
    "'truth', 'category', or 'predicted:0.2' and the folder of maps that "
    f"{command} writes, or 'maps' or 'maps:0.5' and the folder that "
    f"{MADE_BY.format(photos='PHOTOS', maps='MAPS')} writes"
  )


def open_maps(folder: str | os.PathLike, count: int, side: int) -> np.ndarray:
  """A new file of maps to fill in, uint8 [count, side, side] on disk.

  Raises:
    DataError: it cannot be made.
  """
  folder = pathlib.Path(folder)
  try:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ABOUT).unlink(missing_ok=True)
    return np.lib.format.open_memmap(
      folder / MAPS, "w+", np.uint8, (count, side, side)
    )
  except OSError as error:
    raise DataError(f"cannot write {folder}: {error.strerror}") from error


def close_maps(
  folder: str | os.PathLike, maps: np.ndarray, source: str, fingerprint: str
) -> None:
  """Says whose maps they are: from now on they can be read.

  Args:
    folder: where they lie.
    maps: from `open_maps`, filled in.
    source: the name of the photos' source.
    fingerprint: of the predictor, hex.
  """
  if isinstance(maps, np.memmap):
    maps.flush()
  about = {"source": source, "photos": len(maps), "fingerprint": fingerprint}
  text = json.dumps(about, indent=2) + "\n"
  write_whole(pathlib.Path(folder) / ABOUT, text.encode())


def _read_about(folder: pathlib.Path, name: str) -> dict:
  command = COMMAND.format(data=name, folder=folder)
  try:
    about = json.loads((folder / ABOUT).read_bytes())
    if len(np.load(folder / MAPS, mmap_mode="r")) != about["photos"]:
      raise ValueError("not as many maps as it says")
    return {key: about[key] for key in ("source", "photos", "fingerprint")}
  except (OSError, ValueError, KeyError, TypeError) as error:
    raise DataError(
      f"no predicted maps in {folder}: write them with {command}"
    ) from error
