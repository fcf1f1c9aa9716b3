"""The drift's plot."""

import os
from collections.abc import Mapping, Sequence

import numpy as np

from benchmarks.exactness.drift import NEAR, Curve, Drift
from roijax.entropy.grid import MARGIN
from roijax.evaluation.figures import (
  BLUE,
  COLOURS,
  dress,
  make_figure,
  write_figure,
)


def _shown(values: Sequence[float]) -> np.ndarray:
  """What a logarithmic axis can show: no difference is no point."""
  array = np.asarray(values)
  return np.where(array > 0, array, np.nan)


def _draw_curve(axes, curve: Curve, colour: str) -> None:
  passes = np.arange(1, len(curve.position) + 1)
  dots = "." if len(passes) < 20 else ""
  label = curve.name
  axes.plot(
    passes, _shown(curve.position), dots + "-", color=colour, label=label
  )
  axes.plot(passes, _shown(curve.mean), dots + ":", color=colour)


def draw_drift(path: str | os.PathLike, found: Mapping[str, Drift]) -> None:
  """Draws the largest differences of every pass, a panel a context.

  Args:
    path: of the PNG.
    found: drifts by the context's name.
  """
  figure = make_figure(5.2 * len(found), 4.2)
  panels = np.atleast_1d(figure.subplots(1, len(found), sharey=True))
  for i, (axes, (name, drift)) in enumerate(
    zip(panels, found.items(), strict=True)
  ):
    axes.set_yscale("log")
    for curve, colour in zip(drift.curves, (BLUE, *COLOURS), strict=False):
      _draw_curve(axes, curve, colour)
    axes.axhline(0.5, color="0.3", linewidth=0.8)
    axes.axhline(MARGIN, color="0.3", linewidth=0.8, linestyle="--")
    across = axes.get_yaxis_transform()
    for level, text in (
      (0.5, "half a table"),
      (MARGIN, "nearer a boundary: listed"),
    ):
      axes.text(0.01, 1.5 * level, text, transform=across, fontsize=8)
    dress(axes, name, "" if i else "largest difference in a pass")
    axes.set_xlabel("pass")
  panels[0].plot([], [], "-", color="0.4", label="table position")
  panels[0].plot([], [], ":", color="0.4", label="mean")
  figure.legend(
    *panels[0].get_legend_handles_labels(),
    loc="outside lower center",
    ncols=3,
    frameon=False,
    fontsize=8,
  )
  write_figure(path, figure)


def summarise_drift(context: str, drifts: Sequence[Drift]) -> list[dict]:
  """A row a comparison, over all photos."""
  rows = []
  for same in zip(*(drift.curves for drift in drifts), strict=True):
    flips = [sum(curve.flips) for curve in same]
    rows.append(
      {
        "context": context,
        "runs": same[0].name,
        "photos": len(same),
        "position, first pass": max(curve.position[0] for curve in same),
        "position, largest": max(max(curve.position) for curve in same),
        "mean, first pass": max(curve.mean[0] for curve in same),
        "mean, largest": max(max(curve.mean) for curve in same),
        "tables flipped": sum(flips),
        "photos with one": sum(count > 0 for count in flips),
      }
    )
  return rows


def describe_distances(context: str, drifts: Sequence[Drift]) -> str:
  """One line: how near table positions come to a boundary."""
  positions = 2 * sum(sum(drift.latents) for drift in drifts)
  near = sum(drift.near for drift in drifts)
  expected = near * MARGIN / NEAR / len(drifts)
  return (
    f"{context}: {near:,} of {positions:,} positions lie within {NEAR:g} of a "
    f"boundary, the nearest {min(d.nearest for d in drifts):.1e} from it; so "
    f"{expected:.1e} close calls a photo are to be expected"
  )
