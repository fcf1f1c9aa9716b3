"""What is each prior worth on the same latents? Refits of a frozen codec.

    python -m benchmarks.claims.priors --weights=RUN --data=... --photos=...
    python -m benchmarks.claims.priors --arms=bounds ...
    python -m benchmarks.claims.priors --arms=gradients ...

The codec's transforms stay as they are; hyper-synthesis, context and prior are
fitted anew for every arm, from equal starts, on noisy latents of `--data`, with
several seeds. Held-out photos are then charged for: latents rounded to the
nearest integer, so that every arm pays for the same integers and shows the
same picture. `noise` is the rate of the same latents with noise on, as training
sees it; its distance to the rounded rate is the train-test mismatch.

How much can be had at all is computed beside it; see `ceiling`.
"""

import argparse
import dataclasses
import pathlib

import numpy as np
from rich.progress import Progress

from benchmarks.claims import report
from benchmarks.claims.ceiling import (
  find_fitted_ceiling,
  find_predicted_ceiling,
)
from benchmarks.claims.latents import (
  Frozen,
  Latents,
  draw_held_out_latents,
  draw_training_latents,
  open_frozen,
)
from benchmarks.claims.refit import Refit, rates
from benchmarks.claims.shape_gradient import measure_errors
from roijax.data.sources import open_source
from roijax.programs import use_compilation_cache

# The first arm of a group is what the others are measured against.
ARMS: dict[str, dict[str, dict]] = {
  "priors": {
    "gaussian": {"kind": "gaussian"},
    "laplace": {"kind": "laplace"},
    "GGM-m": {"kind": "ggm_m"},
    "GGM-c": {"kind": "ggm_c"},
    "GGM-e": {"kind": "ggm_e"},
  },
  "bounds": {
    "dynamic": {"kind": "ggm_e", "bound": "dynamic"},
    "std": {"kind": "ggm_e", "bound": "std"},
    "constant": {"kind": "ggm_e", "bound": "constant"},
  },
  "gradients": {
    "exact": {"kind": "ggm_e", "gradient": "exact"},
    "h = 1e-1": {"kind": "ggm_e", "step": 1e-1},
    "h = 1e-2": {"kind": "ggm_e", "step": 1e-2},
    "h = 2e-3": {"kind": "ggm_e", "step": 2e-3},
    "h = 1e-5": {"kind": "ggm_e", "step": 1e-5},
  },
}
# Latents that are predicted to vary less cost next to nothing.
ACTIVE = 0.3


@dataclasses.dataclass(frozen=True)
class Row:
  """One fit: rates in bits a pixel, and mean predicted shapes."""

  arm: str
  seed: int
  whole: float
  roi: float
  background: float
  noise: float
  shape_roi: float
  shape_background: float


def measure(refit: Refit, arm: str, seed: int, train: Latents, test: Latents):
  """Fits one arm with one seed; gives its row and what it charged."""
  fitted = refit.fit(train, seed)
  charged = refit.charge(fitted, test)
  noisy = refit.charge(fitted, test, noise=0)
  inside = np.broadcast_to(test.roi[..., None] >= 0.5, charged.shape.shape)
  active = charged.scale >= ACTIVE
  row = Row(
    arm,
    seed,
    **rates(charged.bits, test),
    noise=rates(noisy.bits, test)["whole"],
    shape_roi=float(charged.shape[active & inside].mean()),
    shape_background=float(charged.shape[active & ~inside].mean()),
  )
  return row, charged


def run(frozen: Frozen, arguments, train: Latents, test: Latents):
  """Fits all arms with all seeds; gives rows, and each arm's first charge."""
  arms = ARMS[arguments.arms]
  seeds = range(arguments.seeds)
  rows, charges = [], {}
  with Progress() as progress:
    task = progress.add_task("fitting", total=len(arms) * len(seeds))
    for arm, options in arms.items():
      refit = Refit(frozen, arguments.steps, **options)
      for seed in seeds:
        progress.update(task, description=f"fitting {arm}, seed {seed}")
        row, charged = measure(refit, arm, seed, train, test)
        charges.setdefault(arm, charged)
        rows.append(row)
        progress.console.print(f"{arm}, seed {seed}: {row.whole:.4f} bpp")
        progress.advance(task)
  return rows, charges


def main() -> None:
  """Fits, measures, prints, saves and draws."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--arms", choices=ARMS, default="priors")
  parser.add_argument("--weights", default="roijax/weights/ggm-small-1.npz")
  parser.add_argument("--data", default="sample:train")
  parser.add_argument("--photos", default="sample:val")
  parser.add_argument("--data_dir", default=None)
  parser.add_argument("--uniform", action="store_true", help="no region at all")
  parser.add_argument("--crops", type=int, default=4096)
  parser.add_argument("--steps", type=int, default=1500)
  parser.add_argument("--seeds", type=int, default=3)
  parser.add_argument("--out", default="", help="a folder below runs/")
  arguments = parser.parse_args()
  use_compilation_cache()
  frozen = open_frozen(arguments.weights)
  train = draw_training_latents(
    frozen,
    open_source(arguments.data, arguments.data_dir),
    arguments.crops,
    uniform=arguments.uniform,
  )
  test = draw_held_out_latents(
    frozen,
    open_source(arguments.photos, arguments.data_dir),
    uniform=arguments.uniform,
  )
  rows, charges = run(frozen, arguments, train, test)
  name = arguments.out or f"runs/claims/{arguments.arms}-{frozen.name}"
  folder = pathlib.Path(name)
  report.write_rows(folder / "rows.csv", rows)
  report.print_savings(rows, test.psnr(), len(test.y))
  report.draw_savings(folder / "savings.png", rows, f"{frozen.name}")
  if arguments.arms == "priors":
    gaussian, whole = charges["gaussian"], float(charges["gaussian"].bits.sum())
    lost, table = find_fitted_ceiling(gaussian)
    report.print_table("residuals of the Gaussian arm", table)
    report.write_rows(folder / "residuals.csv", table)
    print(f"a Gaussian lost, by fitted shapes: {lost / whole:.2%} of its bits")
    lost = find_predicted_ceiling(charges["GGM-e"])
    print(f"by the shapes GGM-e predicts: {lost / whole:.2%}")
  if arguments.arms == "gradients":
    table = measure_errors(charges["exact"], ARMS["gradients"])
    report.print_table("gradient in the shape, relative to its rms", table)
    report.write_rows(folder / "errors.csv", table)
  print(f"rows and plot: {folder}")


if __name__ == "__main__":
  main()
