"""A stand-in for the learned codec: JPEG in a `.roij` container.

It has the interface of `roijax.codec.Codec`, a region of interest that saves
bits (the background is blurred first) and files that `roijax info` reads, and
needs neither weights nor JAX.
"""

import dataclasses
import io
import os
import time

import numpy as np
from PIL import Image
from scipy import ndimage

from roijax.coding import container, groups
from roijax.errors import BitstreamError, ConfigError

FINGERPRINT = b"JPEGCODE"


@dataclasses.dataclass(frozen=True)
class Encoded:
  """What `compress_detailed` returns."""

  data: bytes
  header: container.Header
  cells: np.ndarray
  bits_roi: float
  bits_bg: float

  @property
  def bits_tables(self) -> float:
    return float(self.cells.sum())

  @property
  def bits_likelihood(self) -> float:
    return 0.99 * self.bits_tables


class JpegCodec:
  """Qualities 0 to 6 are JPEG's 15 to 87."""

  max_quality = 6.0

  def __init__(self):
    """Counts decoded files, to show that reconstructions come from bytes."""
    self.decoded = 0

  @classmethod
  def load(cls, path=None, *, keep_programs=False):
    """Takes any path."""
    return cls()

  def compress(
    self,
    image,
    roi=None,
    *,
    quality=None,
    background=0.25,
    boxes=(),
    effort=0,
    progress=None,
  ):
    """Blurs what is outside the region, then codes.

    Tests of interrupts make it slow, through the environment.
    """
    time.sleep(float(os.environ.get("JPEG_CODEC_SECONDS", "0")))
    quality = self.max_quality / 2 if quality is None else quality
    if not 0 <= quality <= self.max_quality:
      raise ConfigError(f"quality {quality:g} is outside 0 to 6")
    code = container.quantize_quality(quality)
    if roi is not None:
      importance = np.maximum(roi, background)
      radii = (4, 4, 0)[: image.ndim]
      importance = importance.reshape(*roi.shape, *[1] * (image.ndim - 2))
      blurred = ndimage.gaussian_filter(image.astype(float), radii)
      mixed = importance * image + (1 - importance) * blurred
      image = mixed.round().astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(image).save(
      stream, "JPEG", quality=round(15 + code * 12 / 32), subsampling=0
    )
    height, width = image.shape[:2]
    header = container.Header(
      FINGERPRINT,
      width,
      height,
      code,
      container.quantize_background(background),
      grey=image.ndim == 2,
    )
    # Whole words; all in the first stream of however many there must be.
    payload = stream.getvalue()
    payload += bytes(-len(payload) % container.WORD)
    rest = groups.count_groups(height, width) - 1
    return container.write(
      container.Container(header, (), (payload, *[b""] * rest), 7, tuple(boxes))
    )

  def compress_detailed(self, image, roi=None, **settings):
    """Pretends that bits spread evenly."""
    data = self.compress(image, roi, **settings)
    cells = self.measure_cells(data)
    split = float(cells.sum()), 0.0
    if roi is not None:
      split = self.split_bits(cells, roi)
    return Encoded(data, container.read(data).header, cells, *split)

  def decompress(self, data, *, max_pixels=1 << 27, progress=None):
    """Reads the JPEG back."""
    self.decoded += 1
    content = self._read(data, max_pixels)
    with Image.open(io.BytesIO(content.streams[0])) as image:
      return np.asarray(image)

  def measure_cells(self, data, *, max_pixels=1 << 27):
    """Pretends that bits spread evenly."""
    content = self._read(data, max_pixels)
    header = content.header
    dims = [4 * groups.count_cells(x) for x in (header.height, header.width)]
    return np.full(dims, 8 * content.coded_bytes / np.prod(dims))

  def split_bits(self, cells, roi):
    """By the region's share."""
    inside = float(cells.sum() * roi.mean())
    return inside, float(cells.sum()) - inside

  def _read(self, data, max_pixels):
    content = container.read(data)
    header = content.header
    if header.width * header.height > max_pixels:
      raise BitstreamError(f"the limit is {max_pixels:,}: raise --max-pixels")
    return content
