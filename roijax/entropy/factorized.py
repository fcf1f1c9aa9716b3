"""The prior of z: a learned distribution function for every channel.

Five small affine layers, kept monotone, turn a value into the logit of its
distribution function. There are no learned quantiles and no second
optimizer: the support of the coding tables is found by bisection when they
are made (`make_pmfs`).

Source: Balle et al. 2018, appendix 6.1 (arXiv 1802.01436).
"""

import itertools
import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from roijax.entropy.gaussian import LIKELIHOOD_MIN
from roijax.ops.bounds import lower_bound

WIDTHS = (1, 3, 3, 3, 3, 1)
TAIL_MASS = 1e-6
SUPPORT_MAX = 512


def _softplus(x):
  # Of NumPy and JAX arrays alike, so that tables are made in float64.
  if isinstance(x, np.ndarray):
    return np.logaddexp(x, 0.0)
  return jax.nn.softplus(x)


def cumulative_logits(parameters, x):
  """The logit of each channel's distribution function.

  Args:
    parameters: a list of (matrix [C, out, in], bias [C, out], factor
      [C, out] or None) for each layer, of NumPy or of JAX.
    x: values [C, K], of the same library.

  Returns:
    Logits [C, K].
  """
  library = np if isinstance(x, np.ndarray) else jnp
  hidden = x[:, None, :]
  for matrix, bias, factor in parameters:
    hidden = library.matmul(_softplus(matrix), hidden) + bias[:, :, None]
    if factor is not None:
      hidden = hidden + library.tanh(factor)[:, :, None] * library.tanh(hidden)
  return hidden[:, 0, :]


class FactorizedPrior(nn.Module):
  """Bits of z under independent, learned, per-channel distributions.

  Attributes:
    channels: channels of z.
    init_scale: half-width of the distributions at the start.
  """

  channels: int
  init_scale: float = 10.0

  def setup(self):
    """Declares every channel's five layers."""
    layers = []
    step = self.init_scale ** (1 / (len(WIDTHS) - 1))
    for i, (fan_in, fan_out) in enumerate(itertools.pairwise(WIDTHS)):
      start = math.log(math.expm1(1 / step / fan_out))
      matrix = self.param(
        f"matrix_{i}",
        nn.initializers.constant(start),
        (self.channels, fan_out, fan_in),
      )
      bias = self.param(
        f"bias_{i}",
        lambda key, dims: jax.random.uniform(
          key, dims, minval=-0.5, maxval=0.5
        ),
        (self.channels, fan_out),
      )
      factor = None
      if i < len(WIDTHS) - 2:
        factor = self.param(
          f"factor_{i}", nn.initializers.zeros, (self.channels, fan_out)
        )
      layers.append((matrix, bias, factor))
    self.layers = layers

  def __call__(self, z: Float[Array, "B H W C"]) -> Float[Array, "B H W C"]:
    """Bits that the unit bin around each value costs; float32."""
    z = z.astype(jnp.float32)
    flat = z.reshape(-1, self.channels).T
    lower = cumulative_logits(self.layers, flat - 0.5)
    upper = cumulative_logits(self.layers, flat + 0.5)
    # Both sigmoids from the side where they are small.
    sign = jnp.where(lower + upper > 0, -1.0, 1.0)
    likelihood = jnp.abs(
      jax.nn.sigmoid(sign * upper) - jax.nn.sigmoid(sign * lower)
    )
    bits = -jnp.log2(lower_bound(likelihood, LIKELIHOOD_MIN))
    return bits.T.reshape(z.shape)


def _numpy_layers(parameters) -> list:
  return [
    tuple(
      np.asarray(parameters[f"{kind}_{i}"], np.float64)
      if f"{kind}_{i}" in parameters
      else None
      for kind in ("matrix", "bias", "factor")
    )
    for i in range(len(WIDTHS) - 1)
  ]


def make_pmfs(parameters) -> tuple[np.ndarray, list[np.ndarray]]:
  """The probabilities of z's integers, channel by channel, in float64.

  The support leaves TAIL_MASS outside, found by bisection of the monotone
  logits; it is cut to SUPPORT_MAX integers on either side of the median.

  Args:
    parameters: the parameters of a `FactorizedPrior`, a dict of arrays.

  Returns:
    The smallest integer of each channel's support [C], and a list of C
    arrays of probabilities (they sum to a little less than one).
  """
  layers = _numpy_layers(parameters)
  channels = layers[0][0].shape[0]

  def quantile(logit):
    low, high = np.full(channels, -1e5), np.full(channels, 1e5)
    for _ in range(80):
      middle = 0.5 * (low + high)
      below = cumulative_logits(layers, middle[:, None])[:, 0] < logit
      low, high = np.where(below, middle, low), np.where(below, high, middle)
    return 0.5 * (low + high)

  tail = math.log(2 / TAIL_MASS - 1)
  median = np.round(quantile(0.0))
  first = np.maximum(np.floor(quantile(-tail)), median - SUPPORT_MAX)
  last = np.minimum(np.ceil(quantile(tail)), median + SUPPORT_MAX)
  widest = int((last - first).max()) + 1
  edges = first[:, None] - 0.5 + np.arange(widest + 1)
  logits = cumulative_logits(layers, edges)
  sign = np.where(logits[:, :-1] + logits[:, 1:] > 0, -1.0, 1.0)
  mass = np.abs(
    _sigmoid(sign * logits[:, 1:]) - _sigmoid(sign * logits[:, :-1])
  )
  lengths = (last - first).astype(int) + 1
  return first.astype(np.int32), [
    row[:length] for row, length in zip(mass, lengths, strict=True)
  ]


def _sigmoid(x: np.ndarray) -> np.ndarray:
  return 0.5 * (1 + np.tanh(0.5 * x))
