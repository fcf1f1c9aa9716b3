"""The incomplete gamma function in pieces of fixed length.

`jax.scipy.special.gammainc` iterates until the worst element of an array has
converged, which costs a likelihood forty times a Gaussian's. The generalized
Gaussian needs it for `a = 1 / shape` in [0.3, 2.2] alone; there a power
series of fixed length below `SWITCH` and a continued fraction of fixed
length above it are exact to float32, fuse with what surrounds them, and
differentiate.

Both are returned without their common factor `x**a exp(-x)`, which cancels,
or is better kept as a logarithm, wherever they are used:

    P(a, x) = x**a exp(-x) / Gamma(a + 1) * lower_series(a, x)
    Q(a, x) = x**a exp(-x) / Gamma(a)     * upper_fraction(a, x)

Source: Abramowitz and Stegun, 6.5.29 and 6.5.31.
"""

from collections.abc import Callable, Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

SWITCH = 2.5
# Both serve a little beyond the switch: a finite difference may
# step across it.
_FRACTION_MIN, _SERIES_MAX = 2.3, 2.7
SERIES_TERMS = 15
FRACTION_LEVELS = 9


def lower_series(
  a: Float[Array, "*shape"], x: Float[Array, "*shape"]
) -> Float[Array, "*shape"]:
  """The series of P(a, x), exact to 3e-7 for 0 <= x <= SWITCH.

  Larger `x` is cut a little above: such values are to be selected away.
  """
  x = jnp.minimum(x, _SERIES_MAX)
  # sum x**n / ((a + 1) ... (a + n)) over one denominator: divisions are dear.
  total = denominator = jnp.ones_like(x)
  for n in range(SERIES_TERMS, 0, -1):
    denominator = denominator * (a + n)
    total = total * x + denominator
  return total / denominator


def upper_fraction(
  a: Float[Array, "*shape"], x: Float[Array, "*shape"]
) -> Float[Array, "*shape"]:
  """The continued fraction of Q(a, x), exact to 3e-7 for x >= SWITCH.

  Smaller `x` is lifted a little below: such values are to be selected away.
  """
  inverse = 1 / jnp.maximum(x, _FRACTION_MIN)
  # Forward recurrence of numerators and denominators, in powers of 1 / x so
  # that nothing overflows: one more division in all.
  numerator, last_numerator = jnp.ones_like(x), jnp.zeros_like(x)
  denominator, last_denominator = 1 + (1 - a) * inverse, jnp.ones_like(x)
  for n in range(1, FRACTION_LEVELS + 1):
    partial = n * (n - a) * inverse * inverse
    factor = 1 + (2 * n + 1 - a) * inverse
    numerator, last_numerator = (
      factor * numerator - partial * last_numerator,
      numerator,
    )
    denominator, last_denominator = (
      factor * denominator - partial * last_denominator,
      denominator,
    )
  return inverse * numerator / denominator


def fit_polynomial(
  function: Callable[[np.ndarray], np.ndarray],
  low: float,
  high: float,
  degree: int,
) -> Callable[[Array], Array]:
  """Replaces a smooth function of one variable by a polynomial.

  Args:
    function: NumPy function, smooth on [low, high].
    low: left end of the interval.
    high: right end.
    degree: of the Chebyshev interpolant.

  Returns:
    A function of JAX arrays, evaluated by Horner's rule in a variable scaled
    to [-1, 1]; outside the interval it extrapolates.
  """
  fit = np.polynomial.Chebyshev.interpolate(function, degree, [low, high])
  plain = fit.convert(
    kind=np.polynomial.Polynomial, domain=[low, high], window=[-1, 1]
  )
  return make_polynomial(plain.coef.tolist(), low, high)


def make_polynomial(
  coefficients: Sequence[float], low: float, high: float
) -> Callable[[Array], Array]:
  """A polynomial of x scaled to [-1, 1].

  Args:
    coefficients: the constant first.
    low: what is scaled to -1.
    high: what is scaled to 1.

  Returns:
    A function of JAX arrays, by Horner's rule.
  """

  def evaluate(x):
    u = (x - 0.5 * (low + high)) * (2 / (high - low))
    value = jnp.full_like(u, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
      value = value * u + coefficient
    return value

  return evaluate
