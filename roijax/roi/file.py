"""A region of interest painted in an image file."""

import io
import os
import pathlib

import numpy as np
from PIL import Image, ImageOps

from roijax.data import images
from roijax.data.pillow_limits import limit_pixels
from roijax.errors import DataError

# A mask may be this large, or as large as its photo.
MAX_PIXELS = 1 << 27
# How much the ratios of width to height may differ.
ASPECT_TOLERANCE = 0.02

_GREY_MODES = ("1", "L")
_COLOR_MODES = ("LA", "P", "PA", "RGB", "RGBA")


def read_mask(path: str | os.PathLike, size: tuple[int, int]) -> np.ndarray:
  """Reads an image whose values 0 to 255 are weights, resized to the photo.

  Args:
    path: as `read_map` takes it.
    size: the photo's height and width.

  Returns:
    float32 [H, W] in [0, 1].

  Raises:
    DataError: as `read_map`, or the mask is empty.
  """
  weights = read_map(path, size)
  if not weights.any():
    raise DataError(
      f"empty mask: {path} has no pixel above 0; use --roi none for an "
      "ordinary file"
    )
  return weights


def read_map(
  path: str | os.PathLike, size: tuple[int, int], noun: str = "mask"
) -> np.ndarray:
  """Reads an image whose values 0 to 255 stand for 0 to 1.

  A colour or palette image will do when all its pixels are grey, and an alpha
  channel when it is opaque; what could mean two things is refused.

  Args:
    path: a grey or black-and-white image.
    size: the photo's height and width.
    noun: what errors call it.

  Returns:
    float32 [H, W] in [0, 1]. A larger map is averaged over each pixel's area,
    a smaller one interpolated.

  Raises:
    DataError: the file is missing, unreadable, coloured, transparent, deeper
      than 8 bits, animated, huge, or of another aspect than the photo.
  """
  try:
    data = pathlib.Path(path).read_bytes()
  except FileNotFoundError as error:
    raise DataError(f"no such {noun}: {path}") from error
  except (OSError, ValueError) as error:
    reason = getattr(error, "strerror", None) or error
    raise DataError(f"cannot read {path}: {reason}") from error
  most = max(MAX_PIXELS, size[0] * size[1])
  try:
    with limit_pixels(most), Image.open(io.BytesIO(data)) as mask:
      name = f"{noun} {path}"
      _check_header(mask, name, most)
      upright = ImageOps.exif_transpose(mask)
      check_aspect(upright.size, name, size)
      values = _resize(_to_grey(upright, name), name, size)
  except images.DECODER_ERRORS as error:
    raise DataError(images.explain_undecodable(path, data, error)) from error
  return values.astype(np.float32) / np.float32(255)


def _check_header(mask: Image.Image, name: str, most: int) -> None:
  """Refuses what the header shows to be unfit, before any decoding."""
  width, height = mask.size
  if width * height > most:
    raise DataError(
      f"the {name} is {width}x{height} pixels, more than {most:,}: make "
      "it as large as the photo"
    )
  if mask.mode not in (*_GREY_MODES, *_COLOR_MODES):
    raise DataError(
      f"the {name} has mode {mask.mode}; it must have one channel of 8 "
      "bits: convert it, for example with "
      "`magick MASK -alpha off -colorspace Gray -depth 8 OUT.png`"
    )
  frames = getattr(mask, "n_frames", 1)
  if frames > 1:
    raise DataError(f"the {name} holds {frames} images: give one")


def check_aspect(
  dims: tuple[int, int], name: str, size: tuple[int, int]
) -> None:
  """Refuses a mask that is not the photo, larger or smaller.

  A pixel's difference is a matter of rounding, however small the mask.

  Args:
    dims: the mask's width and height.
    name: what the error calls it.
    size: the photo's height and width.

  Raises:
    DataError: the aspects differ.
  """
  (width, height), (photo_height, photo_width) = dims, size
  ratio = width * photo_height / (height * photo_width)
  rounded = (
    abs(width - height * photo_width / photo_height) < 1
    or abs(height - width * photo_height / photo_width) < 1
  )
  if max(ratio, 1 / ratio) > 1 + ASPECT_TOLERANCE and not rounded:
    raise DataError(
      f"the {name} is {width}x{height} pixels, of another aspect than the "
      f"photo of {photo_width}x{photo_height}: crop or draw it to match"
    )


def _to_grey(mask: Image.Image, name: str) -> Image.Image:
  if mask.mode in _GREY_MODES and "transparency" not in mask.info:
    return mask.convert("L")
  red, green, blue, alpha = mask.convert("RGBA").split()
  if alpha.getextrema() != (255, 255):
    raise DataError(
      f"the {name} is transparent in parts, so that its values could be "
      "its grey or its alpha: keep one, for example with `magick MASK -alpha "
      "off OUT.png` or `magick MASK -alpha extract OUT.png`"
    )
  if not red.tobytes() == green.tobytes() == blue.tobytes():
    raise DataError(
      f"the {name} is coloured; it must be grey, white where the photo "
      "matters: convert it, for example with "
      "`magick MASK -colorspace Gray OUT.png`"
    )
  return red


def _resize(mask: Image.Image, name: str, size: tuple[int, int]) -> np.ndarray:
  _, largest = mask.getextrema()
  if largest == 1:
    # A mask saved as 0 and 1 would be a weight of 1/255: nearly nothing.
    raise DataError(
      f"the {name} holds only 0 and 1, but 255 is full weight: multiply "
      "it by 255"
    )
  height, width = size
  if mask.size != (width, height):
    shrinks = mask.width > width or mask.height > height
    filters = Image.Resampling
    mask = mask.resize(
      (width, height), filters.BOX if shrinks else filters.BILINEAR
    )
  return np.asarray(mask)
