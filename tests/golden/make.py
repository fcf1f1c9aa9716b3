"""Makes the golden files; run once a format version, then never again.

  python tests/golden/make.py WORKDIR

WORKDIR is a finished run of `train.py --config=configs/ggm.py:smoke
--config.train.steps=800`. Whatever changes afterwards, these files must
decode to the symbols whose checksum they hold, and to pixels within one 8-bit
level of the PNGs beside them.
"""

import io
import pathlib
import shutil
import sys

import numpy as np
from PIL import Image, ImageCms
from skimage import data

from roijax.codec import Codec
from roijax.coding.boxes import Box

FOLDER = pathlib.Path(__file__).parent
WEIGHTS = FOLDER / "tiny-1.npz"


def _pack(plane: np.ndarray) -> bytes:
  stream = io.BytesIO()
  Image.fromarray(plane).save(stream, "PNG")
  return stream.getvalue()


def main() -> None:
  """Writes the weights, the files and what they decode to."""
  if WEIGHTS.exists():
    raise SystemExit(f"{WEIGHTS} exists: goldens are made once")
  shutil.copy(pathlib.Path(sys.argv[1]) / "model.npz", WEIGHTS)
  codec = Codec.load(WEIGHTS)
  # NASA's photo of Eileen Collins, in the public domain.
  photo = data.astronaut()[:160, 140:310]
  roi = np.zeros(photo.shape[:2], np.float32)
  roi[30:120, 50:120] = 1
  mask = np.round(roi * 255).astype(np.uint8)
  alpha = np.linspace(0, 255, photo.shape[1]).astype(np.uint8)
  alpha = np.repeat(alpha[None], photo.shape[0], 0)
  icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
  wide = np.tile(photo[:70], (1, 7, 1))[:, :1100]
  cases = {
    "plain": (photo, None, {"quality": 1.0}),
    "region": (photo, roi, {"quality": 0.5, "background": 0.1}),
    "grey": (photo[..., 1][:33, :65], None, {"quality": 0.25}),
    "boxes": (
      photo,
      roi,
      {
        "quality": 0.0,
        "boxes": (
          Box("icc", icc),
          Box("exif", b"MM\0*\0\0\0\x08\0\0\0\0\0\0"),
          Box("alpha", _pack(alpha)),
          Box("mask", _pack(mask)),
        ),
      },
    ),
    "groups": (wide, None, {"quality": 0.0}),
    "pixel": (photo[80:81, 80:81], None, {"quality": 1.0}),
  }
  for name, (image, region, settings) in cases.items():
    coded = codec.compress(np.ascontiguousarray(image), region, **settings)
    (FOLDER / f"{name}.roij").write_bytes(coded)
    Image.fromarray(codec.decompress(coded)).save(FOLDER / f"{name}.png")


if __name__ == "__main__":
  main()
