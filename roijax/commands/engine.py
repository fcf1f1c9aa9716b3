"""Weights, found by name or by a file's fingerprint, loaded once a process."""

import contextlib
import functools
import pathlib
from typing import TYPE_CHECKING

from roijax.errors import CheckpointError
from roijax.weights import extra, index, shipped

if TYPE_CHECKING:
  from roijax.codec import Codec


@functools.lru_cache(maxsize=2)
def load_codec(path: pathlib.Path) -> "Codec":
  """Loads weights and keeps them for the next file.

  Args:
    path: as `roijax.weights.index.find` gives it.

  Raises:
    CheckpointError: missing or damaged.
  """
  # Seconds of JAX: behind everything that can be wrong before.
  from roijax.codec import Codec

  return Codec.load(path, keep_programs=True)


@functools.lru_cache(maxsize=8)
def _find_by_fingerprint(fingerprint: bytes) -> pathlib.Path:
  return index.find_by_fingerprint(fingerprint)


def forget() -> None:
  """Drops what was loaded."""
  load_codec.cache_clear()
  _find_by_fingerprint.cache_clear()


def codec_for(fingerprint: bytes, checkpoint: pathlib.Path | None) -> "Codec":
  """The codec that a file needs.

  Args:
    fingerprint: from its header.
    checkpoint: weights to take whatever the file says; None for its own.

  Raises:
    BitstreamError: its weights are not at hand.
    CheckpointError: they are damaged.
  """
  return load_codec(checkpoint or _find_by_fingerprint(fingerprint))


def name_weights(fingerprint: bytes) -> tuple[str | None, bool]:
  """The name of weights, None where it is not known, and if they are here."""
  name = None
  # A broken installation is told by what needs the weights.
  with contextlib.suppress(CheckpointError):
    box = shipped.read_index()
    entry = box.by_fingerprint(fingerprint)
    if entry is not None:
      name = entry.name
      if box.has_file(entry):
        return name, True
    own = extra.find_by_fingerprint(fingerprint)
    if own is not None:
      return name or own.stem, True
  return name, False
