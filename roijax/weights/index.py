"""Finding weights: by name, by path, or by a file's fingerprint.

`shipped` reads the index of what lies in the box, `extra` looks into a folder
of one's own. Nothing here loads JAX, so that a list of weights is quick.
"""

import difflib
import os
import pathlib
from typing import NamedTuple

from roijax.errors import BitstreamError, CheckpointError
from roijax.weights import extra
from roijax.weights.archive import find_file
from roijax.weights.shipped import Entry, Index, read_index


class Description(NamedTuple):
  """A row of the table of weights.

  Attributes:
    name: as in `Entry`; the file's own for one of `ROIJAX_WEIGHTS`.
    system: as in `Entry`; empty where the file cannot be read.
    fingerprint: hex; empty likewise.
    size: bytes.
    rates_bpp: as in `Entry`; None where it is not known.
    bd_rate_jpeg: as in `Entry`; None likewise.
    summary: as in `Entry`.
    is_default: whether these are taken when none are named.
    in_box: whether the file is there.
  """

  name: str
  system: str
  fingerprint: str
  size: int
  rates_bpp: tuple[float, float] | None
  bd_rate_jpeg: int | None
  summary: str
  is_default: bool
  in_box: bool


def entries() -> list[Entry]:
  """The shipped weights, oldest first.

  Raises:
    CheckpointError: the index is damaged.
  """
  return list(read_index().entries)


def default() -> Entry:
  """What is taken when no weights are named.

  Raises:
    CheckpointError: the index is damaged.
  """
  return read_index().default_entry


def find(name_or_path: str | os.PathLike | None = None) -> pathlib.Path:
  """The weights file that is meant.

  Args:
    name_or_path: the name of shipped weights or of a file in the folder
      `ROIJAX_WEIGHTS`; a `model.npz`, or a folder that holds one; None for the
      default. A shipped name wins over a folder: write `./NAME` for that one.

  Raises:
    CheckpointError: there is nothing of that name, or it is not what it was.
  """
  if name_or_path is None:
    index = read_index()
    return _locate(index, index.default_entry, CheckpointError)
  text = os.fspath(name_or_path)
  # What is plainly a path is taken as it is, whatever became of the index.
  if pathlib.Path(text).name != text or text.endswith(".npz"):
    return find_file(text)
  index = read_index()
  entry = index.by_name(text)
  if entry is not None:
    return _locate(index, entry, CheckpointError)
  if pathlib.Path(text).exists():
    return find_file(text)
  own = {path.stem: path for path in extra.list_files()}
  if text in own:
    return own[text]
  names = [*(entry.name for entry in index.entries), *own]
  near = difflib.get_close_matches(text, names, 1, 0.6)
  hint = f"did you mean {near[0]!r}? " if near else ""
  raise CheckpointError(
    f"no weights {text!r}: {hint}there are: {', '.join(names)}; or give a"
    " model.npz, or a training run's folder"
  )


def find_by_fingerprint(fingerprint: bytes) -> pathlib.Path:
  """The weights file that a `.roij` file was coded with.

  Args:
    fingerprint: from the file's header.

  Raises:
    BitstreamError: it is not known here, or known but not at hand.
    CheckpointError: it is not what it was when it was shipped.
  """
  index = read_index()
  entry = index.by_fingerprint(fingerprint)
  if entry is not None:
    return _locate(index, entry, BitstreamError)
  path = extra.find_by_fingerprint(fingerprint)
  if path is None:
    raise BitstreamError(
      f"made with weights {fingerprint.hex()}, which this roijax does not"
      " know: give --checkpoint FILE with the model.npz that made it, or update"
      " roijax"
    )
  return path


def describe() -> list[Description]:
  """All weights that are known here: the shipped ones, then one's own.

  Raises:
    CheckpointError: the index is damaged, or `ROIJAX_WEIGHTS` is no folder.
  """
  index = read_index()
  rows = [
    Description(
      entry.name,
      entry.system,
      entry.fingerprint.hex(),
      entry.size,
      entry.rates_bpp,
      entry.bd_rate_jpeg,
      entry.summary,
      entry.name == index.default,
      index.has_file(entry),
    )
    for entry in index.entries
  ]
  for path in extra.list_files():
    identity = extra.identify(path)
    summary = f"in {extra.VARIABLE}"
    if identity is None:
      identity, summary = extra.Identity("", b""), f"{path} cannot be read"
    rows.append(
      Description(
        path.stem,
        identity.system,
        identity.fingerprint.hex(),
        path.stat().st_size,
        None,
        None,
        summary,
        False,
        True,
      )
    )
  return rows


def _locate(
  index: Index, entry: Entry, kind: type[BitstreamError | CheckpointError]
) -> pathlib.Path:
  """The entry's file in the box, else its like in `ROIJAX_WEIGHTS`."""
  if index.has_file(entry):
    return index.verify(entry)
  path = extra.find_by_fingerprint(entry.fingerprint)
  if path is None:
    told = "made with" if kind is BitstreamError else "no file of"
    raise kind(
      f"{told} the weights {entry.name} ({entry.fingerprint.hex()}), which are"
      f" not in this installation: they come with {entry.source}; put"
      f" {entry.name}.npz into a folder that {extra.VARIABLE} names"
    )
  return path
