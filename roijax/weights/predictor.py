"""Weights of the predictor of regions: the shipped ones, or one's own.

They lie beside the codecs' and are not in their index, for no `.roij` file
depends on them: a decoder never predicts. `predictor.json` names the file that
`--roi auto` takes; the environment's ROIJAX_PREDICTOR names another.
"""

import hashlib
import json
import os
import pathlib
from collections.abc import Mapping
from typing import NamedTuple

from roijax.errors import CheckpointError
from roijax.files import write_whole
from roijax.weights.archive import (
  PREDICTOR,
  find_file,
  pack_file,
  parse_file,
  read_bytes,
  round_weights,
)
from roijax.weights.shipped import FOLDER

VARIABLE = "ROIJAX_PREDICTOR"
INDEX_NAME = "predictor.json"


class PredictorWeights(NamedTuple):
  """A trained predictor.

  Attributes:
    model: the arguments of `models.hrnet.build_hrnet`.
    params: nested dict of float32 arrays, exactly representable in float16.
    fingerprint: eight bytes that name both.
  """

  model: dict
  params: dict
  fingerprint: bytes


def save_predictor(
  path: str | os.PathLike, model: Mapping, params: Mapping
) -> None:
  """Writes a predictor's `model.npz` whole.

  Args:
    path: the file.
    model: the builder's arguments, JSON-able.
    params: nested parameters; rounded to float16 here.

  Raises:
    CheckpointError: a weight is too large for float16, or not finite.
    RoijaxError: the file cannot be written.
  """
  write_whole(path, pack_file(PREDICTOR, model, round_weights(params), {}))


def find_predictor() -> pathlib.Path:
  """The weights that `--roi auto` takes.

  Raises:
    CheckpointError: they are missing, or not what was shipped.
  """
  named = os.environ.get(VARIABLE)
  return find_file(named) if named else _find_shipped(FOLDER)


def load_predictor(path: str | os.PathLike | None = None) -> PredictorWeights:
  """Reads a trained predictor.

  Args:
    path: a `model.npz`, or the folder of a training run; None for what
      `find_predictor` finds.

  Raises:
    CheckpointError: missing, damaged, or a codec's.
  """
  path = find_predictor() if path is None else find_file(path)
  contents = parse_file(read_bytes(path), str(path))
  if contents.system != PREDICTOR:
    raise CheckpointError(
      f"{path} holds a codec ({contents.system}), no predictor of regions:"
      " train one with configs/roi_predictor.py"
    )
  return PredictorWeights(contents.model, contents.params, contents.fingerprint)


def _find_shipped(folder: pathlib.Path) -> pathlib.Path:
  index = folder / INDEX_NAME
  try:
    entry = json.loads(index.read_bytes())
    path = folder / f"{entry['name']}.npz"
    intact = hashlib.sha256(path.read_bytes()).hexdigest() == entry["sha256"]
  except OSError as error:
    raise CheckpointError(
      f"cannot read {error.filename}: {error.strerror}; install roijax again"
    ) from error
  except (ValueError, KeyError, TypeError) as error:
    raise CheckpointError(
      f"{index} is damaged: install roijax again"
    ) from error
  if not intact:
    raise CheckpointError(
      f"{path} is not the file that was shipped: install roijax again"
    )
  return path
