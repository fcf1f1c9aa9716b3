"""What does an encoder gain by taking its time? Real files, every effort.

    python -m benchmarks.effort --photos=folder:KODAK --roi=center

The same photos at the same qualities with every `--effort`: rates, decibels,
BD-rate against effort 0, and seconds of encoding and decoding (medians; the
first call of each size, which compiles, apart). `--out` gets a row a photo,
effort and quality; what lies there already, of the same weights, qualities and
region, is not done again.
"""

import argparse
import csv
import pathlib
import sys

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks import kept, photos
from benchmarks.claims.report import write_rows
from roijax.cli import exit_code
from roijax.codec import Codec
from roijax.efforts import EFFORTS
from roijax.evaluation.rate_distortion import evaluate
from roijax.metrics.bd_rate import bd_rate

KEYS = (
  *("name", "quality", "bpp", "psnr", "psnr_roi", "psnr_bg", "psnr_weighted"),
  *("encode_s", "decode_s", "first_call"),
)
FIGURES = ("psnr_weighted", "psnr_roi", "psnr_bg", "psnr")


def _read(path: pathlib.Path) -> list[dict]:
  if not path.exists():
    return []
  texts = ("name",)
  with path.open() as file:
    return [
      {
        key: value if key in texts else float(value)
        for key, value in line.items()
      }
      for line in csv.DictReader(file)
    ]


def _measure(codec, photo, qualities, efforts, done, rows) -> None:
  for effort in efforts:
    if (photo["name"], effort) in done:
      continue
    found = evaluate(codec, [photo], qualities=qualities, effort=effort)
    for row in found:
      # Without a region every figure is the whole's.
      own = {key: row.get(key) for key in KEYS}
      for key in FIGURES:
        own[key] = row["psnr"] if own[key] is None else own[key]
      own["first_call"] = float(row["first_call"])
      rows.append({"effort": float(effort), **own})


def _means(rows, effort: int, key: str) -> np.ndarray:
  """A figure at each quality."""
  own = [row for row in rows if row["effort"] == effort]
  qualities = sorted({row["quality"] for row in own})
  return np.array(
    [
      np.mean([row[key] for row in own if row["quality"] == quality])
      for quality in qualities
    ]
  )


def _median_seconds(rows, effort: int, key: str) -> float:
  own = [row for row in rows if row["effort"] == effort]
  warm = [row[key] for row in own if not row["first_call"]]
  return float(np.median(warm or [row[key] for row in own]))


def print_table(rows, title: str) -> None:
  """A line for each effort and quality, and one for each effort's gain."""
  table = Table(title=title)
  for name in ("effort", "steps", "bpp", "weighted dB", "ROI", "background"):
    table.add_column(name, justify="right")
  for name in ("BD-rate: weighted", "ROI", "background", "whole"):
    table.add_column(name, justify="right")
  for name in ("encode s", "decode s"):
    table.add_column(name, justify="right")
  for effort in sorted({int(row["effort"]) for row in rows}):
    figures = {key: _means(rows, effort, key) for key in ("bpp", *FIGURES)}
    gains = [
      f"{_gain(rows, effort, key):+.1f} %" if effort else "" for key in FIGURES
    ]
    table.add_row(
      str(effort),
      str(EFFORTS[effort]),
      *(
        " ".join(f"{value:.{digits}f}" for value in figures[key])
        for key, digits in zip(("bpp", *FIGURES[:3]), (3, 2, 2, 2), strict=True)
      ),
      *gains,
      f"{_median_seconds(rows, effort, 'encode_s'):.2f}",
      f"{_median_seconds(rows, effort, 'decode_s'):.2f}",
    )
  Console(width=180).print(table)


def _gain(rows, effort: int, key: str) -> float:
  # Photos that this effort has not seen do not count.
  names = {row["name"] for row in rows if row["effort"] == effort}
  own = [row for row in rows if row["name"] in names]
  curves = [
    _means(own, level, figure)
    for level in (0, effort)
    for figure in ("bpp", key)
  ]
  return bd_rate(*curves)


def _efforts(text: str) -> list[int]:
  levels = [str(level) for level in range(len(EFFORTS))]
  parts = text.split(",")
  if not set(parts) <= set(levels):
    raise argparse.ArgumentTypeError(
      f"{text!r} are not efforts such as {','.join(levels)}"
    )
  return [int(part) for part in parts]


def main() -> None:
  """Codes and measures what the table lacks; prints it."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--checkpoint", default=None)
  photos.add_options(parser)
  parser.set_defaults(roi="center", limit=24)
  parser.add_argument("--efforts", type=_efforts, default="0,1,2,3")
  parser.add_argument("--qualities", type=photos.numbers, default="0,2,4,6")
  parser.add_argument("--out", default="runs/effort/rows.csv")
  arguments = parser.parse_args()
  path = pathlib.Path(arguments.out)
  codec = Codec.load(arguments.checkpoint)
  settings = {
    "weights": codec.weights.fingerprint.hex(),
    "photos": arguments.photos,
    "region": arguments.roi,
    "qualities": arguments.qualities,
  }
  kept.hold_to(path, settings)
  rows = _read(path)
  done = {(row["name"], int(row["effort"])) for row in rows}
  count = 0
  for photo in photos.read(arguments):
    _measure(codec, photo, arguments.qualities, arguments.efforts, done, rows)
    write_rows(path, rows)
    count += 1
  title = (
    f"{count} photos, region {arguments.roi}, qualities {arguments.qualities}"
  )
  print_table(rows, title)
  print(f"rows: {path}")


if __name__ == "__main__":
  sys.exit(exit_code(main))
