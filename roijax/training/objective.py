"""What a rate-distortion model is trained for, and where it starts."""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from roijax.errors import ConfigError
from roijax.layers.gain import start_gain
from roijax.losses.rate_distortion import (
  bits_per_pixel,
  importance_map,
  rate_distortion,
  weighted_mse,
)
from roijax.losses.segmentation import cross_entropy
from roijax.models.flow import Flow, FlowOutput, LayeredOutput
from roijax.models.random_start import init_params
from roijax.ops.importance import from_exponent
from roijax.ops.resample import threshold_cells
from roijax.training.mask_rate import estimate_bits
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


def _check_exponents(config) -> None:
  """Raises a ConfigError where alpha, omegas and lmbdas contradict."""
  omega, omegas = config.model.region.omega, tuple(config.loss.omegas)
  if not 0 < min(omegas) <= max(omegas) <= omega:
    raise ConfigError(
      f"config.loss.omegas={omegas} must lie in 0 to config.model.region.omega,"
      f" {omega:g}"
    )
  top, last = config.loss.alpha * math.exp(omega), config.model.lmbdas[-1]
  if abs(top / last - 1) > 0.01:
    raise ConfigError(
      f"config.loss.alpha exp({omega:g}) is {top:.4g}, the last of"
      f" config.model.lmbdas {last:.4g}: give both, they must agree"
    )


def _fixed_level(options) -> float | None:
  """The background level that `loss.lambda_b` asks for; None to draw one.

  Raises:
    ConfigError: the lambdas are out of range.
  """
  high, low = options.get("lambda_f", 1.0), options.get("lambda_b", 0.0)
  if not (high > 0 and 0 <= low <= high):
    raise ConfigError(
      f"config.loss.lambda_b={low:g} must lie in 0 to config.loss.lambda_f,"
      f" {high:g}, and that above 0"
    )
  return math.sqrt(low / high) if low else None


def make_importance(config):
  """What makes importance maps of regions: (keys, roi) -> map.

  The map is squared in the loss. `loss.lambda_b`, where it is not 0, fixes the
  background level: its square is lambda_b / lambda_f. With `loss.omegas`,
  every sample draws one of them, and its squared map times the last trade-off
  is alpha exp(omega roi), or what the level of the background asks for, if
  that is more.

  Raises:
    ConfigError: alpha, omegas and lmbdas contradict each other, or lambda_f
      and lambda_b do.
  """
  options = config.loss
  level = _fixed_level(options)
  if options.get("omegas") is not None:
    _check_exponents(config)

  def importance(keys, roi):
    background = sample_background(
      keys,
      options.background_low,
      options.background_high,
      options.background_extremes,
    )
    if level is not None:
      background = jnp.full_like(background, level)
    omegas = options.get("omegas")
    if omegas is not None:
      reference = config.model.region.omega
      shares = jnp.asarray(tuple(omegas), jnp.float32) / reference
      draws = jax.vmap(
        lambda key: jax.random.choice(jax.random.fold_in(key, 1), shares)
      )(keys)
      roi = from_exponent(roi * draws[:, None, None, None], reference)
    return importance_map(roi, background)

  return importance


class Pass(NamedTuple):
  """One training pass of a batch.

  Attributes:
    out: what the flow gave.
    bpp: bits a pixel of each sample, the mask's included.
    importance: what the encoder would see of the true region [B, H, W, 1].
    lmbda: each sample's trade-off.
    middle: the geometric mean of the model's.
    mask: what two decoders share the photo by, or None.
  """

  out: FlowOutput | LayeredOutput
  bpp: Float[Array, " B"]
  importance: Float[Array, "B H W 1"]
  lmbda: Float[Array, " B"]
  middle: Float[Array, ""]
  mask: Float[Array, "B p q 1"] | None

  def balance(self, power: float) -> Float[Array, " B"]:
    """What each sample weighs, so that fine ones do not own the gradient."""
    return (self.middle / self.lmbda) ** power


def make_pass(
  model: Flow, config
) -> Callable[[Any, Mapping[str, Any], Array], Pass]:
  """What runs a codec on a batch: `(params, batch, keys) -> Pass`.

  Each sample draws its quality, its background level and its noise from its
  own key. A batch may hold `seen`, what the encoder gets for the region in
  place of `roi`.
  """
  lmbdas = jnp.asarray(tuple(config.model.lmbdas), jnp.float32)
  importance_of = make_importance(config)

  def run(params, batch, keys):
    split = jax.vmap(lambda key: jax.random.split(key, 3), out_axes=1)(keys)
    quality = sample_quality(split[0], len(lmbdas))
    x, roi = batch["image"], batch["roi"]
    importance = importance_of(split[1], roi)
    # The same draws: where nothing else is seen, this is the same map.
    shown = batch.get("seen", roi)
    seen = importance_of(split[1], shown)
    mask, bits_mask = None, ()
    if model.mask_stride:
      mask = threshold_cells(shown, model.mask_stride)
      bits_mask = (estimate_bits(mask),) if model.mask_in_file else ()
    out = cast(
      FlowOutput | LayeredOutput,
      model.apply({"params": params}, x, seen, quality, split[2], mask),
    )
    bpp = bits_per_pixel(x, out.bits_y, out.bits_z, *bits_mask)
    rates = jnp.arange(len(lmbdas), dtype=jnp.float32)
    lmbda = jnp.exp(jnp.interp(quality, rates, jnp.log(lmbdas)))
    middle = jnp.exp(jnp.mean(jnp.log(lmbdas)))
    return Pass(out, bpp, importance, lmbda, middle, mask)

  return run


def measure_pass(
  batch: Mapping[str, Any], done: Pass, loss: Float[Array, ""]
) -> dict[str, Any]:
  """What every training step of a codec reports.

  Metrics by region are pairs, see `regions.Measure`.
  """
  x, roi, out = batch["image"], batch["roi"], done.out
  # What a viewer would see.
  clipped = jnp.clip(out.x_hat, 0, 1)
  return {
    "loss": loss,
    "bpp": jnp.mean(done.bpp),
    "bpp_z": jnp.mean(bits_per_pixel(x, out.bits_z)),
    "psnr": jnp.mean(psnr(weighted_mse(x, clipped, jnp.ones_like(roi)))),
    **average(measure_regions(x, clipped, roi, out.bits_y)),
  }


def make_loss_fn(model: Flow, config):
  """The loss of one batch, in the form that training steps take.

  Each sample draws its quality, its background level and its noise from its
  own key. Rates differ a hundredfold in lmbda; `config.loss.balance` divides
  a sample's loss by `(lmbda / middle lmbda)**balance`, so that the fine ones
  do not own the gradient. A batch may hold `seen`, what the encoder gets for
  the region in place of `roi`, which weighs the loss.

  Two decoders (`models.implicit`) are each weighed by their share of every
  pixel; where the decoder predicts the mask, its cross-entropy is added.

  Args:
    model: the flow.
    config: with `model.lmbdas` and `loss` {balance, background_low,
      background_high, background_extremes}; also {alpha, omegas} where the
      weights are exponentials of the region, as in SwinROI; {lambda_f,
      lambda_b, mask_weight} for two decoders, the lambdas in units of the
      quality's.

  Returns:
    `loss_fn(params, collections, batch, keys) -> (loss, (metrics,
    collections))`. Metrics by region are pairs, see `regions.Measure`.
  """
  run = make_pass(model, config)

  def loss_fn(params, collections, batch, keys):
    done = run(params, batch, keys)
    out = done.out
    mse = _weigh_errors(batch["image"], out, done.importance**2)
    lmbda = config.loss.get("lambda_f", 1.0) * done.lmbda
    loss = rate_distortion(mse, done.bpp, lmbda)
    loss = jnp.mean(loss * done.balance(config.loss.balance))
    extra = {}
    if isinstance(out, LayeredOutput) and out.layers.logits is not None:
      entropy = _mask_entropy(out.layers.logits, done.mask)
      loss += config.loss.mask_weight * entropy
      extra["cross_entropy"] = entropy
    metrics = {**measure_pass(batch, done, loss), **extra}
    return loss, (metrics, collections)

  return loss_fn


def _weigh_errors(x, out: FlowOutput | LayeredOutput, weight):
  """Squared errors; of two decoders, each by its share of every pixel."""
  if isinstance(out, FlowOutput):
    return weighted_mse(x, out.x_hat, weight)
  foreground, background, share, _ = out.layers
  # A predicted share learns from the mask alone: through the errors it would
  # learn which decoder is the better one.
  share = jax.lax.stop_gradient(share)
  inside = weighted_mse(x, foreground, weight * share)
  return inside + weighted_mse(x, background, weight * (1 - share))


def _mask_entropy(logits, mask):
  """Cross-entropy of a predicted mask, in nats a cell."""
  target = mask[..., 0]
  return cross_entropy(logits[..., 0], target, jnp.ones_like(target))


def init_model(model: Flow, config, key, sample_batch):
  """Fresh parameters; where the model can, fitted to the data.

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
  params = init_params(model, key, few, roi, quality, keys)
  lmbdas = tuple(config.model.lmbdas)
  middle = start_gain(math.exp(np.mean(np.log(lmbdas))))
  if model.fit is not None:
    params, spread = model.fit(params, np.asarray(x))
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
