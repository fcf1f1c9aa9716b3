"""The codecs that roijax is measured against, each with settings of its own.

A rival may know the region of interest: `encode(image, roi, setting)`.
Settings span about 0.1 to 1.2 bits a pixel on photos of Kodak's kind. What a
rival needs beside roijax's own packages is the extra `[rivals]`.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import features

from roijax.coding.container import DEFAULT_BACKGROUND
from roijax.errors import RoijaxError
from roijax.evaluation import (
  blur,
  classical,
  ffmpeg,
  heif,
  hevc,
  maxshift,
  vvc,
)

Encode = Callable[[np.ndarray, np.ndarray | None, float], bytes]


def _nothing() -> None:
  """What a rival needs that every installation has."""


@dataclasses.dataclass(frozen=True)
class Rival:
  """A codec and the settings at which it is measured.

  Attributes:
    title: its name in full.
    settings: in the order in which files grow.
    encode: image uint8 [H, W, 3], map [H, W] or None, setting -> a file.
    decode: a file -> uint8 [H, W, 3].
    uses_region: whether it looks at the map.
    check: raises RoijaxError, with a line that says what to install, where it
      cannot run.
  """

  title: str
  settings: tuple[float, ...]
  encode: Encode
  decode: Callable[[bytes], np.ndarray]
  uses_region: bool = False
  check: Callable[[], Any] = _nothing


def _check_pillow(feature: str, name: str) -> Callable[[], None]:
  def check() -> None:
    if not features.check(feature):
      raise RoijaxError(f"this Pillow has no {name}: pip install -U pillow")

  return check


_check_avif = _check_pillow("avif", "AVIF")


def _blind(title: str, name: str, *settings: float, check=_nothing) -> Rival:
  """One of `classical.CODECS`."""
  codec = classical.CODECS[name]
  return Rival(
    title,
    settings,
    lambda image, roi, setting: codec.encode(image, setting),
    codec.decode,
    check=check,
  )


def _blurred_avif(image, roi, quality) -> bytes:
  return classical.CODECS["avif"].encode(
    blur.blur_background(image, roi), quality
  )


RIVALS: dict[str, Rival] = {
  "jpeg": _blind("JPEG", "jpeg", 4, 8, 16, 32, 55, 75),
  "webp": _blind(
    "WebP", "webp", 0, 5, 15, 40, 65, 78, check=_check_pillow("webp", "WebP")
  ),
  # Compression ratios: 0.1 to 1.2 bits a pixel.
  "jpeg2000": _blind(
    "JPEG 2000",
    "jpeg2000",
    *(240, 120, 60, 30, 20),
    check=_check_pillow("jpg_2000", "JPEG 2000"),
  ),
  "heic": Rival(
    "HEIC 4:4:4",
    (12, 22, 31, 39, 46),
    lambda image, roi, setting: heif.encode(image, setting),
    heif.decode,
    check=heif.load_package,
  ),
  "avif": _blind("AVIF", "avif", 8, 19, 31, 43, 57, check=_check_avif),
  "avif_blurred": Rival(
    "AVIF, background blurred",
    (18, 34, 51, 68, 83),
    _blurred_avif,
    classical.CODECS["avif"].decode,
    uses_region=True,
    check=_check_avif,
  ),
  "hevc": Rival(
    "HEVC (x265)",
    (47, 42, 37, 33, 29),
    lambda image, roi, setting: hevc.encode(image, None, setting),
    hevc.decode,
    check=ffmpeg.find_ffmpeg,
  ),
  "hevc_roi": Rival(
    "HEVC (x265), addroi -12",
    # 51 is the coarsest that HEVC has.
    (51, 47, 43, 39, 34),
    hevc.encode,
    hevc.decode,
    uses_region=True,
    check=ffmpeg.find_ffmpeg,
  ),
  "vvc": Rival(
    "VVC (VVenC)",
    (47, 43, 39, 35, 31),
    lambda image, roi, setting: vvc.encode(image, setting),
    vvc.decode,
    check=ffmpeg.find_ffmpeg,
  ),
  # Bits a pixel.
  "maxshift": Rival(
    "JPEG 2000 MAXSHIFT",
    (0.1, 0.2, 0.4, 0.8, 1.2),
    maxshift.encode,
    maxshift.decode,
    uses_region=True,
    check=maxshift.find_jar,
  ),
}


class AsCodec:
  """A rival behind the interface that evaluation asks of a codec.

  Args:
    rival: its settings are the qualities.
  """

  max_quality = float("inf")

  def __init__(self, rival: Rival):
    self._rival = rival

  def compress(
    self,
    image: np.ndarray,
    roi: np.ndarray | None,
    *,
    quality: float | None = None,
    background: float = DEFAULT_BACKGROUND,
    effort: int = 0,
  ) -> bytes:
    """Codes a photo at a setting; by default the middle one."""
    del background, effort
    if quality is None:
      quality = self._rival.settings[len(self._rival.settings) // 2]
    return self._rival.encode(image, roi, quality)

  def decompress(self, data: bytes) -> np.ndarray:
    """Decodes a file."""
    return self._rival.decode(data)
