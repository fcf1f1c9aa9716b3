"""The rivals' table on the terminal."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rich import box
from rich.console import Console
from rich.table import Table

from roijax.evaluation.rate_distortion import UNIFORM
from roijax.evaluation.rivals import RIVALS
from roijax.evaluation.rows import OURS
from roijax.evaluation.standings import AtRate, Comparison
from roijax.evaluation.summary import Point

TITLES = {
  OURS: "roijax",
  UNIFORM: "roijax, no region",
  **{name: rival.title for name, rival in RIVALS.items()},
}
MEASURES = {
  "psnr_weighted": "weighted",
  "psnr_roi": "ROI",
  "psnr_bg": "backgr.",
}
WIDTH = 120


class Stored(NamedTuple):
  """Figures of another day: weighted, ROI and background PSNR at a rate."""

  psnr_weighted: float
  psnr_roi: float | None
  psnr_bg: float | None


# By rate: Kodak's 24 photos, central ellipse, JJ2000.
STORED = {
  "maxshift": {
    0.2: Stored(23.1, 30.8, 16.0),
    0.4: Stored(23.6, 35.2, 16.0),
    0.8: Stored(23.9, None, None),
  }
}
STORED_NOTE = (
  "stored: not measured here, but earlier on Kodak's 24 photos with the central"
  " ellipse (--roi=center)."
)


def print_standings(
  points: Sequence[Point],
  at_rates: Sequence[AtRate],
  comparisons: Sequence[Comparison],
  left_out: Mapping[str, str],
  console: Console | None = None,
) -> None:
  """Prints decibels at equal rates, BD-rates and seconds, and what is missing.

  Args:
    points: from `summary.summarise`.
    at_rates: from `standings.at_rates`.
    comparisons: from `standings.compare`.
    left_out: codecs that could not run, and why; of some, stored figures
      stand in the table.
    console: where to; the standard output by default.
  """
  console = console or Console()
  # A pipe or a log has no width of its own, and a cut table is no table.
  if not console.is_terminal:
    console.width = max(console.width, WIDTH)
  stored = {name: STORED[name] for name in left_out if name in STORED}
  console.print(_rates_table(at_rates, stored))
  console.print()
  console.print(_rivals_table(points, comparisons))
  for note in _notes(points, comparisons, left_out, bool(stored)):
    console.print(note, style="dim", highlight=False, soft_wrap=True)


def _empty_table(*names: str) -> Table:
  table = Table(box=box.SIMPLE_HEAD, padding=(0, 0, 0, 1), show_edge=False)
  table.add_column("codec", no_wrap=True)
  for name in names:
    table.add_column(name, justify="right", no_wrap=True)
  return table


def _rates_table(
  at_rates: Sequence[AtRate], stored: Mapping[str, Mapping[float, Stored]]
) -> Table:
  rates = sorted({figures.bpp for figures in at_rates})
  table = _empty_table(
    *(f"weighted\n{rate:g} bpp" for rate in rates),
    *(f"ROI / bg\n{rate:g} bpp" for rate in rates),
  )
  for codec in dict.fromkeys(figures.codec for figures in at_rates):
    by_rate = {f.bpp: f for f in at_rates if f.codec == codec}
    style = "bold" if codec == OURS else None
    table.add_row(TITLES[codec], *_cells(by_rate, rates), style=style)
  for codec, by_rate in stored.items():
    cells = _cells(by_rate, rates)
    table.add_row(f"{TITLES[codec]} (stored)", *cells, style="italic dim")
  return table


def _cells(
  by_rate: Mapping[float, AtRate] | Mapping[float, Stored],
  rates: Sequence[float],
) -> list[str]:
  found = [by_rate.get(rate) for rate in rates]
  weighted = [_decibel(f.psnr_weighted) if f else "-" for f in found]
  split = [
    f"{_decibel(f.psnr_roi)} / {_decibel(f.psnr_bg)}" if f else "-"
    for f in found
  ]
  return [*weighted, *split]


def _rivals_table(
  points: Sequence[Point], comparisons: Sequence[Comparison]
) -> Table:
  anchors = list(dict.fromkeys(c.anchor for c in comparisons))
  rates = {(c.codec, c.anchor, c.measure): c.bd_rate for c in comparisons}
  table = _empty_table(
    *(
      f"{name}\nvs {anchor}" for anchor in anchors for name in MEASURES.values()
    ),
    "bpp",
    "encode\nseconds",
    "decode\nseconds",
  )
  for codec in dict.fromkeys(point.codec for point in points):
    curve = [point for point in points if point.codec == codec]
    table.add_row(
      TITLES[codec],
      *(
        "0" if codec == anchor else _percent(rates[codec, anchor, measure])
        for anchor in anchors
        for measure in MEASURES
      ),
      f"{min(p.bpp for p in curve):.2f} to {max(p.bpp for p in curve):.2f}",
      f"{_mean([p.encode_s for p in curve]):.2f}",
      f"{_mean([p.decode_s for p in curve]):.2f}",
      style="bold" if codec == OURS else None,
    )
  return table


def _notes(
  points: Sequence[Point],
  comparisons: Sequence[Comparison],
  left_out: Mapping[str, str],
  has_stored: bool,
) -> list[str]:
  first = points[0]
  notes = [
    f"Means over {first.photos} photo{'s' if first.photos > 1 else ''},"
    f" {first.roi_photos} with a region of interest; PSNR in dB, weighted:"
    " background 1/16; rates of the written files.",
    "vs: BD-rate, negative where fewer bits do. All of mean curves: the means"
    " over photos at each setting, interpolated, never extrapolated.",
  ]
  if has_stored:
    notes.append(STORED_NOTE)
  notes += [
    f"left out: {TITLES[name]}: {why}" for name, why in left_out.items()
  ]
  reasons = {}
  for c in comparisons:
    if c.reason and c.measure in MEASURES:
      reasons.setdefault(c.reason, f"{c.codec} vs {c.anchor}")
  notes += [f"-: {reason} ({where})." for reason, where in reasons.items()]
  return notes


def _mean(values: Sequence[float]) -> float:
  return sum(values) / len(values)


def _decibel(value: float | None) -> str:
  return "-" if value is None else f"{value:.1f}"


def _percent(value: float | None) -> str:
  return "-" if value is None else f"{value:+.1f} %"
