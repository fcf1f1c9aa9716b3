"""Optimizers, learning-rate schedules and learning rates by group."""

from collections.abc import Mapping
from typing import Any

import jax
import optax
import optax.contrib

from roijax.errors import ConfigError
from roijax.training.options import call_with, pick

# A kernel of fewer channels, in or out, is no matrix to speak of: Muon leaves
# it to Adam.
FEW_CHANNELS = 8


def _adam(schedule, *, b1=0.9, b2=0.999, eps=1e-8):
  return optax.adam(schedule, b1=b1, b2=b2, eps=eps)


def _adamw(schedule, *, b1=0.9, b2=0.999, eps=1e-8, weight_decay=1e-4):
  def is_matrix(params):
    # Biases, norms and per-channel scales have no business near zero.
    return jax.tree.map(lambda leaf: leaf.ndim > 1, params)

  return optax.adamw(
    schedule, b1=b1, b2=b2, eps=eps, weight_decay=weight_decay, mask=is_matrix
  )


def _muon(schedule, *, b1=0.9, b2=0.999, eps=1e-8, momentum=0.95, iterations=5):
  return optax.contrib.muon(
    schedule,
    ns_steps=iterations,
    beta=momentum,
    eps=eps,
    adam_b1=b1,
    adam_b2=b2,
    muon_weight_dimension_numbers=_mixing_axes,
    # Steps as long as Adam's: one learning rate serves both.
    consistent_rms=0.2,
  )


def _mixing_axes(params):
  """Axes in and out of each kernel that mixes channels; None: Adam's."""

  def axes(path, leaf):
    shape = leaf.shape
    is_kernel = jax.tree_util.keystr(path[-1:], simple=True) == "kernel"
    if not is_kernel or leaf.ndim < 2 or min(shape[-2:]) < FEW_CHANNELS:
      return None
    inputs = tuple(range(leaf.ndim - 1))
    return optax.contrib.MuonDimensionNumbers(inputs, (leaf.ndim - 1,))

  return jax.tree_util.tree_map_with_path(axes, params)


def _sgd(schedule, *, momentum=None, nesterov=False):
  return optax.sgd(schedule, momentum=momentum, nesterov=nesterov)


def _constant(learning_rate, steps, final_fraction):
  del steps, final_fraction
  return optax.constant_schedule(learning_rate)


def _cosine(learning_rate, steps, final_fraction):
  return optax.cosine_decay_schedule(
    learning_rate, max(steps, 1), alpha=final_fraction
  )


OPTIMIZERS = {"adam": _adam, "adamw": _adamw, "muon": _muon, "sgd": _sgd}
SCHEDULES = {"constant": _constant, "cosine": _cosine}


def make_schedule(
  *,
  steps: int,
  learning_rate: float,
  schedule: str = "cosine",
  warmup_steps: int = 0,
  final_fraction: float = 0.01,
) -> optax.Schedule:
  """Builds the learning rate as a function of the step, and of it alone.

  Args:
    steps: the run's length; the decay ends there.
    learning_rate: the peak.
    schedule: what follows the warm-up, one of `SCHEDULES`.
    warmup_steps: steps of linear growth from 0 to the peak.
    final_fraction: what a decay ends at, as a fraction of the peak.

  Raises:
    ConfigError: no such schedule, or the warm-up is longer than the run.
  """
  make = pick(SCHEDULES, "optimizer", "schedule", schedule)
  if not 0 <= warmup_steps <= steps:
    raise ConfigError(
      f"config.optimizer.warmup_steps={warmup_steps} must lie in 0 to "
      f"config.train.steps={steps}"
    )
  main = make(learning_rate, steps - warmup_steps, final_fraction)
  if not warmup_steps:
    return main
  # The ramp ends one step late so that step 0 already moves.
  ramp = optax.linear_schedule(
    learning_rate / (warmup_steps + 1), learning_rate, warmup_steps
  )
  return optax.join_schedules([ramp, main], [warmup_steps])


def make_optimizer(
  config: Mapping[str, Any], steps: int
) -> tuple[optax.GradientTransformation, optax.Schedule]:
  """Builds the optimizer that a config's `optimizer` section describes.

  Keys: `name` (one of `OPTIMIZERS`), those of `make_schedule`, `clip_norm`
  (global gradient norm; 0 or None: no clipping), `multipliers` (a path prefix
  of the parameters to its factor on the learning rate), and the arguments of
  the optimizer itself (`b1`, `b2`, `eps`, `weight_decay`, `momentum`,
  `nesterov`, `iterations`).

  Source of `muon`: Jordan et al. 2024; as in Liu et al. 2025 (arXiv
  2502.16982), whose steps are as long as Adam's.

  Args:
    config: the section.
    steps: the run's length, for the decay.

  Returns:
    The optimizer and its schedule (the latter for the log).

  Raises:
    ConfigError: an unknown key, optimizer or schedule.
  """
  return call_with(_make_optimizer, "optimizer", _grouped(config), steps=steps)


def _grouped(config: Mapping[str, Any]) -> dict[str, Any]:
  """Gathers the optimizer's own arguments under one key, after its name."""
  if "name" not in config:
    raise ConfigError("config.optimizer.name is missing: set it")
  make = pick(OPTIMIZERS, "optimizer", "name", config["name"])
  own = make.__kwdefaults__
  grouped = {key: value for key, value in config.items() if key not in own}
  options = {key: value for key, value in config.items() if key in own}
  return {**grouped, "options": options}


def _make_optimizer(
  *,
  steps: int,
  name: str,
  learning_rate: float,
  options: Mapping[str, Any],
  schedule: str = "cosine",
  warmup_steps: int = 0,
  final_fraction: float = 0.01,
  clip_norm: float | None = 1.0,
  multipliers: Mapping[str, float] | None = None,
) -> tuple[optax.GradientTransformation, optax.Schedule]:
  """Chains clipping, the optimizer and the groups' multipliers."""
  rate = make_schedule(
    steps=steps,
    learning_rate=learning_rate,
    schedule=schedule,
    warmup_steps=warmup_steps,
    final_fraction=final_fraction,
  )
  parts = [optax.clip_by_global_norm(clip_norm)] if clip_norm else []
  parts.append(OPTIMIZERS[name](rate, **options))
  if multipliers:
    parts.append(scale_by_group(dict(multipliers)))
  return optax.chain(*parts), rate


def leaf_paths(tree: Any) -> list[str]:
  """Names the leaves of a tree, in the order of `jax.tree.leaves`."""
  return [
    jax.tree_util.keystr(path, simple=True, separator="/")
    for path, _ in jax.tree_util.tree_leaves_with_path(tree)
  ]


def scale_by_group(
  multipliers: Mapping[str, float],
) -> optax.GradientTransformation:
  """Multiplies updates by a factor chosen by where the parameter lives.

  Placed last in a chain, the factor is a factor on the learning rate (and on
  a decoupled weight decay). The longest matching prefix wins; a parameter
  without one keeps its update.

  Args:
    multipliers: path prefix ("hyper_synthesis", "prior/shape") to factor.

  Raises:
    ConfigError: at `init`, when a prefix matches no parameter.
  """
  prefixes = sorted(multipliers, key=len, reverse=True)

  def factor(path: str) -> float:
    for prefix in prefixes:
      if f"{path}/".startswith(f"{prefix}/"):
        return multipliers[prefix]
    return 1.0

  def init(params):
    paths = leaf_paths(params)
    for prefix in prefixes:
      if not any(f"{path}/".startswith(f"{prefix}/") for path in paths):
        groups = sorted({path.split("/")[0] for path in paths})
        raise ConfigError(
          f"config.optimizer.multipliers: no parameter lies under "
          f"{prefix!r}; the groups are {', '.join(groups)}"
        )
    return optax.EmptyState()

  def update(updates, state, params=None):
    del params
    leaves, structure = jax.tree.flatten(updates)
    scaled = [
      leaf if factor(path) == 1.0 else leaf * factor(path)
      for leaf, path in zip(leaves, leaf_paths(updates), strict=True)
    ]
    return jax.tree.unflatten(structure, scaled), state

  return optax.GradientTransformation(init, update)
