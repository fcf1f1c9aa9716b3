"""The eight terms that perceptual training weighs against each other.

    bpp ------------------------------------------------> rate
    x, x_hat, delta --> mse_roi, l1_roi, l1_background --\\
    x, x_hat --VGG-16--> lpips, style -------------------+--> distortion
    x, x_hat --> laplacian ------------------------------|
    discriminator's logits --> adversarial --------------/

Source: TLIC (arXiv 2401.08154), the second stage. It states the terms, not
their weights: those, and how they follow the rate, are ours.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, cast

import jax
import jax.numpy as jnp
from jax import Array

from roijax.errors import ConfigError
from roijax.losses import perceptual
from roijax.losses.adversarial import generator_loss
from roijax.losses.rate_distortion import weighted_mse
from roijax.models import vgg
from roijax.training.objective import Pass

# The last of VGG's layers is LPIPS's alone.
STYLE_LAYERS = 4


@dataclasses.dataclass(frozen=True)
class PerceptualOptions:
  """A config's `perceptual` section: what each term weighs.

  Attributes:
    weights: VGG-16 and the heads of LPIPS in one file, as `roijax weights
      perceptual` makes it; `random` for tests.
    widths: of VGG-16's blocks; other than the published ones for tests.
    rate: of bits a pixel.
    mse: of `255**2` times the squared error in the region.
    l1_roi: of the absolute error in the region.
    l1_background: of the absolute error elsewhere.
    lpips: of LPIPS.
    style: of the error of Gram matrices.
    laplacian: of the difference of Laplacian pyramids.
  """

  weights: str = ""
  widths: Sequence[int] = vgg.WIDTHS
  rate: float = 1.0
  mse: float = 0.01
  l1_roi: float = 10.0
  l1_background: float = 2.0
  lpips: float = 1.0
  style: float = 40.0
  laplacian: float = 1.0

  def __post_init__(self):
    for name in WEIGHTS:
      if not getattr(self, name) >= 0:
        raise ConfigError(
          f"config.perceptual.{name}={getattr(self, name)} must not be below 0"
        )
    if len(self.widths) != len(vgg.WIDTHS) or min(self.widths) < 1:
      raise ConfigError(
        f"config.perceptual.widths={tuple(self.widths)} must be five widths,"
        f" {vgg.WIDTHS} for the published weights"
      )

  @property
  def needs_features(self) -> bool:
    """Whether VGG-16 has to look."""
    return self.lpips > 0 or self.style > 0


# The keys that weigh terms.
WEIGHTS = (
  "rate",
  "mse",
  "l1_roi",
  "l1_background",
  "lpips",
  "style",
  "laplacian",
)


def measure_terms(
  options: PerceptualOptions,
  adversarial: float,
  features: Any,
  x: Array,
  x_hat: Array,
  delta: Array,
  logits: Array,
) -> dict[str, tuple[float, Array]]:
  """Every term of the distortion, with its weight.

  Args:
    options: the weights.
    adversarial: the weight of the discriminator's term.
    features: `vgg` and `heads`, see `models.vgg.make_random`; an empty dict
      where no term asks for them.
    x: photos [B, H, W, 3].
    x_hat: reconstructions, not clipped.
    delta: importance [B, H, W, 1].
    logits: the discriminator's, of `x_hat` [B, H, W].

  Returns:
    By name, a weight and each sample's value.
  """
  mse = 255**2 * weighted_mse(x, x_hat, delta)
  background = perceptual.weighted_l1(x, x_hat, 1 - delta)
  terms = {
    "mse_roi": (options.mse, mse),
    "l1_roi": (options.l1_roi, perceptual.weighted_l1(x, x_hat, delta)),
    "l1_background": (options.l1_background, background),
    "laplacian": (options.laplacian, perceptual.laplacian(x, x_hat)),
    "adversarial": (adversarial, generator_loss(logits)),
  }
  if options.needs_features:
    model = vgg.VGG16(tuple(options.widths))
    one, other = (
      cast(list, model.apply({"params": features["vgg"]}, image))
      for image in (x, x_hat)
    )
    distance = perceptual.lpips(one, other, features["heads"])
    style = perceptual.style(one[:STYLE_LAYERS], other[:STYLE_LAYERS])
    terms["lpips"] = options.lpips, distance
    terms["style"] = options.style, style
  return terms


def weigh_terms(
  options: PerceptualOptions,
  balance: float,
  done: Pass,
  bpp: Array,
  terms: dict[str, tuple[float, Array]],
) -> tuple[Array, dict[str, Any]]:
  """The loss of a batch.

  Weights are those of the model's middle trade-off; at another one, all of the
  distortion counts `lmbda / middle` times as much, as in the first stage.

  Args:
    options: the weights.
    balance: the power that levels the rates, `config.loss.balance`.
    done: for trade-offs.
    bpp: bits a pixel of each sample.
    terms: from `measure_terms`.

  Returns:
    The loss, and metrics: `term_<name>`, the mean of each; `share_<name>`, the
    part of the loss that it is, as a pair of means whose quotient is meant.
  """
  level = done.balance(balance)
  grade = done.lmbda / done.middle
  parts = {"rate": (jnp.mean(bpp), jnp.mean(level * options.rate * bpp))}
  for name, (weight, values) in terms.items():
    weighed = jnp.mean(level * grade * weight * values)
    parts[name] = jnp.mean(values), weighed
  loss = sum((weighed for _, weighed in parts.values()), start=jnp.zeros(()))
  metrics: dict[str, Any] = {}
  for name, (mean, weighed) in parts.items():
    metrics[f"term_{name}"] = mean
    metrics[f"share_{name}"] = weighed, loss
  return loss, jax.lax.stop_gradient(metrics)
