"""The curves of training runs: what `metrics.jsonl` holds, as one PNG.

loss           bits a pixel         PSNR
learning rate  gradient norm        images a second

and of a second stage

discriminator  what it takes for    what each term is
               photos               of the loss
"""

import json
import math
import os
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from roijax.errors import RoijaxError
from roijax.evaluation.figures import (
  BLUE,
  COLOURS,
  dress,
  make_figure,
  write_figure,
  write_note,
)

if TYPE_CHECKING:
  from matplotlib.axes import Axes

FILE_NAME = "metrics.jsonl"
# Curves of fewer rows are drawn as they are, with a dot a row.
FEW_ROWS = 12
# A smoothed value is a weighted mean over this share of all rows, centred.
WINDOW = 0.08
# Rows at each end of the scale that may lie outside the panel: the first
# steps and rare jumps would squeeze all else.
CUT = 0.01
# From this ratio of the highest value to the lowest on, a panel is logarithmic.
WIDE = 5
PALETTE = (BLUE, *COLOURS)
DASHES = ("-", "--", ":", "-.")


class Run(NamedTuple):
  """A run's log.

  Attributes:
    name: its folder, as it was given.
    steps: the step of each row, ascending.
    columns: each metric's values, NaN where a row has none.
  """

  name: str
  steps: np.ndarray
  columns: dict[str, np.ndarray]

  @property
  def extent(self) -> str:
    """How far it went, in words."""
    text = f"step {int(self.steps[-1]):,}"
    if not math.isfinite(self.seconds[-1]):
      return text
    unit, name = _time_unit(self.seconds[-1])
    return f"{text}, {self.seconds[-1] / unit:.3g} {name}"

  @property
  def seconds(self) -> np.ndarray:
    """Wall time at each row."""
    return self.columns.get("seconds", np.full(len(self.steps), np.nan))


class Panel(NamedTuple):
  """One of the plot's panels.

  Attributes:
    title: what stands above it.
    curves: metrics and what the legend calls them.
    unit: of the y axis.
    smoothed: whether rows are noisy.
    from_zero: whether the y axis starts at zero.
  """

  title: str
  curves: dict[str, str]
  unit: str = ""
  smoothed: bool = True
  from_zero: bool = False


PANELS = (
  Panel("Loss", {"loss": "loss"}),
  Panel(
    "Rate",
    {"bpp": "all", "bpp_roi": "y in ROI", "bpp_bg": "y outside", "bpp_z": "z"},
    "bits a pixel",
    from_zero=True,
  ),
  Panel(
    "Distortion",
    {
      "psnr": "whole",
      "psnr_roi": "ROI",
      "psnr_bg": "background",
      "psnr_weighted": "weighted",
    },
    "PSNR in dB",
  ),
  Panel("Learning rate", {"learning_rate": "rate"}, "", False, True),
  Panel("Gradient norm, before clipping", {"gradient_norm": "norm"}),
  Panel("Images a second", {"images_per_second": "rate"}, from_zero=True),
)
SECOND_STAGE = (
  Panel(
    "Discriminator's loss",
    {
      "discriminator_loss_real": "photos",
      "discriminator_loss_fake": "reconstructions",
    },
    "nats",
    from_zero=True,
  ),
  Panel(
    "Taken for photos",
    {
      "discriminator_real": "photos",
      "discriminator_fake": "reconstructions",
    },
    "mean probability",
    from_zero=True,
  ),
  Panel(
    "Share of the loss",
    {
      "share_rate": "rate",
      "share_mse_roi": "MSE in ROI",
      "share_l1_roi": "L1 in ROI",
      "share_l1_background": "L1 outside",
      "share_laplacian": "Laplacian",
      "share_lpips": "LPIPS",
      "share_style": "style",
      "share_adversarial": "adversarial",
    },
    from_zero=True,
  ),
)


def read_run(folder: str | os.PathLike) -> Run:
  """Reads a run's log, also while the run goes on.

  Args:
    folder: the run's workdir.

  Raises:
    RoijaxError: there is no such folder, it is no run's, its log has no row
      yet, or a line of the log is not a row.
  """
  folder = pathlib.Path(folder)
  path = folder / FILE_NAME
  if not folder.exists():
    raise RoijaxError(f"no such folder: {folder}")
  try:
    lines = path.read_text("utf-8", "replace").splitlines(keepends=True)
  except (FileNotFoundError, NotADirectoryError) as error:
    raise RoijaxError(
      f"{folder} is not the workdir of a training run: it has no {FILE_NAME}"
    ) from error
  except OSError as error:
    raise RoijaxError(
      f"cannot read {path}: {error.strerror or error}"
    ) from error
  # A line without an end is being written, or was when the run was killed.
  if lines and not lines[-1].endswith("\n"):
    lines.pop()
  rows = [_parse(line, path, number) for number, line in enumerate(lines, 1)]
  if not rows:
    raise RoijaxError(
      f"{path} has no row yet: a run writes one every train.log_every steps"
    )
  names = dict.fromkeys(name for row in rows for name in row)
  columns = {
    name: np.array([_number(row.get(name)) for row in rows]) for name in names
  }
  name = str(folder) if folder.name else folder.resolve().name
  return Run(name, columns.pop("step"), columns)


def write_curves(path: str | os.PathLike, runs: Sequence[Run]) -> None:
  """Draws the curves of one run, or of several over each other.

  Args:
    path: the PNG to write.
    runs: at least one.

  Raises:
    RoijaxError: the file cannot be written, or matplotlib is missing.
  """
  panels = PANELS
  if any(SECOND_STAGE[0].curves.keys() & run.columns for run in runs):
    panels += SECOND_STAGE
  rows = len(panels) // 3
  figure = make_figure(13, 3.6 * rows)
  grid = figure.subplots(rows, 3)
  for axes, panel in zip(grid.flat, panels, strict=True):
    _draw_panel(axes, panel, runs)
  for axes in grid[-1]:
    axes.set_xlabel("step")
  if len(runs) == 1:
    for axes in grid[0]:
      _add_times(axes, runs[0])
    figure.suptitle(f"{runs[0].name}: {runs[0].extent}", fontsize=11)
  else:
    lines = [_key(color=PALETTE[i % len(PALETTE)]) for i in range(len(runs))]
    figure.legend(
      lines,
      [f"{run.name}: {run.extent}" for run in runs],
      loc="outside upper center",
      ncols=3,
      frameon=False,
    )
  write_figure(path, figure)


def smooth(values: np.ndarray, window: int) -> np.ndarray:
  """Means over neighbours, far ones weighing less; NaN stays and is left out.

  Args:
    values: one a row.
    window: how many neighbours weigh, no more than there are values.
  """
  known = np.isfinite(values)
  kernel = np.hanning(window + 2)[1:-1]
  sums = np.convolve(np.where(known, values, 0), kernel, "same")
  weights = np.convolve(known, kernel, "same")
  return np.where(known, sums / np.where(known, weights, 1), np.nan)


def _draw_panel(axes: "Axes", panel: Panel, runs: Sequence[Run]) -> None:
  from matplotlib.ticker import EngFormatter

  dress(axes, panel.title, panel.unit)
  axes.xaxis.set_major_formatter(EngFormatter(sep=""))
  first = min(run.steps[0] for run in runs)
  last = max(run.steps[-1] for run in runs)
  margin = 0.04 * (last - first) or 1
  axes.set_xlim(first - margin, last + margin)
  drawn, shown, several = [], set(), len(runs) > 1
  for i, run in enumerate(runs):
    for j, name in enumerate(panel.curves):
      values = run.columns.get(name)
      if values is None or not np.isfinite(values).any():
        continue
      # One run: a colour a metric. Several: a colour a run.
      look = _look(i, j) if several else _look(j, j // len(PALETTE))
      _draw_curve(axes, run.steps, values, look, panel.smoothed, not several)
      drawn.append(values)
      shown.add(j)
  if not drawn:
    write_note(axes, "not in this log")
    axes.set_xticks([])
    axes.set_yticks([])
    return
  # Above the curves there is room for the legend.
  columns = 4 if len(shown) <= 4 else 3
  room = 0.12 * -(-len(shown) // columns) if len(panel.curves) > 1 else 0.0
  _set_scale(axes, drawn, panel.from_zero, room)
  if len(panel.curves) > 1:
    looks = [
      {**_look(0, j), "color": "0.4"}
      if several
      else _look(j, j // len(PALETTE))
      for j in sorted(shown)
    ]
    labels = list(panel.curves.values())
    axes.legend(
      [_key(**look) for look in looks],
      [labels[j] for j in sorted(shown)],
      loc="upper center",
      fontsize=8,
      ncols=columns,
      columnspacing=1.2,
      handlelength=1.8,
      edgecolor="none",
    )


def _look(colour: int, dash: int) -> dict[str, str]:
  return {
    "color": PALETTE[colour % len(PALETTE)],
    "linestyle": DASHES[dash % len(DASHES)],
  }


def _key(**look):
  from matplotlib.lines import Line2D

  return Line2D([], [], **look)


def _draw_curve(axes, steps, values, look, smoothed, raw):
  if len(values) < FEW_ROWS:
    axes.plot(steps, values, marker="o", markersize=4, **look)
    return
  if smoothed:
    if raw:
      axes.plot(steps, values, color=look["color"], alpha=0.22, linewidth=0.8)
    values = smooth(values, math.ceil(WINDOW * len(values)))
  axes.plot(steps, values, linewidth=1.7, **look)


def _set_scale(axes, drawn, from_zero, room):
  """Chooses the y axis so that what counts fills the panel."""
  from matplotlib.ticker import LogLocator, NullFormatter

  ends = []
  for values in drawn:
    known = values[np.isfinite(values)]
    # What a run does last is always seen.
    ends += [known[-1]]
    ends += list(np.quantile(known, (CUT, 1 - CUT)))
    if len(known) < FEW_ROWS:
      ends += [known.min(), known.max()]
  low, high = min(ends), max(ends)
  if from_zero:
    axes.set_ylim(0, (1.1 + room) * high or 1)
  elif low > 0 and high / low >= WIDE:
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_ylim(low / 1.15, high * 1.15)
  else:
    margin = 0.06 * (high - low) or 0.05 * abs(high) or 1
    axes.set_ylim(low - margin, high + margin + room * (high - low))


def _add_times(axes: "Axes", run: Run) -> None:
  """Marks wall time along the top of a panel."""
  from matplotlib.ticker import MaxNLocator

  if len(run.steps) < 2 or not np.isfinite(run.seconds).all():
    return
  unit, name = _time_unit(run.seconds[-1])
  times = run.seconds / unit
  ticks = MaxNLocator(5).tick_values(times[0], times[-1])
  ticks = [tick for tick in ticks if times[0] <= tick <= times[-1]]
  top = axes.secondary_xaxis("top")
  top.set_xticks(
    np.interp(ticks, times, run.steps), [f"{tick:g} {name}" for tick in ticks]
  )
  top.tick_params(length=2, labelsize=8, labelcolor="0.4", color="0.4")
  top.spines["top"].set_visible(False)


def _time_unit(seconds: float) -> tuple[float, str]:
  if seconds < 120:
    return 1, "s"
  return (60, "min") if seconds < 3600 else (3600, "h")


def _parse(line: str, path: pathlib.Path, number: int) -> dict[str, Any]:
  try:
    row = json.loads(line)
    int(row["step"])
    for value in row.values():
      _number(value)
  except (ValueError, TypeError, KeyError) as error:
    raise RoijaxError(
      f"{path}: line {number} is not a row of a training log"
    ) from error
  return row


def _number(value: Any) -> float:
  return math.nan if value is None else float(value)
