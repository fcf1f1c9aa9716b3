"""What a sheet tells: photos, and what each codec made of them."""

import dataclasses
from typing import Any, NamedTuple

import numpy as np

from roijax.evaluation.sheet.crops import Crop
from roijax.evaluation.summary import MATCH_TOLERANCE


class Column(NamedTuple):
  """What one codec made of the photo.

  Attributes:
    title: the codec's.
    data: the file.
    image: what it decodes to, uint8 [H, W, 3].
    bpp: bits a pixel of the file.
    excess: by how much the file is larger than the first column's, as a share.
    quality: of a learned codec.
    figures: from `rate_distortion.measure`.
    density: bits per pixel of each 16x16, of a learned codec.
  """

  title: str
  data: bytes
  image: np.ndarray
  bpp: float
  excess: float
  quality: float | None
  figures: dict[str, Any]
  density: np.ndarray | None

  @property
  def is_matched(self) -> bool:
    """Whether the file is within 3 % of the first column's."""
    return abs(self.excess) <= MATCH_TOLERANCE

  @property
  def size_line(self) -> str:
    """The file's size, and how far it is from the first column's."""
    parts = [f"{len(self.data):,} bytes", f"{self.bpp:.3f} bpp"]
    if self.excess:
      nearest = "" if self.is_matched else ", no nearer"
      parts[0] += f" ({100 * self.excess:+.1f} %{nearest})"
    if self.quality is not None:
      parts.append(f"quality {self.quality:.3g}")
    return ", ".join(parts)

  @property
  def psnr_line(self) -> str:
    """The PSNR of the whole, and of the region and the rest if there is one."""
    found = self.figures
    line = f"PSNR {found['psnr']:.2f} dB"
    if found["psnr_roi"] is not None:
      line += f", ROI {found['psnr_roi']:.2f}"
    if found["psnr_bg"] is not None:
      line += f", background {found['psnr_bg']:.2f}"
    return line


@dataclasses.dataclass(frozen=True)
class Sheet:
  """One photo, measured.

  Attributes:
    name: the photo's.
    image: uint8 [H, W, 3].
    mask: bool [H, W], the region of interest; None where it is nothing or all.
    region: the photo with the region bright and outlined, as `draw_preview`
      draws it.
    columns: one a contender.
    crops: windows to enlarge.
  """

  name: str
  image: np.ndarray
  mask: np.ndarray | None
  region: np.ndarray
  columns: list[Column]
  crops: list[Crop]

  @property
  def region_line(self) -> str:
    """How much of the photo is the region."""
    if self.mask is None:
      return "no region"
    return f"the region, {self.mask.mean():.1%} of the photo"

  @property
  def top(self) -> float:
    """The most bits per pixel that a map of this photo has."""
    maps = [c.density for c in self.columns if c.density is not None]
    return max((float(density.max()) for density in maps), default=0.0)
