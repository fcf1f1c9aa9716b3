"""Weights of one's own: every .npz in the folder that ROIJAX_WEIGHTS names.

They are found like the shipped ones, by name (the file's, without .npz) and by
fingerprint. The folder is looked at only when the index does not help.
"""

import functools
import os
import pathlib

from roijax.errors import CheckpointError
from roijax.weights.archive import Identity, read_identity

VARIABLE = "ROIJAX_WEIGHTS"


def list_files() -> list[pathlib.Path]:
  """The folder's weights files, sorted; none where no folder is named.

  Raises:
    CheckpointError: what the environment names is no folder.
  """
  named = os.environ.get(VARIABLE)
  if not named:
    return []
  folder = pathlib.Path(named)
  if not folder.is_dir():
    raise CheckpointError(
      f"{VARIABLE}={named} is no folder: let it name one that holds .npz files,"
      " or unset it"
    )
  return sorted(path for path in folder.glob("*.npz") if path.is_file())


def identify(path: pathlib.Path) -> Identity | None:
  """What one of the files is; None where it cannot be read."""
  try:
    state = path.stat()
    return _identify(path, state.st_mtime_ns, state.st_size)
  except (OSError, CheckpointError):
    return None


def find_by_fingerprint(fingerprint: bytes) -> pathlib.Path | None:
  """The first file of that fingerprint, or None."""
  for path in list_files():
    identity = identify(path)
    if identity is not None and identity.fingerprint == fingerprint:
      return path
  return None


@functools.lru_cache(maxsize=256)
def _identify(path: pathlib.Path, *state: int) -> Identity:
  # A file that was replaced has another state, and is read again.
  del state
  return read_identity(path)
