"""Bits of a quantised latent under the generalized Gaussian.

With r = x - mean, t = |r| / alpha and a = 1 / shape, the density is
`shape / (2 alpha Gamma(a)) exp(-t**shape)` and its distribution function
`1/2 + sgn(r) P(a, t**shape) / 2`. A latent pays for the unit bin around it:
`F(x + 1/2) - F(x - 1/2)`.

The bin's mass, with the tail's exponent apart, comes from whichever form
cancels least:

    tail     both ends beyond the series   difference of two Q
    body     otherwise                     difference of two P (or 1 - Q)
    wide     scale >= 4, a gentle slope    trapezoid with its corrections

The spread is the standard deviation `scale`, not alpha: alpha at a fixed
spread varies 360-fold over the shapes, a scale does not.

Gradients in x, mean and scale are the closed forms. The one in the shape has
none; the paper takes a central finite difference, and so does the default
here, of the logarithm. `"exact"` differentiates the fixed-length series,
`"paper"` the distribution function with a smooth |.| and sgn, as an ablation.

Sources: arXiv 2602.01325 (the model and the finite difference; its formulas
are not public, so the forms here are ours), arXiv 2411.19320.
"""

import functools
import math
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from roijax.coding.grid import log_gamma
from roijax.entropy.gaussian import LIKELIHOOD_MIN
from roijax.ops.bounds import lower_bound
from roijax.ops.chunks import map_in_chunks
from roijax.ops.special import (
  SWITCH,
  fit_polynomial,
  lower_series,
  upper_fraction,
)

ShapeGradient = Literal["finite_difference", "exact", "paper"]

# Best in float32: smaller steps drown in rounding, larger ones in curvature.
FINITE_STEP = 2e-3
# Nothing more likely than LIKELIHOOD_MIN reaches this; a latent a hundred
# thousand steps away must not own the gradient of a whole batch.
GRADIENT_MAX = 1e4
SMOOTHING = 1e-3
WIDE_SCALE = 4.0
WIDE_DISTANCE = 2.5
_TINY = 1e-30
_EXPONENT_MAX = 20.0
_A_MIN, _A_MAX = 0.3, 2.2

# log Gamma(a), and log(alpha / scale), as functions of a = 1 / shape.
_log_gamma_of_next = fit_polynomial(
  lambda a: log_gamma(a + 1), _A_MIN, _A_MAX, 9
)
_log_ratio = fit_polynomial(
  lambda a: 0.5 * (log_gamma(a) - log_gamma(3 * a)),
  _A_MIN,
  _A_MAX,
  13,
)


class _Bin(NamedTuple):
  """A bin's likelihood times exp(shift), and the densities at its ends."""

  mass: Array
  shift: Array
  low: Array
  high: Array
  density_low: Array
  density_high: Array


def log_alpha_per_scale(
  shape: Float[Array, "*dims"],
) -> Float[Array, "*dims"]:
  """log(alpha / standard deviation) for shapes in [0.5, 3]."""
  return _log_ratio(1 / shape)


def _evaluate(v, scale, shape, shift=None) -> _Bin:
  """The bin [v - 1/2, v + 1/2] at distance v >= 0 from the mean.

  `shift` keeps the tail in range: everything carries the factor exp(shift).
  By default it is the exponent at the bin's near end; neighbouring shapes
  are given the same, so that they may be subtracted.
  """
  a = 1 / shape
  log_alpha = jnp.log(scale) + _log_ratio(a)
  peak = 0.5 * jnp.exp(-log_alpha - _log_gamma_of_next(a))
  high, low = v + 0.5, v - 0.5
  distance = jnp.maximum(jnp.abs(low), _TINY)

  def power(u):
    return jnp.exp(shape * (jnp.log(u) - log_alpha))

  x_high, x_low = power(high), power(distance)
  if shift is None:
    shift = jnp.where((low > 0) & (x_low >= SWITCH), x_low, 0)
  f_high = peak * jnp.exp(jnp.minimum(shift - x_high, _EXPONENT_MAX))
  f_low = peak * jnp.exp(jnp.minimum(shift - x_low, _EXPONENT_MAX))
  upper_high = high * f_high * a * upper_fraction(a, x_high)
  upper_low = distance * f_low * a * upper_fraction(a, x_low)

  def half_mass(u, x, f, upper):
    return jnp.where(x < SWITCH, u * f * lower_series(a, x), 0.5 - upper)

  body = half_mass(high, x_high, f_high, upper_high) - jnp.sign(
    low
  ) * half_mass(distance, x_low, f_low, upper_low)
  mass = jnp.where(shift > 0, upper_low - upper_high, body)
  # A bin over which the density falls e-fold cancels nothing, and is too
  # steep for the trapezoid.
  is_wide = (
    (scale >= WIDE_SCALE) & (v >= WIDE_DISTANCE) & (shape * x_high < high)
  )
  wide = _trapezoid(low, high, x_low, x_high, f_low, f_high, shape)
  mass = jnp.maximum(jnp.where(is_wide, wide, mass), _TINY)
  return _Bin(mass, shift, low, high, f_low, f_high)


def _trapezoid(low, high, x_low, x_high, f_low, f_high, shape):
  """The bin from the density and its odd derivatives at the ends.

  Euler and Maclaurin's formula to third order: a difference of distribution
  functions loses at large scales what this keeps.
  """

  def derivatives(u, x):
    # Relative to the density. Where that has vanished, its large exponents
    # must not overflow.
    inverse = 1 / jnp.maximum(u, 1.0)
    q = shape * jnp.minimum(x, 99.0)
    first = -q * inverse
    third = (shape - 1) * (shape - 2 - 3 * q) + q * q
    return first, first * inverse * inverse * third

  low_first, low_third = derivatives(low, x_low)
  high_first, high_third = derivatives(high, x_high)
  at_low = 0.5 + low_first / 12 - low_third / 720
  at_high = 0.5 - high_first / 12 + high_third / 720
  return f_low * at_low + f_high * at_high


def _log_likelihood(found: _Bin):
  return jnp.log(found.mass) - found.shift


def _shape_derivative(v, scale, shape, found, gradient, step):
  """The log-likelihood's derivative in the shape, at a fixed spread."""
  if gradient == "exact":
    mass, derivative = jax.jvp(
      lambda s: _evaluate(v, scale, s, found.shift).mass,
      (shape,),
      (jnp.ones_like(shape),),
    )
    return derivative / mass
  above = _evaluate(v, scale, shape + step, found.shift).mass
  below = _evaluate(v, scale, shape - step, found.shift).mass
  # Of the logarithm: far in a tail it bends less than the mass.
  return jnp.log(above / below) / (2 * step)


def _to_bits(log_likelihood):
  floor = math.log(LIKELIHOOD_MIN)
  return -jnp.maximum(log_likelihood, floor) / math.log(2)


def _bits(r, scale, shape):
  return _to_bits(_log_likelihood(_evaluate(jnp.abs(r), scale, shape)))


def _bits_and_slopes(r, scale, shape, gradient, step):
  v = jnp.abs(r)
  found = _evaluate(v, scale, shape)
  low, high = found.density_low / found.mass, found.density_high / found.mass
  by_shape = _shape_derivative(v, scale, shape, found, gradient, step)
  slopes = (
    jnp.sign(r) * (high - low),
    (found.low * low - found.high * high) / scale,
    by_shape,
  )
  slopes = [
    jnp.clip(slope / -math.log(2), -GRADIENT_MAX, GRADIENT_MAX)
    for slope in slopes
  ]
  return _to_bits(_log_likelihood(found)), slopes


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def _stable_bits(r, scale, shape, gradient, step):
  return map_in_chunks(_bits, r, scale, shape)


def _stable_bits_forward(r, scale, shape, gradient, step):
  compute = functools.partial(_bits_and_slopes, gradient=gradient, step=step)
  return map_in_chunks(compute, r, scale, shape)


def _stable_bits_backward(gradient, step, slopes, g):
  return tuple(g * slope for slope in slopes)


_stable_bits.defvjp(_stable_bits_forward, _stable_bits_backward)


def _smooth_likelihood(r, scale, shape):
  """The paper-style likelihood: smooth |.| and sgn, plain CDF difference."""
  a = 1 / shape
  log_alpha = jnp.log(scale) + _log_ratio(a)

  def half_mass(u):
    distance = jnp.sqrt(u * u + SMOOTHING**2)
    log_t = jnp.log(distance) - log_alpha
    x = jnp.exp(shape * log_t)
    common = jnp.exp(log_t - x - _log_gamma_of_next(a))
    lower = common * lower_series(a, x)
    upper = 1 - common * a * upper_fraction(a, x)
    return 0.5 * u / distance * jnp.where(x < SWITCH, lower, upper)

  return half_mass(r + 0.5) - half_mass(r - 0.5)


def _smooth_likelihood_and_slopes(r, scale, shape, step):
  value, pullback = jax.vjp(
    lambda r, s: _smooth_likelihood(r, s, shape), r, scale
  )
  above = _smooth_likelihood(r, scale, shape + step)
  below = _smooth_likelihood(r, scale, shape - step)
  return value, (*pullback(jnp.ones_like(r)), (above - below) / (2 * step))


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def _paper_likelihood(r, scale, shape, step):
  return map_in_chunks(_smooth_likelihood, r, scale, shape)


def _paper_likelihood_forward(r, scale, shape, step):
  compute = functools.partial(_smooth_likelihood_and_slopes, step=step)
  return map_in_chunks(compute, r, scale, shape)


def _paper_likelihood_backward(step, slopes, g):
  return tuple(g * slope for slope in slopes)


_paper_likelihood.defvjp(_paper_likelihood_forward, _paper_likelihood_backward)


def generalized_gaussian_bits(
  x: Float[Array, "*dims"],
  mean: Float[Array, "*#dims"] | float,
  scale: Float[Array, "*#dims"] | float,
  shape: Float[Array, "*#dims"] | float,
  *,
  gradient: ShapeGradient = "finite_difference",
  step: float = FINITE_STEP,
) -> Float[Array, "*dims"]:
  """Bits that the unit bin around each latent costs.

  Finite, with finite gradients, for |x - mean| <= 1e5. Below a likelihood of
  1e-9 the bits are cut, the gradients are not: a latent lost in the tail
  still finds its way back.

  Args:
    x: latents, noisy or rounded, in quantisation steps.
    mean: location.
    scale: standard deviation, > 0.
    shape: exponent in [0.5, 3]; 2 is the Gaussian, 1 the Laplacian. The three
      broadcast to the shape of `x`.
    gradient: how the derivative in the shape is taken.
    step: of the finite difference.

  Returns:
    Bits, of the shape of `x`.

  Source: arXiv 2602.01325; closed forms in arXiv 2411.19320.
  """
  x, mean, scale, shape = jnp.broadcast_arrays(x, mean, scale, shape)
  if gradient == "paper":
    likelihood = _paper_likelihood(x - mean, scale, shape, step)
    return -jnp.log2(lower_bound(likelihood, LIKELIHOOD_MIN))
  if gradient not in ("finite_difference", "exact"):
    raise ValueError(f"unknown shape gradient {gradient!r}")
  return _stable_bits(x - mean, scale, shape, gradient, step)
