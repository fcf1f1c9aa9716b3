"""Entropy models fitted anew to latents that stay as they are.

Hyper-synthesis, context and prior start from the same random numbers for
every prior of a seed, see the same crops with the same noise in the same
order, and take the same steps. The rest of the codec is not touched.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks.claims.latents import Frozen, Latents
from roijax.entropy.priors import Parameters
from roijax.models.flow import Flow

FITTED = ("hyper_synthesis", "context", "prior")
BATCH = 8
LEARNING_RATE = 2e-3
# The same division of the gradient among qualities as in training.
BALANCE = 0.5
# The prior with the most numbers a latent, whose heads the others share.
LARGEST, LARGEST_OUTPUTS = "ggm_e", 3


@dataclasses.dataclass(frozen=True)
class Charge:
  """What a fitted prior charges for latents.

  Attributes:
    bits: of each place, over channels [N, h, w].
    residual: unrounded latent less its predicted mean [N, h, w, M].
    scale: the predicted deviations [N, h, w, M].
    shape: the predicted shapes [N, h, w, M].
  """

  bits: np.ndarray
  residual: np.ndarray
  scale: np.ndarray
  shape: np.ndarray


def _bits(model: Flow, y, z_hat) -> tuple[jax.Array, Parameters]:
  """Bits and parameters of y, which is noisy or rounded."""
  parameters = model.parameters(model.hyper_synthesise(z_hat), y)
  return model.prior.bits(y, parameters), parameters


def _take_outputs(leaf, shape):
  """The first numbers a latent of a head that was made for `LARGEST`."""
  if leaf.shape == shape:
    return leaf
  latents = leaf.shape[-1] // LARGEST_OUTPUTS
  numbers = leaf.reshape(*leaf.shape[:-1], latents, LARGEST_OUTPUTS)
  return numbers[..., : shape[-1] // latents].reshape(shape)


class Refit:
  """One prior's entropy networks, to be fitted to a frozen codec's latents.

  Args:
    frozen: the codec.
    steps: updates of 8 crops.
    **prior: options of `Prior` that differ from the codec's own.
  """

  def __init__(self, frozen: Frozen, steps: int, **prior):
    self.frozen = frozen
    self.steps = steps
    self.model = frozen.with_prior(**prior)
    schedule = optax.warmup_cosine_decay_schedule(
      0.0, LEARNING_RATE, min(100, steps // 4), steps, LEARNING_RATE / 100
    )
    self._optimizer = optax.chain(
      optax.clip_by_global_norm(1.0), optax.adam(schedule)
    )
    self._update = jax.jit(self._make_update(), donate_argnums=(0, 1))
    self._charge = jax.jit(self._make_charge())

  def _initialise(self, model: Flow, seed: int):
    channels = self.frozen.arguments["hyper_channels"]
    return model.init(
      jax.random.key(seed),
      jnp.zeros((1, 8, 8, model.latent_channels)),
      jnp.zeros((1, 2, 2, channels)),
      method=_bits,
    )["params"]

  def start(self, seed: int) -> dict[str, Any]:
    """Fresh entropy networks.

    A prior with fewer numbers a latent takes the first ones of the largest
    prior's heads: its means and scales start where the other's do.
    """
    largest = self.frozen.with_prior(kind=LARGEST)
    params = jax.jit(lambda: self._initialise(largest, seed))()
    own = jax.eval_shape(lambda: self._initialise(self.model, seed))
    context = jax.tree.map(
      lambda leaf, like: _take_outputs(leaf, like.shape),
      params["context"],
      own["context"],
    )
    fitted = {**params, "context": context}
    if "prior" in own:
      fitted["prior"] = self._initialise(self.model, seed)["prior"]
    return {name: fitted[name] for name in FITTED if name in own}

  def _whole(self, fitted):
    """The codec's parameters with the fitted ones in place."""
    kept = {k: v for k, v in self.frozen.params.items() if k not in FITTED}
    return {"params": {**kept, **fitted}}

  def _make_update(self):
    lmbdas = jnp.log(jnp.asarray(self.frozen.arguments["lmbdas"], jnp.float32))
    places = jnp.arange(len(lmbdas), dtype=jnp.float32)

    def loss_fn(fitted, y, z_hat, quality, pixels, key):
      noisy = y + jax.random.uniform(key, y.shape, minval=-0.5, maxval=0.5)
      bits, _ = self.model.apply(
        self._whole(fitted), noisy, z_hat, method=_bits
      )
      log_lmbda = jnp.interp(quality, places, lmbdas)
      weight = jnp.exp(BALANCE * (jnp.mean(lmbdas) - log_lmbda))
      return jnp.mean(jnp.sum(bits, axis=(1, 2, 3)) * weight) / pixels

    def update(fitted, opt_state, *batch):
      gradient = jax.grad(loss_fn)(fitted, *batch)
      change, opt_state = self._optimizer.update(gradient, opt_state)
      return optax.apply_updates(fitted, change), opt_state

    return update

  def fit(self, latents: Latents, seed: int) -> dict[str, Any]:
    """Fits to noisy latents.

    Args:
      latents: of training crops.
      seed: of the start, the order and the noise.

    Returns:
      The fitted parameters.
    """
    fitted = self.start(seed)
    opt_state = self._optimizer.init(fitted)
    order = np.random.default_rng(seed)
    keys = jax.random.split(jax.random.key(seed + 1), self.steps)
    for key in keys:
      index = order.integers(len(latents.y), size=BATCH)
      fitted, opt_state = self._update(
        fitted,
        opt_state,
        latents.y[index],
        latents.z_hat[index],
        latents.quality[index],
        float(latents.pixels),
        key,
      )
    return fitted

  def _make_charge(self):
    def run(fitted, y, y_hat, z_hat):
      bits, found = self.model.apply(
        self._whole(fitted), y_hat, z_hat, method=_bits
      )
      return jnp.sum(bits, axis=-1), y - found.mean, found.scale, found.shape

    return run

  def charge(
    self, fitted: dict[str, Any], latents: Latents, *, noise: int | None = None
  ) -> Charge:
    """Bits of latents that are rounded, or noisy if `noise` is a seed.

    Rounding is to the nearest integer whatever the prior predicts, so that
    all priors pay for the same integers.
    """
    draw = np.random.default_rng(noise)
    parts = []
    for i in range(len(latents.y)):
      y, z_hat = latents.y[i : i + 1], latents.z_hat[i : i + 1]
      y_hat = np.round(y)
      if noise is not None:
        y_hat = y + draw.uniform(-0.5, 0.5, y.shape).astype(np.float32)
      parts.append(jax.device_get(self._charge(fitted, y, y_hat, z_hat)))
    return Charge(*(np.concatenate(a) for a in zip(*parts, strict=True)))


def rates(bits: np.ndarray, latents: Latents) -> dict[str, float]:
  """Bits a pixel of y: whole, and of each region by its own pixels.

  Args:
    bits: from a `Charge` of these latents.
    latents: with the regions.
  """
  each = latents.pixels / bits[0].size
  inside = latents.roi >= 0.5
  return {
    "whole": float(bits.mean() / each),
    "roi": float(bits[inside].mean() / each),
    "background": float(bits[~inside].mean() / each),
  }
