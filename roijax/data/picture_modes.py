"""From each of Pillow's modes to 8-bit grey or RGB, with alpha beside it.

| mode                      | becomes                                        |
| ------------------------- | ---------------------------------------------- |
| 1, L                      | grey; a tRNS grey becomes alpha                |
| LA, La                    | grey and alpha                                 |
| I;16, I (0 to 65535)      | grey, v / 257 rounded                          |
| P, PA                     | RGB; with alpha where the palette has it       |
| RGB, RGBX                 | RGB; a tRNS colour becomes alpha               |
| RGBA, RGBa                | RGB and alpha                                  |
| CMYK                      | RGB by the embedded profile, else plainly      |
| LAB, YCbCr, HSV           | RGB                                            |
| F, I beyond 65535         | refused                                        |
"""

import dataclasses
import io
import re
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from roijax.errors import DataError

_WHITE_IS_ZERO = 0
_PHOTOMETRIC = 262


@dataclasses.dataclass(frozen=True)
class Stored:
  """What a file holds that Pillow's mode does not say.

  Attributes:
    bits: a channel.
    rawmode: Pillow's name of the layout, "" where there is none.
    grey: whether it is grey though Pillow makes RGB of it.
    inverted: whether 0 is white though Pillow leaves it so.
    rounded: whether Pillow rounds when it makes 8 bits of more.
  """

  bits: int = 8
  rawmode: str = ""
  grey: bool = False
  inverted: bool = False
  rounded: bool = False


@dataclasses.dataclass(frozen=True)
class Conversion:
  """How to turn strips of a picture into arrays.

  Attributes:
    convert: takes some rows as a Pillow image, gives uint8 [h, W] or
      [h, W, 3], and the alpha, uint8 [h, W], or None.
    grey: whether the first of them is [h, W].
    alpha: whether there is the second.
    notes: what is to be told.
    keeps_profile: whether the colour profile may still hold afterwards.
  """

  convert: Callable[[Image.Image], tuple[np.ndarray, np.ndarray | None]]
  grey: bool = False
  alpha: bool = False
  notes: tuple[str, ...] = ()
  keeps_profile: bool = True


def scale_16_bits(values: np.ndarray, top: int = 65535) -> np.ndarray:
  """Scales integers in [0, top] to uint8, rounded to the nearest."""
  wide = values.astype(np.uint32)
  return ((wide * 255 + top // 2) // top).astype(np.uint8)


def inspect_file(image: Image.Image, data: bytes = b"") -> Stored:
  """Looks at an opened file; once its pixels are loaded it is too late.

  Args:
    image: as `PIL.Image.open` gives it.
    data: the file's content.
  """
  tiles: Any = getattr(image, "tile", None) or [("", None, 0, "")]
  decoder, _, _, args = tiles[0]
  rawmode = args if isinstance(args, str) else str(args[0] if args else "")
  bits, grey = 8, False
  if image.format == "AVIF":
    bits, grey = _read_av1_config(data)
  elif image.format == "JPEG2000":
    bits = _read_jpeg2000_bits(data)
  elif decoder in ("ppm", "ppm_plain"):
    bits = int(args[-1]).bit_length()
  elif decoder == "SGI16" or re.search(r";16", rawmode):
    # BMP's BGR;16 has 16 bits a pixel.
    bits = 8 if rawmode.startswith("BGR") else 16
  elif ";12" in rawmode:
    bits = 12
  tags: Any = getattr(image, "tag_v2", {})
  return Stored(
    bits=max(bits, 8),
    rawmode=rawmode,
    grey=grey or rawmode.startswith("LA;16"),
    inverted=tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO,
    rounded=image.format in ("AVIF", "PPM"),
  )


def choose_conversion(
  image: Image.Image, stored: Stored, name: str
) -> Conversion:
  """Chooses by the mode of a picture whose pixels are loaded.

  Args:
    image: the picture.
    stored: what `inspect_file` saw.
    name: what to call it in errors.

  Raises:
    DataError: floats, or integers beyond 16 bits, or a mode unknown here.
  """
  mode = image.mode
  if mode == "I" or mode.startswith("I;16"):
    return _from_16_bits(image, stored, name)
  if mode == "F":
    raise DataError(
      f"{name} holds floating-point numbers: scale it to 8 or 16 bits a "
      "channel first, for only you know its black and white"
    )
  if mode == "CMYK":
    return _from_cmyk(image, stored)
  notes = _tell_bits(stored)
  key = image.info.get("transparency")
  if mode in ("1", "L"):
    # Pillow widens the pixels of 2 and 4 bits, not the transparent grey.
    widen = {"L;2": 85, "L;4": 17}.get(stored.rawmode, 1)
    key = key * widen if isinstance(key, int) else None
    convert = _with_key(_to_array("L"), key)
    return Conversion(convert, True, key is not None, notes)
  if mode in ("LA", "La"):
    return Conversion(_split(_to_array("LA")), True, True, notes)
  if mode in ("P", "PA") and not image.has_transparency_data:
    return Conversion(_with_key(_to_array("RGB"), None), notes=notes)
  if mode in ("P", "PA", "RGBA", "RGBa"):
    convert = _split(_to_array("RGBA"), stored.grey)
    return Conversion(convert, stored.grey, True, notes)
  if mode in ("RGB", "RGBX"):
    if stored.grey:
      return Conversion(_first_channel, True, False, notes)
    key = _as_8_bits(key, stored) if isinstance(key, tuple) else None
    convert = _with_key(_to_array("RGB"), key)
    return Conversion(convert, False, key is not None, notes)
  if mode in ("LAB", "YCbCr", "HSV"):
    convert = _from_lab() if mode == "LAB" else _to_array("RGB")
    notes += (f"its {mode} colours became {'s' * (mode == 'LAB')}RGB",)
    return Conversion(
      _with_key(convert, None), notes=notes, keeps_profile=mode != "LAB"
    )
  raise DataError(f"{name} is of Pillow's mode {mode}: convert it to RGB first")


def make_srgb_transform(profile: bytes, mode: str) -> Any:
  """Makes the transform from a profile's colours to sRGB.

  Args:
    profile: an ICC profile.
    mode: of the pictures it is for: "CMYK", "L" or "RGB".

  Returns:
    An `ImageCms` transform to mode RGB, or None where the profile is damaged
    or of other colours.
  """
  from PIL import ImageCms

  try:
    return ImageCms.buildTransform(
      ImageCms.ImageCmsProfile(io.BytesIO(profile)),
      ImageCms.createProfile("sRGB"),
      mode,
      "RGB",
      ImageCms.Intent.RELATIVE_COLORIMETRIC,
      ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
  except (ImageCms.PyCMSError, OSError):
    return None


def _tell_bits(stored: Stored) -> tuple[str, ...]:
  if stored.bits == 8:
    return ()
  how = "rounded" if stored.rounded else "cut off, which is how Pillow reads it"
  return (f"its {stored.bits} bits a channel became 8, {how}",)


def _to_array(mode: str):
  return lambda strip: np.asarray(strip.convert(mode))


def _first_channel(strip: Image.Image) -> tuple[np.ndarray, None]:
  return np.asarray(strip)[..., 0], None


def _split(convert, grey: bool = False):
  """Parts colour, or its first channel where it is grey, from alpha."""

  def parted(strip):
    array = convert(strip)
    colours = array[..., :-1]
    if grey or colours.shape[-1] == 1:
      colours = colours[..., 0]
    return colours, array[..., -1]

  return parted


def _with_key(convert, key):
  """Makes a transparent grey or colour into alpha; None: there is none."""

  def keyed(strip):
    array = convert(strip)
    if key is None:
      return array, None
    hit = array == np.asarray(key)
    if array.ndim == 3:
      hit = hit.all(-1)
    return array, np.where(hit, 0, 255).astype(np.uint8)

  return keyed


def _as_8_bits(key: tuple[int, ...], stored: Stored) -> tuple[int, ...]:
  return tuple(value >> (stored.bits - 8) for value in key)


def _from_16_bits(image: Image.Image, stored: Stored, name: str) -> Conversion:
  extrema: Any = image.getextrema() if image.mode == "I" else (0, 65535)
  low, high = extrema
  if not 0 <= low <= high <= 65535:
    raise DataError(
      f"{name} holds integers from {low} to {high}, more than 16 bits: scale "
      "it to 8 or 16 bits first"
    )
  top = 4095 if stored.rawmode == "I;12" else 65535
  key = image.info.get("transparency")
  key = key if isinstance(key, int) else None

  def convert(strip):
    values = np.asarray(strip)
    alpha = None
    if key is not None:
      alpha = np.where(values == key, 0, 255).astype(np.uint8)
    grey = scale_16_bits(values, top)
    return (255 - grey if stored.inverted else grey), alpha

  bits = stored.bits if 8 < stored.bits < 16 else 16
  note = f"its {bits} bits a channel became 8, rounded"
  return Conversion(convert, True, key is not None, (note,))


def _from_cmyk(image: Image.Image, stored: Stored) -> Conversion:
  profile = image.info.get("icc_profile")
  transform = make_srgb_transform(profile, "CMYK") if profile else None
  if transform is not None:
    how = "sRGB through its colour profile, which is dropped"
  elif profile:
    how = "RGB plainly; its colour profile is damaged or unfit, and dropped"
  else:
    how = "RGB plainly, for it has no colour profile"
  convert = _through(transform) if transform else _to_array("RGB")
  notes = (*_tell_bits(stored), f"its CMYK colours became {how}")
  return Conversion(_with_key(convert, None), notes=notes, keeps_profile=False)


def _from_lab():
  from PIL import ImageCms

  transform = ImageCms.buildTransform(
    ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB"
  )
  return _through(transform)


def _through(transform):
  return lambda strip: np.asarray(transform.apply(strip))


def _read_av1_config(data: bytes) -> tuple[int, bool]:
  """The bits a channel, and whether all images in an AVIF file are grey.

  (AV1 Image File Format 1.1, section 2.2.1; AV1-ISOBMFF 1.2, section 2.3.3.)
  """
  found = re.findall(rb"av1C\x81.(.)", data[: 1 << 16], re.DOTALL)
  flags = [byte[0] for byte in found]
  bits = max(
    ((8, 8, 10, 12)[2 * (flag >> 6 & 1) + (flag >> 5 & 1)] for flag in flags),
    default=8,
  )
  return bits, bool(flags) and all(flag & 16 for flag in flags)


def _read_jpeg2000_bits(data: bytes) -> int:
  """The most bits of a channel. (ISO 15444-1, annex A.5.1, marker SIZ.)"""
  start = data.find(b"\xff\x4f\xff\x51")
  try:
    (count,) = struct.unpack_from(">H", data, start + 40)
    depths = data[start + 42 : start + 42 + 3 * count : 3]
  except struct.error:
    return 8
  return max((depth & 127) + 1 for depth in depths) if depths else 8
