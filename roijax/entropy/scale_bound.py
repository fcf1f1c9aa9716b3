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

from roijax.coding.grid import SHAPE_MAX, SHAPE_MIN, scale_min
from roijax.entropy.generalized_gaussian import log_alpha_per_scale
from roijax.ops.special import fit_polynomial

STD_MIN = 0.11
ALPHA_MIN = 0.12

_log_dynamic = fit_polynomial(
  lambda log_shape: np.log(scale_min(np.exp(log_shape))),
  float(np.log(SHAPE_MIN)),
  float(np.log(SHAPE_MAX)),
  12,
)


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
