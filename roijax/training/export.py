"""From a checkpoint's parameters to weights that code files, and back."""

import os
import pathlib

import jax
import numpy as np

from roijax.errors import ConfigError
from roijax.models.registry import with_defaults
from roijax.training.run_config import as_json, describe_difference
from roijax.weights.archive import FILE_NAME, load_weights, save_weights
from roijax.weights.predictor import save_predictor

# Where the parameters of a predictor lie that trained with the codec, and the
# file that gets them.
PREDICTOR = "predictor"
PREDICTOR_NAME = "predictor.npz"


def export_model(path: str | os.PathLike, config, params) -> None:
  """Writes the weights file that compression and evaluation read.

  A predictor that trained with the codec gets a file beside it,
  `predictor.npz`.

  Args:
    path: a workdir (the file is its `model.npz`), or the file itself.
    config: the run's configuration.
    params: parameters, usually the moving average.

  Raises:
    RoijaxError: the file cannot be written.
    CheckpointError: weights do not fit in float16.
  """
  path = pathlib.Path(path)
  if path.suffix != ".npz":
    path = path / FILE_NAME
  arrays = dict(jax.tree.map(np.asarray, params))
  predictor = arrays.pop(PREDICTOR, None)
  if predictor is not None:
    own = config.predictor.model.to_dict()
    save_predictor(path.with_name(PREDICTOR_NAME), own, predictor)
  save_weights(path, config.system, config.model.to_dict(), arrays)


def import_params(path: str | os.PathLike, config) -> dict:
  """Reads the parameters that a run begins with.

  Args:
    path: a weights file, or the folder that holds one.
    config: the run's configuration.

  Returns:
    The parameters, float32.

  Raises:
    CheckpointError: the file is missing or damaged.
    ConfigError: the weights are of another system or other sizes.
  """
  weights = load_weights(path)
  if weights.system != config.system:
    raise ConfigError(
      f"config.train.start_from={path} is of {weights.system}, not of "
      f"{config.system}: with config.train.start_partly=True what fits is taken"
    )
  own = with_defaults(config.system, config.model.to_dict())
  theirs = with_defaults(weights.system, weights.model)
  difference = describe_difference(
    as_json({"model": theirs}),
    as_json({"model": own}),
    free=(),
    places=("there", "in the config"),
  )
  if difference:
    raise ConfigError(
      f"config.train.start_from={path} holds another model: {difference}"
    )
  return jax.tree.map(np.asarray, weights.params)
