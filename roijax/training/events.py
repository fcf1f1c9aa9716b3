"""TensorBoard's event file, written at once.

tensorboardX's own writer hands events to a thread. On a full disk that thread
ends with a traceback, and the run then waits for it for ever. Here the run
itself writes, and meets the error.
"""

import contextlib
import pathlib
import socket
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from tensorboardX import RecordWriter, summary

# protobuf makes these when it is imported; a type checker sees none.
from tensorboardX.proto.event_pb2 import (
  Event,  # pyright: ignore[reportAttributeAccessIssue]
  SessionLog,  # pyright: ignore[reportAttributeAccessIssue]
)

from roijax.errors import RoijaxError

HISTOGRAM_BINS = 64


@contextlib.contextmanager
def telling(path: pathlib.Path):
  """Turns what the system says of a write to `path` into a `RoijaxError`."""
  try:
    yield
  except OSError as error:
    raise RoijaxError(
      f"cannot write {path}: {error.strerror or error}"
    ) from error


class Events:
  """One event file of a run's TensorBoard folder."""

  def __init__(self, folder: pathlib.Path, start_step: int):
    """Starts a file.

    Args:
      folder: where TensorBoard looks; made if it is missing.
      start_step: TensorBoard hides what older files say of later steps.

    Raises:
      RoijaxError: the file cannot be written.
    """
    self._folder = folder
    with telling(self._folder):
      folder.mkdir(parents=True, exist_ok=True)
      # The step keeps apart the files of two starts within a second.
      now, host = int(time.time()), socket.gethostname()
      name = f"events.out.tfevents.{now}.{host}.{start_step}"
      self._file = RecordWriter(str(folder / name))
      self._write(file_version="brain.Event:2")
      start = SessionLog(status=SessionLog.START)
      self._write(step=start_step + 1, session_log=start)
      self._file.flush()

  def add(
    self,
    step: int,
    *,
    scalars: Mapping[str, float] | None = None,
    images: Mapping[str, np.ndarray] | None = None,
    histograms: Mapping[str, np.ndarray] | None = None,
  ) -> None:
    """Writes what there is to say of a step.

    Args:
      step: which.
      scalars: numbers by tag.
      images: uint8 [H, W, 3] by tag.
      histograms: arrays of finite values by tag; empty ones are left out.

    Raises:
      RoijaxError: the disk is full.
    """
    said = [
      summary.scalar(tag, value) for tag, value in (scalars or {}).items()
    ]
    said += [
      summary.image(tag, value, dataformats="HWC")
      for tag, value in (images or {}).items()
    ]
    said += [
      summary.histogram(tag, value, HISTOGRAM_BINS)
      for tag, value in (histograms or {}).items()
      if np.size(value)
    ]
    with telling(self._folder):
      for one in said:
        self._write(step=step, summary=one)
      self._file.flush()

  def close(self) -> None:
    """Closes the file; `add` has already written all."""
    # A full disk was told by the write that met it.
    with contextlib.suppress(OSError):
      self._file.close()

  def _write(self, **content: Any) -> None:
    event = Event(wall_time=time.time(), **content)
    self._file.write(event.SerializeToString())
