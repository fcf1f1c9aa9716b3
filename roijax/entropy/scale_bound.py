"""How small a standard deviation the prior may predict.

Training with uniform noise charges O(scale) bits for a latent that rounding
gets for nothing, so an encoder is rewarded for shrinking variances without
end. A lower bound ends it. The paper names a bound that depends on the shape
(the dynamic lower bound); its formula is not public, so the default is ours:
at the bound, the same mass (1e-4) lies outside the bin around the mean,
whatever the shape.

Source: arXiv 2602.01325 for the idea; the rule is ours.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from roijax.coding.grid import SHAPE_MAX, SHAPE_MIN
from roijax.entropy.generalized_gaussian import log_alpha_per_scale
from roijax.ops.special import make_polynomial

STD_MIN = 0.11
ALPHA_MIN = 0.12

# The logarithm of `grid.scale_min` by that of the shape, interpolated at 13
# Chebyshev points. Decoders follow it (docs/decoder.md): written down, as the
# grid's floors are.
COEFFICIENTS = (
  *(-2.3989403606339947, 0.71149084349936231, -0.13835435024584961),
  *(-0.0091894100201496704, 0.0090144236601583765, -0.0019858525630563279),
  *(0.00034502607448210095, -5.5381038334567526e-05, 3.2524715144636764e-06),
  *(3.0343301999578528e-08, 2.6645045213070915e-07, -2.6370877196152262e-08),
  -1.3770304661194625e-08,
)
_LOG_SHAPES = float(np.log(SHAPE_MIN)), float(np.log(SHAPE_MAX))
_log_dynamic = make_polynomial(COEFFICIENTS, *_LOG_SHAPES)


def dynamic_scale_bound(
  shape: Float[Array, "*dims"],
) -> Float[Array, "*dims"]:
  """The equal-tail-mass bound: 0.040 at shape 0.5, 0.128 at 2, 0.161 at 3."""
  return jnp.exp(_log_dynamic(jnp.log(jax.lax.stop_gradient(shape))))


def std_scale_bound(shape: Float[Array, "*dims"]) -> Float[Array, "*dims"]:
  """The Gaussian's customary 0.11 for every shape (an ablation)."""
  return jnp.full_like(shape, STD_MIN)


def constant_scale_bound(
  shape: Float[Array, "*dims"],
) -> Float[Array, "*dims"]:
  """Holds alpha >= 0.12 for every shape, as in HPCM (an ablation)."""
  shape = jax.lax.stop_gradient(shape)
  return ALPHA_MIN * jnp.exp(-log_alpha_per_scale(shape))


SCALE_BOUNDS: dict[str, Callable[[Array], Array]] = {
  "dynamic": dynamic_scale_bound,
  "std": std_scale_bound,
  "constant": constant_scale_bound,
}
