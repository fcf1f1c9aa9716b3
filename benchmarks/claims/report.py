"""Tables and plots of the claims."""

import csv
import dataclasses
import io
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from roijax.evaluation.figures import (
  BLUE,
  COLOURS,
  dress,
  make_figure,
  write_figure,
)
from roijax.files import write_whole

MEASURES = {"whole": "whole", "roi": "inside ROI", "background": "outside"}


def _as_dict(row: Any) -> dict[str, Any]:
  return dict(row) if isinstance(row, Mapping) else dataclasses.asdict(row)


def write_rows(path: pathlib.Path, rows: Sequence[Any]) -> None:
  """Writes dataclasses or dicts as CSV, whole."""
  dicts = [_as_dict(row) for row in rows]
  stream = io.StringIO()
  writer = csv.DictWriter(stream, dicts[0], lineterminator="\n")
  writer.writeheader()
  writer.writerows(dicts)
  write_whole(path, stream.getvalue().encode())


def print_table(title: str, rows: Sequence[Any]) -> None:
  """Prints dataclasses or dicts, numbers with four digits."""
  dicts = [_as_dict(row) for row in rows]
  table = Table(title=title)
  for name in dicts[0]:
    table.add_column(name, justify="right")
  for row in dicts:
    table.add_row(
      *(f"{v:.4g}" if isinstance(v, float) else str(v) for v in row.values())
    )
  Console(width=150).print(table)


def savings(rows: Sequence[Any], measure: str) -> dict[str, np.ndarray]:
  """Percent of bits that each arm saves on the first, seed by seed."""
  by_arm: dict[str, dict[int, float]] = {}
  for row in rows:
    by_arm.setdefault(row.arm, {})[row.seed] = getattr(row, measure)
  base = next(iter(by_arm.values()))
  return {
    arm: np.array([100 * (1 - bits / base[s]) for s, bits in found.items()])
    for arm, found in by_arm.items()
  }


def _spread(values: np.ndarray, form: str) -> str:
  """Mean, and the standard deviation over seeds."""
  spread = values.std(ddof=1) if len(values) > 1 else 0.0
  return f"{values.mean():{form}} ± {spread:{form.lstrip('+')}}"


def print_savings(
  rows: Sequence[Any], psnr: tuple[float, float], crops: int
) -> None:
  """One line an arm: rates and what it saves, mean and spread over seeds."""
  table = Table(
    title=f"{crops} held-out crops at identical distortion: ROI-PSNR "
    f"{psnr[0]:.2f} dB, background {psnr[1]:.2f} dB"
  )
  for name in ("arm", "bpp", "bpp, noise", "shape ROI", "shape bg"):
    table.add_column(name, justify="right")
  for name in MEASURES.values():
    table.add_column(f"saves % {name}", justify="right")
  found = {measure: savings(rows, measure) for measure in MEASURES}
  for arm in found["whole"]:
    own = [row for row in rows if row.arm == arm]
    table.add_row(
      arm,
      _spread(np.array([row.whole for row in own]), ".4f"),
      _spread(np.array([row.noise for row in own]), ".4f"),
      f"{np.mean([row.shape_roi for row in own]):.2f}",
      f"{np.mean([row.shape_background for row in own]):.2f}",
      *(_spread(found[measure][arm], "+.2f") for measure in MEASURES),
    )
  Console(width=150).print(table)


def draw_savings(path: pathlib.Path, rows: Sequence[Any], title: str) -> None:
  """Bars of the mean savings of each arm, with a dot for every seed."""
  figure = make_figure(8, 4)
  axes = figure.subplots()
  dress(axes, title, f"bits saved against {rows[0].arm}, percent")
  for i, (measure, name) in enumerate(MEASURES.items()):
    found = savings(rows, measure)
    arms = list(found)[1:]
    places = np.arange(len(arms)) + 0.26 * (i - 1)
    axes.bar(
      places,
      [found[arm].mean() for arm in arms],
      width=0.24,
      color=(BLUE, *COLOURS)[i],
      label=name,
      alpha=0.85,
    )
    for place, arm in zip(places, arms, strict=True):
      axes.plot(
        np.full(len(found[arm]), place), found[arm], ".", color="0.2", zorder=3
      )
  axes.set_xticks(range(len(arms)), arms)
  axes.axhline(0, color="0.3", linewidth=0.8)
  axes.legend(frameon=False, ncols=3)
  write_figure(path, figure)
