"""Does the mask steer the bits? Each half of a photo as the region, in turn.

    python -m benchmarks.regions --photos=folder:KODAK --limit=24

A photo is coded three times with one checkpoint at equal bytes (within 3 %):
the region on its left half, on its right half, and nowhere. Each half is
compared with itself: as the region, as the background, and in an ordinary
coding. `--roi all` and `--roi none` must be the same file.
"""

import argparse
import dataclasses
import pathlib
import sys

import numpy as np
from rich.console import Console
from rich.table import Table

from roijax.cli import exit_code
from roijax.codec import Codec
from roijax.data.sources import open_source
from roijax.evaluation.rate_distortion import match_bytes
from roijax.files import write_whole
from roijax.metrics.psnr import psnr_roi
from roijax.roi.spec import parse_roi

TOLERANCE = 0.03


@dataclasses.dataclass
class Row:
  """Decibels in each half, by what the half was."""

  name: str
  bytes: int
  largest_gap: float
  left_as_roi: float
  left_as_background: float
  left_plain: float
  right_as_roi: float
  right_as_background: float
  right_plain: float
  all_equals_none: bool

  @property
  def gains(self) -> tuple[float, float]:
    """What each half gains over an ordinary coding."""
    return (
      self.left_as_roi - self.left_plain,
      self.right_as_roi - self.right_plain,
    )


def measure(codec: Codec, photo, quality: float) -> Row:
  """Codes one photo left, right and plain, at the left's bytes."""
  image = photo["image"]
  size = image.shape[:2]
  left = np.zeros(size, np.float32)
  left[:, : size[1] // 2] = 1
  right = 1 - left
  anchor = codec.compress(image, left, quality=quality)
  _, other = match_bytes(
    codec, image, right, len(anchor), tolerance=TOLERANCE / 2
  )
  _, plain = match_bytes(
    codec, image, None, len(anchor), tolerance=TOLERANCE / 2
  )
  decoded = [codec.decompress(data) for data in (anchor, other, plain)]
  gap = max(abs(len(data) / len(anchor) - 1) for data in (other, plain))
  everywhere = parse_roi("all", size)
  nowhere = parse_roi("none", size)
  same = codec.compress(image, everywhere) == codec.compress(image, nowhere)
  in_left = [psnr_roi(image, x_hat, left) for x_hat in decoded]
  in_right = [psnr_roi(image, x_hat, right) for x_hat in decoded]
  return Row(
    photo["name"],
    len(anchor),
    gap,
    *(in_left[0], in_left[1], in_left[2]),
    *(in_right[1], in_right[0], in_right[2]),
    same,
  )


def main() -> None:
  """Measures photo by photo; prints and saves the table."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--checkpoint", help="the default weights if absent")
  parser.add_argument("--photos", required=True)
  parser.add_argument("--data_dir", default=None)
  parser.add_argument("--limit", type=int, default=10)
  parser.add_argument("--quality", type=float, default=4.0)
  parser.add_argument("--gain", type=float, default=1.0, help="dB to count")
  parser.add_argument("--out", default="runs/regions.csv")
  arguments = parser.parse_args()
  codec = Codec.load(arguments.checkpoint)
  photos = open_source(arguments.photos, arguments.data_dir)
  rows = [
    measure(codec, photos[index], arguments.quality)
    for index in range(min(arguments.limit, len(photos)))
  ]
  fields = [field.name for field in dataclasses.fields(Row)]
  table = Table("photo", "bytes", "gap")
  for title in ("roi", "background", "plain", "gain"):
    table.add_column(f"left {title}", justify="right")
  for title in ("roi", "background", "plain", "gain"):
    table.add_column(f"right {title}", justify="right")
  for row in rows:
    gains = row.gains
    table.add_row(
      row.name,
      str(row.bytes),
      f"{row.largest_gap:.1%}",
      *(
        f"{value:.2f}"
        for value in (
          row.left_as_roi,
          row.left_as_background,
          row.left_plain,
          gains[0],
          row.right_as_roi,
          row.right_as_background,
          row.right_plain,
          gains[1],
        )
      ),
    )
  Console(width=140).print(table)
  enough = sum(min(row.gains) >= arguments.gain for row in rows)
  same = sum(row.all_equals_none for row in rows)
  least = f"{arguments.gain:g} dB"
  print(f"both halves gain at least {least}: {enough} of {len(rows)} photos")
  print(f"--roi all and --roi none are one file: {same} of {len(rows)}")
  lines = [",".join(fields)] + [
    ",".join(str(value) for value in dataclasses.astuple(row)) for row in rows
  ]
  write_whole(pathlib.Path(arguments.out), "\n".join(lines).encode() + b"\n")


if __name__ == "__main__":
  sys.exit(exit_code(main))
