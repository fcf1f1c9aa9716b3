"""ffmpeg as a codec of stills: planes in, a stream out, and back.

ffmpeg sees planes, never RGB: its own conversion shifts colours by up to a
level. They are full-range BT.601.
"""

import subprocess

import numpy as np

from roijax.errors import RoijaxError

MISSING = "HEVC and VVC need ffmpeg: pip install 'roijax[rivals]'"

_TO_PLANES = np.array(
  [
    [0.299, 0.587, 0.114],
    [-0.299 / 1.772, -0.587 / 1.772, 0.5],
    [0.5, -0.587 / 1.402, -0.114 / 1.402],
  ]
)
_CENTER = np.array([0.0, 128.0, 128.0])


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


def run(*arguments: str, data: bytes) -> bytes:
  """Runs ffmpeg on `data`; its standard output.

  Raises:
    RoijaxError: ffmpeg is missing or fails.
  """
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


def to_planes(image: np.ndarray) -> np.ndarray:
  """RGB [H, W, 3] to Y, Cb, Cr [3, H, W]."""
  planes = image @ _TO_PLANES.T + _CENTER
  return planes.round().clip(0, 255).astype(np.uint8).transpose(2, 0, 1)


def to_rgb(planes: np.ndarray) -> np.ndarray:
  """Y, Cb, Cr [3, H, W] in [0, 255] to RGB [H, W, 3]."""
  image = (planes.transpose(1, 2, 0) - _CENTER) @ np.linalg.inv(_TO_PLANES).T
  return image.round().clip(0, 255).astype(np.uint8)


def read_planes(output: bytes, dtype: str = "u1") -> np.ndarray:
  """The first frame of YUV4MPEG, 4:4:4 [3, H, W]."""
  header, _, rest = output.partition(b"\n")
  sizes = {field[:1]: field[1:] for field in header.split()[1:]}
  height, width = int(sizes[b"H"]), int(sizes[b"W"])
  _, _, samples = rest.partition(b"\n")
  planes = np.frombuffer(samples, dtype, 3 * height * width)
  return planes.reshape(3, height, width)
