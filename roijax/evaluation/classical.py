"""Classical codecs at a byte budget, through Pillow.

Each is given what helps it: optimised progressive Huffman tables for JPEG, the
colour transform for JPEG 2000 (whose absence costs 2 to 4 dB) and no file
wrapper around its codestream, the slowest analysis for WebP, speed 4, full
colour resolution and tuning for PSNR for AVIF. None of them knows a region of
interest.
"""

import dataclasses
import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from roijax.errors import ConfigError
from roijax.evaluation import search


@dataclasses.dataclass(frozen=True)
class ClassicalCodec:
  """A Pillow format and the settings to choose from.

  Attributes:
    format: Pillow's name.
    settings: in the order in which files grow.
    options: setting -> Pillow's save options.
  """

  format: str
  settings: Sequence[float]
  options: Callable[[Any], Mapping[str, Any]]

  def encode(self, image: np.ndarray, setting: float) -> bytes:
    """Codes uint8 [H, W, 3] to a file's bytes."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(
      buffer, format=self.format, **self.options(setting)
    )
    return buffer.getvalue()

  def decode(self, data: bytes) -> np.ndarray:
    """Decodes a file's bytes to uint8 [H, W, 3]."""
    with Image.open(io.BytesIO(data)) as image:
      return np.asarray(image.convert("RGB"))


def _jpeg(subsampling: str) -> ClassicalCodec:
  return ClassicalCodec(
    "JPEG",
    range(1, 101),
    lambda quality: {
      "quality": quality,
      "subsampling": subsampling,
      "optimize": True,
      "progressive": True,
    },
  )


CODECS: dict[str, ClassicalCodec] = {
  "jpeg": _jpeg("4:2:0"),
  "jpeg444": _jpeg("4:4:4"),
  "jpeg2000": ClassicalCodec(
    "JPEG2000",
    # Compression ratios from 1000:1 to 2:1, two percent apart.
    tuple(np.geomspace(1000, 2, 315).tolist()),
    lambda ratio: {
      "quality_mode": "rates",
      "quality_layers": [ratio],
      "irreversible": True,
      "mct": 1,
      "no_jp2": True,
    },
  ),
  "webp": ClassicalCodec(
    "WEBP", range(101), lambda quality: {"quality": quality, "method": 6}
  ),
  "avif": ClassicalCodec(
    "AVIF",
    range(101),
    # Newer encoders tune for the eye by default, which costs half a dB of
    # PSNR and more.
    lambda quality: {
      "quality": quality,
      "speed": 4,
      "subsampling": "4:4:4",
      "advanced": {"tune": "psnr"},
    },
  ),
}


def encode_within(
  name: str, image: np.ndarray, budget: int
) -> tuple[float, bytes]:
  """Codes a photo in the largest file of at most `budget` bytes.

  Args:
    name: a key of `CODECS`.
    image: uint8 [H, W, 3].
    budget: bytes.

  Returns:
    The setting and the file. A codec that cannot get that low gives its
    smallest file, which is larger than the budget.

  Raises:
    ConfigError: no such codec.
  """
  if name not in CODECS:
    raise ConfigError(
      f"no classical codec {name!r}: choose from {', '.join(CODECS)}"
    )
  codec = CODECS[name]
  return search.largest_within(
    lambda setting: codec.encode(image, setting), codec.settings, budget
  )
