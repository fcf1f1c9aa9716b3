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

The ceiling is what the best Gaussian loses where the residuals of the Gaussian
arm truly follow the generalized Gaussian fitted to them, deviation by
deviation.
"""

import argparse
import dataclasses
import itertools
import pathlib

import numpy as np
from rich.progress import Progress

from benchmarks.claims import report
from benchmarks.claims.latents import (
  Frozen,
  Latents,
  draw_held_out_latents,
  draw_training_latents,
  open_frozen,
)
from benchmarks.claims.refit import Charge, Refit, rates
from benchmarks.claims.shape_gradient import measure_errors
from roijax.data.sources import open_source
from roijax.metrics.sharpness import fit_shape, gaussian_excess
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
# Edges of the predicted deviation, between which residuals are alike enough.
SCALE_EDGES = (0, 0.15, 0.2, 0.3, 0.45, 0.7, 1, 1.5, 2.5, 4, 8, np.inf)
# Latents that are predicted to vary less cost next to nothing.
ACTIVE = 0.3
OFFSETS = (0.0, 0.125, 0.25, 0.375, 0.5)
FIT_SAMPLES = 200_000


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


def find_ceiling(charged: Charge) -> tuple[float, list[dict]]:
  """The share of its bits that a Gaussian prior can have lost.

  Args:
    charged: by the fitted Gaussian.

  Returns:
    The share, and a row for every range of predicted deviations.
  """
  rows, lost = [], 0.0
  draw = np.random.default_rng(0)
  for low, high in itertools.pairwise(SCALE_EDGES):
    chosen = (charged.scale >= low) & (charged.scale < high)
    if chosen.sum() < 1000:
      continue
    residual = charged.residual[chosen]
    some = draw.choice(residual, min(residual.size, FIT_SAMPLES), replace=False)
    deviation = float(np.sqrt(np.mean(np.square(residual))))
    shape = fit_shape(some)
    excess = float(
      np.mean([gaussian_excess(shape, deviation, u)[0] for u in OFFSETS])
    )
    lost += excess * residual.size
    rows.append(
      {
        "deviation": f"{low:g} to {high:g}",
        "latents": residual.size / charged.scale.size,
        "measured deviation": deviation,
        "fitted shape": shape,
        "bits lost by a Gaussian": excess,
      }
    )
  return lost / float(charged.bits.sum()), rows


def run(frozen: Frozen, arguments, train: Latents, test: Latents):
  """Fits all arms with all seeds."""
  arms = ARMS[arguments.arms]
  seeds = range(arguments.seeds)
  rows, first = [], None
  with Progress() as progress:
    task = progress.add_task("fitting", total=len(arms) * len(seeds))
    for arm, options in arms.items():
      refit = Refit(frozen, arguments.steps, **options)
      for seed in seeds:
        progress.update(task, description=f"fitting {arm}, seed {seed}")
        row, charged = measure(refit, arm, seed, train, test)
        first = first or charged
        rows.append(row)
        progress.console.print(f"{arm}, seed {seed}: {row.whole:.4f} bpp")
        progress.advance(task)
  return rows, first


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
  rows, first = run(frozen, arguments, train, test)
  name = arguments.out or f"runs/claims/{arguments.arms}-{frozen.name}"
  folder = pathlib.Path(name)
  report.write_rows(folder / "rows.csv", rows)
  report.print_savings(rows, test.psnr(), len(test.y))
  report.draw_savings(folder / "savings.png", rows, f"{frozen.name}")
  if arguments.arms == "priors":
    share, table = find_ceiling(first)
    report.print_table("residuals of the Gaussian arm", table)
    report.write_rows(folder / "residuals.csv", table)
    print(f"ceiling: a Gaussian can have lost {share:.2%} of its bits")
  if arguments.arms == "gradients":
    table = measure_errors(first, ARMS["gradients"])
    report.print_table("gradient in the shape, relative to its rms", table)
    report.write_rows(folder / "errors.csv", table)
  print(f"rows and plot: {folder}")


if __name__ == "__main__":
  main()
