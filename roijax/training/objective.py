"""What a rate-distortion model is trained for, and where it starts."""

import math
from typing import cast

import jax
import jax.numpy as jnp
import numpy as np

from roijax.errors import ConfigError
from roijax.layers.gain import start_gain
from roijax.losses.rate_distortion import (
  bits_per_pixel,
  importance_map,
  rate_distortion,
  weighted_mse,
)
from roijax.models.flow import Flow, FlowOutput
from roijax.models.trunks import patchify
from roijax.training.regions import average, measure_regions, psnr


def sample_quality(keys, rates: int):
  """A quality a sample, uniform over [0, rates - 1]."""
  return jax.vmap(lambda key: jax.random.uniform(key, maxval=rates - 1.0))(keys)


def sample_background(keys, low: float, high: float, extremes: float):
  """A background level a sample.

  Log-uniform over [low, high]; with probability `extremes` it is .01, and
  with the same probability 1.
  """

  def one(key):
    choice, level = jax.random.uniform(key, (2,))
    value = jnp.exp(math.log(low) + level * (math.log(high) - math.log(low)))
    value = jnp.where(choice < extremes, 0.01, value)
    return jnp.where(choice > 1 - extremes, 1.0, value)

  return jax.vmap(one)(keys)


def make_loss_fn(model: Flow, config):
  """The loss of one batch, in the form that training steps take.

  Each sample draws its quality, its background level and its noise from its
  own key. Rates differ a hundredfold in lmbda; `config.loss.balance` divides
  a sample's loss by `(lmbda / middle lmbda)**balance`, so that the fine ones
  do not own the gradient.

  Args:
    model: the flow.
    config: with `model.lmbdas` and `loss` {balance, background_low,
      background_high, background_extremes}.

  Returns:
    `loss_fn(params, collections, batch, keys) -> (loss, (metrics,
    collections))`. Metrics by region are pairs, see `regions.Measure`.
  """
  lmbdas = jnp.asarray(tuple(config.model.lmbdas), jnp.float32)
  options = config.loss

  def loss_fn(params, collections, batch, keys):
    split = jax.vmap(lambda key: jax.random.split(key, 3), out_axes=1)(keys)
    quality = sample_quality(split[0], len(lmbdas))
    background = sample_background(
      split[1],
      options.background_low,
      options.background_high,
      options.background_extremes,
    )
    x, roi = batch["image"], batch["roi"]
    importance = importance_map(roi, background)
    out = cast(
      FlowOutput,
      model.apply({"params": params}, x, importance, quality, split[2]),
    )
    bpp = bits_per_pixel(x, out.bits_y, out.bits_z)
    rates = jnp.arange(len(lmbdas), dtype=jnp.float32)
    lmbda = jnp.exp(jnp.interp(quality, rates, jnp.log(lmbdas)))
    mse = weighted_mse(x, out.x_hat, importance**2)
    loss = rate_distortion(mse, bpp, lmbda)
    middle = jnp.exp(jnp.mean(jnp.log(lmbdas)))
    loss = jnp.mean(loss * (middle / lmbda) ** options.balance)
    # Metrics on what a viewer would see.
    clipped = jnp.clip(out.x_hat, 0, 1)
    metrics = {
      "loss": loss,
      "bpp": jnp.mean(bpp),
      "bpp_z": jnp.mean(bits_per_pixel(x, out.bits_z)),
      "psnr": jnp.mean(psnr(weighted_mse(x, clipped, jnp.ones_like(roi)))),
      **average(measure_regions(x, clipped, roi, out.bits_y)),
    }
    return loss, (metrics, collections)

  return loss_fn


def init_model(model: Flow, config, key, sample_batch):
  """Fresh parameters; with a patchify trunk, from principal components.

  Args:
    model: the flow.
    config: the run's configuration.
    key: a PRNG key.
    sample_batch: a batch of training data, to fit the start to.

  Returns:
    Parameters, and the (empty) collections.
  """
  x = jnp.asarray(sample_batch["image"])
  if x.shape[1] % model.STRIDE or x.shape[2] % model.STRIDE:
    raise ConfigError(
      f"config.data.crop must be a multiple of {model.STRIDE}, not {x.shape[1]}"
    )
  few = x[:1]
  roi = jnp.ones((*few.shape[:3], 1), few.dtype)
  quality = jnp.zeros(1)
  keys = jax.random.split(key, 1)
  params = jax.jit(model.init)(key, few, roi, quality, keys)["params"]
  lmbdas = tuple(config.model.lmbdas)
  middle = start_gain(math.exp(np.mean(np.log(lmbdas))))
  if config.model.trunk.name == "patchify":
    attenuation = 1.0
    mgfe = config.model.mgfe
    if mgfe is not None and mgfe.attention is not None:
      attenuation = mgfe.attention.start
      attenuation = 1 + attenuation if mgfe.attention.residual else attenuation
    trunk = params["synthesis"]["trunk"]
    analysis, trunk, spread = patchify.starting_point(
      params["analysis"], trunk, np.asarray(x), attenuation
    )
    params = {
      **params,
      "analysis": analysis,
      "synthesis": {**params["synthesis"], "trunk": trunk},
    }
  else:
    y, _ = jax.jit(
      lambda p, x, r, q: model.apply(
        {"params": p}, x, r, q, method=Flow.analyse
      )
    )(params, few, roi, quality)
    spread = np.asarray(y).std(axis=(0, 1, 2)) / start_gain(lmbdas[0])
  unit = np.maximum(spread * middle, 1e-3)
  params = {**params, "log_unit": jnp.log(jnp.asarray(unit, jnp.float32))}
  return params, {}
