"""From a checkpoint's parameters to weights that code files."""

import os
import pathlib

import jax
import numpy as np

from roijax.weights.archive import FILE_NAME, save_weights


def export_model(path: str | os.PathLike, config, params) -> None:
  """Writes the weights file that compression and evaluation read.

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
  arrays = jax.tree.map(np.asarray, params)
  save_weights(path, config.system, config.model.to_dict(), arrays)
