"""HEVC stills through ffmpeg's x265, with and without a region of interest.

The region goes in by ffmpeg's `addroi` filter, one rectangle for each run of
the mask in each row of 16x16 blocks, the size in which x265 varies its
quantiser. x265 obeys it only in constant-quality mode with its own adaptive
quantisation switched on, here at no strength.

ffmpeg sees planes, never RGB: its own conversion shifts colours by up to a
level. The planes are full-range BT.601, of which x265 makes 1 to 2 % smaller
files than of the limited range, and the stream says so. The note of 2,314
bytes in which x265 lists its options is left out: no decoder needs it, and at
0.2 bits a pixel it would be a quarter of a 768x512 file, worth 1 dB.
"""

import subprocess
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from roijax.errors import RoijaxError
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
MISSING = "HEVC needs ffmpeg: pip install 'roijax[rivals]'"

_TO_PLANES = np.array(
  [
    [0.299, 0.587, 0.114],
    [-0.299 / 1.772, -0.587 / 1.772, 0.5],
    [0.5, -0.587 / 1.402, -0.114 / 1.402],
  ]
)
_CENTER = np.array([0.0, 128.0, 128.0])


class Rectangle(NamedTuple):
  """Pixels, from the upper left corner."""

  x: int
  y: int
  width: int
  height: int


def find_ffmpeg() -> str:
  """The path of the ffmpeg that imageio-ffmpeg ships.

  Raises:
    RoijaxError: it is not installed.
  """
  try:
    import imageio_ffmpeg

    return imageio_ffmpeg.get_ffmpeg_exe()
  except (ImportError, RuntimeError) as error:
    raise RoijaxError(MISSING) from error


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
  return _run(
    *("-f", "rawvideo", "-pix_fmt", "yuv444p", "-s", f"{width}x{height}"),
    *("-i", "-", "-frames:v", "1", *_filters(rectangles)),
    *("-c:v", "libx265", "-preset", preset, "-pix_fmt", "yuv444p"),
    *("-crf", f"{crf:g}", "-x265-params", PARAMETERS, "-f", "hevc", "-"),
    data=_to_planes(image).tobytes(),
  )


def decode(data: bytes) -> np.ndarray:
  """Decodes a stream of `encode` to uint8 [H, W, 3].

  Raises:
    RoijaxError: ffmpeg is missing or cannot decode it.
  """
  # YUV4MPEG tells the size, which bare planes would not; strict -1 lets the
  # full range pass as it is.
  output = _run(
    *("-f", "hevc", "-i", "-", "-frames:v", "1"),
    *("-f", "yuv4mpegpipe", "-strict", "-1", "-"),
    data=data,
  )
  header, _, rest = output.partition(b"\n")
  sizes = {field[:1]: field[1:] for field in header.split()[1:]}
  width, height = int(sizes[b"W"]), int(sizes[b"H"])
  _, _, samples = rest.partition(b"\n")
  planes = np.frombuffer(samples, np.uint8).reshape(3, height, width)
  return _to_rgb(planes)


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


def _run(*arguments: str, data: bytes) -> bytes:
  """Runs ffmpeg on `data`; its standard output."""
  done = subprocess.run(
    [find_ffmpeg(), "-hide_banner", "-loglevel", "error", *arguments],
    input=data,
    capture_output=True,
    check=False,
  )
  if done.returncode or not done.stdout:
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    reason = lines[-1].strip() if lines else f"exit code {done.returncode}"
    raise RoijaxError(f"ffmpeg failed: {reason}")
  return done.stdout


def _to_planes(image: np.ndarray) -> np.ndarray:
  """RGB [H, W, 3] to Y, Cb, Cr [3, H, W]."""
  planes = image @ _TO_PLANES.T + _CENTER
  return planes.round().clip(0, 255).astype(np.uint8).transpose(2, 0, 1)


def _to_rgb(planes: np.ndarray) -> np.ndarray:
  image = (planes.transpose(1, 2, 0) - _CENTER) @ np.linalg.inv(_TO_PLANES).T
  return image.round().clip(0, 255).astype(np.uint8)
