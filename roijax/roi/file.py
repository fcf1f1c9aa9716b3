"""A region of interest painted in an image file."""

import io
import os
import pathlib

import numpy as np
from PIL import Image

from roijax.data import images
from roijax.errors import DataError


def read_mask(path: str | os.PathLike, size: tuple[int, int]) -> np.ndarray:
  """Reads a one-channel image whose values 0 to 255 are weights.

  Args:
    path: a grey or black-and-white image.
    size: the photo's height and width, which the mask must have.

  Returns:
    float32 [H, W] in [0, 1].

  Raises:
    DataError: the file is missing, unreadable, in colour, deeper than 8 bits,
      of another size than the photo, or empty.
  """
  path = pathlib.Path(path)
  try:
    data = path.read_bytes()
  except FileNotFoundError as error:
    raise DataError(f"no such mask: {path}") from error
  except OSError as error:
    raise DataError(f"cannot read {path}: {error.strerror}") from error
  try:
    with Image.open(io.BytesIO(data)) as mask:
      mode, array = mask.mode, np.array(mask.convert("L"))
  except images.DECODER_ERRORS as error:
    raise DataError(images.explain_undecodable(path, data, error)) from error
  if mode not in ("1", "L"):
    raise DataError(
      f"the mask {path} has mode {mode}; a mask has one channel of 8 bits: "
      "convert it, for example with "
      "`magick MASK -alpha off -colorspace Gray -depth 8 OUT.png`"
    )
  if array.shape != tuple(size):
    raise DataError(
      f"the mask {path} is {array.shape[1]}x{array.shape[0]} pixels, the photo "
      f"{size[1]}x{size[0]}: make them equal"
    )
  _check_values(array, path)
  return array.astype(np.float32) / np.float32(255)


def _check_values(array: np.ndarray, path: pathlib.Path) -> None:
  largest = array.max()
  if largest == 0:
    raise DataError(
      f"empty mask: {path} has no pixel above 0; use --roi none for an "
      "ordinary file"
    )
  if largest == 1:
    # A mask saved as 0 and 1 would be a weight of 1/255: nearly nothing.
    raise DataError(
      f"the mask {path} holds only 0 and 1, but 255 is full weight: multiply "
      "it by 255"
    )
