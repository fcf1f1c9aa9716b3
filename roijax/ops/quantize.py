"""Ways to make integers of a latent, and to pretend to."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

# How near to an integer `anneal_rounding` tells a difference.
_EDGE = 1e-3


def add_noise(
  x: Float[Array, " B *rest"], keys: Key[Array, " B"]
) -> Float[Array, " B *rest"]:
  """Adds uniform noise in [-1/2, 1/2), one key a sample.

  Noise stands for rounding when a rate is to be differentiated. A key a
  sample makes the draw independent of how a batch is spread over devices.

  Args:
    x: latents, in units of the quantisation step.
    keys: one PRNG key a sample.

  Returns:
    `x` plus noise, of the dtype of `x`.
  """
  draw = jax.vmap(
    lambda key: jax.random.uniform(key, x.shape[1:], x.dtype, -0.5, 0.5)
  )
  return x + draw(keys)


def round_ste(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
  """Rounds to the nearest integer; the gradient passes as if it had not."""
  return x + jax.lax.stop_gradient(jnp.round(x) - x)


def round_centred(
  x: Float[Array, "*shape"], mean: Float[Array, "*shape"]
) -> Float[Array, "*shape"]:
  """Rounds the residual to the mean: `round(x - mean) + mean`.

  What coding does: the symbols are `round(x - mean)`. Straight-through in
  the gradient of `x`.
  """
  return round_ste(x - mean) + mean


def anneal_rounding(
  x: Float[Array, "*shape"],
  key: Key[Array, ""],
  temperature: Float[Array, ""] | float,
) -> Float[Array, "*shape"]:
  """A random mean of both neighbours: noise when warm, rounding when cold.

  The nearer neighbour counts the more, the colder the more surely. At a
  temperature of 1 and halfway between both, what comes is uniform, as the noise
  that codecs train on. Differentiable.

  Source: stochastic Gumbel annealing (arXiv 2006.04240, section 3.2), of which
  two things differ: the odds are the logarithm of both distances' ratio (as
  proposed for it in arXiv 2401.17789), and the draw stays as warm as it is.
  Where rounding is decided one way or the other, gradients are small instead of
  rare and large: 30 steps gain twice as much.

  Args:
    x: latents, in units of the quantisation step.
    key: a PRNG key.
    temperature: above 0.
  """
  low = jax.lax.stop_gradient(jnp.floor(x))
  above = jnp.clip(x - low, _EDGE, 1 - _EDGE)
  odds = jnp.log(above) - jnp.log1p(-above)
  draw = jax.random.logistic(key, x.shape, x.dtype)
  return low + jax.nn.sigmoid(odds / temperature + draw)
