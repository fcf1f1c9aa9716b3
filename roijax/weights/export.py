"""Shipping trained weights: the file, its card, and its line in the index.

The index is written last and whole: an export that is interrupted leaves a
file that nothing names, and the next one writes it again.
"""

import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Sequence

import roijax
from roijax.errors import CheckpointError
from roijax.files import write_whole
from roijax.weights.archive import (
  Weights,
  count_parameters,
  find_file,
  parse_weights,
)
from roijax.weights.card import Words, make_card
from roijax.weights.results import find_bd_rate, low_high_bpp, read_results
from roijax.weights.run import Run, read_run
from roijax.weights.shipped import (
  FOLDER,
  INDEX_NAME,
  Entry,
  Index,
  check_index,
  check_name,
  read_index,
)

MIB = 1 << 20
MAX_FILE = 16 * MIB
MAX_BOX = 48 * MIB


def export_weights(
  run: str | os.PathLike,
  name: str,
  *,
  results: Sequence[str | os.PathLike],
  out: str | os.PathLike = FOLDER,
  licence: str = "Apache-2.0",
  default: bool = False,
  without: Sequence[str] = (),
  summary: str = "",
  words: Words | None = None,
) -> Entry:
  """Ships weights under a name that is theirs for ever.

  The file is copied byte by byte. Exporting the same file again writes its
  card anew.

  Args:
    run: a training run's folder, or a `model.npz`.
    name: lower-case words, digits and hyphens.
    results: each the results.json of an evaluation of these very weights, or
      the folder that holds it; at least one.
    out: the folder of the index; the package's own by default.
    licence: of the weights, an SPDX identifier.
    default: whether these weights are to be taken when none are named.
    without: names whose files leave the box to make room; their entries and
      cards stay.
    summary: one line for people; made of the facts where it is empty.
    words: what else the card says.

  Returns:
    The entry.

  Raises:
    CheckpointError: the name or the weights are shipped already, the files are
      damaged or too large, the results are of other weights, or what is to
      leave is not there or still needed.
    RoijaxError: a file cannot be written.
  """
  check_name(name)
  path = find_file(run)
  data = _read(path)
  weights = parse_weights(data, str(path))
  figures = [read_results(item, weights.fingerprint) for item in results]
  if not figures:
    raise CheckpointError(
      "weights are shipped with figures: give the results.json of an evaluation"
    )
  index = _read_or_begin(pathlib.Path(out))
  trained = read_run(path.parent)
  parameters = count_parameters(weights.params)
  entry = Entry(
    name=name,
    fingerprint=weights.fingerprint,
    system=weights.system,
    file=f"{name}.npz",
    sha256=hashlib.sha256(data).hexdigest(),
    size=len(data),
    summary=_one_line(summary) or _summarise(weights, parameters, trained),
    rates_bpp=low_high_bpp(figures),
    bd_rate_jpeg=find_bd_rate(figures[0]),
    licence=licence,
    source=f"roijax {roijax.__version__}",
  )
  leaving = [index.folder / f"{other}.npz" for other in without]
  index = _without_files(index, without, name)
  index, entry = _with_entry(index, entry, default)
  card = make_card(entry, parameters, trained, figures, words or Words())
  write_whole(index.folder / f"{name}.npz", data)
  write_whole(index.folder / f"{name}.md", card.encode())
  write_whole(index.folder / INDEX_NAME, index.to_bytes())
  for old in leaving:
    old.unlink(missing_ok=True)
  return entry


def _read(path: pathlib.Path) -> bytes:
  try:
    data = path.read_bytes()
  except OSError as error:
    raise CheckpointError(f"cannot read {path}: {error.strerror}") from error
  if len(data) > MAX_FILE:
    raise CheckpointError(
      f"{path} is {len(data) / MIB:.1f} MiB; at most {MAX_FILE // MIB} MiB are"
      " shipped in the box"
    )
  return data


def _read_or_begin(folder: pathlib.Path) -> Index:
  """The folder's index, all of whose files are what they were."""
  if not (folder / INDEX_NAME).exists():
    return Index(folder, "", ())
  index = read_index(folder)
  for entry in index.entries:
    if entry.file is not None:
      index.verify(entry)
  return index


def _without_files(index: Index, names: Sequence[str], new: str) -> Index:
  """The index, in which these entries have no file.

  Raises:
    CheckpointError: one has none, is not there, or is the new one.
  """
  for name in names:
    entry = index.by_name(name)
    if entry is None or entry.file is None or name == new:
      raise CheckpointError(f"the box holds no older file of {name}")
  entries = tuple(
    dataclasses.replace(entry, file=None) if entry.name in names else entry
    for entry in index.entries
  )
  return dataclasses.replace(index, entries=entries)


def _with_entry(
  index: Index, entry: Entry, default: bool
) -> tuple[Index, Entry]:
  """The index with one entry more, or one renewed.

  Raises:
    CheckpointError: the name or the fingerprint belongs to something else, or
      the box grows too large.
  """
  named = index.by_name(entry.name)
  known = index.by_fingerprint(entry.fingerprint)
  if named is not None and named.fingerprint != entry.fingerprint:
    raise CheckpointError(
      f"{entry.name} is shipped already, with other weights"
      f" ({named.fingerprint.hex()}); what is shipped never changes: take"
      " another name"
    )
  if known is not None and known.name != entry.name:
    raise CheckpointError(f"these weights are shipped already, as {known.name}")
  if known is not None:
    if known.sha256 != entry.sha256:
      raise CheckpointError(
        f"{entry.name} is shipped already, with the same weights in another"
        " file; what is shipped never changes: give that file"
      )
    # It still comes with the version that it first came with.
    entry = dataclasses.replace(entry, source=known.source)
    entries = tuple(entry if e is known else e for e in index.entries)
  else:
    entries = (*index.entries, entry)
  size = sum(e.size for e in entries if e.file is not None)
  if size > MAX_BOX:
    raise CheckpointError(
      f"the box would hold {size / MIB:.1f} MiB, and at most {MAX_BOX // MIB}"
      " MiB are shipped: name an older entry whose file is to leave"
      " (--without NAME)"
    )
  name = entry.name if default or not index.default else index.default
  index = Index(index.folder, name, entries)
  check_index(index)
  if index.default_entry.file is None:
    raise CheckpointError(
      f"{name} is the default, so its file stays: --default makes"
      f" {entry.name} the default"
    )
  return index, entry


def _summarise(weights: Weights, parameters: int, run: Run | None) -> str:
  told = f"{weights.system}, {parameters / 1e6:.2f} million parameters"
  if run is not None and run.step is not None:
    told += f", {run.step:,} steps on {run.photos}"
  return told


def _one_line(text: str) -> str:
  return " ".join(text.split()).removesuffix(".")
