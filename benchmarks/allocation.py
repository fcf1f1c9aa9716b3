"""Explicit against implicit bit allocation, one decoder against two.

    python -m benchmarks.allocation --data_dir=data_dir \
      --data=coco_roi:train --photos=coco_roi:val

The claim (arXiv 2511.08918): to multiply latents by the mask before they are
quantised spoils what the entropy model sees, and an encoder that is told of
the mask, with a decoder for each region, does better. Every arm is system B
with other switches. All start from one trunk, which knows no regions: it takes
what fits of `--weights`, and trains for `--seconds` with every map uniform and
every level of the background 1. Then each arm trains for `--seconds` of CPU
time, its own compilation left out, on the same crops in the same order, once a
seed; the averaged parameters count.

Held-out photos, the middle 256x256 pixels, are coded as real files at a
background level of 0.25. Kurtosis (a Gaussian has 3) and fitted shape (2) are
medians over channels: of y, and of what the arm's own entropy model leaves of
it, (y - mean) / deviation, where the deviation is at least 0.3.
"""

import argparse
import dataclasses
import pathlib
import sys

import numpy as np
from ml_collections import ConfigDict
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks import budget
from benchmarks.background import read_off
from benchmarks.claims.latents import draw_held_out_latents, open_frozen
from benchmarks.claims.refit import FITTED, Refit
from benchmarks.claims.report import write_rows
from benchmarks.claims.sharpness import ACTIVE, summarise
from configs.implicit import get_config
from roijax.cli import exit_code
from roijax.codec import Codec
from roijax.data.photo import Photo, Source
from roijax.data.sources import open_source
from roijax.evaluation.figures import (
  BLUE,
  COLOURS,
  dress,
  make_figure,
  write_figure,
)
from roijax.evaluation.rate_distortion import evaluate
from roijax.metrics.bd_rate import bd_rate
from roijax.programs import use_compilation_cache
from roijax.training.export import export_model

# The first is what the others are compared with.
ARMS = {
  "explicit, single": {"gating": "explicit", "composite": "none"},
  "explicit, dual": {"gating": "explicit"},
  "implicit, single": {"composite": "none"},
  "implicit, dual": {},
  "dual, no RAA": {"raa": False},
  "dual, no FSCA": {"fsca": False},
}
TRUNK = ARMS["explicit, single"]
CROP = 256
SHAPE_QUALITY = 3.0


@dataclasses.dataclass(frozen=True)
class Point:
  """Means over photos of one arm, seed and quality."""

  arm: str
  seed: int
  quality: float
  bpp: float
  psnr_roi: float
  psnr_bg: float
  psnr_weighted: float


@dataclasses.dataclass(frozen=True)
class Shape:
  """How one arm's latents are distributed; medians over channels."""

  arm: str
  seed: int
  steps: int
  cpu_seconds: float
  kurtosis: float
  shape_roi: float
  shape_bg: float
  left_kurtosis: float
  left_shape_roi: float
  left_shape_bg: float


def make_config(switches: dict, seed: int, arguments) -> ConfigDict:
  """`:small` with an arm's switches and a constant learning rate."""
  config = get_config(arguments.variant)
  config.model.update(switches)
  config.seed = seed
  config.data.source = arguments.data
  config.data.crop = 128
  config.optimizer.schedule = "constant"
  config.optimizer.learning_rate = arguments.learning_rate
  config.optimizer.warmup_steps = 50
  config.train.ema_decay = 0.998
  return config


def cut_photos(source: Source, limit: int) -> list[Photo]:
  """The middle of the first photos that have something of both regions."""
  found = []
  for index in range(len(source)):
    photo = source[index]
    height, width = photo["image"].shape[:2]
    if photo["roi"] is None or min(height, width) < CROP:
      continue
    top, left = (height - CROP) // 2, (width - CROP) // 2
    place = np.s_[top : top + CROP, left : left + CROP]
    roi = photo["roi"][place]
    if 0.05 <= (roi >= 0.5).mean() <= 0.95:
      image = np.ascontiguousarray(photo["image"][place])
      found.append({**photo, "image": image, "roi": roi})
    if len(found) == limit:
      break
  return found


def measure_files(folder, arm: str, seed: int, photos, qualities):
  """Real files of every photo at every quality."""
  rows = evaluate(Codec.load(folder), photos, qualities=qualities)
  points = []
  for quality in qualities:
    own = [row for row in rows if row["quality"] == quality]
    figures = (
      float(np.mean([row[key] for row in own]))
      for key in ("bpp", "psnr_roi", "psnr_bg", "psnr_weighted")
    )
    points.append(Point(arm, seed, quality, *figures))
  return points


def measure_shape(folder, arm: str, seed: int, spent, held_out) -> Shape:
  """Kurtosis and shape of the latents and of what is left of them."""
  frozen = open_frozen(folder)
  latents = draw_held_out_latents(frozen, held_out, qualities=(SHAPE_QUALITY,))
  own = {name: frozen.params[name] for name in FITTED if name in frozen.params}
  charge = Refit(frozen, 1).charge(own, latents)
  left = np.where(
    charge.scale >= ACTIVE, charge.residual / charge.scale, np.nan
  )
  figures = []
  for kind, values in (("y", latents.y), ("left", left)):
    rows = {row.region: row for row in summarise(arm, kind, values, latents)}
    figures += [
      rows["whole"].kurtosis,
      rows["inside"].shape,
      rows["outside"].shape,
    ]
  return Shape(arm, seed, *spent, *figures)


def curves(points, arm: str) -> dict[int, np.ndarray]:
  """[qualities, 4] of each seed: bpp, ROI, background, weighted PSNR."""
  found: dict[int, list] = {}
  for point in points:
    if point.arm == arm:
      row = (point.bpp, point.psnr_roi, point.psnr_bg, point.psnr_weighted)
      found.setdefault(point.seed, []).append(row)
  return {seed: np.array(rows) for seed, rows in found.items()}


def _spread(values, form: str) -> str:
  """The mean of the seeds, and how far they lie from it."""
  values = np.asarray(values, float)
  return f"{values.mean():{form}} ± {np.abs(values - values.mean()).max():.2f}"


def print_table(points, shapes, rate: float, photos: int) -> None:
  """One line an arm."""
  table = Table(
    title=f"{photos} photos, real files; decibels at {rate:g} bpp; the mean of "
    "the seeds ± the largest difference from it"
  )
  for name in (
    *("arm", "steps", "CPU-s", "ROI dB", "background dB"),
    *("weighted BD-rate %", "kurtosis y", "left", "shape y ROI", "bg"),
    *("left ROI", "left bg"),
  ):
    table.add_column(name, justify="right")
  base = curves(points, next(iter(ARMS)))
  for arm in dict.fromkeys(shape.arm for shape in shapes):
    own = curves(points, arm)
    read = np.array([read_off(curve, [rate])[0] for curve in own.values()])
    rates = [
      bd_rate(base[seed][:, 0], base[seed][:, 3], curve[:, 0], curve[:, 3])
      for seed, curve in own.items()
    ]
    mine = [shape for shape in shapes if shape.arm == arm]
    mean = {
      field.name: np.mean([getattr(shape, field.name) for shape in mine])
      for field in dataclasses.fields(Shape)[2:]
    }
    table.add_row(
      arm,
      f"{mean['steps']:.0f}",
      f"{mean['cpu_seconds']:.0f}",
      _spread(read[:, 0], ".2f"),
      _spread(read[:, 1], ".2f"),
      _spread(rates, "+.1f"),
      f"{mean['kurtosis']:.1f}",
      f"{mean['left_kurtosis']:.2f}",
      f"{mean['shape_roi']:.2f}",
      f"{mean['shape_bg']:.2f}",
      f"{mean['left_shape_roi']:.2f}",
      f"{mean['left_shape_bg']:.2f}",
    )
  Console(width=150).print(table)


def draw(path: pathlib.Path, points, shapes) -> None:
  """Both regions' PSNR over the rate, and the latents' shapes."""
  arms = list(dict.fromkeys(shape.arm for shape in shapes))
  figure = make_figure(14, 4.4)
  panels = figure.subplots(1, 4)
  colours = dict(zip(arms, (BLUE, *COLOURS, "0.3", "0.6"), strict=False))
  for axes, column, title in (
    (panels[0], 1, "Region of interest"),
    (panels[1], 2, "Background"),
  ):
    dress(axes, title, "PSNR, dB")
    axes.set_xlabel("bits a pixel")
    for arm in arms:
      mean = np.mean(list(curves(points, arm).values()), axis=0)
      axes.plot(
        mean[:, 0], mean[:, column], ".-", color=colours[arm], label=arm
      )
  panels[0].legend(frameon=False, fontsize=8)
  places = np.arange(len(arms))
  for axes, names, title, unit in (
    (panels[2], ("kurtosis", "left_kurtosis"), "Latents", "kurtosis"),
    (panels[3], ("left_shape_roi", "left_shape_bg"), "What is left", "shape"),
  ):
    dress(axes, title, unit)
    labels = {
      "kurtosis": "y",
      "left_kurtosis": "left by the entropy model",
      "left_shape_roi": "inside",
      "left_shape_bg": "outside",
    }
    for shift, name, colour in zip((-0.2, 0.2), names, COLOURS, strict=False):
      values = [
        np.mean([getattr(shape, name) for shape in shapes if shape.arm == arm])
        for arm in arms
      ]
      axes.barh(
        places + shift, values, height=0.38, color=colour, label=labels[name]
      )
    axes.set_yticks(places, arms, fontsize=8)
    # Room for the legend above the first arm.
    axes.set_ylim(len(arms) - 0.5, -1.2)
    axes.set_xlabel(unit)
    axes.set_ylabel("")
    axes.legend(frameon=False, fontsize=8, ncols=2, loc="upper left")
  write_figure(path, figure)


def main() -> None:
  """Trains the trunk and every arm; prints, saves and draws."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--weights", default="roijax/weights/ggm-small-2.npz")
  parser.add_argument("--variant", default="small")
  parser.add_argument("--data", default="sample:train")
  parser.add_argument("--photos", default="sample:val")
  parser.add_argument("--data_dir", default=None)
  parser.add_argument("--limit", type=int, default=40, help="photos to code")
  parser.add_argument("--seconds", type=float, default=180.0)
  parser.add_argument("--seeds", type=int, default=2)
  parser.add_argument("--learning_rate", type=float, default=5e-4)
  parser.add_argument("--qualities", default="1,2.5,4,5.5")
  parser.add_argument("--rate", type=float, default=0.5, help="of the table")
  parser.add_argument("--out", default="runs/allocation")
  arguments = parser.parse_args()
  use_compilation_cache()
  source = open_source(arguments.data, arguments.data_dir)
  held_out = open_source(arguments.photos, arguments.data_dir)
  photos = cut_photos(held_out, arguments.limit)
  qualities = [float(text) for text in arguments.qualities.split(",")]
  folder = pathlib.Path(arguments.out)
  points, shapes = [], []
  with Progress() as progress:

    def run(name, switches, seed, weights, uniform=False):
      config = make_config(switches, seed, arguments)
      if uniform:
        config.loss.background_low = config.loss.background_high = 1.0
        config.loss.background_extremes = 0.0
      task = progress.add_task(f"{name}, seed {seed}", total=arguments.seconds)
      params, *spent = budget.train(
        config,
        source,
        arguments.seconds,
        start=weights,
        show=lambda done: progress.update(task, completed=done),
      )
      place = folder / name.replace(", ", "-").replace(" ", "-") / str(seed)
      place.mkdir(parents=True, exist_ok=True)
      export_model(place, config, params)
      return place, spent

    trunk, _ = run("trunk", TRUNK, 0, arguments.weights, uniform=True)
    for seed in range(arguments.seeds):
      for arm, switches in ARMS.items():
        place, spent = run(arm, switches, seed, trunk)
        points += measure_files(place, arm, seed, photos, qualities)
        shapes.append(measure_shape(place, arm, seed, spent, held_out))
        write_rows(folder / "points.csv", points)
        write_rows(folder / "shapes.csv", shapes)
  print_table(points, shapes, arguments.rate, len(photos))
  draw(folder / "allocation.png", points, shapes)
  print(f"rows and plot: {folder}")


if __name__ == "__main__":
  sys.exit(exit_code(main))
