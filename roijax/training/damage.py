"""Damage to a checkpoint's files: how it is found, and what becomes of them.

    workdir/checkpoints/STEP/checksums.json     length and CRC-32 of each file
    workdir/checkpoints/STEP.damaged            out of the way, for a person

Orbax itself notices a file that is missing or cut short, but not a flipped
bit among an array's numbers.
"""

import json
import pathlib
import zlib

import tensorstore

from roijax.errors import RoijaxError
from roijax.files import write_whole

CHECKSUMS = "checksums.json"
_BLOCK = 1 << 24


def write_checksums(folder: pathlib.Path) -> None:
  """Notes down what is in a complete checkpoint.

  Raises:
    RoijaxError: the note cannot be written, or the checkpoint not be read.
  """
  try:
    sums = {
      path.relative_to(folder).as_posix(): _measure(path)
      for path in sorted(folder.rglob("*"))
      if path.is_file()
    }
  except OSError as error:
    raise RoijaxError(
      f"cannot read {folder}: {error.strerror or error}"
    ) from error
  write_whole(folder / CHECKSUMS, json.dumps(sums, indent=1).encode())


def find_damage(folder: pathlib.Path) -> str | None:
  """Reads a whole checkpoint and says what is wrong with its files.

  Args:
    folder: the checkpoint, of one step.

  Returns:
    Words such as "state/d/0ab1 is not as it was saved", or None when all is
    well.
  """
  try:
    sums = dict(json.loads((folder / CHECKSUMS).read_bytes()))
  except FileNotFoundError:
    # A run that was killed right after the save, or is older than these sums.
    return _find_broken(folder)
  except (OSError, ValueError, TypeError):
    return f"{CHECKSUMS} cannot be read"
  for name, measured in sums.items():
    try:
      if _measure(folder / name) != measured:
        return f"{name} is not as it was saved"
    except OSError as error:
      return f"{name}: {error.strerror or error}"
  return None


def move_aside(folder: pathlib.Path) -> pathlib.Path:
  """Renames a damaged checkpoint, so that its step can be saved again.

  Returns:
    The new folder.

  Raises:
    RoijaxError: it cannot be renamed.
  """
  number, target = 1, folder.with_name(f"{folder.name}.damaged")
  while target.exists():
    number += 1
    target = folder.with_name(f"{folder.name}.damaged-{number}")
  try:
    return folder.rename(target)
  except OSError as error:
    raise RoijaxError(
      f"cannot rename {folder}: {error.strerror or error}"
    ) from error


def _measure(path: pathlib.Path) -> list[int]:
  length = crc = 0
  with path.open("rb") as file:
    while block := file.read(_BLOCK):
      length += len(block)
      crc = zlib.crc32(block, crc)
  return [length, crc]


def _find_broken(folder: pathlib.Path) -> str | None:
  """Finds what does not parse, in a checkpoint without checksums."""
  for name in ("config", "data", "progress"):
    try:
      json.loads((folder / name / "metadata").read_bytes())
    except (OSError, ValueError):
      return f"{name} cannot be read"
  try:
    # Every stored value once, without decoding it. Orbax reads them all at
    # the same time; one that fails leaves the others to complain, at length,
    # after the error is reported.
    store = tensorstore.KvStore.open(
      {"driver": "ocdbt", "base": f"file://{folder / 'state'}/"}
    ).result()
    keys = store.list().result()
    for key in keys:
      store.read(key).result()
    json.loads((folder / "state" / "_METADATA").read_bytes())
  except (OSError, ValueError):
    return "state cannot be read"
  return None if keys else "state is empty"
