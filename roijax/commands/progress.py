"""Bars on the standard error, where that is a terminal."""

import contextlib
import sys
from collections.abc import Callable, Iterator

LARGE = 4_000_000
"""Pixels from which one photo alone takes long enough for a bar."""


@contextlib.contextmanager
def count_files(total: int) -> Iterator[Callable[[], None]]:
  """A bar with the time left; yields what to call after each file."""
  # Rich wants a tenth of a second, which one file alone should not wait for.
  from rich import progress
  from rich.console import Console

  console = Console(stderr=True)
  bar = progress.Progress(
    progress.BarColumn(),
    progress.MofNCompleteColumn(),
    progress.TextColumn("files, time left"),
    progress.TimeRemainingColumn(),
    console=console,
    transient=True,
    disable=not console.is_terminal,
  )
  with bar:
    task = bar.add_task("", total=total)
    yield lambda: bar.advance(task)


@contextlib.contextmanager
def show_share(pixels: int) -> Iterator[Callable[[float], None] | None]:
  """A bar for one large photo; yields what takes the share that is done.

  Args:
    pixels: of the photo; a small one gets no bar, and None.
  """
  if pixels < LARGE or not sys.stderr.isatty():
    yield None
    return
  from rich import progress
  from rich.console import Console

  bar = progress.Progress(
    progress.BarColumn(),
    progress.TaskProgressColumn(),
    console=Console(stderr=True),
    transient=True,
  )
  with bar:
    task = bar.add_task("", total=1.0)
    yield lambda share: bar.update(task, completed=share)
