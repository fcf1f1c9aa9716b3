"""What should the CPU-sized default be? One thing changed at a time.

    python -m benchmarks.search --data=coco_roi:train+folder:PHOTOS \
      --photos=coco_roi:val --data_dir=data_dir

Every arm trains alone, from a fresh start, for the same CPU seconds
(compilation not counted; the learning rate ends with them), is exported, and
codes crops of photos that no arm trained on into real files: with their
regions, and without. What decides are the loss that was trained for, lmbda
255^2 mse_w + bpp, and the BD-rate against the base (a system's: against GGM).
What lies in the table already (`--out`), of the same seconds and photos, is not
done again.
"""

import argparse
import csv
import dataclasses
import importlib
import pathlib
import sys
import tempfile

import jax
import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks import budget, kept
from benchmarks.allocation import cut_photos
from benchmarks.claims.report import write_rows
from benchmarks.search.arms import ARMS, Arm, know_blind_context
from roijax.cli import exit_code
from roijax.codec import Codec
from roijax.data.sources import open_source
from roijax.evaluation.rate_distortion import evaluate, training_loss
from roijax.metrics.bd_rate import bd_rate
from roijax.programs import use_compilation_cache
from roijax.training.export import export_model

QUALITIES = (0.0, 2.0, 4.0, 6.0)
KINDS = {"psnr_weighted": "region", "psnr": "all"}


@dataclasses.dataclass(frozen=True)
class Row:
  """One arm; curves are lists of a figure at each of `QUALITIES`."""

  arm: str
  parameters: int
  steps: int
  cpu_seconds: float
  loss_region: float
  loss_all: float
  encode_s: float
  decode_s: float
  bpp_region: str
  psnr_region: str
  bpp_all: str
  psnr_all: str


def _configure(arm: Arm):
  config = importlib.import_module(f"configs.{arm.config}").get_config("small")
  budget.change(config, arm.settings)
  config.seed = arm.seed
  # An average over a thousand steps would remember the start.
  config.train.ema_decay = 0.99
  return config


def _measure(name, config, trained: budget.Trained, photos) -> Row:
  with tempfile.TemporaryDirectory() as folder:
    export_model(folder, config, trained.params)
    codec = Codec.load(folder)
  figures, seconds = {}, []
  for metric, kind in KINDS.items():
    own = [
      {**photo, "roi": photo["roi"] if kind == "region" else None}
      for photo in photos
    ]
    rows = evaluate(codec, own, qualities=QUALITIES)
    # All photos weigh alike without a region: the whole is the region.
    whole = [
      {**photo, "roi": np.ones(photo["image"].shape[:2], np.float32)}
      for photo in photos
    ]
    figures[f"loss_{kind}"] = training_loss(
      rows, photos if kind == "region" else whole, config.model.lmbdas
    )
    for figure, key in (("bpp", "bpp"), ("psnr", metric)):
      means = [
        np.mean([row[key] for row in rows if row["quality"] == quality])
        for quality in QUALITIES
      ]
      figures[f"{figure}_{kind}"] = " ".join(f"{mean:.4f}" for mean in means)
    seconds += [row for row in rows if not row["first_call"]]
  return Row(
    arm=name,
    parameters=sum(leaf.size for leaf in jax.tree.leaves(trained.params)),
    steps=trained.steps,
    cpu_seconds=trained.seconds,
    encode_s=float(np.median([row["encode_s"] for row in seconds])),
    decode_s=float(np.median([row["decode_s"] for row in seconds])),
    **figures,
  )


def _read(path: pathlib.Path) -> list[Row]:
  if not path.exists():
    return []
  kinds = {field.name: field.type for field in dataclasses.fields(Row)}
  with path.open() as file:
    return [
      Row(**{key: kinds[key](value) for key, value in line.items()})
      for line in csv.DictReader(file)
    ]


def _curve(text: str) -> np.ndarray:
  return np.array([float(part) for part in text.split()])


def compare(row: Row, base: Row, kind: str) -> float:
  """BD-rate of an arm against another, in percent.

  Args:
    row: the arm.
    base: the other.
    kind: "region" or "all".
  """
  curves = [
    _curve(getattr(one, f"{figure}_{kind}"))
    for one in (base, row)
    for figure in ("bpp", "psnr")
  ]
  return bd_rate(*curves)


def print_table(rows: list[Row], seconds: float, photos: int) -> None:
  """A section for each decision."""
  table = Table(
    title=f"{seconds:g} CPU seconds each; real files of {photos} crops"
  )
  for name in ("arm", "parameters", "steps", "loss, region", "loss, all"):
    table.add_column(name, justify="left" if name == "arm" else "right")
  for name in ("BD-rate, region", "BD-rate, all", "encode s", "decode s"):
    table.add_column(name, justify="right")
  by_name = {row.arm: row for row in rows}
  group = None
  for name, arm in ARMS.items():
    row = by_name.get(name)
    if row is None:
      continue
    if arm.group != group:
      table.add_section()
      group = arm.group
    rates = ["", ""]
    base = by_name.get(arm.reference)
    if base is not None and row is not base:
      rates = [f"{compare(row, base, kind):+.1f} %" for kind in KINDS.values()]
    table.add_row(
      name,
      f"{row.parameters:,}",
      str(row.steps),
      f"{row.loss_region:.4f}",
      f"{row.loss_all:.4f}",
      *rates,
      f"{row.encode_s:.3f}",
      f"{row.decode_s:.3f}",
    )
  Console(width=130).print(table)


def main() -> None:
  """Trains and measures what the table lacks; prints and saves it."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--seconds", type=float, default=150)
  parser.add_argument("--data", default="sample:train")
  parser.add_argument("--data_dir", default=None)
  parser.add_argument("--photos", default="sample:val")
  parser.add_argument("--limit", type=int, default=16, help="crops to code")
  parser.add_argument("--only", default="", help="part of an arm's name")
  parser.add_argument("--out", default="runs/search/arms.csv")
  arguments = parser.parse_args()
  use_compilation_cache()
  know_blind_context()
  source = open_source(arguments.data, arguments.data_dir)
  held_out = open_source(arguments.photos, arguments.data_dir)
  photos = cut_photos(held_out, arguments.limit)
  path = pathlib.Path(arguments.out)
  settings = {
    "seconds": arguments.seconds,
    "data": arguments.data,
    "photos": arguments.photos,
    "crops": len(photos),
  }
  kept.hold_to(path, settings)
  rows = _read(path)
  known = {row.arm for row in rows}
  with Progress() as progress:
    for name, arm in ARMS.items():
      if name in known or arguments.only not in name:
        continue
      task = progress.add_task(name, total=arguments.seconds)
      config = _configure(arm)
      trained = budget.train(
        config,
        source,
        arguments.seconds,
        parts=arm.parts,
        frozen=arm.frozen,
        show=lambda spent, task=task: progress.update(task, completed=spent),
      )
      rows.append(_measure(name, config, trained, photos))
      write_rows(path, rows)
  print_table(rows, arguments.seconds, len(photos))
  print(f"the table: {path}")


if __name__ == "__main__":
  sys.exit(exit_code(main))
