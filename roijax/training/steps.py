"""One update, as plain functions of arrays.

    train_step:  state, batch ---------------------------> state, metrics
    in parts:    state, sums, batch --gradient_step--> sums    (for each part)
                 state, sums -----------apply_step----> state, metrics

An update is a phase, a gradient that moves some parameters, or several phases
one after the other (`gan_steps`); `Steps` lists them. Nothing here knows how
many devices there are: with an `axis_name` the functions average over that
axis, and `parallel` maps them over it.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Key

from roijax.training.state import Collections, Params, TrainState, sample_keys

Batch = Mapping[str, Any]
Metrics = dict[str, Any]
Keys = Key[Array, "B"]
LossFn = Callable[
  [Params, Collections, Batch, Keys],
  tuple[Float[Array, ""], tuple[Metrics, Collections]],
]

# What a step reports besides the loss function's own metrics: one flag a
# gradient leaf, one a parameter leaf, one for the loss (`describe_nonfinite`).
NONFINITE = "nonfinite"
# A batch's entry with each sample's row in the whole batch.
INDEX = "index"


@flax.struct.dataclass
class Sums:
  """What the parts of a batch have added up to so far.

  Attributes:
    gradients: the gradient's mean, as far as it is summed.
    metrics: the metrics' means likewise, with the loss among them.
    collections: those that the latest part returned.
  """

  gradients: Params
  metrics: Metrics
  collections: Collections


class Phase(NamedTuple):
  """A gradient and the update that follows it.

  Attributes:
    evaluate: `(state, collections, samples, keys, constants) -> (gradients,
      metrics, collections)`; gradients and metrics are means over the samples.
    apply: `(state, sums, metrics) -> (state, metrics)`, where the metrics are
      those of the phases before, and of those and this one.
  """

  evaluate: Callable[
    [TrainState, Collections, Batch, Keys, Any],
    tuple[Params, Metrics, Collections],
  ]
  apply: Callable[[TrainState, Sums, Metrics], tuple[TrainState, Metrics]]


class Steps(NamedTuple):
  """How a run makes one update of one batch.

  Attributes:
    phases: one after the other, each over the whole batch. The state's step is
      counted in the last.
    fused: all phases of a batch that is not in parts, where that saves work:
      `(state, samples, keys, constants, average) -> (state, metrics)`; the
      function `average` takes the mean over the devices.
    constants: arrays that steps read and never change. They are no part of
      the state, and no checkpoint holds them.
  """

  phases: tuple[Phase, ...]
  fused: Callable[..., tuple[TrainState, Metrics]] | None = None
  constants: Any = ()


def make_steps(
  loss_fn: LossFn,
  optimizer: optax.GradientTransformation,
  ema_decay: float = 0.0,
) -> Steps:
  """The update that most runs make: one loss, one optimizer.

  Args:
    loss_fn: `(params, collections, batch, keys) -> (loss, (metrics,
      collections))`; the loss and the metrics are means over the samples.
    optimizer: see `make_apply_step`.
    ema_decay: see `make_apply_step`.

  Returns:
    Steps whose metrics are those of the loss function with `loss`,
    `gradient_norm` and `nonfinite` (see `describe_nonfinite`).
  """

  def evaluate(state, collections, samples, keys, constants):
    del constants
    (loss, (metrics, collections)), gradients = jax.value_and_grad(
      loss_fn, has_aux=True
    )(state.params, collections, samples, keys)
    return gradients, {"loss": loss, **metrics}, collections

  return Steps((Phase(evaluate, make_apply_step(optimizer, ema_decay)),))


def _draw(state, batch):
  """The samples of a batch, and their keys."""
  samples = {name: value for name, value in batch.items() if name != INDEX}
  index = batch.get(INDEX)
  if index is None:
    index = jnp.arange(jax.tree.leaves(samples)[0].shape[0])
  return samples, sample_keys(state.key, state.step, index)


def _evaluate(phase, state, collections, batch, constants, axis_name):
  """The gradient and the metrics of one part, averaged over the devices."""
  samples, keys = _draw(state, batch)
  gradients, metrics, collections = phase.evaluate(
    state, collections, samples, keys, constants
  )
  if axis_name is not None:
    gradients, metrics = jax.lax.pmean((gradients, metrics), axis_name)
    collections = jax.tree.map(
      lambda leaf: _mean_of_floats(leaf, axis_name), collections
    )
  return gradients, metrics, collections


def _mean_of_floats(leaf, axis_name):
  """Counters are the same on every device and must stay integers."""
  if jnp.issubdtype(leaf.dtype, jnp.floating):
    return jax.lax.pmean(leaf, axis_name)
  return leaf


def make_gradient_step(
  phase: Phase, accumulate: int, axis_name: str | None = None
) -> Callable[[TrainState, Sums, Batch, Any], Sums]:
  """Builds the step that adds one part of a batch to the sums.

  The loop over the parts is Python's: convolutions inside `lax.scan` train
  forty times slower on a CPU.

  Args:
    phase: what evaluates the part.
    accumulate: the number of equal parts.
    axis_name: the device axis to average over.
  """

  def gradient_step(
    state: TrainState, sums: Sums, batch: Batch, constants: Any = ()
  ) -> Sums:
    gradients, metrics, collections = _evaluate(
      phase, state, sums.collections, batch, constants, axis_name
    )

    def add(total, part):
      return total + part / accumulate

    return Sums(
      gradients=jax.tree.map(add, sums.gradients, gradients),
      metrics=jax.tree.map(add, sums.metrics, metrics),
      collections=collections,
    )

  return gradient_step


def make_zero_sums(phase: Phase) -> Callable[[TrainState, Batch, Any], Sums]:
  """Builds the function that gives the sums before the first part.

  Only shapes are taken from the batch: nothing is computed on it.
  """

  def zero_sums(state: TrainState, batch: Batch, constants: Any = ()) -> Sums:
    shapes = jax.eval_shape(
      lambda state, batch, constants: _evaluate(
        phase, state, state.collections, batch, constants, None
      ),
      state,
      batch,
      constants,
    )
    gradients, metrics, _ = jax.tree.map(
      lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes
    )
    return Sums(gradients, metrics, state.collections)

  return zero_sums


def make_apply_step(
  optimizer: optax.GradientTransformation, ema_decay: float = 0.0
) -> Callable[..., tuple[TrainState, Metrics]]:
  """Builds the step that turns a batch's gradient into an update.

  Args:
    optimizer: what maps gradients to updates.
    ema_decay: decay of the parameters' average, 0 for none. It starts low
      and grows as (1 + step) / (10 + step), so that the first, random
      parameters do not weigh on short runs.
  """

  def apply_step(
    state: TrainState, sums: Sums, metrics: Metrics | None = None
  ) -> tuple[TrainState, Metrics]:
    updates, opt_state = optimizer.update(
      sums.gradients, state.opt_state, state.params
    )
    params = optax.apply_updates(state.params, updates)
    step = state.step + 1
    metrics = {
      **(metrics or {}),
      **sums.metrics,
      "gradient_norm": optax.tree.norm(sums.gradients),
      NONFINITE: find_nonfinite(sums.gradients, params, sums.metrics["loss"]),
    }
    state = state.replace(
      step=step,
      params=params,
      opt_state=opt_state,
      ema_params=move_average(state.ema_params, params, step, ema_decay),
      collections=sums.collections,
    )
    return state, metrics

  return apply_step


def move_average(
  average: Params, params: Params, step: Any, ema_decay: float
) -> Params:
  """The average after `step` updates; see `make_apply_step`."""
  if not ema_decay:
    return params
  decay = jnp.minimum(ema_decay, (1.0 + step) / (10.0 + step))
  return jax.tree.map(
    lambda mean, new: mean + (1.0 - decay) * (new - mean), average, params
  )


def make_train_step(
  steps: Steps, axis_name: str | None = None
) -> Callable[..., tuple[TrainState, Metrics]]:
  """Builds a whole update of a batch that is not in parts.

  Args:
    steps: its phases.
    axis_name: the device axis to average over.

  Returns:
    A function of the state, a batch and `steps.constants`. The batch may carry
    `index`, each sample's row in the whole batch; without it, rows count from
    0.
  """

  def average(tree):
    return tree if axis_name is None else jax.lax.pmean(tree, axis_name)

  def train_step(
    state: TrainState, batch: Batch, constants: Any = ()
  ) -> tuple[TrainState, Metrics]:
    if steps.fused is not None:
      samples, keys = _draw(state, batch)
      return steps.fused(state, samples, keys, constants, average)
    metrics = {}
    for phase in steps.phases:
      found = _evaluate(
        phase, state, state.collections, batch, constants, axis_name
      )
      state, metrics = phase.apply(state, Sums(*found), metrics)
    return state, metrics

  return train_step


def find_nonfinite(
  gradients: Params, params: Params, loss: Any
) -> Bool[Array, " flags"]:
  """Flags what is not finite, for `describe_nonfinite`."""
  leaves = [*jax.tree.leaves(gradients), *jax.tree.leaves(params), loss]
  return jnp.stack([~jnp.all(jnp.isfinite(leaf)) for leaf in leaves])


def describe_nonfinite(flags: Any, paths: list[str]) -> str | None:
  """Says which array of a step is not finite.

  Args:
    flags: a step's `nonfinite` metric.
    paths: the parameters' names, in leaf order.

  Returns:
    Words such as "the gradient of prior/scale (and of 3 more)", or None when
    all is finite.
  """
  count = len(paths)
  kinds = (
    ("the gradient of", flags[:count]),
    ("after the update,", flags[count : 2 * count]),
  )
  for words, part in kinds:
    names = [path for path, bad in zip(paths, part, strict=True) if bad]
    if names:
      more = f" (and {len(names) - 1} more)" if len(names) > 1 else ""
      return f"{words} {names[0]}{more}"
  return "the loss" if flags[-1] else None
