"""VVC stills through ffmpeg's VVenC.

VVenC takes 4:2:0 in 10 bits alone: colours are halved on the way in and
enlarged on the way out, by ffmpeg. Its perceptual tuning is off: it is measured
in PSNR.
"""

import numpy as np

from roijax.evaluation import ffmpeg

PRESET = "medium"
_SCALE = (
  *("-sws_flags", "lanczos+accurate_rnd+full_chroma_int"),
  *("-vf", "scale=in_range=pc:out_range=pc"),
)


def encode(image: np.ndarray, qp: float, *, preset: str = PRESET) -> bytes:
  """Codes a photo as a raw VVC stream, one frame.

  Args:
    image: uint8 [H, W, 3].
    qp: the quantiser; more is a smaller file.
    preset: VVenC's.

  Raises:
    RoijaxError: ffmpeg is missing or fails.
  """
  height, width = image.shape[:2]
  # The stream knows even sides only; `decode` cuts what is repeated here.
  padded = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), "edge")
  sides = f"{width + width % 2}x{height + height % 2}"
  stream = ffmpeg.run(
    *("-f", "rawvideo", "-pix_fmt", "yuv444p", "-color_range", "pc"),
    *("-s", sides, "-i", "-", "-frames:v", "1", *_SCALE),
    *("-c:v", "libvvenc", "-pix_fmt", "yuv420p10le", "-preset", preset),
    *("-qp", f"{qp:g}", "-qpa", "0", "-f", "vvc", "-"),
    data=ffmpeg.to_planes(padded).tobytes(),
  )
  return bytes([height % 2 + 2 * (width % 2)]) + stream


def decode(data: bytes) -> np.ndarray:
  """Decodes what `encode` gave to uint8 [H, W, 3].

  Raises:
    RoijaxError: ffmpeg is missing or cannot decode it.
  """
  odd, stream = data[0], data[1:]
  output = ffmpeg.run(
    *("-f", "vvc", "-i", "-", "-frames:v", "1", *_SCALE),
    *("-pix_fmt", "yuv444p10le", "-f", "yuv4mpegpipe", "-strict", "-1", "-"),
    data=stream,
  )
  planes = ffmpeg.read_planes(output, "<u2") / 4
  rows, columns = planes.shape[1] - odd % 2, planes.shape[2] - odd // 2
  return ffmpeg.to_rgb(planes[:, :rows, :columns])
