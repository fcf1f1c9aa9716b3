"""Contexts fitted to the latents of a frozen codec, for equal CPU seconds.

Context and prior alone are fitted, from scratch; y and h are what the frozen
transforms made of crops, kept. Every context sees the same crops with the
same noise in the same order, as far as its seconds reach.
"""

import dataclasses
import time
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks.claims.latents import Frozen, Latents
from roijax.models.flow import Flow

FITTED = ("context", "prior")
BATCH = 8
LEARNING_RATE = 1e-3
# The same division of the gradient among qualities as in training.
BALANCE = 0.5
# How many steps tell what one costs.
TRIAL = 20


@dataclasses.dataclass(frozen=True)
class Fitted:
  """A context after its seconds.

  Attributes:
    params: of context and prior.
    steps: of 8 crops.
    seconds: of one core, without compilation.
  """

  params: dict[str, Any]
  steps: int
  seconds: float


def count_parameters(params: Any) -> int:
  """How many numbers there are."""
  return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(params))


def find_h(frozen: Frozen, latents: Latents) -> np.ndarray:
  """What the frozen hyper-synthesis makes of each crop's z_hat."""

  @jax.jit
  def run(z_hat):
    return frozen.model.apply(
      {"params": frozen.params}, z_hat, method=Flow.hyper_synthesise
    )

  parts = [np.asarray(run(z_hat[None])) for z_hat in latents.z_hat]
  return np.concatenate(parts)


def _bits(model, y, h):
  return model.prior.bits(y, model.parameters(h, y))


class Fit:
  """One context, to be fitted.

  Args:
    frozen: the codec.
    context: in place of the codec's own.
  """

  def __init__(self, frozen: Frozen, context: nn.Module):
    self.frozen = frozen
    self.model = frozen.model.clone(context=context)
    self._charge = jax.jit(self._total)

  def whole(self, fitted: dict[str, Any]) -> dict[str, Any]:
    """The codec's parameters with the fitted ones in place."""
    kept = {k: v for k, v in self.frozen.params.items() if k not in FITTED}
    return {**kept, **fitted}

  def start(self, features: int, seed: int) -> dict[str, Any]:
    """Fresh parameters.

    Args:
      features: channels of h.
      seed: of the random numbers.
    """

    def make():
      y = jnp.zeros((1, 4, 4, self.model.latent_channels))
      h = jnp.zeros((1, 4, 4, features))
      return self.model.init(jax.random.key(seed), y, h, method=_bits)

    params = jax.jit(make)()["params"]
    return {name: params[name] for name in FITTED if name in params}

  def _total(self, fitted, y, h):
    """Bits of each crop."""
    params = {"params": self.whole(fitted)}
    bits = self.model.apply(params, y, h, method=_bits)
    return jnp.sum(jnp.asarray(bits), axis=(1, 2, 3))

  def _make_update(self, optimizer, pixels):
    lmbdas = jnp.log(jnp.asarray(self.frozen.arguments["lmbdas"], jnp.float32))
    places = jnp.arange(len(lmbdas), dtype=jnp.float32)

    def loss_fn(fitted, y, h, quality, key):
      noisy = y + jax.random.uniform(key, y.shape, minval=-0.5, maxval=0.5)
      log_lmbda = jnp.interp(quality, places, lmbdas)
      weight = jnp.exp(BALANCE * (jnp.mean(lmbdas) - log_lmbda))
      return jnp.mean(self._total(fitted, noisy, h) * weight) / pixels

    def update(fitted, opt_state, *batch):
      gradient = jax.grad(loss_fn)(fitted, *batch)
      change, opt_state = optimizer.update(gradient, opt_state)
      return optax.apply_updates(fitted, change), opt_state

    return jax.jit(update, donate_argnums=(0, 1))

  def fit(
    self, latents: Latents, h: np.ndarray, seconds: float, seed: int
  ) -> Fitted:
    """Fits to noisy latents.

    The learning rate must end with the budget, so a step is timed first and
    the schedule made for as many as fit.

    Args:
      latents: of training crops.
      h: what `find_h` made of them.
      seconds: of CPU time.
      seed: of the start, the order and the noise.
    """
    first = self._run(latents, h, TRIAL, seed)
    steps = max(int(seconds * first.steps / first.seconds), TRIAL)
    return self._run(latents, h, steps, seed)

  def _run(self, latents, h, steps, seed) -> Fitted:
    schedule = optax.warmup_cosine_decay_schedule(
      0.0, LEARNING_RATE, min(100, steps // 4), steps, LEARNING_RATE / 100
    )
    optimizer = optax.chain(
      optax.clip_by_global_norm(1.0), optax.adam(schedule)
    )
    update = self._make_update(optimizer, float(latents.pixels))
    fitted = self.start(h.shape[-1], seed)
    opt_state = optimizer.init(fitted)
    order = np.random.default_rng(seed)
    key, started = jax.random.key(seed + 1), 0.0
    for step in range(steps):
      index = order.integers(len(latents.y), size=BATCH)
      batch = latents.y[index], h[index], latents.quality[index]
      one = jax.random.fold_in(key, step)
      fitted, opt_state = update(fitted, opt_state, *batch, one)
      if step == 0:
        # The first step compiles.
        jax.block_until_ready(fitted)
        started = time.process_time()
    jax.block_until_ready(fitted)
    spent = (time.process_time() - started) * steps / (steps - 1)
    return Fitted(jax.device_get(fitted), steps, spent)

  def rates(
    self, fitted: dict[str, Any], latents: Latents, h: np.ndarray
  ) -> dict[float, float]:
    """Bits a pixel of rounded y by float likelihood, at each quality."""
    bits = [
      float(self._charge(fitted, np.round(y)[None], features[None])[0])
      for y, features in zip(latents.y, h, strict=True)
    ]
    each = np.array(bits) / latents.pixels
    return {
      float(quality): float(each[latents.quality == quality].mean())
      for quality in np.unique(latents.quality)
    }
