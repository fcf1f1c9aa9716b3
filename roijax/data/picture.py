"""Any picture: 8-bit grey or RGB, its alpha, colour profile and Exif.

This is what the codec's commands read and write. Training reads plain RGB
photos only, see `images`. What a picture loses on the way in is told in its
notes, a line each; XMP, comments and thumbnails go without a word.
"""

import dataclasses
import io
import os
from typing import Any

import numpy as np
from PIL import Image

from roijax.data import exif, images
from roijax.data.picture_modes import (
  Conversion,
  choose_conversion,
  inspect_file,
  scale_16_bits,
)
from roijax.data.picture_writers import (
  encode_picture,
  list_losses,
  write_picture,
)
from roijax.data.pillow_limits import limit_pixels
from roijax.errors import DataError, RoijaxError

__all__ = [
  "MAX_PIXELS",
  "Picture",
  "decode_picture",
  "encode_picture",
  "list_losses",
  "make_picture",
  "read_picture",
  "write_picture",
]

MAX_PIXELS = 1 << 27
"""Files that claim more pixels are refused unless the caller allows them."""

MAX_METADATA = 1 << 22
"""A larger colour profile or Exif block is dropped, and told."""

# What Pillow reads without another program (EPS starts Ghostscript) and knows
# by its first bytes (anything might be a TGA).
_FORMATS = (
  "JPEG",
  "PNG",
  "WEBP",
  "AVIF",
  "TIFF",
  "JPEG2000",
  "GIF",
  "BMP",
  "PPM",
  "ICO",
  "PSD",
  "QOI",
  "SGI",
)

_STRIP_PIXELS = 1 << 20
_MAX_PAGES = 1000


@dataclasses.dataclass(frozen=True, eq=False)
class Picture:
  """A picture as the codec takes it, and what travels beside it.

  Attributes:
    image: uint8 [H, W, 3], RGB, or [H, W], grey.
    alpha: uint8 [H, W], 0 is transparent; None where all is opaque.
    icc: the colour profile as it was embedded; grey beside a grey image, RGB
      beside RGB.
    exif: the Exif block, a TIFF header first (no `Exif\\0\\0` before it). Its
      orientation is 1, for the image is upright.
    notes: a line each of what was changed, to be told to the user.
  """

  image: np.ndarray
  alpha: np.ndarray | None = None
  icc: bytes | None = None
  exif: bytes | None = None
  notes: tuple[str, ...] = ()


def read_picture(
  path: str | os.PathLike, *, max_pixels: int = MAX_PIXELS
) -> Picture:
  """Reads a picture file of any kind that `picture_modes` lists.

  Args:
    path: where it is.
    max_pixels: a file that claims more is refused before it is decoded.

  Raises:
    DataError: the file is missing, damaged, too large, or holds what cannot
      be coded: one line that names it.
  """
  data = images.read_file(path)
  return decode_picture(data, str(path), max_pixels=max_pixels)


def decode_picture(
  data: bytes, name: str, *, max_pixels: int = MAX_PIXELS
) -> Picture:
  """Decodes a picture from its file's bytes.

  Args:
    data: the file's content.
    name: what to call it in errors.
    max_pixels: as in `read_picture`.

  Raises:
    DataError: as `read_picture`.
  """
  try:
    with limit_pixels(max_pixels), _open(data) as opened:
      _check_size(opened.size, name, max_pixels)
      return _take(opened, name, data)
  except RoijaxError:
    raise
  except Image.DecompressionBombError as error:
    _check_size(_peek_size(data), name, max_pixels)
    raise DataError(
      f"{name} has more than {max_pixels} pixels, the limit: raise it with "
      "--max-pixels"
    ) from error
  except Exception as error:
    # Damage makes Pillow's readers raise whatever their parsing runs into.
    reason = images.explain_undecodable(name, data, error)
    raise DataError(reason) from error


def make_picture(
  image: Any, *, name: str = "the image", max_pixels: int = MAX_PIXELS
) -> Picture:
  """Makes a picture of what a program has at hand.

  Args:
    image: an array of uint8, uint16 or bool, [H, W] or [H, W, 1] for grey,
      [H, W, 2] for grey and alpha, [H, W, 3] for RGB, [H, W, 4] for RGB and
      alpha; or a `PIL.Image.Image`, of which the current frame is taken; or a
      file's path.
    name: what to call an array or a Pillow image in errors.
    max_pixels: as in `read_picture`; only a file is checked.

  Raises:
    DataError: as `read_picture`; or the array is of another kind.
  """
  if isinstance(image, str | os.PathLike):
    return read_picture(image, max_pixels=max_pixels)
  if not isinstance(image, Image.Image):
    return _from_array(image, name)
  try:
    with limit_pixels(max(max_pixels, image.width * image.height)):
      return _take(image, name)
  except RoijaxError:
    raise
  except Exception as error:  # As in `decode_picture`: it may be a lazy file.
    reason = " ".join(str(error).split()) or type(error).__name__
    raise DataError(f"{name} cannot be decoded: {reason}") from error


def _from_array(image: Any, name: str) -> Picture:
  array = np.asarray(image)
  notes = ()
  if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] > 4):
    raise DataError(
      f"{name} is an array of shape {array.shape}; give [H, W] or [H, W, C] "
      "with 1 to 4 channels"
    )
  if not array.size:
    raise DataError(f"{name} is an array of shape {array.shape}: it is empty")
  if array.dtype == np.bool_:
    array = array.astype(np.uint8) * 255
    notes = ("its false and true became 0 and 255",)
  elif array.dtype == np.uint16:
    array = scale_16_bits(array)
    notes = ("its 16 bits a channel became 8, rounded",)
  elif array.dtype.kind == "f":
    raise DataError(
      f"{name} is an array of {array.dtype}; give uint8, as from [0, 1] by "
      "(image * 255).round().astype(np.uint8)"
    )
  elif array.dtype != np.uint8:
    raise DataError(f"{name} is an array of {array.dtype}; give uint8")
  alpha = None
  if array.ndim == 3:
    if array.shape[2] in (2, 4):
      array, alpha = array[..., :-1], array[..., -1]
    if array.shape[2] == 1:
      array = array[..., 0]
  return Picture(np.ascontiguousarray(array), _drop_opaque(alpha), notes=notes)


def _open(data: bytes, without: str = "") -> Image.Image:
  Image.init()
  formats = [
    kind for kind in _FORMATS if kind in Image.OPEN and kind != without
  ]
  return Image.open(io.BytesIO(data), formats=formats)


def _peek_size(data: bytes) -> tuple[int, int]:
  """What size a file claims that Pillow refused; (0, 0) if it hides it."""
  try:
    # Opening an icon decodes it.
    with limit_pixels(1 << 62), _open(data, without="ICO") as image:
      return image.size
  except Exception:  # As in `decode_picture`.
    return 0, 0


def _check_size(size: tuple[int, int], name: str, max_pixels: int) -> None:
  width, height = size
  if width * height > max_pixels:
    raise DataError(
      f"{name} is {width}x{height} pixels; the limit is {max_pixels}: raise "
      "it with --max-pixels"
    )


def _take(image: Image.Image, name: str, data: bytes = b"") -> Picture:
  """Decodes an opened image and takes all that a picture has out of it."""
  stored = inspect_file(image, data)
  notes = _tell_frames(image)
  image.load()
  block, orientation, warning = exif.read_exif(image)
  conversion = choose_conversion(image, stored, name)
  pixels, alpha = _fill(image, conversion, orientation)
  icc, *warnings = _take_profile(image, conversion)
  if block and len(block) > MAX_METADATA:
    block, warning = None, f"its Exif block of {len(block)} bytes is dropped"
  notes += [*conversion.notes, *warnings, *([warning] if warning else [])]
  return Picture(pixels, _drop_opaque(alpha), icc, block, tuple(notes))


def _tell_frames(image: Any) -> list[str]:
  # A layered PSD's frames are its layers, its picture shows them all.
  if image.format == "PSD" or not getattr(image, "is_animated", False):
    return []
  current = image.tell()
  # Pillow would go through a hostile file's million empty pages.
  count = _count_pages(image) if image.format == "TIFF" else image.n_frames
  image.seek(current)
  which = "the first" if current == 0 else f"number {current + 1}"
  return [f"{which} of its {count} frames is taken"]


def _count_pages(image: Any) -> int | str:
  for page in range(_MAX_PAGES):
    try:
      image.seek(page)
    except EOFError:
      return page
  return f"{_MAX_PAGES} or more"


def _fill(
  image: Image.Image, conversion: Conversion, orientation: int
) -> tuple[np.ndarray, np.ndarray | None]:
  """Converts strip by strip into upright arrays, so as to hold one copy."""
  width, height = image.size
  size = (height, width) if orientation < 5 else (width, height)
  colours = np.empty(size if conversion.grey else (*size, 3), np.uint8)
  alpha = np.empty(size, np.uint8) if conversion.alpha else None
  rows = max(1, _STRIP_PIXELS // width)
  for top in range(0, height, rows):
    bottom = min(top + rows, height)
    strip = image.crop((0, top, width, bottom))
    pixels, opacity = conversion.convert(strip)
    _as_stored(colours, orientation)[top:bottom] = pixels
    if alpha is not None:
      _as_stored(alpha, orientation)[top:bottom] = opacity
  return colours, alpha


def _as_stored(upright: np.ndarray, orientation: int) -> np.ndarray:
  """The view of an upright array that is laid out as the file stores it."""
  return {
    1: lambda: upright,
    2: lambda: upright[:, ::-1],
    3: lambda: upright[::-1, ::-1],
    4: lambda: upright[::-1],
    5: lambda: upright.swapaxes(0, 1),
    6: lambda: np.rot90(upright, 1),
    7: lambda: upright.swapaxes(0, 1)[::-1, ::-1],
    8: lambda: np.rot90(upright, -1),
  }[orientation]()


def _drop_opaque(alpha: np.ndarray | None) -> np.ndarray | None:
  if alpha is None or alpha.min() == 255:
    return None
  return np.ascontiguousarray(alpha)


def _take_profile(
  image: Image.Image, conversion: Conversion
) -> tuple[bytes | None, *tuple[str, ...]]:
  """The colour profile where it holds; else None, and why if not yet told."""
  icc = image.info.get("icc_profile")
  if not icc or not isinstance(icc, bytes) or not conversion.keeps_profile:
    return (None,)
  # The colours that a profile is for. (ICC.1:2022, section 7.2.6.)
  kind = icc[16:20]
  if kind != (b"GRAY" if conversion.grey else b"RGB "):
    picture = "grey" if conversion.grey else "RGB"
    return (None, f"its colour profile is dropped: it is not for {picture}")
  if len(icc) > MAX_METADATA:
    return (None, f"its colour profile of {len(icc)} bytes is dropped")
  return (icc,)
