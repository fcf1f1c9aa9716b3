"""Rate and distortion, each region at its own price."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def weighted_mse(
  x: Float[Array, "B H W 3"],
  x_hat: Float[Array, "B H W 3"],
  weight: Float[Array, "B H W 1"],
) -> Float[Array, " B"]:
  """Mean over all pixels and colours of `weight * (x - x_hat)**2`.

  Normalised by the number of pixels, not by the weights: a photo that is all
  region of interest costs what an ordinary codec's would.
  """
  return jnp.mean(weight * jnp.square(x - x_hat), axis=(1, 2, 3))


def bits_per_pixel(
  x: Float[Array, "B H W 3"], *bits: Float[Array, "B ..."]
) -> Float[Array, " B"]:
  """All bits of a sample over its pixels."""
  sums = [jnp.sum(b.reshape(b.shape[0], -1), axis=1) for b in bits]
  return jnp.sum(jnp.stack(sums), axis=0) / (x.shape[1] * x.shape[2])


def rate_distortion(
  mse: Float[Array, " B"], bpp: Float[Array, " B"], lmbda: Float[Array, " B"]
) -> Float[Array, " B"]:
  """`lmbda * 255**2 * mse + bpp`, the convention of CompressAI.

  Args:
    mse: (weighted) mean squared error of values in [0, 1].
    bpp: bits a pixel.
    lmbda: the trade-off.
  """
  return lmbda * 255**2 * mse + bpp


def importance_map(
  roi: Float[Array, "B H W 1"], background: Float[Array, " B"]
) -> Float[Array, "B H W 1"]:
  """`max(roi, background)`: the one map that carries importance.

  The encoder sees it, and its square weighs the distortion.

  Source: arXiv 2507.00373 (customizable value assign): there the encoder's
  mask and the loss take the same value too.
  """
  return jnp.maximum(roi, background[:, None, None, None])
