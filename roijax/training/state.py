"""What training carries from one step to the next: arrays, nothing else."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int, Key

Params = Any
Collections = Any


class TrainState(flax.struct.PyTreeNode):
  """The whole of a run, as arrays; saved and restored as it is.

  Attributes:
    step: updates made so far.
    params: what the optimizer moves.
    opt_state: the optimizer's moments and counters.
    ema_params: the exponential moving average of `params`; what is exported.
    collections: what layers carry besides parameters (spectral-norm vectors).
    key: the run's one random key; it never changes (see `sample_keys`).
  """

  step: Int[Array, ""]
  params: Params
  opt_state: optax.OptState
  ema_params: Params
  collections: Collections
  key: Key[Array, ""]


def make_state(
  params: Params,
  collections: Collections,
  optimizer: optax.GradientTransformation,
  key: Key[Array, ""],
) -> TrainState:
  """Starts a run at step 0, with the average equal to the parameters."""
  return TrainState(
    step=jnp.zeros((), jnp.int32),
    params=params,
    opt_state=optimizer.init(params),
    # A copy: the step donates its state, and no buffer may be donated twice.
    ema_params=jax.tree.map(jnp.array, params),
    collections=collections,
    key=key,
  )


def sample_keys(
  key: Key[Array, ""], step: Int[Array, ""], index: Int[Array, " B"]
) -> Key[Array, " B"]:
  """Gives every sample of every step its own key.

  A sample's key depends on the run's key, the step and the sample's row in
  the whole batch, so that the same noise is drawn on one device or many,
  with or without accumulation, and again after a resume.

  Args:
    key: the run's key.
    step: updates made so far.
    index: each sample's row in the whole batch.
  """
  key = jax.random.fold_in(key, step)
  return jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, index)
