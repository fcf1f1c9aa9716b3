"""The Python interface: compress, decompress, inspect, load.

>>> import numpy as np
>>> import roijax
>>> image = np.zeros((48, 64, 3), np.uint8)
>>> image[12:36, 16:48] = (200, 80, 40)
>>> data = roijax.compress(image, roi="box:16,12,32,24", quality=4)
>>> roijax.inspect(data).width
64
>>> roijax.decompress(data).shape
(48, 64, 3)

JAX is loaded when something is coded, not before.
"""

import dataclasses
import functools
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from roijax.coding import container
from roijax.coding.container import DEFAULT_BACKGROUND, MAX_PIXELS
from roijax.errors import DataError

if TYPE_CHECKING:
  from roijax.codec import Codec
  from roijax.roi.choices import Choices


@dataclasses.dataclass(frozen=True)
class Info:
  """What a `.roij` file says of itself.

  Attributes:
    format_version: of the container.
    fingerprint: hex, names the weights that a decoder needs.
    width: pixels.
    height: pixels.
    grey: whether the photo has one channel.
    quality: what the encoder was asked for.
    background: the importance outside the region that it worked with.
    bytes: of the whole file.
    coded_bytes: of its streams.
    mask_bytes: of the mask that its decoder composites by; None without one.
    groups: how many streams there are.
    boundary: entries in the list of close calls.
    boxes: the kind of each box and its bytes in the file.
    symbols_crc: hex, of the symbols that a decoder must find.
    file_crc: hex; it was right, or reading had raised.
    rounded: whether means were rounded to a grid (docs/format.md).
  """

  format_version: int
  fingerprint: str
  width: int
  height: int
  grey: bool
  quality: float
  background: float
  bytes: int
  coded_bytes: int
  mask_bytes: int | None
  groups: int
  boundary: int
  boxes: dict[str, int]
  symbols_crc: str
  file_crc: str
  rounded: bool = False

  @property
  def bpp(self) -> float:
    """Bits of the file over the photo's own pixels."""
    return 8 * self.bytes / (self.width * self.height)


def load(weights: str | os.PathLike | None = None) -> "Codec":
  """Loads weights, once a process and path.

  Args:
    weights: a name that `roijax weights` lists, a training run's folder or a
      `model.npz`; the default weights when it is None.

  Returns:
    A `roijax.codec.Codec`, for whoever codes many photos or wants the account
    of the bits. Where no folder is set for JAX's compilation cache, loading
    sets the user's.

  Raises:
    CheckpointError: missing or damaged.

  >>> import roijax
  >>> roijax.load().max_quality
  7.0
  """
  from roijax.weights import index

  return _load(str(index.find(weights)))


def compress(
  image: Any,
  roi: np.ndarray | str | os.PathLike | Sequence[str] | None = None,
  *,
  quality: float | None = None,
  background: float = DEFAULT_BACKGROUND,
  effort: int = 0,
  weights: str | os.PathLike | None = None,
  feather: float = 0.0,
  dilate: float = 0.0,
  roi_threshold: float | None = None,
  text_model: str | os.PathLike | None = None,
  annotations: str | os.PathLike | None = None,
  keep_mask: bool = False,
  strip: bool = False,
  max_pixels: int = MAX_PIXELS,
) -> bytes:
  """Codes a picture.

  Args:
    image: an array, uint8 [H, W] (grey), [H, W, 3] (RGB), with one channel
      more for transparency; a `PIL.Image.Image`; or a file's path, whose
      colour profile and Exif are kept.
    roi: the region of interest: weights [H, W] in [0, 1] (bool will do), or
      what `--roi` takes (`"face"`, `"box:x,y,w,h"`, a mask's path, ...), or
      several such specs, united. None: an ordinary codec.
    quality: from 0 to `load().max_quality`; the middle by default.
    background: importance of what lies outside the region, in (0, 1].
    effort: 0 to 3; above 0 the encoder takes seconds to minutes, the file is
      better, and decoders take no longer.
    weights: see `load`.
    feather: how wide a soft edge lies around the region, in pixels.
    dilate: how far the region's edge moves outward, in pixels.
    roi_threshold: where to cut the maps of `"text:..."`, `"sim:..."`,
      `"saliency:..."` and `"auto"`, in (0, 1).
    text_model: the segmenter of `"text:..."` (docs/text.md).
    annotations: a COCO file; `"text:..."` then names one of its categories.
    keep_mask: whether the file is to hold the region too.
    strip: whether to leave out colour profile and Exif.
    max_pixels: a picture file that claims more is refused.

  Returns:
    The content of a `.roij` file.

  Raises:
    DataError: a picture or a region that cannot be coded.
    ConfigError: a quality or a background level out of range, an effort that
      does not exist.
    CheckpointError: weights that are missing or damaged.
    RoijaxError: also, a segmenter that cannot run.

  >>> import numpy as np
  >>> import roijax
  >>> grey = np.full((64, 64), 128, np.uint8)
  >>> roijax.decompress(roijax.compress(grey)).shape
  (64, 64)
  """
  from roijax.boxed import make_boxes
  from roijax.data.picture import make_picture

  picture = make_picture(image, max_pixels=max_pixels)
  path = image if isinstance(image, str | os.PathLike) else None
  choices = _make_choices(roi_threshold, text_model, annotations)
  region = _make_region(roi, picture.image, path, feather, dilate, choices)
  return load(weights).compress(
    picture.image,
    region,
    quality=quality,
    background=background,
    effort=effort,
    boxes=make_boxes(picture, region if keep_mask else None, strip=strip),
  )


def decompress(
  data: bytes,
  *,
  weights: str | os.PathLike | None = None,
  max_pixels: int = MAX_PIXELS,
) -> np.ndarray:
  """Decodes a `.roij` file.

  Args:
    data: its content.
    weights: see `load`; those that the file names when it is None.
    max_pixels: a file that claims more is refused before any work.

  Returns:
    uint8 [H, W, 3], or [H, W] for a grey picture; with one channel more where
    the file holds transparency: [H, W, 4] or [H, W, 2].

  Raises:
    BitstreamError: not such a file, damaged, too large, or its weights are
      not at hand.
  """
  from roijax.boxed import read_plane
  from roijax.weights import index

  found = _read(data)
  if weights is None:
    path = index.find_by_fingerprint(found.header.fingerprint)
    codec = _load(str(path))
  else:
    codec = load(weights)
  image = codec.decompress(data, max_pixels=max_pixels)
  if found.box("alpha") is None:
    return image
  colour = image if image.ndim == 3 else image[..., None]
  return np.concatenate([colour, read_plane(found, "alpha")[..., None]], axis=2)


def inspect(data: bytes) -> Info:
  """Reads what a `.roij` file says of itself; decodes nothing.

  Raises:
    BitstreamError: it is no such file, or damaged.
  """
  found = _read(data)
  header = found.header
  return Info(
    format_version=container.VERSION,
    fingerprint=header.fingerprint.hex(),
    width=header.width,
    height=header.height,
    grey=header.grey,
    quality=header.quality,
    background=header.background,
    bytes=len(data),
    coded_bytes=found.coded_bytes,
    mask_bytes=None if found.mask is None else len(found.mask),
    groups=len(found.streams),
    boundary=len(found.boundary),
    boxes={box.kind: box.size or 0 for box in found.boxes},
    symbols_crc=f"{found.symbols_crc:08x}",
    file_crc=data[-4:][::-1].hex(),
    rounded=header.rounded,
  )


def _read(data: bytes) -> container.Container:
  if not isinstance(data, bytes | bytearray | memoryview):
    raise DataError(
      f"give the content of a .roij file as bytes, not {type(data).__name__}:"
      " pathlib.Path(...).read_bytes() has it"
    )
  return container.read(bytes(data))


@functools.lru_cache(maxsize=4)
def _load(path: str) -> "Codec":
  from roijax.codec import Codec

  return Codec.load(path)


def _make_choices(threshold, text_model, annotations) -> "Choices":
  from roijax.roi.choices import Choices

  paths = [
    None if path is None else os.fspath(path)
    for path in (text_model, annotations)
  ]
  return Choices(threshold, *paths)


def _make_region(
  roi, image, path, feather, dilate, choices
) -> np.ndarray | None:
  if roi is None or isinstance(roi, np.ndarray):
    choices.check(())
  if roi is None:
    if feather or dilate:
      raise DataError("feather and dilate change a region: give one with roi=")
    return None
  if isinstance(roi, np.ndarray):
    from roijax.roi.edges import check_widths, spread

    check_widths(dilate, feather)
    if roi.shape != image.shape[:2]:
      raise DataError(
        f"the roi map is {list(roi.shape)}, the image {list(image.shape[:2])}: "
        "they must be of one size"
      )
    region = roi.astype(np.float32)
    if not (region.min() >= 0 and region.max() <= 1):
      raise DataError("roi values must lie in 0 to 1")
    if not region.any():
      raise DataError("the roi map is zero everywhere: give None for no region")
    return spread(region, dilate, feather)
  from roijax.roi.spec import unite

  specs = [roi] if isinstance(roi, str | os.PathLike) else list(roi)
  if not specs or not all(isinstance(s, str | os.PathLike) for s in specs):
    raise DataError(
      "roi is an array [H, W], a spec such as 'face', or several specs"
    )
  specs = [os.fspath(spec) for spec in specs]
  size = image.shape[:2]
  return unite(
    specs, size, path, image, choices, dilate=dilate, feather=feather
  )
