"""Writing a picture with its alpha, colour profile and Exif block.

| suffix     | pixels   | grey | alpha | profile | Exif |
| ---------- | -------- | ---- | ----- | ------- | ---- |
| .png       | kept     | yes  | yes   | yes     | yes  |
| .tif .tiff | kept     | yes  | yes   | yes     | yes  |
| .webp      | kept     | RGB  | yes   | yes     | yes  |
| .avif      | lossy    | yes  | yes   | yes     | yes  |
| .jpg .jpeg | lossy    | yes  |       | yes     | yes  |
| .jp2       | kept     | yes  | yes   |         |      |
| .bmp .ppm  | kept     | yes  |       |         |      |

A TIFF's Exif goes without the maker's note, and makes it uncompressed. TIFF
and AVIF go without a damaged Exif block, which the others hold as it is.
"""

import io
import os
import pathlib
from typing import TYPE_CHECKING, Any

from PIL import Image

from roijax import files
from roijax.data import exif, images
from roijax.data.picture_modes import make_srgb_transform
from roijax.data.pillow_limits import limit_pixels
from roijax.errors import DataError

if TYPE_CHECKING:
  from roijax.data.picture import Picture

_WITHOUT_ALPHA = ("BMP", "JPEG", "PPM")
_WITHOUT_METADATA = ("BMP", "JPEG2000", "PPM")
_WITHOUT_GREY = ("WEBP",)
# Pillow parses an Exif block before it writes it into these.
_PARSED_EXIF = ("AVIF", "TIFF")


def write_picture(path: str | os.PathLike, picture: "Picture") -> None:
  """Writes a picture whole, in the format its suffix names.

  Args:
    path: where to; the folder is made when it is missing.
    picture: what to write.

  Raises:
    DataError: as `encode_picture`.
    RoijaxError: the file cannot be written.
  """
  images.check_suffix(path)
  path = pathlib.Path(path)
  data = encode_picture(picture, path.suffix, name=str(path))
  files.write_whole(path, data)


def encode_picture(
  picture: "Picture", suffix: str, *, name: str | None = None
) -> bytes:
  """Makes a file's bytes of a picture.

  Args:
    picture: what to write. Its profile and Exif block are embedded where the
      format carries them, see `list_losses`.
    suffix: one of `images.SUFFIXES`, in any case.
    name: what to call the file in errors; the suffix by default.

  Raises:
    DataError: the suffix is unknown, or the format has no alpha, or is too
      small for the picture.
  """
  name = name or suffix
  images.check_suffix(f"picture{suffix}")
  kind, options = images.WRITERS[suffix.lower()]
  if picture.alpha is not None and kind in _WITHOUT_ALPHA:
    raise DataError(
      f"cannot write {name}: {_spell(kind)} has no transparency; write a "
      ".png, .tif, .webp, .avif or .jp2 file"
    )
  buffer = io.BytesIO()
  try:
    with limit_pixels(picture.image.size):
      rendered, icc = _render(picture, kind)
      extra = _list_options(picture, kind, icc)
      rendered.save(buffer, format=kind, **{**options, **extra})
  except Exception as error:
    # Each writer has its own way to say that a picture is too large for it,
    # or that it cannot read the Exif block that it is to rewrite.
    reason = " ".join(str(error).split()) or type(error).__name__
    raise DataError(
      f"cannot write {name} as {_spell(kind)}: {reason}; try .png"
    ) from error
  return buffer.getvalue()


def list_losses(picture: "Picture", suffix: str) -> tuple[str, ...]:
  """Says, a line each, what a format would leave out of a picture.

  Args:
    picture: what is to be written.
    suffix: one of `images.SUFFIXES`.
  """
  kind, _ = images.WRITERS[suffix.lower()]
  if kind not in _WITHOUT_METADATA:
    if picture.exif and not _takes_exif(kind, picture.exif):
      return (f"its damaged Exif block is left out: {kind} files take none",)
    return ()
  return tuple(
    f"its {what} is left out: {_spell(kind)} files carry none here"
    for what, data in (
      ("colour profile", picture.icc),
      ("Exif block", picture.exif),
    )
    if data
  )


def _render(picture: "Picture", kind: str) -> tuple[Image.Image, bytes | None]:
  """The picture as Pillow's, and the profile that it then has."""
  rendered = Image.fromarray(picture.image)
  icc = picture.icc
  if picture.image.ndim == 2 and kind in _WITHOUT_GREY and icc:
    # A grey profile means nothing beside RGB.
    transform = make_srgb_transform(icc, "L")
    rendered = transform.apply(rendered) if transform else rendered
    rendered.info.clear()
    icc = None
  if picture.alpha is not None:
    rendered.putalpha(Image.fromarray(picture.alpha))
  return rendered, icc


def _list_options(
  picture: "Picture", kind: str, icc: bytes | None
) -> dict[str, Any]:
  options: dict[str, Any] = {}
  if kind == "AVIF" and picture.image.ndim == 2:
    options["subsampling"] = "4:0:0"
  if kind in _WITHOUT_METADATA:
    return options
  if icc:
    options["icc_profile"] = icc
  block = picture.exif
  if block and not _takes_exif(kind, block):
    block = None
  if block and kind == "TIFF":
    block = exif.pick_descriptions(block)
    # Pillow cannot put an Exif directory into a compressed TIFF.
    options["compression"] = "raw" if block else "tiff_deflate"
  if block:
    options["exif"] = exif.PREFIX + block
  return options


def _takes_exif(kind: str, block: bytes) -> bool:
  if kind not in _PARSED_EXIF:
    return True
  try:
    exif.pick_descriptions(block)
  except Exception:  # Whatever Pillow trips over in a damaged directory.
    return False
  return True


def _spell(kind: str) -> str:
  return {"JPEG2000": "JPEG 2000", "WEBP": "WebP"}.get(kind, kind)
