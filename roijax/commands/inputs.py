"""Which files a command reads, and which it writes.

    IN... --find_inputs--> Inputs --plan_outputs--> Plan: (source, target)...

An input is a file, a folder (all fitting files below it), a pattern such as
`photos/**/*.jpg` (quoted, or where no shell expands it), or `-`.
"""

import dataclasses
import glob
import os
import pathlib
from collections.abc import Collection, Sequence
from typing import NamedTuple

from roijax.errors import RoijaxError

STREAM = "-"
# Photos' suffixes, beside those that roijax writes itself.
_ALSO_READ = (".gif", ".j2k", ".jfif", ".pbm", ".pgm", ".pnm", ".psd", ".qoi")


class Kind(NamedTuple):
  """What a command takes and makes.

  Attributes:
    noun: what one input is called.
    suffixes: of the files that a folder is searched for; a target's name
      drops them.
    made: the suffix of what is made.
    names: suffixes that name a file, not a folder, behind -o.
    foreign: those among them that what is made must not have.
  """

  noun: str
  suffixes: Collection[str]
  made: str
  names: Collection[str]
  foreign: Collection[str] = ()


class Job(NamedTuple):
  """One file to read and one to write; None is a standard stream."""

  source: pathlib.Path | None
  target: pathlib.Path | None

  @property
  def name(self) -> str:
    """What messages call the input."""
    return "standard input" if self.source is None else str(self.source)


@dataclasses.dataclass(frozen=True)
class Inputs:
  """The files to read.

  Attributes:
    paths: each once, in the order given, folders sorted; None is the standard
      input, which stands alone.
    root: the deepest folder that all share; targets keep what lies below it.
    many: whether this is a batch: a folder, or more than one file.
  """

  paths: tuple[pathlib.Path | None, ...]
  root: pathlib.Path
  many: bool


@dataclasses.dataclass(frozen=True)
class Plan:
  """What to do.

  Attributes:
    jobs: one a file.
    skipped: those of a batch whose targets exist already.
    many: whether this is a batch.
  """

  jobs: tuple[Job, ...]
  skipped: tuple[Job, ...]
  many: bool


def photo_suffixes() -> tuple[str, ...]:
  """Suffixes of the files that commands take for photos."""
  from roijax.data.images import SUFFIXES

  return SUFFIXES + _ALSO_READ


def find_inputs(arguments: Sequence[str], kind: Kind) -> Inputs:
  """Finds the files that the command line names.

  Args:
    arguments: files, folders, patterns, or `-` alone.
    kind: what to look for in folders.

  Raises:
    RoijaxError: something does not exist, or a folder holds nothing fitting.
  """
  if STREAM in arguments:
    if len(arguments) > 1:
      raise RoijaxError("- is the standard input: it cannot have company")
    return Inputs((None,), pathlib.Path(), False)
  try:
    os.getcwd()
  except FileNotFoundError as error:
    raise RoijaxError("the current folder is gone: cd to another") from error
  found: dict[str, pathlib.Path] = {}
  roots = []
  folders = 0
  for argument in arguments:
    for path in _expand(argument, kind):
      folders += path.is_dir()
      roots.append(path if path.is_dir() else path.parent)
      for file in _walk(path, kind) if path.is_dir() else [path]:
        found.setdefault(os.path.abspath(file), file)
  try:
    root = os.path.commonpath([os.path.abspath(root) for root in roots])
  except ValueError as error:
    raise RoijaxError("inputs on several drives: take one at a time") from error
  many = bool(folders) or len(found) > 1
  return Inputs(tuple(found.values()), pathlib.Path(root), many)


def plan_outputs(
  inputs: Inputs, output: str | None, kind: Kind, *, overwrite: bool
) -> Plan:
  """Names what will be written, before any work.

  Without an output each target lies beside its source. A file's name changes
  its suffix; where two would then be one (`x.jpg` and `x.png`), both keep
  theirs (`x.jpg.roij`).

  Args:
    inputs: from `find_inputs`.
    output: a file, a folder, `-`, or None.
    kind: what is made.
    overwrite: whether existing files are written anew; without it one that
      exists is refused, or skipped in a batch.

  Raises:
    RoijaxError: a target exists, is an input, is one of two of a name, has
      another format's suffix, or is no folder where a batch needs one.
  """
  if output == "":
    raise RoijaxError("-o is empty: name a file, a folder, or -")
  if not inputs.many:
    job = Job(inputs.paths[0], _single_target(inputs.paths[0], output, kind))
    _refuse_inputs([job])
    target = job.target
    if target and _suffix(target.name) in kind.foreign:
      raise RoijaxError(
        f"-o {target}: what is written is a {kind.made} file, so its name"
        f" cannot end in {target.suffix}: end it in {kind.made}"
      )
    if target and target.exists() and not (overwrite or is_device(target)):
      raise RoijaxError(
        f"{target} exists: --overwrite replaces it, -o names another"
      )
    return Plan((job,), (), False)
  jobs = _batch_jobs(inputs, output, kind)
  _refuse_inputs(jobs)
  there = set() if overwrite else {job for job in jobs if _exists(job)}
  return Plan(
    tuple(job for job in jobs if job not in there),
    tuple(job for job in jobs if job in there),
    True,
  )


def _expand(argument: str, kind: Kind) -> list[pathlib.Path]:
  """The paths that one argument means; a literal name comes first."""
  if os.path.lexists(argument):
    return [pathlib.Path(argument)]
  if glob.has_magic(argument):
    matches = sorted(glob.glob(argument, recursive=True))
    if matches:
      return [pathlib.Path(match) for match in matches]
    raise RoijaxError(f"nothing matches {argument!r}")
  if not argument:
    raise RoijaxError(f"an empty name is no {kind.noun}")
  raise RoijaxError(f"no such {kind.noun}: {argument}")


def _walk(folder: pathlib.Path, kind: Kind) -> list[pathlib.Path]:
  """Fitting files below a folder, sorted; hidden ones are left out."""

  def refuse(error: OSError):
    raise RoijaxError(f"cannot read {error.filename}: {error.strerror}")

  found = []
  for place, folders, names in os.walk(folder, onerror=refuse):
    folders[:] = sorted(name for name in folders if not name.startswith("."))
    found += [
      pathlib.Path(place, name)
      for name in sorted(names)
      if not name.startswith(".") and _suffix(name) in kind.suffixes
    ]
  if not found:
    raise RoijaxError(
      f"no {kind.noun} below {folder}: looked for "
      + ", ".join(sorted(kind.suffixes))
    )
  return found


def _suffix(name: str) -> str:
  return os.path.splitext(name)[1].lower()


def _renamed(name: str, kind: Kind) -> str:
  """The name of what is made; only a known suffix is dropped."""
  stem, suffix = os.path.splitext(name)
  known = suffix.lower() in kind.suffixes and stem
  return (stem if known else name) + kind.made


def _single_target(source, output, kind: Kind) -> pathlib.Path | None:
  if output == STREAM or (output is None and source is None):
    return None
  if output is None:
    return source.with_name(_renamed(source.name, kind))
  target = pathlib.Path(output)
  if target.is_dir() or output.endswith(("/", os.sep)):
    if source is None:
      raise RoijaxError(f"{output} is a folder: name the file to write")
    return target / _renamed(source.name, kind)
  return target


def _batch_jobs(inputs: Inputs, output, kind: Kind) -> list[Job]:
  """Sources with their targets, no two the same."""
  if output == STREAM:
    raise RoijaxError("-o - takes one input: name a folder for several")
  folder = None if output is None else pathlib.Path(output)
  if output is not None and folder and not folder.is_dir():
    if folder.exists():
      raise RoijaxError(f"{folder} is a file: several inputs need a folder")
    if _suffix(folder.name) in kind.names and not output.endswith("/"):
      raise RoijaxError(
        f"-o {folder} looks like a file: several inputs need a folder"
      )
  shortened, whole = {}, {}
  for source in inputs.paths:
    assert source is not None
    place = source.parent
    if folder:
      place = folder / os.path.relpath(os.path.abspath(place), inputs.root)
    shortened[source] = place / _renamed(source.name, kind)
    whole[source] = place / (source.name + kind.made)
  double = _doubles(shortened.values())
  targets = {
    source: whole[source] if target in double else target
    for source, target in shortened.items()
  }
  for target in sorted(_doubles(targets.values())):
    first, second, *_ = [s for s, t in targets.items() if t == target]
    raise RoijaxError(
      f"{first} and {second} would both become {target}: take one at a time"
    )
  return [Job(source, target) for source, target in targets.items()]


def _doubles(paths) -> set[pathlib.Path]:
  seen: set[pathlib.Path] = set()
  return {path for path in paths if path in seen or seen.add(path)}


def _refuse_inputs(jobs: Sequence[Job]) -> None:
  """Refuses to write over what is to be read."""
  sources = {os.path.realpath(job.source) for job in jobs if job.source}
  for job in jobs:
    if job.target and os.path.realpath(job.target) in sources:
      raise RoijaxError(
        f"{job.target} is an input itself: give -o another name"
      )


def is_device(path: pathlib.Path) -> bool:
  """Whether a path is /dev/null or its like: it exists and loses nothing."""
  return path.exists() and not path.is_file() and not path.is_dir()


def _exists(job: Job) -> bool:
  return job.target is not None and job.target.exists()
