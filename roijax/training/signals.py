"""A polite stop: SIGTERM and SIGINT end the run after the step in hand."""

import signal
import threading
import types

# What a scheduler sends, and what Ctrl-C sends.
SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Interrupted(Exception):
  """The run was told to stop, has saved a checkpoint, and can go on from it.

  Attributes:
    signum: the signal.
    step: the checkpoint's step.
  """

  def __init__(self, signum: int, step: int):
    super().__init__(
      f"stopped by {signal.Signals(signum).name} at step {step}; the "
      f"checkpoint is saved, the same command goes on from it"
    )
    self.signum = signum
    self.step = step

  @property
  def exit_code(self) -> int:
    """128 + the signal, by the shells' custom: 143 for SIGTERM."""
    return 128 + self.signum


class StopOnSignal:
  """Notes a signal instead of dying of it, while the context is open.

  A second one has its ordinary effect, for whoever cannot wait.

  Attributes:
    signum: the signal that came, or None.
  """

  def __init__(self):
    self.signum: int | None = None
    self._previous = {}

  def __enter__(self) -> "StopOnSignal":
    # Python delivers signals to the main thread only.
    if threading.current_thread() is threading.main_thread():
      for signum in SIGNALS:
        self._previous[signum] = signal.signal(signum, self._note)
    return self

  def __exit__(self, *error: object) -> None:
    self._restore()

  def _note(self, signum: int, frame: types.FrameType | None) -> None:
    del frame
    self.signum = signum
    self._restore()

  def _restore(self) -> None:
    for signum, handler in self._previous.items():
      signal.signal(signum, handler)
    self._previous = {}
