"""What the background level does: one checkpoint, several levels.

    python -m benchmarks.background --checkpoint=RUN --data_dir=data_dir

A pixel outside the region is seen by the encoder as the level sigma, and its
error weighs sigma squared (customizable ROI). SwinROI weighs pixels by
exp(omega m), of which only the ratio matters beside the quality: `--omegas`
gives levels as exp(-omega / 2). Photos of COCO with their objects as the region
are coded with each level at several qualities, as real files; PSNR inside the
region, outside it, and weighted (the background counts 1/16) is read off at
equal bits a pixel.
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
from roijax.errors import ConfigError
from roijax.evaluation.figures import (
  BLUE,
  COLOURS,
  dress,
  make_figure,
  write_figure,
)
from roijax.metrics.psnr import psnr_bg, psnr_roi, psnr_weighted, region

LEVELS = "1,0.5,0.25,0.1,0.05,0.01"
# Photos that are nearly all region, or have nearly none, show nothing.
SHARES = (0.02, 0.8)
PANELS = {
  "ROI": "Region of interest",
  "background": "Background",
  "weighted": "Weighted, background 1/16",
}


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


def measure(codec: Codec, photo, sigma: float, quality: float) -> list[float]:
  """Bits a pixel, and decibels inside the region, outside and weighted."""
  image, roi = photo["image"], (photo["roi"] >= 0.5).astype(np.float32)
  data = codec.compress(image, roi, quality=quality, background=sigma)
  back = codec.decompress(data)
  pixels = image.shape[0] * image.shape[1]
  inside, outside = psnr_roi(image, back, roi), psnr_bg(image, back, roi)
  assert inside is not None and outside is not None
  weighted = psnr_weighted(image, back, roi)
  return [8 * len(data) / pixels, inside, outside, weighted]


def read_off(curve: np.ndarray, rates: Sequence[float]) -> np.ndarray:
  """Decibels [rates, 3] of a curve [qualities, 4] at some bits a pixel."""
  place = np.log([*rates])
  columns = [
    np.interp(place, np.log(curve[:, 0]), curve[:, i], np.nan, np.nan)
    for i in range(1, curve.shape[1])
  ]
  return np.stack(columns, axis=1)


def draw(path: pathlib.Path, curves: dict[str, np.ndarray]) -> None:
  """PSNR over bits a pixel, a panel a region, a line a level."""
  figure = make_figure(13, 4)
  panels = figure.subplots(1, len(PANELS))
  colours = (BLUE, *COLOURS, "0.3", "0.6")
  for column, (axes, title) in enumerate(
    zip(panels, PANELS.values(), strict=True), 1
  ):
    dress(axes, title, "PSNR, dB")
    axes.set_xlabel("bits a pixel")
    axes.set_xscale("log")
    for axis in (
      axes.xaxis.set_major_formatter,
      axes.xaxis.set_minor_formatter,
    ):
      axis(lambda rate, _: f"{rate:.2g}")
    for (name, curve), colour in zip(curves.items(), colours, strict=False):
      axes.plot(
        curve[:, 0], curve[:, column], marker="o", color=colour, label=name
      )
  panels[0].legend(frameon=False)
  write_figure(path, figure)


def print_table(curves: dict[str, np.ndarray], rates: Sequence[float]) -> None:
  """Decibels at equal bits, a line a level."""
  table = Table("background level")
  for rate in rates:
    for name in PANELS:
      table.add_column(f"{name} dB, {rate:g} bpp", justify="right")
  for name, curve in curves.items():
    found = read_off(curve, rates).ravel()
    table.add_row(name, *(f"{value:.2f}" for value in found))
  Console(width=150).print(table)


def parse_levels(levels: str, omegas: str | None) -> dict[str, float]:
  """Levels by what the plot calls them.

  Raises:
    ConfigError: a level does not lie in (0, 1].
  """
  if omegas is not None:
    found = {f"omega {n:g}": level(n) for n in _numbers("omegas", omegas)}
  else:
    found = {f"{n:g}": n for n in _numbers("levels", levels)}
  for name, value in found.items():
    if not 0 < value <= 1:
      raise ConfigError(f"background level {name} does not lie in (0, 1]")
  return found


def _numbers(option: str, text: str) -> list[float]:
  try:
    return [float(number) for number in text.split(",")]
  except ValueError as error:
    raise ConfigError(
      f"--{option}: {text!r} is not a list of numbers such as 0.5,1"
    ) from error


def main() -> None:
  """Measures, prints the table, draws the plot."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--checkpoint", required=True)
  parser.add_argument("--photos", default="coco_roi:val")
  parser.add_argument("--data_dir", default=None)
  parser.add_argument("--limit", type=int, default=10)
  parser.add_argument("--levels", default=LEVELS)
  parser.add_argument("--omegas", default=None, help="in place of levels")
  parser.add_argument("--qualities", default="1,3,5,7")
  parser.add_argument("--rates", default="0.45,0.6")
  parser.add_argument("--out", default="runs/background.png")
  arguments = parser.parse_args()
  levels = parse_levels(arguments.levels, arguments.omegas)
  qualities = _numbers("qualities", arguments.qualities)
  rates = _numbers("rates", arguments.rates)
  codec = Codec.load(arguments.checkpoint)
  source = open_source(arguments.photos, arguments.data_dir)
  photos = choose_photos(source, arguments.limit)
  curves = {}
  with Progress() as progress:
    task = progress.add_task(
      "coding", total=len(levels) * len(qualities) * len(photos)
    )
    for name, sigma in levels.items():
      curve = []
      for quality in qualities:
        points = []
        for photo in photos:
          points.append(measure(codec, photo, sigma, quality))
          progress.advance(task)
        curve.append(np.mean(points, axis=0))
      curves[name] = np.array(curve)
  print_table(curves, rates)
  print(f"{len(photos)} photos, {codec.weights.system}")
  path = pathlib.Path(arguments.out)
  draw(path, curves)
  print(path)


if __name__ == "__main__":
  sys.exit(exit_code(main))
