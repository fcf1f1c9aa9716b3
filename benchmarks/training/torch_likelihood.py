"""The entropy models of `roijax.entropy` in PyTorch, form for form.

Part of `torch_twin.py`. Like the original, the generalized Gaussian takes its
gradients from closed forms and a finite difference of fixed-length series:
PyTorch has the incomplete gamma functions, but no derivative in the first
argument.
"""

import math
from typing import NamedTuple

import numpy as np
import scipy.special
import torch
from torch import Tensor
from torch.nn.functional import softplus

from roijax.coding.grid import SCALE_MAX, SHAPE_MAX, SHAPE_MIN, scale_min
from roijax.entropy.gaussian import LIKELIHOOD_MIN
from roijax.entropy.generalized_gaussian import (
  GRADIENT_MAX,
  WIDE_DISTANCE,
  WIDE_SCALE,
)
from roijax.entropy.priors import SHAPE_START
from roijax.ops.special import FRACTION_LEVELS, SERIES_TERMS, SWITCH

_TINY = 1e-30
_EXPONENT_MAX = 20.0


class _LowerBound(torch.autograd.Function):
  """max(x, bound), whose gradient lets a value below it climb back."""

  @staticmethod
  def forward(ctx, x, bound):
    above = x >= bound
    ctx.save_for_backward(above)
    return torch.where(above, x, bound)

  @staticmethod
  def backward(ctx, gradient):
    (above,) = ctx.saved_tensors
    return torch.where(above | (gradient < 0), gradient, 0.0), None


def lower_bound(x: Tensor, bound: Tensor | float) -> Tensor:
  """`roijax.ops.bounds.lower_bound`."""
  if not isinstance(bound, Tensor):
    bound = torch.full((), bound, dtype=x.dtype, device=x.device)
  return _LowerBound.apply(x, bound)


def upper_bound(x: Tensor, bound: float) -> Tensor:
  """`roijax.ops.bounds.upper_bound`."""
  return -lower_bound(-x, -bound)


def _fit(function, low, high, degree):
  """`roijax.ops.special.fit_polynomial`, of tensors."""
  fit = np.polynomial.Chebyshev.interpolate(function, degree, [low, high])
  kind = np.polynomial.Polynomial
  coefficients = fit.convert(kind=kind, domain=[low, high], window=[-1, 1]).coef

  def evaluate(x: Tensor) -> Tensor:
    u = (x - 0.5 * (low + high)) * (2 / (high - low))
    value = torch.full_like(u, float(coefficients[-1]))
    for coefficient in coefficients[-2::-1]:
      value = value * u + float(coefficient)
    return value

  return evaluate


_log_gamma_of_next = _fit(lambda a: scipy.special.gammaln(a + 1), 0.3, 2.2, 9)
_log_ratio = _fit(
  lambda a: 0.5 * (scipy.special.gammaln(a) - scipy.special.gammaln(3 * a)),
  0.3,
  2.2,
  13,
)
_log_dynamic = _fit(
  lambda log_shape: np.log(scale_min(np.exp(log_shape))),
  math.log(SHAPE_MIN),
  math.log(SHAPE_MAX),
  12,
)


def _lower_series(a, x):
  x = x.clamp(max=2.7)
  total = denominator = torch.ones_like(x)
  for n in range(SERIES_TERMS, 0, -1):
    denominator = denominator * (a + n)
    total = total * x + denominator
  return total / denominator


def _upper_fraction(a, x):
  inverse = 1 / x.clamp(min=2.3)
  top, last_top = torch.ones_like(x), torch.zeros_like(x)
  bottom, last_bottom = 1 + (1 - a) * inverse, torch.ones_like(x)
  for n in range(1, FRACTION_LEVELS + 1):
    partial = n * (n - a) * inverse * inverse
    factor = 1 + (2 * n + 1 - a) * inverse
    top, last_top = factor * top - partial * last_top, top
    bottom, last_bottom = factor * bottom - partial * last_bottom, bottom
  return inverse * top / bottom


class _Bin(NamedTuple):
  mass: Tensor
  shift: Tensor
  low: Tensor
  high: Tensor
  density_low: Tensor
  density_high: Tensor


def _evaluate(v, scale, shape, shift=None) -> _Bin:
  a = 1 / shape
  log_alpha = scale.log() + _log_ratio(a)
  peak = 0.5 * torch.exp(-log_alpha - _log_gamma_of_next(a))
  high, low = v + 0.5, v - 0.5
  distance = low.abs().clamp(min=_TINY)
  x_high = torch.exp(shape * (high.log() - log_alpha))
  x_low = torch.exp(shape * (distance.log() - log_alpha))
  if shift is None:
    shift = torch.where((low > 0) & (x_low >= SWITCH), x_low, 0.0)
  f_high = peak * (shift - x_high).clamp(max=_EXPONENT_MAX).exp()
  f_low = peak * (shift - x_low).clamp(max=_EXPONENT_MAX).exp()
  upper_high = high * f_high * a * _upper_fraction(a, x_high)
  upper_low = distance * f_low * a * _upper_fraction(a, x_low)

  def half_mass(u, x, f, upper):
    return torch.where(x < SWITCH, u * f * _lower_series(a, x), 0.5 - upper)

  body = half_mass(high, x_high, f_high, upper_high) - low.sign() * half_mass(
    distance, x_low, f_low, upper_low
  )
  mass = torch.where(shift > 0, upper_low - upper_high, body)
  is_wide = (
    (scale >= WIDE_SCALE) & (v >= WIDE_DISTANCE) & (shape * x_high < high)
  )
  wide = _trapezoid(low, high, x_low, x_high, f_low, f_high, shape)
  mass = torch.where(is_wide, wide, mass).clamp(min=_TINY)
  return _Bin(mass, shift, low, high, f_low, f_high)


def _trapezoid(low, high, x_low, x_high, f_low, f_high, shape):
  def derivatives(u, x):
    inverse = 1 / u.clamp(min=1.0)
    q = shape * x.clamp(max=99.0)
    first = -q * inverse
    third = (shape - 1) * (shape - 2 - 3 * q) + q * q
    return first, first * inverse * inverse * third

  low_first, low_third = derivatives(low, x_low)
  high_first, high_third = derivatives(high, x_high)
  at_low = 0.5 + low_first / 12 - low_third / 720
  at_high = 0.5 - high_first / 12 + high_third / 720
  return f_low * at_low + f_high * at_high


class _GeneralizedGaussianBits(torch.autograd.Function):
  """Bits of residuals; gradients as in `generalized_gaussian`."""

  @staticmethod
  def forward(ctx, r, scale, shape, step):
    v = r.abs()
    found = _evaluate(v, scale, shape)
    low, high = found.density_low / found.mass, found.density_high / found.mass
    above = _evaluate(v, scale, shape + step, found.shift).mass
    below = _evaluate(v, scale, shape - step, found.shift).mass
    slopes = (
      r.sign() * (high - low),
      (found.low * low - found.high * high) / scale,
      torch.log(above / below) / (2 * step),
    )
    ctx.save_for_backward(
      *((s / -math.log(2)).clamp(-GRADIENT_MAX, GRADIENT_MAX) for s in slopes)
    )
    log_likelihood = found.mass.log() - found.shift
    return -log_likelihood.clamp(min=math.log(LIKELIHOOD_MIN)) / math.log(2)

  @staticmethod
  def backward(ctx, gradient):
    return *(gradient * slope for slope in ctx.saved_tensors), None


def ggm_e_bits(
  y: Tensor, raw: Tensor, unit: Tensor, step: float
) -> tuple[Tensor, Tensor]:
  """The `ggm_e` prior with the dynamic bound: bits and means of y.

  Args:
    y: noisy latents [B, M, h, w].
    raw: the context's numbers [B, M, 3, h, w].
    unit: the usual size of each channel [1, M, 1, 1].
    step: of the finite difference.
  """
  mean = raw[:, :, 0] * unit
  scale = softplus(raw[:, :, 1] + 0.5413) * unit
  shape = softplus(raw[:, :, 2] + math.log(math.expm1(SHAPE_START)))
  shape = upper_bound(lower_bound(shape, SHAPE_MIN), SHAPE_MAX)
  bound = _log_dynamic(shape.detach().log()).exp()
  scale = upper_bound(lower_bound(scale, bound), SCALE_MAX)
  bits = _GeneralizedGaussianBits.apply(y - mean, scale, shape, step)
  return bits, mean


def factorized_bits(z: Tensor, layers: list[tuple]) -> Tensor:
  """`FactorizedPrior`: bits of noisy z [B, N, p, q], flattened."""
  flat = z.transpose(0, 1).reshape(z.shape[1], 1, -1)

  def logits(x):
    for matrix, bias, factor in layers:
      x = softplus(matrix) @ x + bias[:, :, None]
      if factor is not None:
        x = x + factor.tanh()[:, :, None] * x.tanh()
    return x

  lower, upper = logits(flat - 0.5), logits(flat + 0.5)
  sign = torch.where(lower + upper > 0, -1.0, 1.0)
  likelihood = ((sign * upper).sigmoid() - (sign * lower).sigmoid()).abs()
  likelihood = lower_bound(likelihood, LIKELIHOOD_MIN)
  batch = z.shape[0]
  return -likelihood.log2().reshape(z.shape[1], batch, -1).transpose(0, 1)
