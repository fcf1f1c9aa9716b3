"""What a run tells: a progress line, `metrics.jsonl` and TensorBoard events."""

import contextlib
import json
import math
import pathlib
import sys
import time
from collections.abc import Mapping
from typing import Any, TextIO

import numpy as np

from roijax.errors import RoijaxError
from roijax.files import write_whole
from roijax.training.events import Events, telling

# The progress line's metrics, as far as the loss function reports them.
SHOWN = (
  ("loss", "loss", ".4f"),
  ("bpp", "bpp", ".4f"),
  ("psnr", "PSNR", ".2f"),
  ("psnr_roi", "ROI-PSNR", ".2f"),
)

# TensorBoard's groups, by a metric's first word.
GROUPS = {
  "bpp": "rate",
  "mse": "distortion",
  "psnr": "distortion",
  "gradient": "optimizer",
  "learning": "optimizer",
  "images": "speed",
  "term": "terms",
  "share": "terms",
  "discriminator": "discriminator",
}

# A step's metric: a mean over its samples, or the means of a sum and of a
# weight, whose quotient is meant.
Metric = float | tuple[float, float]


class TrainingLog:
  """Averages metrics between rows and writes them out.

  A row covers the steps since the last one. Totals that no row has yet covered
  are part of a checkpoint (`progress`), so that a resumed run writes the rows
  of an uninterrupted one, times aside.
  """

  def __init__(
    self,
    workdir: str | pathlib.Path,
    *,
    batch_size: int,
    steps: int,
    seconds: float | None = None,
    start_step: int = 0,
    progress: Mapping[str, Any] | None = None,
    stream: TextIO | None = None,
  ):
    """Opens the files and drops rows that the run is about to repeat.

    Args:
      workdir: the run's folder.
      batch_size: samples a step, over all devices.
      steps: the step at which the run ends.
      seconds: the wall time at which it ends, if it does.
      start_step: the step of the checkpoint that the run goes on from.
      progress: that checkpoint's `progress`.
      stream: where progress lines go, standard output unless told.

    Raises:
      RoijaxError: the folder or a file in it cannot be written.
    """
    progress = progress or {}
    self._batch_size = batch_size
    self._steps = steps
    self._limit = seconds
    self._stream = stream
    self._seconds_before = progress.get("seconds", 0.0)
    # Of each metric, its sum and its weight.
    self._totals = {
      name: tuple(total) for name, total in progress.get("totals", {}).items()
    }
    self._started = time.monotonic()
    self._mark = None
    path = pathlib.Path(workdir) / "metrics.jsonl"
    drop_rows_after(path, start_step)
    with telling(path):
      path.parent.mkdir(parents=True, exist_ok=True)
      self._file = path.open("a", encoding="utf-8")
    self._events = Events(path.parent / "tensorboard", start_step)

  @property
  def seconds(self) -> float:
    """Wall time of the run in seconds, its earlier parts included."""
    return self._seconds_before + time.monotonic() - self._started

  @property
  def progress(self) -> dict[str, Any]:
    """What a checkpoint keeps of the log, JSON-able."""
    return {"seconds": self.seconds, "totals": dict(self._totals)}

  def add(self, step: int, metrics: Mapping[str, Metric]) -> None:
    """Takes one step's metrics in."""
    for name, value in metrics.items():
      new = value if isinstance(value, tuple) else (value, 1.0)
      old = self._totals.get(name, (0.0, 0.0))
      self._totals[name] = (old[0] + float(new[0]), old[1] + float(new[1]))
    # The first step compiles: the rate is measured from its end.
    if self._mark is None:
      self._mark = (step, time.monotonic())

  def write(self, step: int, **extra: float) -> None:
    """Writes the row and the line of the steps since the last ones.

    Args:
      step: the latest step that the sums hold.
      **extra: values of this step alone, such as the learning rate.

    Raises:
      RoijaxError: the disk is full.
    """
    if not self._totals:
      return
    # None where no sample had what is measured, such as a region.
    means = {
      name: total / weight if weight else None
      for name, (total, weight) in self._totals.items()
    }
    rate = self._measure(step)
    row = {**means, **extra, "images_per_second": rate}
    line = {"step": step, **row, "seconds": self.seconds}
    with telling(pathlib.Path(self._file.name)):
      self._file.write(json.dumps(_finite(line)) + "\n")
      self._file.flush()
    self._events.add(
      step,
      scalars={
        make_tag(name): value
        for name, value in row.items()
        if value is not None
      },
    )
    print(self._line(step, means, rate), file=self._out, flush=True)
    self._totals = {}

  def show(
    self,
    step: int,
    *,
    scalars: Mapping[str, float] | None = None,
    images: Mapping[str, np.ndarray] | None = None,
    histograms: Mapping[str, np.ndarray] | None = None,
  ) -> None:
    """Shows on TensorBoard what no row holds; see `Events.add`."""
    self._events.add(
      step, scalars=scalars, images=images, histograms=histograms
    )
    # The rate is training's, without the time that pictures take.
    self._mark = (step, time.monotonic())

  def say(self, text: str) -> None:
    """Prints a line among the progress lines."""
    print(text, file=self._out, flush=True)

  def close(self) -> None:
    """Closes the files; what there was to write is written."""
    # As in `Events.close`.
    with contextlib.suppress(OSError):
      self._file.close()
    self._events.close()

  @property
  def _out(self) -> TextIO:
    return self._stream or sys.stdout

  def _measure(self, step: int) -> float | None:
    """Images a second since the last row; None while nothing is measured."""
    now = time.monotonic()
    mark, self._mark = self._mark, (step, now)
    if mark is None or step <= mark[0] or now <= mark[1]:
      return None
    return (step - mark[0]) * self._batch_size / (now - mark[1])

  def _line(self, step, means, rate) -> str:
    width = len(str(self._steps))
    parts = [f"step {step:{width}d}/{self._steps}"]
    for name, label, form in SHOWN:
      if means.get(name) is not None:
        parts.append(f"{label} {means[name]:{form}}")
    if rate is not None:
      left = (self._steps - step) * self._batch_size / rate
      if self._limit:
        left = min(left, max(0.0, self._limit - self.seconds))
      parts.append(f"{rate:.1f} images/s")
      parts.append(f"ETA {format_seconds(left)}")
    return "  ".join(parts)


class SilentLog:
  """What a process that is not the primary has for a log."""

  seconds = 0.0
  progress: Mapping[str, Any] = {}

  def add(self, step: int, metrics: Mapping[str, Any]) -> None:
    """Forgets the metrics, which are the primary's too."""

  def write(self, step: int, **extra: float) -> None:
    """Writes nothing."""

  def say(self, text: str) -> None:
    """Says nothing."""

  def close(self) -> None:
    """Has nothing to close."""


def make_tag(name: str) -> str:
  """A metric's name on TensorBoard: `bpp_roi` becomes `rate/bpp_roi`."""
  group = GROUPS.get(name.partition("_")[0])
  return f"{group}/{name}" if group else name


def drop_rows_after(path: pathlib.Path, step: int) -> None:
  """Cuts a metrics file back to the rows up to `step`.

  A last row that was cut short, as a killed run leaves it, goes too.

  Args:
    path: a JSONL file; it need not exist.
    step: the last step to keep.

  Raises:
    RoijaxError: the file cannot be read or written.
  """
  try:
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines(
      keepends=True
    )
  except FileNotFoundError:
    return
  except OSError as error:
    raise RoijaxError(
      f"cannot read {path}: {error.strerror or error}"
    ) from error
  kept = [line for line in lines if 0 <= _step_of(line) <= step]
  if kept != lines:
    write_whole(path, "".join(kept).encode())


def _step_of(line: str) -> int:
  try:
    return int(json.loads(line)["step"]) if line.endswith("\n") else -1
  except (ValueError, KeyError, TypeError):
    return -1


def _finite(row: Mapping[str, Any]) -> dict[str, Any]:
  """JSON knows no NaN: what is not a number becomes null."""
  return {
    name: value if value is None or math.isfinite(value) else None
    for name, value in row.items()
  }


def format_seconds(seconds: float) -> str:
  """Writes a duration as "h:mm:ss"."""
  total = round(seconds)
  return f"{total // 3600}:{total // 60 % 60:02d}:{total % 60:02d}"
