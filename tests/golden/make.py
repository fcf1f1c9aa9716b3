"""Makes the golden files; each is made once, then never again.

  python tests/golden/make.py tiny WORKDIR
  python tests/golden/make.py shipped NAME
  python tests/golden/make.py rounded swin-small-2

WORKDIR is a finished run of `train.py --config=configs/ggm.py:smoke
--config.train.steps=800`; NAME are shipped weights. Whatever changes
afterwards, these files must decode to the symbols whose checksum they hold,
and to pixels within one 8-bit level of the PNGs beside them.
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
from roijax.entropy import grid
from roijax.programs import Programs

FOLDER = pathlib.Path(__file__).parent
WEIGHTS = FOLDER / "tiny-1.npz"


def _pack(plane: np.ndarray) -> bytes:
  stream = io.BytesIO()
  Image.fromarray(plane).save(stream, "PNG")
  return stream.getvalue()


class _Contrary(Programs):
  """Takes the other side at every close call."""

  def tables_at(self, *arguments):
    """See `Programs.tables_at`."""
    mean, indexes, close = super().tables_at(*arguments)
    return mean, np.where(close, indexes ^ 1, indexes), close


def _read_photo() -> np.ndarray:
  # NASA's photo of Eileen Collins, in the public domain.
  return data.astronaut()[:160, 140:310]


def _write(name: str, codec: Codec, image, roi, **settings) -> None:
  path = FOLDER / f"{name}.roij"
  if path.exists():
    raise SystemExit(f"{path} exists: goldens are made once")
  coded = codec.compress(np.ascontiguousarray(image), roi, **settings)
  path.write_bytes(coded)
  Image.fromarray(codec.decompress(coded)).save(path.with_suffix(".png"))


def _make_region(photo: np.ndarray) -> np.ndarray:
  roi = np.zeros(photo.shape[:2], np.float32)
  roi[30:120, 50:120] = 1
  return roi


def make_shipped(name: str) -> None:
  """Writes a file of shipped weights."""
  photo = _read_photo()
  _write(name, Codec.load(name), photo, _make_region(photo), quality=3)


def make_tiny(workdir: str) -> None:
  """Writes the tiny weights and a file for each thing a file can hold."""
  shutil.copy(pathlib.Path(workdir) / "model.npz", WEIGHTS)
  codec = Codec.load(WEIGHTS)
  photo = _read_photo()
  roi = _make_region(photo)
  mask = np.round(roi * 255).astype(np.uint8)
  alpha = np.linspace(0, 255, photo.shape[1]).astype(np.uint8)
  alpha = np.repeat(alpha[None], photo.shape[0], 0)
  icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
  boxes = (
    Box("icc", icc),
    Box("exif", b"MM\0*\0\0\0\x08\0\0\0\0\0\0"),
    Box("alpha", _pack(alpha)),
    Box("mask", _pack(mask)),
  )
  _write("plain", codec, photo, None, quality=1.0)
  _write("region", codec, photo, roi, quality=0.5, background=0.1)
  _write("grey", codec, photo[..., 1][:33, :65], None, quality=0.25)
  _write("boxes", codec, photo, roi, quality=0.0, boxes=boxes)
  wide = np.tile(photo[:70], (1, 7, 1))[:, :1100]
  _write("groups", codec, wide, None, quality=0.0)
  _write("pixel", codec, photo[80:81, 80:81], None, quality=1.0)
  # Tiles of pure colours, for the sake of escapes.
  tiles = np.random.default_rng(0).integers(0, 2, (12, 13, 3), np.uint8) * 255
  tiles = tiles.repeat(8, 0).repeat(8, 1)
  _write("tiles", codec, tiles, None, quality=1.0)
  # Calls that are not close at all, and a machine that takes the other side:
  # whoever does not obey the list decodes noise.
  grid.MARGIN = 0.005
  contrary = Codec.load(WEIGHTS)
  model = contrary.model
  contrary.programs = _Contrary(lambda: model, contrary.weights.params)
  _write("list", contrary, photo, roi, quality=0.5)


def make_rounded(name: str) -> None:
  """Writes a file of shipped weights whose context goes in wavefronts."""
  photo = _read_photo()
  _write("rounded", Codec.load(name), photo, _make_region(photo), quality=3)


if __name__ == "__main__":
  made = {"tiny": make_tiny, "shipped": make_shipped, "rounded": make_rounded}
  made[sys.argv[1]](sys.argv[2])
