"""A stand-in for the learned codec: JPEG in a `.roij` container.

It has the interface of `roijax.codec.Codec`, a region of interest that saves
bits (the background is blurred first) and files that `roijax info` reads, and
needs neither weights nor JAX.
"""

import dataclasses
import io

import numpy as np
from PIL import Image
from scipy import ndimage

from roijax.coding import container
from roijax.errors import ConfigError

FINGERPRINT = b"JPEGCODE"


@dataclasses.dataclass(frozen=True)
class Encoded:
  """What `compress_detailed` returns."""

  data: bytes
  bits_tables: float
  bits_likelihood: float
  bits_roi: float
  bits_bg: float


class JpegCodec:
  """Qualities 0 to 6 are JPEG's 15 to 87."""

  max_quality = 6.0

  def __init__(self):
    """Counts decoded files, to show that reconstructions come from bytes."""
    self.decoded = 0

  @classmethod
  def load(cls, path, *, keep_programs=False):
    """Takes any path."""
    return cls()

  def compress(self, image, roi, *, quality=None, background=0.25):
    """Blurs what is outside the region, then codes."""
    quality = self.max_quality / 2 if quality is None else quality
    if not 0 <= quality <= self.max_quality:
      raise ConfigError(f"quality {quality:g} is outside 0 to 6")
    code = container.quantize_quality(quality)
    if roi is not None:
      importance = np.maximum(roi, background)[..., None]
      blurred = ndimage.gaussian_filter(image.astype(float), (4, 4, 0))
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
    )
    return container.write(
      container.Container(header, (), stream.getvalue(), 7)
    )

  def compress_detailed(self, image, roi, *, quality=None, background=0.25):
    """Pretends that bits spread evenly."""
    data = self.compress(image, roi, quality=quality, background=background)
    bits = 8.0 * len(container.read(data).payload)
    share = 1.0 if roi is None else float((roi >= 0.5).mean())
    return Encoded(data, bits, 0.99 * bits, share * bits, (1 - share) * bits)

  def decompress(self, data):
    """Reads the JPEG back."""
    self.decoded += 1
    payload = container.read(data).payload
    with Image.open(io.BytesIO(payload)) as image:
      return np.asarray(image)
