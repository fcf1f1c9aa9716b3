"""What is recorded of one photo coded once, and of a set of photos."""

from typing import NotRequired, Protocol, TypedDict, runtime_checkable

import numpy as np

from roijax.coding.container import DEFAULT_BACKGROUND

OURS = "roijax"


class Row(TypedDict):
  """One photo, one codec, one setting.

  Rates count the bits of the written file over the photo's own pixels. PSNRs
  are in dB on 8-bit, clipped reconstructions; infinite where nothing was lost.

  Attributes:
    name: the photo's name in its source.
    codec: `roijax`, or the rival's name (see `classical.CODECS`; `uniform` is
      the same checkpoint without a region of interest).
    quality: the quality of the `roijax` row; a rival's row repeats that of the
      row whose bytes it was matched to.
    background: the background level that the encoder was given; None for
      rivals.
    width: pixels.
    height: pixels.
    roi_pixels: pixels with roi >= 0.5; None for a photo without annotation.
    bytes: the size of the written file.
    budget: the bytes that a rival was to match; None for `roijax` itself.
    bpp: bits a pixel.
    psnr: over the whole photo.
    psnr_roi: inside the region of interest; None when it is empty or unknown.
    psnr_bg: outside; None when there is no outside or no annotation.
    psnr_weighted: with background weight 1/16; equals `psnr` without a region.
    ms_ssim: in [0, 1].
    mse_roi: mean squared error inside the region, from which sets are pooled.
    encode_s: wall seconds from array to bytes.
    decode_s: wall seconds from bytes to array.
    first_call: whether this was the codec's first photo of that size, so that
      compilation is in the seconds.
    container_bytes: bytes of the file beside the coded payload; None for
      rivals.
    bits_tables: what the coding tables say the payload costs, and
    bits_likelihood: what the float likelihood says; detailed runs only.
    bits_roi: table bits of the latents inside the region, and
    bits_bg: outside it; detailed runs only.
    lpips: see `lpips.make_lpips`; the key is missing where no weights are.
  """

  name: str
  codec: str
  quality: float
  background: float | None
  width: int
  height: int
  roi_pixels: int | None
  bytes: int
  budget: int | None
  bpp: float
  psnr: float
  psnr_roi: float | None
  psnr_bg: float | None
  psnr_weighted: float
  ms_ssim: float
  mse_roi: float | None
  encode_s: float
  decode_s: float
  first_call: bool
  container_bytes: int | None
  bits_tables: float | None
  bits_likelihood: float | None
  bits_roi: float | None
  bits_bg: float | None
  lpips: NotRequired[float]


LPIPS = "lpips"
# What every row has.
COLUMNS = tuple(name for name in Row.__annotations__ if name != LPIPS)


@runtime_checkable
class Codec(Protocol):
  """What evaluation asks of a codec; `roijax.codec.Codec` has it.

  Qualities are floats in [0, max_quality]; `compress_detailed` returns an
  object with `data`, `bits_tables`, `bits_likelihood`, `bits_roi`, `bits_bg`.
  """

  @property
  def max_quality(self) -> float:
    """The highest quality."""
    ...

  def compress(
    self,
    image: np.ndarray,
    roi: np.ndarray | None,
    *,
    quality: float | None = None,
    background: float = DEFAULT_BACKGROUND,
    effort: int = 0,
  ) -> bytes:
    """Codes a photo, uint8 [H, W, 3], with a map [H, W] or without."""
    ...

  def decompress(self, data: bytes) -> np.ndarray:
    """Decodes a file to uint8 [H, W, 3]."""
    ...
