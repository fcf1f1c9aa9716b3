"""A trained codec gets more latent channels, and keeps what it learned.

    features --[down, old columns]--> old latents --[up, old rows]--+
       \\-----[down, new columns]--> new latents --[up, new rows]--+--> x_hat

Old arrays lie in the corner of new ones, and nothing old reads anything new: at
first the codec is the one that it was. New latents begin as what the features
in front of them foretell, linearly, of what it leaves out of photos; the rows
that decode them learn alone for a while. Without that they cost bits and give
nothing, and training with a rate silences them for good. Where the trunk has a
skip, pixels foretell it, which hold three to five times as much of it as
features do, and new latents come and go by the skip. Features were attenuated
by the importance map at every stage and pixels were not: new latents begin with
the attenuation of old ones, all of it in their last attention, and with the
decoder's way of undoing it.

Source: ours.
"""

from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from roijax.errors import ConfigError
from roijax.layers.checkerboard import grow_last_slice
from roijax.layers.gain import start_gain
from roijax.models.flow import Flow
from roijax.models.trunks.patchify import SKIP_SCALE, without_means

OPENING_STEPS = 400
OPENING_RATE = 3e-3
OPENING_BATCH = 8
_RIDGE = 1e-3
_PATCH = 16
# The last is what all are compared with.
_LEVELS = (0.1, 0.25, 0.5, 1.0)

SKIP = "skip"
"""The trunk's straight way, see `trunks.patchify`."""

HYPER = "hyper_analysis/in/kernel"
"""Its last row reads the importance map, behind the rows of all latents."""


def fit_in(name: str, fresh: np.ndarray, known: np.ndarray, more: int):
  """A fresh array with a narrower model's in its corner, or None.

  Args:
    name: the array's path, its parts joined by slashes.
    fresh: of the wider model.
    known: of the narrower one.
    more: how many latent channels the wider one has more; axes may differ by
      that, or by twice that inside a block.
  """
  known = np.asarray(known)
  if known.ndim != np.ndim(fresh):
    return None
  if name.startswith("context/"):
    return grow_last_slice(name.split("/")[1], np.asarray(fresh), known, more)
  extra = np.subtract(np.shape(fresh), known.shape)
  if not set(extra.tolist()) <= {0, more, 2 * more}:
    return None
  value = np.array(fresh)
  corner = tuple(slice(side) for side in known.shape)
  if name == HYPER:
    value[:] = 0
    value[: len(known) - 1], value[-1] = known[:-1], known[-1]
    return value
  if name.endswith("kernel") and known.ndim > 1:
    # What is old reads nothing of what is new.
    value[..., known.shape[-2] :, : known.shape[-1]] = 0
  value[corner] = known
  return value


def open_latents(
  model: Flow,
  config: Any,
  params: Mapping[str, Any],
  first: int,
  sample: Mapping[str, Any],
  loss_fn: Callable,
) -> dict[str, Any]:
  """Gives new latents something to say, and the decoder the sense of it.

  Args:
    model: the wider codec, with a trunk whose last changes of resolution are
      `down_N` and `up_N` (`trunks.patchify`).
    config: its configuration.
    params: the wider parameters, the narrower ones in their corners.
    first: the first new channel.
    sample: training data.
    loss_fn: as `objective.make_loss_fn` makes it.

  Returns:
    The parameters.

  Raises:
    ConfigError: the trunk is another.
  """
  params = jax.tree.map(np.array, dict(params))
  down, ups = _find_layers(params)
  for up in ups:
    up["kernel"][first:] = 0
  features, left = _look(model, params, sample)
  reader, skips = down, _named(params["synthesis"], SKIP).get(SKIP, [])
  if skips:
    patches = jnp.asarray(_patches(np.asarray(sample["image"])))
    features = SKIP_SCALE * np.asarray(without_means(patches), np.float64)
    reader = params["analysis"][SKIP]
    down["kernel"][:, first:] = 0
  columns, spread, rows = _foretell(
    features, left, down["kernel"].shape[1] - first
  )
  reader["kernel"][:, first:] = columns
  down["bias"][first:] = -features.mean(axis=0) @ columns
  for skip in skips:
    skip["kernel"][first:] = rows / SKIP_SCALE
  if skips:
    _attenuate_alike(model, config, params, first, sample)
  middle = start_gain(np.exp(np.mean(np.log(tuple(config.model.lmbdas)))))
  unit = np.maximum(spread * middle, 1e-3)
  params["log_unit"][first:] = np.log(unit)
  return _learn_to_decode(params, first, sample, loss_fn)


def _attenuate_alike(model: Flow, config, params, first: int, sample) -> None:
  """New channels fade with the importance map as old ones do, in the mean.

  Their attention is the sigmoid of a line in the map's value; in the decoder
  they get the mean of what restores the others. Changes `params`. Attention
  that only adds (`residual`), or is one for all channels, stays as it starts.
  """
  last = max(_named(params["analysis"], "down_")).replace("down", "condition")
  attention = params["analysis"].get(last, {}).get("attention")
  if attention is None or attention["Conv_1"]["kernel"].shape[-1] <= first:
    return
  if config.model.mgfe.attention.get("residual"):
    return
  lines, logits = attention["Conv_0"], attention["Conv_1"]
  faded = _measure_fading(model, params, first, sample)
  start = 1 / (1 + np.exp(-logits["bias"][first:].mean()))
  slope, offset = np.polyfit(
    _LEVELS, np.log(start * faded / (1 - start * faded)), 1
  )
  # Both convolutions are linear, and the map is flat almost everywhere.
  rise = lines["kernel"].sum(axis=(0, 1, 2))
  taps = logits["kernel"].shape[0] * logits["kernel"].shape[1]
  column = slope * rise / (rise @ rise)
  logits["kernel"][..., first:] = column[:, None] / taps
  logits["bias"][first:] = offset - column @ lines["bias"]
  for restore in _named(params["synthesis"], "restore").get("restore", []):
    for array in restore.values():
      array[..., first:] = array[..., :first].mean(axis=-1, keepdims=True)


def _measure_fading(model: Flow, params, first: int, sample) -> np.ndarray:
  """What flat maps of `_LEVELS` leave of old channels, and a map of 1 is 1."""
  x = jnp.asarray(sample["image"][:OPENING_BATCH])

  @jax.jit
  def run(params, level):
    roi = jnp.full((*x.shape[:3], 1), level)
    y = model.apply(
      {"params": params}, x, roi, jnp.zeros(len(x)), method=Flow.transform
    )
    return jnp.asarray(y)[..., :first]

  responses = [run(params, level) for level in _LEVELS]
  full = responses[-1]
  energy = jnp.sum(full**2, axis=(0, 1, 2))
  shares = [
    jnp.sum(full * response, axis=(0, 1, 2)) / energy for response in responses
  ]
  return np.exp(np.log(np.clip(np.stack(shares), 1e-3, 1)).mean(axis=1))


def _find_layers(params) -> tuple[dict, list[dict]]:
  """The last down of the analysis, and the first up of every synthesis."""
  downs = _named(params["analysis"], "down_")
  ups = _named(params["synthesis"], "up_")
  if not downs or not ups:
    raise ConfigError(
      "config.train.start_from has fewer latent channels, and only a patchify "
      "trunk takes more: set config.model.latent_channels to what it has"
    )
  last = max(downs)
  return downs[last][0], ups[last.replace("down", "up")]


def _named(params, prefix: str) -> dict[str, list[dict]]:
  """Layers by name, wherever they lie."""
  found: dict[str, list[dict]] = {}
  for name, value in params.items():
    if name.startswith(prefix) and "kernel" in value:
      found.setdefault(name, []).append(value)
    elif isinstance(value, Mapping):
      for inner, layers in _named(value, prefix).items():
        found.setdefault(inner, []).extend(layers)
  return found


def _look(model: Flow, params, sample) -> tuple[np.ndarray, np.ndarray]:
  """Features in front of the latents, and what is left of their patches.

  Returns:
    [latents, D] and [latents, 768], float64.
  """
  last = max(_named(params["analysis"], "down_"))
  quality = len(model.gain.lmbdas) - 1.0

  @jax.jit
  def run(params, x):
    seen = []

    def keep(method, arguments, keywords, context):
      if context.module.name == last and context.method_name == "__call__":
        seen.append(arguments[0])
      return method(*arguments, **keywords)

    ones = jnp.ones((*x.shape[:3], 1))
    full = jnp.full(len(x), quality)

    def go(flow):
      y, z = flow.analyse(x, ones, full)
      return flow.synthesise(y, flow.hyper_synthesise(z), full)

    with nn.intercept_methods(keep):
      x_hat = model.apply({"params": params}, method=go)
    return seen[0], x - x_hat

  features, left = [], []
  for start in range(0, len(sample["image"]), OPENING_BATCH):
    x = jnp.asarray(sample["image"][start : start + OPENING_BATCH])
    found, error = (np.asarray(part, np.float64) for part in run(params, x))
    features.append(found.reshape(-1, found.shape[-1]))
    left.append(_patches(error))
  return np.concatenate(features), np.concatenate(left)


def _patches(x: np.ndarray) -> np.ndarray:
  batch, height, width, colours = x.shape
  rows, columns = height // _PATCH, width // _PATCH
  cells = x.reshape(batch, rows, _PATCH, columns, _PATCH, colours)
  return cells.transpose(0, 1, 3, 2, 4, 5).reshape(batch * rows * columns, -1)


def _foretell(
  features, left, count: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Maps of the features that foretell most of what is left.

  Reduced-rank regression.

  Returns:
    [D, count], the standard deviation of each, and what each foretells
    [count, 768].
  """
  centred = features - features.mean(axis=0)
  left = left - left.mean(axis=0)
  gram = centred.T @ centred
  gram += _RIDGE * np.trace(gram) / len(gram) * np.eye(len(gram))
  slopes = np.linalg.solve(gram, centred.T @ left)
  directions = np.linalg.svd(centred @ slopes, full_matrices=False)[2]
  columns = slopes @ directions[:count].T
  # More channels than directions: the others start silent.
  silent = (0, count - columns.shape[1])
  columns = np.pad(columns, ((0, 0), silent))
  rows = np.pad(directions[:count], (silent, (0, 0)))
  return columns, (centred @ columns).std(axis=0), rows


def _learn_to_decode(params, first: int, sample, loss_fn) -> dict[str, Any]:
  """Trains the rows that read new latents, nothing else."""
  params = jax.tree.map(jnp.asarray, params)
  name = max(_named(params["synthesis"], "up_"))

  def reads_latents(path) -> bool:
    layer, array = (part.key for part in path[-2:])
    return layer in (name, SKIP) and array == "kernel"

  def with_rows(rows):
    """The parameters, with new rows of each decoder's first layer."""
    left = list(rows)

    def change(path, leaf):
      return leaf.at[first:].set(left.pop(0)) if reads_latents(path) else leaf

    synthesis = jax.tree_util.tree_map_with_path(change, params["synthesis"])
    return {**params, "synthesis": synthesis}

  rows = [
    leaf[first:]
    for path, leaf in jax.tree_util.tree_leaves_with_path(params["synthesis"])
    if reads_latents(path)
  ]
  schedule = optax.cosine_decay_schedule(OPENING_RATE, OPENING_STEPS)
  optimizer = optax.adam(schedule)
  state = optimizer.init(rows)

  @jax.jit
  def step(rows, state, batch, keys):
    def loss(rows):
      return loss_fn(with_rows(rows), {}, batch, keys)[0]

    updates, state = optimizer.update(jax.grad(loss)(rows), state)
    return optax.apply_updates(rows, updates), state

  count = min(OPENING_BATCH, len(sample["image"]))
  rng = np.random.default_rng(0)
  for number in range(OPENING_STEPS):
    chosen = rng.choice(len(sample["image"]), count, replace=False)
    batch = {key: jnp.asarray(sample[key][chosen]) for key in ("image", "roi")}
    keys = jax.random.split(jax.random.key(number), count)
    rows, state = step(rows, state, batch, keys)
  return with_rows(rows)
