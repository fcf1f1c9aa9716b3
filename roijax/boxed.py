"""What travels beside a photo: into boxes, and out of them again."""

import io
from typing import TYPE_CHECKING

import numpy as np

from roijax.coding.boxes import Box
from roijax.errors import BitstreamError

if TYPE_CHECKING:
  from roijax.coding.container import Container
  from roijax.data.picture import Picture


def make_boxes(
  picture: "Picture", mask: np.ndarray | None, *, strip: bool
) -> tuple[Box, ...]:
  """Boxes of a picture's alpha, profile and Exif, and of a mask.

  Args:
    picture: as it was read.
    mask: the region of interest in [0, 1]; None to keep none.
    strip: leave out profile and Exif. Alpha is a part of the picture.
  """
  boxes = []
  if not strip:
    boxes += [Box("icc", picture.icc)] if picture.icc else []
    boxes += [Box("exif", picture.exif)] if picture.exif else []
  if picture.alpha is not None:
    boxes.append(Box("alpha", _pack_plane(picture.alpha)))
  if mask is not None:
    whole = np.round(mask * 255).astype(np.uint8)
    boxes.append(Box("mask", _pack_plane(whole)))
  return tuple(boxes)


def restore_picture(
  image: np.ndarray, content: "Container", *, strip: bool
) -> "Picture":
  """Puts back beside a decoded photo what its boxes hold.

  Args:
    image: uint8 [H, W, 3] or [H, W].
    content: of the file.
    strip: leave out profile and Exif.

  Raises:
    BitstreamError: the alpha box is damaged.
  """
  from roijax.data.picture import Picture

  alpha = content.box("alpha")
  return Picture(
    image,
    alpha=None if alpha is None else read_plane(content, "alpha"),
    icc=None if strip else content.box("icc"),
    exif=None if strip else content.box("exif"),
  )


def read_plane(content: "Container", kind: str) -> np.ndarray:
  """The alpha or the mask of a file.

  Args:
    content: of a file that has such a box.
    kind: `alpha` or `mask`.

  Returns:
    uint8 [H, W].

  Raises:
    BitstreamError: it is no PNG, or not a grey one of the photo's size.
  """
  from PIL import Image, UnidentifiedImageError

  from roijax.data.pillow_limits import limit_pixels

  size = content.header.width, content.header.height
  data = content.box(kind)
  assert data is not None
  try:
    # The header is judged before a pixel is decoded.
    with (
      limit_pixels(size[0] * size[1]),
      Image.open(io.BytesIO(data), formats=["PNG"]) as plane,
    ):
      if plane.size == size and plane.mode == "L":
        return np.asarray(plane)
      claim = f"is {plane.width}x{plane.height}, mode {plane.mode}"
  except Image.DecompressionBombError:
    claim = "is larger than the photo"
  except UnidentifiedImageError:
    claim = "is no PNG"
  except Exception as error:
    # Damage makes Pillow's reader raise whatever its parsing runs into.
    claim = "is damaged: " + " ".join(str(error).split())
  raise BitstreamError(f"the file's {kind} box {claim}")


def _pack_plane(plane: np.ndarray) -> bytes:
  from PIL import Image

  stream = io.BytesIO()
  Image.fromarray(plane).save(stream, "PNG", optimize=True)
  return stream.getvalue()
