"""Progress over photos, with the time that is left.

On a terminal a bar; in a log or a pipe one line every few seconds.
"""

import time

from rich.console import Console
from rich.progress import (
  BarColumn,
  MofNCompleteColumn,
  Progress,
  TextColumn,
  TimeRemainingColumn,
)

LINE_SECONDS = 15.0


class PhotoProgress:
  """Counts photos; use as a context, and call it with each photo's name.

  Args:
    total: how many photos there will be.
    console: where to; the standard error by default.
  """

  def __init__(self, total: int, console: Console | None = None):
    self.total = total
    self.done = 0
    self.console = console or Console(stderr=True)
    self._start = self._last = time.monotonic()
    self._bar = Progress(
      TextColumn("{task.description}"),
      BarColumn(),
      MofNCompleteColumn(),
      TextColumn("photos, time left"),
      TimeRemainingColumn(),
      console=self.console,
      transient=True,
      disable=not self.console.is_terminal,
    )
    self._task = self._bar.add_task("evaluating", total=total)

  def __enter__(self) -> "PhotoProgress":
    """Starts the clock and the bar."""
    self._start = self._last = time.monotonic()
    self._bar.start()
    return self

  def __exit__(self, *_) -> None:
    """Clears the bar."""
    self._bar.stop()

  def __call__(self, name: str) -> None:
    """Counts one photo as done."""
    self.done += 1
    self._bar.advance(self._task)
    now = time.monotonic()
    if not self.console.is_terminal and now - self._last >= LINE_SECONDS:
      self._last = now
      each = (now - self._start) / self.done
      self.console.print(
        f"evaluating: {self.done}/{self.total} photos, {each:.1f} s each,"
        f" {_clock(each * (self.total - self.done))} left ({name})",
        highlight=False,
        soft_wrap=True,
      )


def _clock(seconds: float) -> str:
  minutes, seconds = divmod(round(seconds), 60)
  hours, minutes = divmod(minutes, 60)
  return f"{hours}:{minutes:02}:{seconds:02}"
