"""Gain units: several rates in one checkpoint, and all between them.

Every rate has a gain for every channel. The latent is multiplied by the gain
before it is rounded and divided by the same gain before synthesis: a larger
gain is a finer step. A quality between two rates takes the geometric mean of
their gains, weighted.

Source: Cui et al. 2021 (arXiv 2003.02012); the exact inverse is TLIC's
(arXiv 2401.08154, section 2.3).
"""

import math

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float


def interpolate(
  table: Float[Array, "N C"], quality: Float[Array, " B"]
) -> Float[Array, "B C"]:
  """Rows of a table at fractional places; the ends continue flat."""
  last = table.shape[0] - 1
  place = jnp.clip(quality, 0, last)
  low = jnp.clip(jnp.floor(place), 0, max(last - 1, 0)).astype(jnp.int32)
  weight = (place - low.astype(place.dtype))[:, None]
  return table[low] * (1 - weight) + table[jnp.minimum(low + 1, last)] * weight


def start_gain(lmbda: float) -> float:
  """The gain that suits a trade-off when the transform is orthonormal.

  A step s costs s**2 / 12 in distortion and saves log2(s) bits a latent; with
  three colours a pixel, lmbda 255**2 mse + bpp is least at
  s**2 = 18 / (lmbda 255**2 ln 2).
  """
  return math.sqrt(lmbda * 255**2 * math.log(2) / 18)


class Gain(nn.Module):
  """The gain of each channel at a quality.

  Attributes:
    channels: latent channels (M).
    lmbdas: the trade-off of each rate; quality i is rate i.
  """

  channels: int
  lmbdas: tuple[float, ...]

  @nn.compact
  def __call__(self, quality: Float[Array, " B"]) -> Float[Array, "B 1 1 C"]:
    """Positive gains, to multiply y and to divide y_hat.

    Args:
      quality: a float a sample, in [0, number of rates - 1].
    """
    log_gain = self.param(
      "log_gain",
      lambda key, dims: jnp.broadcast_to(
        jnp.log(jnp.asarray([start_gain(x) for x in self.lmbdas]))[:, None],
        dims,
      ),
      (len(self.lmbdas), self.channels),
    )
    return jnp.exp(interpolate(log_gain, quality))[:, None, None, :]
