"""Training for a budget of CPU seconds, for experiments on equal terms."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
from ml_collections import ConfigDict

from roijax.data.photo import Source
from roijax.data.pipeline import make_train_iterator
from roijax.models.registry import build_model
from roijax.training import parallel
from roijax.training.codec import draw_sample
from roijax.training.objective import init_model, make_loss_fn
from roijax.training.optimizer import make_optimizer
from roijax.training.start import start_params
from roijax.training.state import make_state
from roijax.training.steps import make_steps

# Where optax keeps it, and what the config calls it.
RATE = "learning_rate"


class Part(NamedTuple):
  """A stretch of a run.

  Attributes:
    share: of the budget, in (0, 1].
    changes: what it changes of the config's `data`, `loss` and `model`, by
      dotted key. The parameters stay what they are, the optimizer too.
  """

  share: float
  changes: Mapping[str, Any]


class Trained(NamedTuple):
  """What a budget bought.

  Attributes:
    params: the moving average of the parameters.
    steps: of training.
    seconds: of CPU time, compilation not counted.
  """

  params: dict
  steps: int
  seconds: float


def change(config: ConfigDict, changes: Mapping[str, Any]) -> None:
  """Sets keys of a config, which must be there; a dict replaces a section.

  Raises:
    KeyError: there is no such key.
  """
  for path, value in changes.items():
    *sections, key = path.split(".")
    place = config
    for section in sections:
      place = place[section]
    if key not in place:
      raise KeyError(f"{path} is no key of the config")
    with place.unlocked():
      place[key] = ConfigDict(value) if isinstance(value, dict) else value


def train(
  config: ConfigDict,
  source: Source,
  seconds: float,
  *,
  start: str | None = None,
  parts: Sequence[Part] = (Part(1.0, {}),),
  frozen: str | None = None,
  show: Callable[[float], None] = lambda spent: None,
) -> Trained:
  """Trains; the learning rate follows the clock, and ends with the budget.

  It rises over `optimizer.warmup_steps` and falls as a cosine of the share of
  the budget that is spent, or not at all with the schedule "constant".

  Args:
    config: the run's configuration; `train.steps` is ignored.
    source: the photos.
    seconds: of CPU time, of this process.
    start: weights of which the parameters begin with what fits, or None.
    parts: stretches of the run, whose shares sum to one. The parameters start
      as they would without them, but for the data that they are fitted to.
    frozen: parameters whose path holds this stay at their start.
    show: is told the CPU seconds spent so far.

  Returns:
    What the budget bought.

  Raises:
    KeyError: no parameter's path holds `frozen`.
  """
  key = jax.random.key(config.seed)
  devices = parallel.pick_devices(1)
  optimizer = _follow_clock(config.optimizer.to_dict(), frozen)
  state, steps, spent, share = None, 0, 0.0, 0.0
  for part in parts:
    own = config.copy_and_resolve_references()
    change(own, part.changes)
    model = build_model(own.system, own.model)
    iterator = make_train_iterator(
      source,
      crop=own.data.crop,
      batch_size=own.data.batch_size,
      seed=config.seed + steps,
    )
    if state is None:
      sample = draw_sample(iterator, own.data.batch_size)
      first = build_model(config.system, config.model)
      params, collections = init_model(first, config, key, sample)
      if start is not None:
        params = start_params(params, start, True, config, sample)
      state = make_state(params, collections, optimizer, key)
      state = parallel.place_state(state, devices)
    loss_fn = make_loss_fn(model, own)
    update = parallel.make_update(
      make_steps(loss_fn, optimizer, own.train.ema_decay), devices
    )
    # Compiles; what this does to the state is thrown away.
    copy = jax.tree.map(lambda leaf: leaf.copy(), state)
    jax.block_until_ready(update(copy, next(iterator)))
    share += part.share
    began = time.process_time() - spent
    while spent < share * seconds:
      rate = _learning_rate(config.optimizer, steps, spent / seconds)
      state.opt_state.hyperparams[RATE] = parallel.place_state(
        np.asarray(rate, np.float32), devices
      )
      state, metrics = update(state, next(iterator))
      jax.block_until_ready(metrics)
      steps += 1
      spent = time.process_time() - began
      show(min(spent, seconds))
    iterator.close()
  assert state is not None
  return Trained(jax.device_get(state.ema_params), steps, spent)


def _follow_clock(
  options: dict, frozen: str | None
) -> optax.GradientTransformation:
  """The config's optimizer, whose learning rate lies in its state."""
  fixed = {**options, "schedule": "constant", "warmup_steps": 0}

  def stays(params):
    found = jax.tree_util.tree_map_with_path(
      lambda path, _: frozen in jax.tree_util.keystr(path), params
    )
    if not any(jax.tree.leaves(found)):
      raise KeyError(f"{frozen} is no parameter")
    return found

  def make(learning_rate):
    optimizer = make_optimizer({**fixed, RATE: learning_rate}, 1)[0]
    if frozen is None:
      return optimizer
    return optax.chain(optimizer, optax.masked(optax.set_to_zero(), stays))

  return optax.inject_hyperparams(make)(learning_rate=0.0)


def _learning_rate(options, steps: int, share: float) -> float:
  rate = options.learning_rate * min(
    (steps + 1) / (options.warmup_steps + 1), 1
  )
  if options.schedule == "constant":
    return rate
  low = options.final_fraction
  return rate * (low + (1 - low) * (1 + math.cos(math.pi * min(share, 1))) / 2)
