"""Does more quality, and more background, give more? On every photo.

    python -m benchmarks.monotone --photos=folder:KODAK --roi=center

Each photo is coded as real files at each quality, then at each background
level at the middle quality. From one setting to the next bytes must grow, and
with them the weighted PSNR (qualities), or the background's (levels). Prints
how many steps do not, and the worst of them; the exit code is 1 where any does.
"""

import argparse
import sys

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks import photos
from roijax.cli import exit_code
from roijax.codec import Codec
from roijax.coding.container import DEFAULT_BACKGROUND
from roijax.errors import ConfigError
from roijax.metrics.psnr import psnr_bg, psnr_weighted, region

QUALITIES = "0,1,2,3,4,5,6,7"
LEVELS = "0.05,0.1,0.25,0.5,1"


def measure(codec: Codec, photo, quality: float, level: float) -> list[float]:
  """Bytes of a file, and its weighted and background PSNR."""
  image, roi = photo["image"], photo["roi"]
  data = codec.compress(image, roi, quality=quality, background=level)
  back = codec.decompress(data)
  background = psnr_bg(image, back, roi)
  assert background is not None
  return [len(data), psnr_weighted(image, back, roi), background]


def find_falls(figures: np.ndarray) -> np.ndarray:
  """The changes that are not above zero, of [photos, settings]."""
  steps = np.diff(figures, axis=1)
  return steps[steps <= 0]


def print_table(sweeps: dict[str, np.ndarray], photos: int) -> int:
  """A line for each figure that must grow; gives how many steps do not."""
  table = Table(title=f"{photos} photos, one setting to the next")
  table.add_column("what must grow")
  for name in ("steps", "that do not", "worst"):
    table.add_column(name, justify="right")
  total = 0
  for name, figures in sweeps.items():
    falls = find_falls(figures)
    total += falls.size
    worst = f"{falls.min():.3g}" if falls.size else ""
    steps = figures.shape[0] * (figures.shape[1] - 1)
    table.add_row(name, str(steps), str(falls.size), worst)
  Console().print(table)
  return total


def main() -> int:
  """Codes, compares, prints."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  photos.add_options(parser)
  parser.add_argument("--checkpoint", default=None)
  parser.add_argument("--qualities", type=photos.numbers, default=QUALITIES)
  parser.add_argument("--levels", type=photos.numbers, default=LEVELS)
  arguments = parser.parse_args()
  codec = Codec.load(arguments.checkpoint)
  qualities: list[list] = []
  levels: list[list] = []
  for photo in photos.read(arguments):
    roi = photo["roi"]
    # Photos with one region alone have nothing to weigh.
    if roi is not None and region(roi).any() and not region(roi).all():
      qualities.append(
        [
          measure(codec, photo, each, DEFAULT_BACKGROUND)
          for each in arguments.qualities
        ]
      )
      middle = codec.default_quality
      levels.append(
        [measure(codec, photo, middle, each) for each in arguments.levels]
      )
  if not qualities:
    raise ConfigError("no photo has a region: name one with --roi")
  by_quality, by_level = np.array(qualities), np.array(levels)
  return int(
    print_table(
      {
        "quality: bytes": by_quality[..., 0],
        "quality: weighted PSNR": by_quality[..., 1],
        "background: bytes": by_level[..., 0],
        "background: PSNR of the background": by_level[..., 2],
      },
      len(qualities),
    )
    > 0
  )


if __name__ == "__main__":
  sys.exit(exit_code(main))
