"""Does a region make latents sharp-peaked, and what is left for the prior?

    python -m benchmarks.claims.sharpness --regional=RUN --uniform=OTHER_RUN \
      --data=... --photos=...

Three codings of the same held-out crops: a codec trained with regions and
given one (`regional`), the same codec given none (`ordinary`), and a codec that
was trained without any (`uniform`). Channel by channel, kurtosis and fitted
shape of

  marginal   y as it is,
  residual   (y - mean) / deviation, of a Gaussian prior fitted to each codec,
  coded      the same, of latents whose predicted deviation is at least 0.3:
             where the prior's lower bound has no say,

over everything, inside the region and outside it (the same pixels in all three
codings). Figures are medians over the channels whose y varies; a Gaussian has
kurtosis 3 and shape 2. `mixture` is the kurtosis that two Gaussians would have
together whose deviations differ as the regions' do.

The claim (arXiv 2602.01325): uneven bits make latents sharp-peaked.
"""

import argparse
import dataclasses
import pathlib

import numpy as np

from benchmarks.claims import report
from benchmarks.claims.latents import (
  Latents,
  draw_held_out_latents,
  draw_training_latents,
  open_frozen,
)
from benchmarks.claims.refit import Refit
from roijax.data.sources import open_source
from roijax.evaluation.figures import (
  BLUE,
  COLOURS,
  dress,
  make_figure,
  write_figure,
)
from roijax.metrics.sharpness import fit_shape, kurtosis
from roijax.programs import use_compilation_cache

QUALITY = 3.0
# Channels that vary less than this many steps are rounded to nothing.
ACTIVE = 0.3
# A channel with fewer values says nothing of its tails.
ENOUGH = 500
BINS = np.linspace(-6, 6, 121)


@dataclasses.dataclass(frozen=True)
class Row:
  """Medians over channels."""

  coding: str
  kind: str
  region: str
  deviation: float
  kurtosis: float
  mixture: float
  shape: float


def mixture_kurtosis(share: float, ratio: float) -> float:
  """Kurtosis of two Gaussians, one `ratio` times as wide, mixed.

  Args:
    share: of the wider one.
    ratio: of the deviations.
  """
  fourth = share * ratio**4 + 1 - share
  return 3 * fourth / (share * ratio**2 + 1 - share) ** 2


def is_active(latents: Latents) -> np.ndarray:
  """Which channels vary enough to be worth a look, bool [M]."""
  return latents.y.std(axis=(0, 1, 2)) >= ACTIVE


def summarise(
  coding: str, kind: str, values: np.ndarray, latents: Latents
) -> list[Row]:
  """Rows of one kind of values: whole, inside, outside.

  Args:
    coding: its name.
    kind: the values' name.
    values: [N, h, w, M], not a number where they are not to count.
    latents: the channels and regions.
  """
  inside = latents.roi >= 0.5
  regions = {
    "whole": np.ones_like(inside),
    "inside": inside,
    "outside": ~inside,
  }
  values = values[..., is_active(latents)]
  deviations = {
    name: np.nanstd(values[where], axis=0) for name, where in regions.items()
  }
  ratio = deviations["inside"] / np.maximum(deviations["outside"], 1e-6)
  mixture = [mixture_kurtosis(inside.mean(), r) for r in ratio]
  rows = []
  for name, where in regions.items():
    channels = [one[np.isfinite(one)] for one in values[where].T]
    centred = [one - one.mean() for one in channels if len(one) >= ENOUGH]
    rows.append(
      Row(
        coding,
        kind,
        name,
        float(np.nanmedian(deviations[name])),
        float(np.median([kurtosis(one) for one in centred])),
        float(np.nanmedian(mixture)) if name == "whole" else np.nan,
        float(np.median([fit_shape(one) for one in centred])),
      )
    )
  return rows


def measure(path, uniform: bool, data, photos, arguments):
  """Latents of held-out crops, their residuals, and those that are coded."""
  frozen = open_frozen(path)
  train = draw_training_latents(frozen, data, arguments.crops, uniform=uniform)
  test = draw_held_out_latents(
    frozen, photos, qualities=(QUALITY,), uniform=uniform
  )
  refit = Refit(frozen, arguments.steps, kind="gaussian")
  charged = refit.charge(refit.fit(train, seed=0), test)
  residual = charged.residual / charged.scale
  return test, residual, np.where(charged.scale >= ACTIVE, residual, np.nan)


def draw(path: pathlib.Path, found: dict[str, tuple[Latents, np.ndarray]]):
  """Densities of standardised values, on a log axis, beside a Gaussian."""
  figure = make_figure(3.6 * len(found), 6)
  panels = figure.subplots(2, len(found), sharex=True, sharey=True)
  middle = (BINS[1:] + BINS[:-1]) / 2
  for column, (coding, (latents, coded)) in enumerate(found.items()):
    inside = latents.roi >= 0.5
    active = is_active(latents)
    y = latents.y[..., active]
    marginal = (y - y.mean(axis=(0, 1, 2))) / y.std(axis=(0, 1, 2))
    for row, values in enumerate((marginal, coded[..., active])):
      axes = panels[row, column]
      for where, colour, name in (
        (inside, BLUE, "inside"),
        (~inside, COLOURS[0], "outside"),
      ):
        shown = values[where]
        shown = shown[np.isfinite(shown)]
        counts, _ = np.histogram(shown, BINS, density=True)
        axes.semilogy(middle, counts, color=colour, label=name)
      gaussian = np.exp(-(middle**2) / 2) / np.sqrt(2 * np.pi)
      axes.semilogy(middle, gaussian, "--", color="0.4", label="Gaussian")
      kind = ("marginal", "coded residual")[row]
      dress(axes, f"{coding}: {kind}", "" if column else "density")
      axes.set_ylim(1e-5, 10)
  for axes in panels[1]:
    axes.set_xlabel("deviations from the mean")
  panels[0, 0].legend(frameon=False, fontsize=8)
  write_figure(path, figure)


def main() -> None:
  """Measures the codings; prints, saves and draws."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--regional", default="roijax/weights/ggm-small-1.npz")
  parser.add_argument(
    "--uniform", required=True, help="trained without regions"
  )
  parser.add_argument("--data", default="sample:train")
  parser.add_argument("--photos", default="sample:val")
  parser.add_argument("--data_dir", default=None)
  parser.add_argument("--crops", type=int, default=4096)
  parser.add_argument("--steps", type=int, default=1500)
  parser.add_argument("--out", default="runs/claims/sharpness")
  arguments = parser.parse_args()
  use_compilation_cache()
  data = open_source(arguments.data, arguments.data_dir)
  photos = open_source(arguments.photos, arguments.data_dir)
  codings = {
    "regional": (arguments.regional, False),
    "ordinary": (arguments.regional, True),
    "uniform": (arguments.uniform, True),
  }
  found, rows = {}, []
  for coding, (path, uniform) in codings.items():
    test, residual, coded = measure(path, uniform, data, photos, arguments)
    found[coding] = test, coded
    rows += summarise(coding, "marginal", test.y, test)
    rows += summarise(coding, "residual", residual, test)
    rows += summarise(coding, "coded", coded, test)
  folder = pathlib.Path(arguments.out)
  report.print_table(f"{len(test.y)} crops, quality {QUALITY:g}", rows)
  report.write_rows(folder / "rows.csv", rows)
  draw(folder / "densities.png", found)
  print(f"rows and plot: {folder}")


if __name__ == "__main__":
  main()
