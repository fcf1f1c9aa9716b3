"""Compiled programs kept on disk, so that a cold command need not trace.

JAX's own compilation cache spares the compiler, not the tracing and lowering
in front of it, which is most of a short command. An executable stored whole
is loaded in a few hundredths of a second. It fits one kind of machine, one
version of jaxlib and one state of this package's code alone; its name is a
digest of all of these, and anything that does not load is made again. Small
values that follow from the model (`programs.Outline`) are kept likewise.

The folder is the user's own: like any cache of programs, it must not be
writable by others.
"""

import hashlib
import importlib.metadata
import os
import pathlib
import pickle
import platform
import stat
from collections.abc import Callable
from typing import Any

import jax
import jaxlib
import numpy as np
from jax.experimental import serialize_executable
from jax.experimental.compilation_cache import compilation_cache

from roijax.errors import RoijaxError
from roijax.files import write_whole

_PACKAGE = pathlib.Path(__file__).parent
_TRACED = (
  "coding/grid.py",
  "coding/mask.py",
  "coding/passes.py",
  "ops",
  "entropy",
  "layers",
  "models",
  "programs.py",
  "refinement.py",
)


def _describe_processor() -> str:
  cpuinfo = pathlib.Path("/proc/cpuinfo")
  flags = ""
  if cpuinfo.exists():
    lines = cpuinfo.read_text(errors="replace").splitlines()
    flags = next((x for x in lines if x.startswith(("flags", "Feat"))), "")
  return f"{platform.platform()} {platform.processor()} {flags}"


def _digest_code() -> bytes:
  digest = hashlib.sha256()
  for part in _TRACED:
    place = _PACKAGE / part
    files = sorted(place.rglob("*.py")) if place.is_dir() else [place]
    for file in files:
      digest.update(file.read_bytes())
  return digest.digest()


class Executables:
  """A folder of compiled programs, in place of JAX's own cache.

  Attributes:
    folder: where they lie.
  """

  def __init__(self, folder: str | os.PathLike, identity: str):
    """Opens a folder.

    Args:
      folder: made when it is missing.
      identity: names the model; programs of others are not taken.
    """
    self.folder = pathlib.Path(folder)
    # What JAX takes from its own cache cannot be stored again: it loads, and
    # then lacks functions.
    jax.config.update("jax_enable_compilation_cache", False)
    compilation_cache.reset_cache()
    self._loaded: dict[str, Callable] = {}
    devices = jax.devices()
    self._base = hashlib.sha256(
      "\n".join(
        [
          identity,
          jax.__version__,
          importlib.metadata.version("flax"),
          jaxlib.__version__,  # pyright: ignore
          os.environ.get("XLA_FLAGS", ""),
          f"{len(devices)} {devices[0].platform} {devices[0].device_kind}",
          _describe_processor(),
          str(os.cpu_count()),
        ]
      ).encode()
      + _digest_code()
    )

  def get_value(self, name: str, make: Callable[[], Any]) -> Any:
    """A value that follows from the model and the code in `_TRACED` alone.

    Args:
      name: tells values of one model apart.
      make: computes it when it is not there; what it gives must pickle.
    """
    digest = self._base.copy()
    digest.update(f"value {name}".encode())
    path = self.folder / f"{digest.hexdigest()[:32]}.value"
    found = _read(path)
    if found is None:
      found = make()
      _write(path, found)
    return found

  def get(
    self, name: str, program: Callable, arguments: tuple[Any, ...]
  ) -> Callable:
    """The compiled program for arguments like these.

    Args:
      name: tells programs of one model apart.
      program: a jitted function; compiled and stored when it is not there.
      arguments: as it will be called; only types and sizes count.

    Returns:
      What `program` computes, for arguments of the same types and sizes.
    """
    leaves, tree = jax.tree.flatten(arguments)
    digest = self._base.copy()
    wide = jax.config.jax_enable_x64  # pyright: ignore
    digest.update(f"{name} {tree} {wide}".encode())
    for leaf in leaves:
      digest.update(f"{np.shape(leaf)} {jax.dtypes.result_type(leaf)}".encode())
    key = digest.hexdigest()[:32]
    if key not in self._loaded:
      path = self.folder / f"{key}.program"
      found = _load(path)
      if found is None:
        found = program.lower(*arguments).compile()
        _store(path, found)
      self._loaded[key] = found
    return self._loaded[key]


def _is_own(path: pathlib.Path) -> bool:
  """Whether nobody but this user can have written the file."""
  if not hasattr(os, "getuid"):
    return True
  status = path.stat()
  shared = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
  return status.st_uid == os.getuid() and not shared


def _read(path: pathlib.Path) -> Any | None:
  try:
    return pickle.loads(path.read_bytes()) if _is_own(path) else None
  except Exception:
    # Missing, of another time, or half of a disk that was full: whatever it
    # is, it is made again.
    return None


def _write(path: pathlib.Path, value: Any) -> None:
  try:
    write_whole(path, pickle.dumps(value))
    path.chmod(0o600)
  except (
    RoijaxError,
    OSError,
    ValueError,
    TypeError,
    AttributeError,
    pickle.PickleError,
  ):
    return  # A folder that cannot be written to costs time, nothing else.


def _load(path: pathlib.Path) -> Callable | None:
  stored = _read(path)
  if stored is None:
    return None
  try:
    devices = jax.local_devices(backend="cpu")[:1]
    return serialize_executable.deserialize_and_load(
      *stored, execution_devices=devices
    )
  except Exception:
    return None  # As above.


def _store(path: pathlib.Path, compiled: Any) -> None:
  try:
    stored = serialize_executable.serialize(compiled)
  except (
    ValueError,
    TypeError,
    NotImplementedError,
    pickle.PickleError,
  ):
    return  # Not every backend can; then programs are compiled each time.
  _write(path, stored)
