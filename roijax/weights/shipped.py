"""What `index.json` says: the weights that are shipped, entry by entry.

An entry never changes: weights that are trained again get a new name, so that
a `.roij` file finds for ever what it was coded with. A file may leave the box
(its entry's `file` becomes null); the entry stays and says where to get it.
"""

import dataclasses
import hashlib
import json
import os
import pathlib
import re
from typing import Any

from roijax.errors import CheckpointError

FOLDER = pathlib.Path(__file__).parent
INDEX_NAME = "index.json"

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_KINDS: dict[str, type | tuple[type, ...]] = {
  "name": str,
  "fingerprint": str,
  "system": str,
  "file": (str, type(None)),
  "sha256": str,
  "bytes": int,
  "summary": str,
  "rates_bpp": list,
  "bd_rate_jpeg": (int, type(None)),
  "licence": str,
  "source": str,
}


@dataclasses.dataclass(frozen=True)
class Entry:
  """One set of weights.

  Attributes:
    name: lower-case words, digits and hyphens.
    fingerprint: eight bytes, as files that were coded with them have it.
    system: one of `models.registry.SYSTEMS`.
    file: `NAME.npz`, or None where the box no longer holds it.
    sha256: of the file, hex.
    size: of the file in bytes.
    summary: one line for people.
    rates_bpp: the lowest and highest rate that was measured, bits a pixel.
    bd_rate_jpeg: BD-rate of weighted PSNR against JPEG in whole percent, of the
      first evaluation on its card; None where there is none.
    licence: of the weights, an SPDX identifier.
    source: what the file comes with, such as `roijax 0.1.0`.
  """

  name: str
  fingerprint: bytes
  system: str
  file: str | None
  sha256: str
  size: int
  summary: str
  rates_bpp: tuple[float, float]
  bd_rate_jpeg: int | None
  licence: str
  source: str

  def to_json(self) -> dict[str, Any]:
    """The entry as `index.json` has it."""
    return {
      "name": self.name,
      "fingerprint": self.fingerprint.hex(),
      "system": self.system,
      "file": self.file,
      "sha256": self.sha256,
      "bytes": self.size,
      "summary": self.summary,
      "rates_bpp": list(self.rates_bpp),
      "bd_rate_jpeg": self.bd_rate_jpeg,
      "licence": self.licence,
      "source": self.source,
    }


@dataclasses.dataclass(frozen=True)
class Index:
  """What `index.json` of a folder says.

  Attributes:
    folder: where it lies, and the files with it.
    default: the name of what is taken when none is named.
    entries: in the order in which they were shipped.
  """

  folder: pathlib.Path
  default: str
  entries: tuple[Entry, ...]

  @property
  def default_entry(self) -> Entry:
    """The entry of the default's name; `check_index` says it is there."""
    return next(e for e in self.entries if e.name == self.default)

  def by_name(self, name: str) -> Entry | None:
    """The entry of a name, or None."""
    return next((e for e in self.entries if e.name == name), None)

  def by_fingerprint(self, fingerprint: bytes) -> Entry | None:
    """The entry of a fingerprint, or None."""
    return next((e for e in self.entries if e.fingerprint == fingerprint), None)

  def has_file(self, entry: Entry) -> bool:
    """Whether the entry's file lies in the box."""
    return entry.file is not None and (self.folder / entry.file).is_file()

  def verify(self, entry: Entry) -> pathlib.Path:
    """The entry's file, after a look at every byte of it.

    Raises:
      CheckpointError: it is missing, or not what was shipped.
    """
    path = self.folder / f"{entry.name}.npz"
    try:
      data = path.read_bytes()
    except OSError as error:
      raise CheckpointError(
        f"cannot read {path}: {error.strerror}; install roijax again"
      ) from error
    if (
      len(data) != entry.size
      or hashlib.sha256(data).hexdigest() != entry.sha256
    ):
      raise CheckpointError(
        f"{path} is not the file that was shipped: install roijax again"
      )
    return path

  def to_bytes(self) -> bytes:
    """The content of `index.json`."""
    content = {
      "default": self.default,
      "weights": [entry.to_json() for entry in self.entries],
    }
    return (json.dumps(content, indent=2) + "\n").encode()


def check_name(name: str) -> None:
  """Refuses a name that could be mistaken for a path, or differ by case.

  Raises:
    CheckpointError: it is not made of lower-case words, digits and hyphens.
  """
  if not _NAME.fullmatch(name):
    raise CheckpointError(
      f"{name!r} is no name for weights: lower-case letters, digits and single"
      " hyphens, such as ggm-small-2"
    )


def read_index(folder: str | os.PathLike = FOLDER) -> Index:
  """Reads a folder's index and checks what it says, without the files.

  Raises:
    CheckpointError: it is missing, damaged or contradicts itself.
  """
  path = pathlib.Path(folder) / INDEX_NAME
  try:
    content = json.loads(path.read_bytes())
    entries = tuple(_parse(item) for item in content["weights"])
    index = Index(path.parent, content["default"], entries)
  except OSError as error:
    raise CheckpointError(
      f"cannot read {path}: {error.strerror}; install roijax again"
    ) from error
  except (ValueError, KeyError, TypeError, AttributeError) as error:
    raise CheckpointError(
      f"{path} is damaged ({' '.join(str(error).split())}); install roijax"
      " again"
    ) from error
  check_index(index)
  return index


def check_index(index: Index) -> None:
  """Refuses an index that contradicts itself.

  Raises:
    CheckpointError: two entries share a name or a fingerprint, or the default
      is not among them.
  """
  path = index.folder / INDEX_NAME
  for what, values in (
    ("name", [entry.name for entry in index.entries]),
    ("fingerprint", [entry.fingerprint.hex() for entry in index.entries]),
  ):
    twice = [value for value in values if values.count(value) > 1]
    if twice:
      raise CheckpointError(f"{path} has the {what} {twice[0]} twice")
  if index.by_name(index.default) is None:
    raise CheckpointError(
      f"{path} names {index.default!r} as the default, which it does not list"
    )


def _parse(item: dict[str, Any]) -> Entry:
  """Reads one entry.

  Raises:
    ValueError: a field is missing, unknown, or not what it must be.
  """
  if sorted(item) != sorted(_KINDS):
    raise ValueError(f"an entry has the fields {', '.join(item)}")
  for field, kind in _KINDS.items():
    if not isinstance(item[field], kind):
      raise ValueError(f"{field} is {item[field]!r}")
  name, low_high = item["name"], item["rates_bpp"]
  fingerprint = bytes.fromhex(item["fingerprint"])
  sha256 = bytes.fromhex(item["sha256"])
  if not _NAME.fullmatch(name):
    raise ValueError(f"{name!r} is no name")
  if item["file"] not in (None, f"{name}.npz"):
    raise ValueError(f"{name} lies in {item['file']!r}, not in {name}.npz")
  if len(fingerprint) != 8 or len(sha256) != 32:
    raise ValueError(f"{name} has a fingerprint or a sum of another length")
  low, high = (float(rate) for rate in low_high)
  return Entry(
    name,
    fingerprint,
    item["system"],
    item["file"],
    sha256.hex(),
    item["bytes"],
    item["summary"],
    (low, high),
    item["bd_rate_jpeg"],
    item["licence"],
    item["source"],
  )
