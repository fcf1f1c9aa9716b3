"""The prior of y: a plug-in every system can use.

A prior says how many numbers it wants for each latent (`outputs`), turns
them into mean, scale and shape (`split`), and counts bits.

    gaussian   mean, scale           shape 2
    laplace    mean, scale           shape 1
    ggm_m      mean, scale           one learned shape for the model
    ggm_c      mean, scale           one learned shape for every channel
    ggm_e      mean, scale, shape    a shape for every latent

Sources: arXiv 2602.01325 (softplus and clamp heads, the dynamic bound);
arXiv 2411.19320 (the three granularities).
"""

import math
from typing import NamedTuple, get_args

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from roijax.coding.grid import SCALE_MAX, SHAPE_MAX, SHAPE_MIN
from roijax.entropy.gaussian import gaussian_bits, laplace_bits
from roijax.entropy.generalized_gaussian import (
  FINITE_STEP,
  ShapeGradient,
  generalized_gaussian_bits,
)
from roijax.entropy.scale_bound import SCALE_BOUNDS
from roijax.ops.bounds import lower_bound, upper_bound

SHAPE_START = 1.5


class Parameters(NamedTuple):
  """What the prior believes of each latent, all of the shape of y."""

  mean: Array
  scale: Array
  shape: Array


def _softplus_inverse(value: float) -> float:
  return math.log(math.expm1(value))


class Prior(nn.Module):
  """Mean, scale and shape from raw numbers, and bits from those.

  Attributes:
    kind: a key of `PRIORS`.
    channels: latent channels (M).
    bound: a key of `SCALE_BOUNDS`; the scale's lower bound.
    gradient: how the shape is differentiated (`generalized_gaussian_bits`).
    step: of the finite difference.
  """

  kind: str
  channels: int
  bound: str = "dynamic"
  gradient: ShapeGradient = "finite_difference"
  step: float = FINITE_STEP

  @property
  def outputs(self) -> int:
    """How many raw numbers a latent needs."""
    return PRIORS[self.kind].outputs

  def setup(self):
    """Declares the learned shape, where the prior has one."""
    learned = PRIORS[self.kind].learned
    if learned is not None:
      self.raw_shape = self.param(
        "raw_shape",
        nn.initializers.constant(_softplus_inverse(SHAPE_START)),
        (self.channels if learned == "channel" else 1,),
      )

  def split(
    self,
    raw: Float[Array, "... S K"],
    unit: Float[Array, " S"],
    channels: slice = slice(None),
  ) -> Parameters:
    """Turns a head's raw numbers into parameters.

    Args:
      raw: the head's output, K = `outputs` numbers a latent.
      unit: the usual size of each channel; means and scales are multiples.
      channels: which latent channels these are.

    Returns:
      Parameters [..., S]; scale within its bound and 256, shape within the
      grid.
    """
    unit = unit.reshape((1,) * (raw.ndim - 2) + (-1,))
    mean = raw[..., 0] * unit
    # softplus(0.54) is 1: a head that says nothing predicts the usual size.
    scale = jax.nn.softplus(raw[..., 1] + 0.5413) * unit
    shape = self._shape(raw, channels, mean)
    scale = lower_bound(scale, SCALE_BOUNDS[self.bound](shape))
    return Parameters(mean, upper_bound(scale, SCALE_MAX), shape)

  def _shape(self, raw, channels, like):
    kind = PRIORS[self.kind]
    if kind.shape is not None:
      return jnp.full_like(like, kind.shape)
    if kind.learned is None:
      value = raw[..., 2] + _softplus_inverse(SHAPE_START)
    else:
      value = self.raw_shape.astype(like.dtype)
      value = value[channels] if kind.learned == "channel" else value
      value = value.reshape((1,) * (like.ndim - 1) + (-1,))
    shape = jax.nn.softplus(jnp.broadcast_to(value, like.shape))
    return upper_bound(lower_bound(shape, SHAPE_MIN), SHAPE_MAX)

  def bits(
    self, y: Float[Array, "*dims"], parameters: Parameters
  ) -> Float[Array, "*dims"]:
    """Bits of each latent, noisy or rounded; float32."""
    y, mean, scale, shape = (x.astype(jnp.float32) for x in (y, *parameters))
    if self.kind == "gaussian":
      return gaussian_bits(y, mean, scale)
    if self.kind == "laplace":
      return laplace_bits(y, mean, scale)
    return generalized_gaussian_bits(
      y, mean, scale, shape, gradient=self.gradient, step=self.step
    )


class _Kind(NamedTuple):
  outputs: int
  shape: float | None = None
  learned: str | None = None


PRIORS = {
  "gaussian": _Kind(2, shape=2.0),
  "laplace": _Kind(2, shape=1.0),
  "ggm_m": _Kind(2, learned="model"),
  "ggm_c": _Kind(2, learned="channel"),
  "ggm_e": _Kind(3),
}


def check_prior(prior: Prior) -> None:
  """Raises a ValueError where a prior names something that does not exist."""
  for name, value, known in (
    ("kind", prior.kind, PRIORS),
    ("bound", prior.bound, SCALE_BOUNDS),
    ("gradient", prior.gradient, get_args(ShapeGradient)),
  ):
    if value not in known:
      raise ValueError(
        f"prior.{name} is {value!r}; there are: {', '.join(known)}"
      )
