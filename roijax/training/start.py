"""Where a run's parameters come from: fresh, or from other weights."""

import os
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from roijax.errors import ConfigError
from roijax.models.registry import build_model
from roijax.training import widen
from roijax.training.export import import_params
from roijax.training.objective import make_loss_fn
from roijax.weights.archive import load_weights

# Systems wrap the same networks: what a path may begin with, and what it then
# begins with in a system that does not wrap it.
WRAPPERS = (
  ("synthesis/foreground/", "synthesis/"),
  ("synthesis/background/", "synthesis/"),
  ("analysis/trunk/", "analysis/"),
)

GAIN = "gain/log_gain"


def start_params(
  fresh: Mapping[str, Any],
  path: str | os.PathLike,
  partly: bool,
  config,
  sample: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
  """The parameters that a run begins with, from weights.

  Args:
    fresh: the parameters of a fresh start.
    path: a weights file, or the folder that holds one.
    partly: whether the weights may be of another model, of which those arrays
      are taken that fit by name and shape; two decoders both get a single
      one's, gains are read off at this model's trade-offs, and of a model of
      fewer latent channels arrays lie in the corner (see `widen`). The others
      stay fresh.
    config: the run's configuration.
    sample: training data that new latent channels are opened with; None
      leaves them as they start.

  Returns:
    The parameters, float32.

  Raises:
    CheckpointError: the file is missing or damaged.
    ConfigError: the weights are of another model, or nothing fits.
  """
  if not partly:
    return import_params(path, config)
  weights = load_weights(path)
  known = _flatten(weights.params)
  if GAIN in known:
    known[GAIN] = _read_gains(
      known[GAIN], weights.model["lmbdas"], config.model.lmbdas
    )
  first = weights.model.get("latent_channels", 0)
  more = config.model.get("latent_channels", 0) - first if first else 0
  leaves, structure = jax.tree_util.tree_flatten_with_path(fresh)
  taken, chosen = [], []
  for keys, value in leaves:
    name = _name(keys)
    found = _find(name, np.shape(value), known)
    if found is None and more > 0 and name in known:
      found = widen.fit_in(name, value, known[name], more)
    taken.append(found is not None)
    chosen.append(np.asarray(value if found is None else found))
  if not any(taken):
    raise ConfigError(
      f"config.train.start_from={path} holds nothing that fits this model"
    )
  print(f"{sum(taken)} of {len(taken)} arrays begin as those in {path}")
  params = jax.tree.unflatten(structure, chosen)
  if more > 0 and sample is not None:
    model = build_model(config.system, config.model)
    loss_fn = make_loss_fn(model, config)
    print(f"opens {more} new latent channels, behind the {first} that it has")
    params = widen.open_latents(model, config, params, first, sample, loss_fn)
  return params


def _read_gains(table: np.ndarray, lmbdas, wanted) -> np.ndarray:
  """Rows of log-gains at other trade-offs; beyond the ends they go on straight.

  Args:
    table: a row for each of `lmbdas` [N, M].
    lmbdas: ascending.
    wanted: the trade-offs of the rows to make.
  """
  places, targets = np.log(np.asarray(lmbdas)), np.log(np.asarray(wanted))
  if len(places) < 2:
    return np.repeat(table, len(targets), axis=0)
  low = np.clip(np.searchsorted(places, targets) - 1, 0, len(places) - 2)
  share = (targets - places[low]) / (places[low + 1] - places[low])
  rows = (1 - share)[:, None] * table[low] + share[:, None] * table[low + 1]
  return rows.astype(table.dtype)


def _find(name: str, shape, known: Mapping[str, np.ndarray]):
  """The array for a name, under it or as another system wraps it, or None."""
  names = [name]
  for outer, inner in WRAPPERS:
    if name.startswith(outer):
      names.append(inner + name.removeprefix(outer))
    elif name.startswith(inner):
      names.append(outer + name.removeprefix(inner))
  for candidate in names:
    value = known.get(candidate)
    if value is not None and value.shape == tuple(shape):
      return value
  return None


def _flatten(params) -> dict[str, np.ndarray]:
  leaves = jax.tree_util.tree_flatten_with_path(params)[0]
  return {_name(keys): np.asarray(value) for keys, value in leaves}


def _name(keys) -> str:
  return "/".join(str(key.key) for key in keys)
