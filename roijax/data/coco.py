"""COCO photos with instance masks: the prepared dataset and its preparation.

  python -m roijax.data.coco --manual_dir=COCO --data_dir=DIR

reads COCO's own layout (`train2017/`, `val2017/`,
`annotations/instances_*2017.json`) and writes the TFDS dataset `coco_roi` into
DIR, from where `CocoSource` and `open_source("coco_roi:train", DIR)` read it.
`--excerpt=LIST` takes the photos that a text file names, with the split that
each is to be in, whichever of COCO's it is from.
"""

import argparse
import errno
import io
import os
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from roijax.data import images
from roijax.data.photo import Photo
from roijax.errors import DataError, RoijaxError
from roijax.roi import coco as annotations

VERSION = "1.0.0"
SPLITS = ("train", "val")
PREPARE = "python -m roijax.data.coco --manual_dir=COCO --data_dir={data_dir}"


class CocoSource:
  """One split of the prepared `coco_roi` dataset.

  Args:
    split: `train` or `val`; TFDS slices such as `train[:100]` work.
    data_dir: the `--data_dir` of the preparation.

  Raises:
    DataError: the dataset is not there (the line says how to prepare it), the
      split does not exist, or tensorflow-datasets is missing.
  """

  def __init__(self, split: str, data_dir: str | None):
    if not data_dir:
      raise DataError(
        "coco_roi needs data_dir, the folder it was prepared in; prepare it "
        f"with: {PREPARE.format(data_dir='DIR')}"
      )
    folder = pathlib.Path(data_dir) / "coco_roi" / VERSION
    if not (folder / "dataset_info.json").is_file():
      raise DataError(
        f"no coco_roi dataset in {data_dir}: prepare it with "
        f"{PREPARE.format(data_dir=data_dir)}"
      )
    tfds = _import_tfds()
    builder = tfds.builder_from_directory(str(folder))
    if split.partition("[")[0] not in builder.info.splits:
      raise DataError(f"no split {split!r} in coco_roi: use train or val")
    # Only decoded here, so that bad photos raise one clear line.
    raw = {
      "image": tfds.decode.SkipDecoding(),
      "roi": tfds.decode.SkipDecoding(),
    }
    try:
      self._records = builder.as_data_source(split, decoders=raw)
    except (ValueError, AssertionError) as error:
      reason = " ".join(str(error).split())
      raise DataError(f"cannot read coco_roi:{split}: {reason}") from error
    self.name = f"coco_roi:{split}"

  def __len__(self) -> int:
    """Returns the number of photos."""
    return len(self._records)

  def __getitem__(self, index: int) -> Photo:
    """Reads one photo and the union of its instances.

    Raises:
      DataError: its record, its photo or its mask is damaged.
    """
    record = self._read_record(index)
    name = _text(record["file_name"])
    # COCO's outlines are drawn on the stored pixels, whatever Exif says.
    image = images.decode_image(record["image"], name, upright=False)
    roi = _decode_mask(record["roi"], name, image.shape[:2])
    return {"image": image, "roi": roi, "name": name}

  def read_name(self, index: int) -> str:
    """Reads one photo's file name, and with it its whole record."""
    return _text(self._read_record(index)["file_name"])

  def read_annotated(self, index: int) -> str:
    """Says what is annotated: `all`, or only some kinds of objects.

    Where it is not `all`, what lies outside the region is unknown, not
    background.

    Args:
      index: which photo.
    """
    return _text(self._read_record(index)["annotated"])

  def read_instances(self, index: int) -> list[dict[str, Any]]:
    """Reads one photo's objects.

    Args:
      index: which photo.

    Returns:
      For each object `category` (name), `category_id` (COCO's), `is_crowd` and
      `mask`, bool [H, W].
    """
    instances, rles = self._read_outlines(index)
    return [
      {
        "category": _text(instances["category"][i]),
        "category_id": int(instances["category_id"][i]),
        "is_crowd": bool(instances["is_crowd"][i]),
        "mask": annotations.union_mask([rle], rle["size"]),
      }
      for i, rle in enumerate(rles)
    ]

  def read_categories(self, index: int) -> dict[str, list[dict[str, Any]]]:
    """Reads the outlines of one photo's objects, crowds included.

    Args:
      index: which photo.

    Returns:
      For each category's name, COCO's RLEs of its objects.
    """
    instances, rles = self._read_outlines(index)
    names = map(_text, instances["category"])
    return annotations.by_category(zip(names, rles, strict=True))

  def _read_outlines(self, index: int) -> tuple[Any, list[dict[str, Any]]]:
    """A record's instances, and the RLE of each."""
    record = self._read_record(index)
    with Image.open(io.BytesIO(record["roi"])) as mask:
      width, height = mask.size
    instances = record["instances"]
    rles = [
      {"size": (height, width), "counts": counts}
      for counts in instances["mask"]
    ]
    return instances, rles

  def _read_record(self, index: int) -> dict[str, Any]:
    try:
      return self._records[index]
    except (RuntimeError, OSError, ValueError, KeyError) as error:
      # ArrayRecord's reader raises a RuntimeError whatever happened: a chunk
      # whose checksum is wrong, a file cut short, a file gone.
      reason = " ".join(str(error).split())
      raise DataError(
        f"record {index} of {self.name} cannot be read: {reason}"
      ) from error


def read_excerpt(path: str | os.PathLike) -> dict[str, frozenset[str]]:
  """Reads which photos an excerpt has: lines such as `val 000000000139.jpg`.

  `#` begins a remark.

  Returns:
    The names of each split, `train` and `val`.

  Raises:
    DataError: the file cannot be read, a line is something else, a photo is
      named twice, or a split has none.
  """
  try:
    lines = pathlib.Path(path).read_text(encoding="utf-8").splitlines()
  except (OSError, UnicodeDecodeError) as error:
    reason = getattr(error, "strerror", None) or "this is no text"
    raise DataError(f"cannot read {path}: {reason}") from error
  names: dict[str, set[str]] = {split: set() for split in SPLITS}
  for number, line in enumerate(lines, 1):
    words = line.partition("#")[0].split()
    if not words:
      continue
    if len(words) != 2 or words[0] not in names:
      raise DataError(
        f"{path}, line {number}: write train or val and a photo's file name"
      )
    if any(words[1] in known for known in names.values()):
      raise DataError(f"{path}, line {number}: {words[1]} is there twice")
    names[words[0]].add(words[1])
  for split, known in names.items():
    if not known:
      raise DataError(f"{path} names no photo for {split}")
  return {split: frozenset(known) for split, known in names.items()}


def prepare(
  manual_dir: str,
  data_dir: str,
  excerpt: Mapping[str, frozenset[str]] | None = None,
) -> dict[str, int]:
  """Prepares `coco_roi`; does nothing when it is already there.

  Args:
    manual_dir: COCO's folder.
    data_dir: where the dataset goes, as `coco_roi/1.0.0`.
    excerpt: the photos of each split, as `read_excerpt` reads them; None for
      COCO's own splits, whole.

  Returns:
    The number of photos of each split.

  Raises:
    DataError: COCO's files are missing or damaged, a photo of the excerpt is
      not there, or an excerpt is asked for and the dataset is there already.
    RoijaxError: the dataset cannot be written.
  """
  folder = pathlib.Path(manual_dir)
  for split in SPLITS:
    for path in (
      folder / f"{split}2017",
      folder / "annotations" / f"instances_{split}2017.json",
    ):
      if not path.exists():
        raise DataError(
          f"no {path}: --manual_dir must hold COCO's train2017/, val2017/ and "
          "annotations/ (from https://cocodataset.org/#download)"
        )
  if excerpt and (pathlib.Path(data_dir) / "coco_roi" / VERSION).exists():
    raise DataError(
      f"{data_dir} already holds a coco_roi, perhaps of other photos: give"
      " another --data_dir"
    )
  tfds = _import_tfds()
  from roijax.data.coco_builder import CocoRoi

  try:
    builder = CocoRoi(data_dir=data_dir, file_format="array_record")
    builder.excerpt = excerpt
    builder.download_and_prepare(
      download_config=tfds.download.DownloadConfig(
        manual_dir=folder.absolute(), try_download_gcs=False
      )
    )
  except DataError:
    _end_progress()
    raise
  except (OSError, RuntimeError) as error:
    _end_progress()
    raise RoijaxError(f"cannot prepare {data_dir}: {_reason(error)}") from error
  return {name: info.num_examples for name, info in builder.info.splits.items()}


def main(arguments: Sequence[str] | None = None) -> int:
  """Runs the preparation from the command line.

  Args:
    arguments: instead of `sys.argv[1:]`.

  Returns:
    The exit code: 0, or 2 after one line on stderr.
  """
  parser = argparse.ArgumentParser(
    prog="python -m roijax.data.coco",
    description="Prepare COCO photos with instance masks for training.",
  )
  parser.add_argument(
    "--manual_dir",
    required=True,
    help="COCO's folder: train2017/, val2017/, annotations/",
  )
  parser.add_argument(
    "--data_dir", required=True, help="where the prepared dataset goes"
  )
  parser.add_argument(
    "--excerpt",
    metavar="LIST",
    help="a text file that names the photos to take, such as"
    " docs/photos/coco_excerpt.txt",
  )
  options = parser.parse_args(arguments)
  try:
    excerpt = None if options.excerpt is None else read_excerpt(options.excerpt)
    counts = prepare(options.manual_dir, options.data_dir, excerpt)
  except RoijaxError as error:
    print(f"error: {error}", file=sys.stderr)
    return 2
  listing = ", ".join(f"{count} {split}" for split, count in counts.items())
  print(f"coco_roi is ready in {options.data_dir}: {listing} photos")
  return 0


def _decode_mask(data: bytes, name: str, size: tuple[int, int]) -> np.ndarray:
  what = f"the mask of {name}"
  try:
    with Image.open(io.BytesIO(data)) as mask:
      mode, roi = mask.mode, np.array(mask)
  except images.DECODER_ERRORS as error:
    raise DataError(images.explain_undecodable(what, data, error)) from error
  if mode != "L" or roi.shape != size:
    raise DataError(
      f"{what} is {roi.shape[1]}x{roi.shape[0]} pixels of mode {mode}, not "
      f"{size[1]}x{size[0]} of mode L"
    )
  return np.divide(roi, np.float32(255), dtype=np.float32)


def _end_progress() -> None:
  """Ends the line that TFDS's progress bar leaves open when it fails."""
  print(file=sys.stderr)


def _reason(error: OSError | RuntimeError) -> str:
  # ArrayRecord's writer reports a full disk as a RuntimeError with a long tale.
  full = os.strerror(errno.ENOSPC)
  if full in str(error):
    return full
  return getattr(error, "strerror", None) or " ".join(str(error).split())


def _import_tfds() -> Any:
  try:
    import tensorflow_datasets
  except ImportError as error:
    raise DataError(
      "coco_roi needs tensorflow-datasets: pip install 'roijax[train]'"
    ) from error
  return tensorflow_datasets


def _text(value: Any) -> str:
  return value.decode() if isinstance(value, bytes) else str(value)


if __name__ == "__main__":
  sys.exit(main())
