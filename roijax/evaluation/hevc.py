"""HEVC stills through ffmpeg's x265, with and without a region of interest.

The region goes in by ffmpeg's `addroi` filter, one rectangle for each run of
the mask in each row of 16x16 blocks, the size in which x265 varies its
quantiser. x265 obeys it only in constant-quality mode with its own adaptive
quantisation switched on, here at no strength.

x265 makes 1 to 2 % smaller files of full-range planes than of the limited
range, and the stream says so. The note of 2,314
bytes in which x265 lists its options is left out: no decoder needs it, and at
0.2 bits a pixel it would be a quarter of a 768x512 file, worth 1 dB.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from roijax.evaluation import ffmpeg
from roijax.metrics.psnr import region

BLOCK = 16
# A quantiser step doubles every 6: the background's squared error may be 16
# times the region's. ffmpeg wants it as a share of the 51 steps.
ROI_OFFSET = -12
PRESET = "slower"
PARAMETERS = (
  "aq-mode=1:aq-strength=0.01:keyint=1:psy-rd=0:psy-rdoq=0:qg-size=16"
  ":info=0:range=full:colormatrix=smpte170m:log-level=error"
)


class Rectangle(NamedTuple):
  """Pixels, from the upper left corner."""

  x: int
  y: int
  width: int
  height: int


def cover(mask: np.ndarray) -> list[Rectangle]:
  """Covers a mask with whole blocks, one rectangle a run in a row of blocks.

  Args:
    mask: bool [H, W].

  Returns:
    Rectangles that do not overlap and hold exactly the 16x16 blocks in which
    the mask has a pixel, cut off at the photo's edges.
  """
  height, width = mask.shape
  rectangles = []
  for y in range(0, height, BLOCK):
    columns = mask[y : y + BLOCK].any(0)
    starts = np.arange(0, width, BLOCK)
    touched = np.logical_or.reduceat(columns, starts)
    # Where a run of blocks begins, and where it ends.
    edges = np.flatnonzero(np.diff(touched, prepend=False, append=False))
    for first, end in edges.reshape(-1, 2).tolist():
      left, right = first * BLOCK, min(end * BLOCK, width)
      bottom = min(y + BLOCK, height)
      rectangles.append(Rectangle(left, y, right - left, bottom - y))
  return rectangles


def encode(
  image: np.ndarray,
  roi: np.ndarray | None,
  crf: float,
  *,
  preset: str = PRESET,
) -> bytes:
  """Codes a photo as a raw HEVC stream, 4:4:4, one frame.

  Args:
    image: uint8 [H, W, 3].
    roi: the map [H, W]; its region gets a quantiser offset of -12. None, or
      an empty region, for an ordinary coding.
    crf: x265's constant rate factor; more is a smaller file.
    preset: x265's.

  Raises:
    RoijaxError: ffmpeg is missing or fails.
  """
  height, width = image.shape[:2]
  rectangles = [] if roi is None else cover(region(roi))
  return ffmpeg.run(
    *("-f", "rawvideo", "-pix_fmt", "yuv444p", "-s", f"{width}x{height}"),
    *("-i", "-", "-frames:v", "1", *_filters(rectangles)),
    *("-c:v", "libx265", "-preset", preset, "-pix_fmt", "yuv444p"),
    *("-crf", f"{crf:g}", "-x265-params", PARAMETERS, "-f", "hevc", "-"),
    data=ffmpeg.to_planes(image).tobytes(),
  )


def decode(data: bytes) -> np.ndarray:
  """Decodes a stream of `encode` to uint8 [H, W, 3].

  Raises:
    RoijaxError: ffmpeg is missing or cannot decode it.
  """
  # YUV4MPEG tells the size, which bare planes would not; strict -1 lets the
  # full range pass as it is.
  output = ffmpeg.run(
    *("-f", "hevc", "-i", "-", "-frames:v", "1"),
    *("-f", "yuv4mpegpipe", "-strict", "-1", "-"),
    data=data,
  )
  return ffmpeg.to_rgb(ffmpeg.read_planes(output))


def _filters(rectangles: Sequence[Rectangle]) -> list[str]:
  if not rectangles:
    return []
  share = ROI_OFFSET / 51
  return [
    "-vf",
    ",".join(
      f"addroi=x={x}:y={y}:w={width}:h={height}:qoffset={share:.4f}"
      for x, y, width, height in rectangles
    ),
  ]
