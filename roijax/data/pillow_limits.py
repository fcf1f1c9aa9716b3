"""Pillow's guards against decompression bombs, set to a limit of our own.

Pillow has one limit for the whole process, warns above it and refuses above
twice of it; files that it can half read make it warn too. Here the caller
names the limit and damage is an exception, so that both are set aside for as
long as pictures are being read.
"""

import contextlib
import threading
import warnings
from collections.abc import Iterator

from PIL import Image

_lock = threading.Lock()
_limits: list[int] = []
_restore = contextlib.ExitStack()


@contextlib.contextmanager
def limit_pixels(max_pixels: int) -> Iterator[None]:
  """Lets Pillow read up to `max_pixels`, silently, and refuse what is above.

  Threads may overlap: the first to enter saves what the process had, the last
  to leave restores it, and between them the largest limit holds. The filter
  for warnings touches Pillow's alone; a thread of the caller's that reads
  with Pillow at the same time goes by this limit and without warnings too.

  Args:
    max_pixels: at least 1. A caller still has to compare an opened picture's
      size with it; this is for what Pillow opens and allocates by itself.
  """
  with _lock:
    if not _limits:
      _restore.enter_context(warnings.catch_warnings())
      warnings.filterwarnings("ignore", module=r"PIL\.")
      _restore.callback(
        setattr, Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS
      )
    _limits.append(max_pixels)
    _apply()
  try:
    yield
  finally:
    with _lock:
      _limits.remove(max_pixels)
      if _limits:
        _apply()
      else:
        _restore.close()


def _apply() -> None:
  # Pillow refuses above twice its limit.
  Image.MAX_IMAGE_PIXELS = -(-max(_limits) // 2)
