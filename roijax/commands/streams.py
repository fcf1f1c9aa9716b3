"""Bytes in and out: files, the standard streams, and interrupts."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

from roijax.commands.inputs import Job, is_device
from roijax.errors import BitstreamError, RoijaxError
from roijax.files import write_whole

if TYPE_CHECKING:
  from roijax.data.picture import Picture

_HELD = (signal.SIGINT, signal.SIGTERM)


def read_input(job: Job) -> bytes:
  """Reads a job's source whole.

  Raises:
    RoijaxError: it is missing, a folder, or cannot be read.
  """
  try:
    if job.source is None:
      return sys.stdin.buffer.read()
    return job.source.read_bytes()
  except FileNotFoundError as error:
    raise RoijaxError(f"no such file: {job.name}") from error
  except OSError as error:
    raise RoijaxError(f"cannot read {job.name}: {error.strerror}") from error


def read_picture(job: Job, max_pixels: int | None) -> "Picture":
  """Reads a job's source as a photo.

  Args:
    job: what to read.
    max_pixels: the most that it may have; None for the default limit.

  Raises:
    RoijaxError: it cannot be read, or is no photo.
  """
  from roijax.data.picture import decode_picture

  settings = {} if max_pixels is None else {"max_pixels": max_pixels}
  return decode_picture(read_input(job), job.name, **settings)


def write_output(job: Job, data: bytes) -> None:
  """Writes a job's target whole, or not at all.

  Raises:
    RoijaxError: no permission, no space, no folder.
  """
  target = job.target
  if target is not None and not is_device(target):
    with hold_signals():
      write_whole(target, data)
    return
  try:
    if target is None:
      sys.stdout.buffer.write(data)
      sys.stdout.buffer.flush()
    else:
      target.write_bytes(data)
  except BrokenPipeError:
    raise
  except OSError as error:
    name = "the standard output" if target is None else target
    raise RoijaxError(f"cannot write {name}: {error.strerror}") from error


@contextlib.contextmanager
def hold_signals() -> Iterator[None]:
  """Lets what is being written finish before an interrupt is obeyed."""
  if threading.current_thread() is not threading.main_thread():
    yield
    return
  came: list[int] = []
  former = {
    number: signal.signal(number, lambda number, _: came.append(number))
    for number in _HELD
  }
  try:
    yield
  finally:
    for number, handler in former.items():
      signal.signal(number, handler)
    for number in came[:1]:
      signal.raise_signal(number)


@contextlib.contextmanager
def naming(name: str) -> Iterator[None]:
  """Puts a file's name in front of what is wrong with its content."""
  try:
    yield
  except BitstreamError as error:
    raise BitstreamError(f"{name}: {error}") from error


def drop_output() -> None:
  """Points the standard output nowhere, once its reader has gone.

  Else Python complains when it flushes what is left at exit.
  """
  nowhere = os.open(os.devnull, os.O_WRONLY)
  os.dup2(nowhere, sys.stdout.fileno())
