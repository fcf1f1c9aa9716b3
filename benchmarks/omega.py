"""Does omega move bits into the region? One checkpoint, several omegas.

    python -m benchmarks.omega --checkpoint=RUN --data_dir=data_dir

SwinROI weighs a pixel by alpha exp(omega m). Only the ratio of region and
background matters beside the quality, so an omega is a background level of
exp(-omega / 2) here, whatever the system. Photos of COCO with their objects
as the region are coded with each omega at several qualities, as real files;
PSNR inside and outside the region is read off at equal bits a pixel.
"""

import argparse
import math
import pathlib
import sys
from collections.abc import Sequence

import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from roijax.cli import exit_code
from roijax.codec import Codec
from roijax.data.sources import open_source
from roijax.evaluation.figures import (
  BLUE,
  COLOURS,
  dress,
  make_figure,
  write_figure,
)
from roijax.metrics.psnr import psnr_bg, psnr_roi, region

OMEGAS = (0.0, 3.0, 5.0, 6.5)
# Photos that are nearly all region, or have nearly none, show nothing.
SHARES = (0.02, 0.8)
PANELS = ("Region of interest", "Background")


def level(omega: float) -> float:
  """The background level that stands for an omega."""
  return math.exp(-omega / 2)


def choose_photos(source, limit: int) -> list:
  """The first photos with something of both regions."""
  found = []
  for index in range(len(source)):
    photo = source[index]
    if photo["roi"] is None:
      continue
    if SHARES[0] <= region(photo["roi"]).mean() <= SHARES[1]:
      found.append(photo)
    if len(found) == limit:
      break
  return found


def measure(codec: Codec, photo, omega: float, quality: float) -> list[float]:
  """Bits a pixel, and decibels inside and outside the region."""
  image, roi = photo["image"], (photo["roi"] >= 0.5).astype(np.float32)
  data = codec.compress(image, roi, quality=quality, background=level(omega))
  back = codec.decompress(data)
  pixels = image.shape[0] * image.shape[1]
  inside, outside = psnr_roi(image, back, roi), psnr_bg(image, back, roi)
  assert inside is not None and outside is not None
  return [8 * len(data) / pixels, inside, outside]


def read_off(curve: np.ndarray, rates: Sequence[float]) -> np.ndarray:
  """Decibels [rates, 2] of a curve [qualities, 3] at some bits a pixel."""
  place = np.log([*rates])
  columns = [
    np.interp(place, np.log(curve[:, 0]), curve[:, i], np.nan, np.nan)
    for i in (1, 2)
  ]
  return np.stack(columns, axis=1)


def draw(path: pathlib.Path, curves: dict[float, np.ndarray]) -> None:
  """Both regions' PSNR over bits a pixel, a line an omega."""
  figure = make_figure(9, 4)
  both = figure.subplots(1, 2)
  for panel, (axes, title) in enumerate(zip(both, PANELS, strict=True)):
    dress(axes, title, "PSNR, dB")
    axes.set_xlabel("bits a pixel")
    axes.set_xscale("log")
    for (omega, curve), colour in zip(
      curves.items(), (BLUE, *COLOURS), strict=False
    ):
      axes.plot(
        curve[:, 0],
        curve[:, 1 + panel],
        marker="o",
        color=colour,
        label=f"omega {omega:g}",
      )
  both[0].legend(frameon=False)
  write_figure(path, figure)


def main() -> None:
  """Measures, prints the table, draws the plot."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--checkpoint", required=True)
  parser.add_argument("--photos", default="coco_roi:val")
  parser.add_argument("--data_dir", default=None)
  parser.add_argument("--limit", type=int, default=20)
  parser.add_argument("--qualities", default="0.5,2,3.5,5,6.5")
  parser.add_argument("--rates", default="0.4,0.5,0.7")
  parser.add_argument("--out", default="runs/omega.png")
  arguments = parser.parse_args()
  codec = Codec.load(arguments.checkpoint)
  source = open_source(arguments.photos, arguments.data_dir)
  photos = choose_photos(source, arguments.limit)
  qualities = [float(text) for text in arguments.qualities.split(",")]
  rates = [float(text) for text in arguments.rates.split(",")]
  curves = {}
  with Progress() as progress:
    task = progress.add_task(
      "coding", total=len(OMEGAS) * len(qualities) * len(photos)
    )
    for omega in OMEGAS:
      curve = []
      for quality in qualities:
        points = []
        for photo in photos:
          points.append(measure(codec, photo, omega, quality))
          progress.advance(task)
        curve.append(np.mean(points, axis=0))
      curves[omega] = np.array(curve)
  table = Table("omega", "background level")
  for rate in rates:
    table.add_column(f"ROI dB at {rate:g} bpp", justify="right")
    table.add_column("background dB", justify="right")
  for omega, curve in curves.items():
    found = read_off(curve, rates).ravel()
    table.add_row(
      f"{omega:g}", f"{level(omega):.3f}", *(f"{value:.2f}" for value in found)
    )
  Console(width=120).print(table)
  print(f"{len(photos)} photos, {codec.weights.system}")
  path = pathlib.Path(arguments.out)
  draw(path, curves)
  print(path)


if __name__ == "__main__":
  sys.exit(exit_code(main))
