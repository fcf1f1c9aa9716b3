"""A trained codec in one file: weights, configuration, coding tables.

`model.npz` holds

    weights/<path>   float16, one a parameter
    tables/<name>    the integer tables of z (`coding.tables.Tables`)
    config           the system and its builder's arguments, JSON

Weights are rounded to float16 first; tables and fingerprint are made of what
was rounded, so a file read back is the file that was measured. Nothing here
needs the packages that training needs.
"""

import contextlib
import dataclasses
import hashlib
import io
import json
import os
import pathlib
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from roijax.coding import container, tables
from roijax.errors import CheckpointError
from roijax.files import write_whole

FILE_NAME = "model.npz"
# The system that is no codec; see `predictor`.
PREDICTOR = "hrnet"


@dataclasses.dataclass(frozen=True)
class Weights:
  """A trained codec.

  Attributes:
    system: one of `models.registry.SYSTEMS`.
    model: the builder's arguments.
    params: nested dict of float32 arrays, exactly representable in float16.
    z_tables: the coding tables of z, one a channel.
    fingerprint: eight bytes that name all of the above.
  """

  system: str
  model: dict
  params: dict
  z_tables: tables.Tables
  fingerprint: bytes


class Contents(NamedTuple):
  """What lies in a weights file; see `Weights`.

  Attributes:
    system: what the model is.
    model: the builder's arguments.
    params: nested dict of float32 arrays.
    tables: the arrays of the coding tables; none where nothing is coded.
    fingerprint: eight bytes that name all of the above.
  """

  system: str
  model: dict
  params: dict
  tables: dict[str, np.ndarray]
  fingerprint: bytes


class Identity(NamedTuple):
  """What a weights file is: its system, and the bytes that name it."""

  system: str
  fingerprint: bytes


def _flatten(tree: Mapping, prefix: str = "") -> dict[str, np.ndarray]:
  flat = {}
  for key, value in tree.items():
    path = f"{prefix}/{key}" if prefix else str(key)
    if isinstance(value, Mapping):
      flat.update(_flatten(value, path))
    else:
      flat[path] = np.asarray(value)
  return flat


def _unflatten(flat: Mapping[str, np.ndarray]) -> dict:
  tree: dict = {}
  for path, value in flat.items():
    *folders, name = path.split("/")
    place = tree
    for folder in folders:
      place = place.setdefault(folder, {})
    place[name] = value
  return tree


def _fingerprint(file: Mapping[str, np.ndarray]) -> bytes:
  """Names all that a decoder takes from a file; see docs/format.md."""
  config = file["config"].tobytes()
  digest = hashlib.sha256(f"roij {container.VERSION} ".encode() + config)
  for path in sorted(set(file) - {"config"}):
    array = file[path]
    digest.update(f"{path} {array.shape}".encode())
    kind = "<f2" if path.startswith("weights/") else "<i8"
    digest.update(np.ascontiguousarray(array, kind).tobytes())
  return digest.digest()[:8]


def count_parameters(params: Mapping) -> int:
  """How many numbers nested parameters are."""
  return sum(array.size for array in _flatten(params).values())


def round_weights(params: Mapping) -> dict[str, np.ndarray]:
  """Parameters as they are stored: float16, by path.

  Raises:
    CheckpointError: a weight is too large for float16, or not finite.
  """
  with np.errstate(over="ignore"):
    halves = {k: v.astype(np.float16) for k, v in _flatten(params).items()}
  for path, half in halves.items():
    if not np.isfinite(half).all():
      raise CheckpointError(
        f"weight {path} does not fit in float16; train with a smaller "
        "learning rate, or resume from an earlier checkpoint"
      )
  return halves


def pack_file(
  system: str,
  model: Mapping,
  halves: Mapping[str, np.ndarray],
  z_tables: Mapping[str, np.ndarray],
) -> bytes:
  """The content of a weights file, whatever the system.

  Args:
    system: what the model is.
    model: the builder's arguments, JSON-able.
    halves: from `round_weights`.
    z_tables: the arrays of the coding tables; empty for what codes nothing.
  """
  config = json.dumps({"system": system, "model": model}, sort_keys=True)
  arrays = {
    **{f"weights/{path}": half for path, half in halves.items()},
    **{f"tables/{name}": array for name, array in z_tables.items()},
    "config": np.frombuffer(config.encode(), np.uint8),
  }
  stream = io.BytesIO()
  np.savez_compressed(stream, **arrays)
  return stream.getvalue()


def pack_weights(system: str, model: Mapping, params: Mapping) -> bytes:
  """The content of a codec's `model.npz`.

  Args:
    system: one of `models.registry.SYSTEMS`.
    model: the builder's arguments, JSON-able.
    params: nested parameters; rounded to float16 here.

  Raises:
    CheckpointError: a weight is too large for float16, or not finite.
  """
  # JAX takes a second to load, and reading a file does without.
  from roijax.entropy.factorized import make_pmfs

  halves = round_weights(params)
  first, pmfs = make_pmfs(_unflatten(halves)["z_prior"])
  z_tables = tables.make_tables(pmfs, first.tolist())
  return pack_file(system, model, halves, z_tables.to_arrays())


def save_weights(
  path: str | os.PathLike, system: str, model: Mapping, params: Mapping
) -> None:
  """Writes a `model.npz` whole; see `pack_weights`."""
  write_whole(path, pack_weights(system, model, params))


def find_file(path: str | os.PathLike) -> pathlib.Path:
  """The weights file that a path means: itself, or `model.npz` in it.

  Raises:
    CheckpointError: there is none.
  """
  path = pathlib.Path(path)
  if path.is_dir():
    if not (path / FILE_NAME).is_file():
      raise CheckpointError(
        f"{path} holds no {FILE_NAME}: give the workdir of a training run"
      )
    return path / FILE_NAME
  if not path.exists():
    raise CheckpointError(
      f"no checkpoint at {path}: give the workdir of a training run, or its "
      f"{FILE_NAME}"
    )
  return path


def load_weights(path: str | os.PathLike) -> Weights:
  """Reads a trained codec.

  Args:
    path: a `model.npz`, or the folder that holds one.

  Raises:
    CheckpointError: missing, unreadable or damaged.
  """
  path = find_file(path)
  return parse_weights(read_bytes(path), str(path))


def parse_weights(data: bytes, name: str) -> Weights:
  """Makes a trained codec of a weights file's bytes.

  Args:
    data: the content of a `model.npz`.
    name: what to call it in errors.

  Raises:
    CheckpointError: damaged, or something else.
  """
  contents = parse_file(data, name)
  if contents.system == PREDICTOR:
    raise CheckpointError(
      f"{name} predicts regions and codes nothing: give a codec's weights (for"
      f" --roi auto, let ROIJAX_PREDICTOR name this file)"
    )
  with _telling(name):
    z_tables = tables.Tables.from_arrays(contents.tables)
  return Weights(
    contents.system,
    contents.model,
    contents.params,
    z_tables,
    contents.fingerprint,
  )


def parse_file(data: bytes, name: str) -> Contents:
  """Reads a weights file's bytes, whatever the system.

  Args:
    data: the content.
    name: what to call it in errors.

  Raises:
    CheckpointError: damaged, or something else.
  """
  with _telling(name):
    arrays = _read_arrays(data)
    config = _config(arrays)
    halves = _select(arrays, "weights/")
    return Contents(
      config["system"],
      config["model"],
      _unflatten({k: v.astype(np.float32) for k, v in halves.items()}),
      _select(arrays, "tables/"),
      _fingerprint(arrays),
    )


def read_identity(path: str | os.PathLike) -> Identity:
  """Reads what a weights file is, in less time than it takes to load.

  Args:
    path: a `model.npz`, or the folder that holds one.

  Raises:
    CheckpointError: missing, unreadable or damaged.
  """
  path = find_file(path)
  with _telling(str(path)):
    arrays = _read_arrays(read_bytes(path))
    return Identity(_config(arrays)["system"], _fingerprint(arrays))


def read_bytes(path: pathlib.Path) -> bytes:
  """The bytes of a file that `find_file` gave.

  Raises:
    CheckpointError: it cannot be read.
  """
  try:
    return path.read_bytes()
  except OSError as error:
    raise CheckpointError(f"cannot read {path}: {error.strerror}") from error


def _read_arrays(data: bytes) -> dict[str, np.ndarray]:
  """All arrays of a file, each read once."""
  file = np.load(io.BytesIO(data), allow_pickle=False)
  if not isinstance(file, np.lib.npyio.NpzFile):
    raise ValueError("one array is no archive of them")
  # A name that was damaged must not drop an array in silence.
  for name in file.files:
    if name != "config" and not name.startswith(("weights/", "tables/")):
      raise ValueError(f"{name} has no place here")
  with file:
    return {name: file[name] for name in file.files}


@contextlib.contextmanager
def _telling(name: str) -> Iterator[None]:
  """Puts whatever NumPy and ZIP raise on damaged files into one line."""
  try:
    yield
  except (
    ValueError,
    KeyError,
    EOFError,
    NotImplementedError,
    zipfile.BadZipFile,
    zlib.error,
  ) as error:
    raise CheckpointError(
      f"{name} is not a roijax weights file, or is damaged: export it again"
    ) from error


def _config(arrays: Mapping[str, np.ndarray]) -> dict:
  config = json.loads(arrays["config"].tobytes().decode())
  if not isinstance(config, dict):
    raise ValueError("the configuration is no mapping")
  return config


def _select(
  arrays: Mapping[str, np.ndarray], prefix: str
) -> dict[str, np.ndarray]:
  return {
    name.removeprefix(prefix): array
    for name, array in arrays.items()
    if name.startswith(prefix)
  }
