"""Reading photos as 8-bit RGB arrays and writing them whole.

Whatever is not 8-bit RGB is refused with a line that says how to convert it:
a codec that dropped an alpha channel or the low bits would lose data silently.
"""

import io
import os
import pathlib
import struct

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from roijax import files
from roijax.errors import DataError

MIN_SIDE = 16
# As `coding.container` has it, which lies above this package.
_OWN_FILES = b"ROIJ"
SUFFIXES = (
  ".avif",
  ".bmp",
  ".jp2",
  ".jpeg",
  ".jpg",
  ".png",
  ".ppm",
  ".tif",
  ".tiff",
  ".webp",
)

# Pillow's decoders raise these on damaged files, depending on the format.
DECODER_ERRORS = (
  OSError,
  SyntaxError,
  ValueError,
  EOFError,
  RuntimeError,
  struct.error,
  Image.DecompressionBombError,
)

_MODES = {
  "1": "is black and white",
  "L": "is grey",
  "LA": "is grey with transparency",
  "P": "has a colour palette",
  "PA": "has a colour palette",
  "RGBA": "has transparency",
  "RGBa": "has transparency",
  "CMYK": "is CMYK",
  "I": "has more than 8 bits a channel",
  "F": "has more than 8 bits a channel",
}

# How each suffix is written. JPEG and AVIF are lossy by nature: these are
# settings at which the loss is invisible beside the codec's own. `exact` keeps
# the colours of transparent pixels.
WRITERS = {
  ".avif": ("AVIF", {"quality": 95, "subsampling": "4:4:4"}),
  ".bmp": ("BMP", {}),
  ".jp2": ("JPEG2000", {"mct": 1}),
  ".jpeg": ("JPEG", {"quality": 95, "subsampling": 0}),
  ".jpg": ("JPEG", {"quality": 95, "subsampling": 0}),
  ".png": ("PNG", {}),
  ".ppm": ("PPM", {}),
  ".tif": ("TIFF", {"compression": "tiff_deflate"}),
  ".tiff": ("TIFF", {"compression": "tiff_deflate"}),
  ".webp": ("WEBP", {"lossless": True, "exact": True}),
}


def read_image(path: str | os.PathLike) -> np.ndarray:
  """Reads a photo, turned upright as its Exif orientation asks.

  Args:
    path: a file in any format that Pillow reads.

  Returns:
    uint8 [H, W, 3], RGB.

  Raises:
    DataError: the file is missing, unreadable, damaged, not 8-bit RGB (grey,
      palette, alpha, 16 bits, CMYK) or smaller than 16 pixels on a side.
  """
  return decode_image(read_file(path), str(path))


def read_file(path: str | os.PathLike) -> bytes:
  """Reads a photo's file without looking into it.

  Args:
    path: where it is.

  Raises:
    DataError: the file is missing, a folder or unreadable.
  """
  path = pathlib.Path(path)
  try:
    if path.is_dir():
      raise DataError(f"{path} is a folder, not a photo")
    return path.read_bytes()
  except FileNotFoundError as error:
    raise DataError(f"no such photo: {path}") from error
  except (OSError, ValueError) as error:
    reason = getattr(error, "strerror", None) or error
    raise DataError(f"cannot read {str(path)!r}: {reason}") from error


def decode_image(data: bytes, name: str, *, upright: bool = True) -> np.ndarray:
  """Decodes a photo from its file's bytes.

  Args:
    data: the file's content.
    name: what to call it in errors.
    upright: whether to apply the Exif orientation. Annotations drawn on the
      stored pixels, as COCO's are, need them as stored.

  Returns:
    uint8 [H, W, 3], RGB.

  Raises:
    DataError: as `read_image`.
  """
  try:
    with Image.open(io.BytesIO(data)) as image:
      check_rgb(image, name)
      if upright:
        image = ImageOps.exif_transpose(image)
      array = np.array(image)
  except DECODER_ERRORS as error:
    raise DataError(explain_undecodable(name, data, error)) from error
  height, width = array.shape[:2]
  if min(height, width) < MIN_SIDE:
    raise DataError(
      f"{name} is {width}x{height} pixels; the smallest side is {MIN_SIDE}"
    )
  return array


def check_rgb(image: Image.Image, name: str) -> None:
  """Refuses an opened image that is not plain 8-bit RGB.

  Only the header is looked at; no pixel is decoded.

  Args:
    image: as `PIL.Image.open` gives it.
    name: what to call it in errors.

  Raises:
    DataError: with the mode and the command that converts the file.
  """
  problem = _MODES.get(image.mode)
  if image.mode.startswith("I;16") or _has_16_bits(image):
    problem = "has 16 bits a channel"
  elif image.mode == "RGB" and "transparency" in image.info:
    problem = "has a transparent colour"
  elif image.mode != "RGB" and problem is None:
    problem = "is not RGB"
  if problem:
    raise DataError(
      f"{name} {problem} (mode {image.mode}): roijax codes 8-bit RGB photos; "
      "convert it first, for example with "
      "`magick IN -alpha off -depth 8 -type TrueColor PNG24:OUT.png`"
    )


def write_image(path: str | os.PathLike, image: np.ndarray) -> None:
  """Writes a photo whole, in the format its suffix names.

  PNG, TIFF, WebP, BMP and PPM keep every pixel; JPEG, JPEG 2000 and AVIF are
  written at a high quality.

  Args:
    path: where to; the folder is made when it is missing.
    image: uint8 [H, W, 3], RGB.

  Raises:
    DataError: the suffix is not one of `SUFFIXES`.
    RoijaxError: the file cannot be written.
  """
  path = pathlib.Path(path)
  check_suffix(path)
  kind, options = WRITERS[path.suffix.lower()]
  buffer = io.BytesIO()
  Image.fromarray(image).save(buffer, format=kind, **options)
  files.write_whole(path, buffer.getvalue())


def check_suffix(path: str | os.PathLike) -> None:
  """Refuses a path that `write_image` could not write, before any work.

  Args:
    path: where a photo is to go.

  Raises:
    DataError: the suffix is not one of `SUFFIXES`.
  """
  suffix = pathlib.Path(path).suffix.lower()
  if suffix not in WRITERS:
    problem = f"unknown suffix {suffix!r}" if suffix else "it has no suffix"
    raise DataError(
      f"cannot write {path}: {problem}; use one of {', '.join(SUFFIXES)}"
    )


def explain_undecodable(
  name: str | os.PathLike, data: bytes, error: Exception
) -> str:
  """Puts one of `DECODER_ERRORS` into a line for the user.

  Args:
    name: what to call the file.
    data: its content.
    error: what Pillow raised.
  """
  if not data:
    return f"{name} is an empty file"
  if isinstance(error, UnidentifiedImageError):
    if data.startswith(_OWN_FILES):
      return f"{name} is a .roij file, not a photo: see `roijax decompress`"
    return f"{name} is not an image that Pillow can read"
  reason = " ".join(str(error).split()) or type(error).__name__
  return f"{name} is damaged or cannot be decoded: {reason}"


def _has_16_bits(image: Image.Image) -> bool:
  """Says whether Pillow would drop low bits (it opens 16-bit RGB as RGB)."""
  tiles = getattr(image, "tile", None) or []
  return any(";16" in str(tile[3]) for tile in tiles)
