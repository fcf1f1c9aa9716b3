"""Context by attention: each position reads its decoded neighbours.

    y_hat --5x5 around a position, 12 decoded, 13 zero--> 25 tokens
      norm, q k v, attention of the 25, + tokens, sum over the 25
      norm, MLP, + --> linear --> 2M features
    h, features --> three layers --> raw prior parameters

Nothing is computed 25 times. q, k and v belong to a position, not to a
neighbourhood. The 13 tokens that are zero have one q, k and v: as keys they
are one key, their biases summed as powers. And since the 25 results are only
summed, each v is read once, by the sum of its weights.

Outside the picture lies the zero token too. Coded in wavefronts.

Sources: TIC, Lu et al. 2022 (arXiv 2111.06707), as in arXiv 2507.00373.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from roijax.coding.passes import Wavefront
from roijax.layers.swin import relative_indexes
from roijax.layers.wavefront import causal_offsets

_INIT = nn.initializers.truncated_normal(0.02)


def _dense(width, **keywords):
  return nn.Dense(width, precision="highest", kernel_init=_INIT, **keywords)


@jax.custom_vjp
def _products(query, key):
  """Of each query with each key, [P, A, N, N]."""
  return jnp.einsum("pand,pamd->panm", query, key, precision="highest")


def _products_forward(query, key):
  return _products(query, key), (query, key)


def _products_backward(saved, slope):
  """As JAX has it, but a CPU is five times slower at its last product."""
  query, key = saved
  turned = jax.lax.optimization_barrier(slope.swapaxes(2, 3))
  return (
    jnp.matmul(slope, key, precision="highest"),
    jnp.matmul(turned, query, precision="highest"),
  )


_products.defvjp(_products_forward, _products_backward)


def _attend(bias, tokens, query, key, value):
  """The sum over all tokens of token and what it reads, [P, M].

  Args:
    bias: of each query to each decoded key and to all zero ones, [A, 25, 13].
    tokens: the 12 and one zero, [P, 13, M].
    query: theirs, likewise.
    key: likewise.
    value: likewise.
  """
  count, kinds, _ = tokens.shape
  query, key, value = (
    x.reshape(count, kinds, bias.shape[0], -1).swapaxes(1, 2)
    for x in (query, key, value)
  )
  logits, known = _products(query, key), kinds - 1
  # The last token asks from 13 places, each with a bias of its own.
  of_known = nn.softmax(logits[:, :, :known] + bias[None, :, :known])
  of_zero = nn.softmax(logits[:, :, known:] + bias[None, :, known:])
  weights = of_known.sum(axis=2) + of_zero.sum(axis=2)
  read = jnp.matmul(weights[:, :, None], value, precision="highest")
  return tokens.sum(axis=1) + read.reshape(count, -1)


class NeighbourAttention(nn.Module):
  """2M features of what lies before each position in raster order.

  Attributes:
    channels: of y (M).
    heads: divides the channels.
    window: side of the neighbourhood, odd.
  """

  channels: int
  heads: int = 16
  window: int = 5

  def setup(self):
    """Declares the layers.

    Raises:
      ValueError: the heads do not divide the channels.
    """
    if self.channels % self.heads:
      raise ValueError(
        f"{self.heads} heads do not divide {self.channels} channels"
      )
    # The usual 1e-5: a token of equal channels is no rarity here.
    self.norm = nn.LayerNorm(epsilon=1e-5)
    self.qkv = _dense(3 * self.channels)
    self.bias = self.param(
      "bias", _INIT, ((2 * self.window - 1) ** 2, self.heads)
    )
    self.norm_mlp = nn.LayerNorm(epsilon=1e-5)
    self.wide = _dense(4 * self.channels)
    self.narrow = _dense(self.channels)
    self.out = _dense(2 * self.channels)

  def __call__(self, y_hat: Float[Array, "B H W M"]) -> Float[Array, "B H W D"]:
    """The features of every position; D = 2M."""
    batch, height, width, channels = y_hat.shape
    rows, columns = np.indices((height, width)).reshape(2, -1)
    index = self._index(height, width, rows, columns)
    zero = self._expand(jnp.zeros((1, channels), y_hat.dtype))
    bias = self._bias()

    def attend(maps):
      joined = (jnp.concatenate(pair) for pair in zip(maps, zero, strict=True))
      return _attend(bias, *(one[index] for one in joined))

    # An image at a time stays in a CPU's cache, and is twice as quick.
    x = jax.lax.platform_dependent(
      self._expand(y_hat.reshape(batch, -1, channels)),
      cpu=lambda maps: jax.lax.map(jax.checkpoint(attend), maps),
      default=jax.vmap(attend),
    )
    return self._finish(x).reshape(batch, height, width, -1)

  def at(
    self,
    y_hat: Float[Array, "1 H W M"],
    rows: Int[Array, " P"],
    columns: Int[Array, " P"],
  ) -> Float[Array, "P D"]:
    """The features of chosen positions of a single image."""
    _, height, width, channels = y_hat.shape
    flat = jnp.pad(y_hat.reshape(-1, channels), ((0, 1), (0, 0)))
    tokens = flat[self._index(height, width, rows, columns)]
    return self._finish(_attend(self._bias(), *self._expand(tokens)))

  def _index(self, height, width, rows, columns):
    """Where each position's 12 and one zero are, in raster order, [P, 13].

    The zero, which is all that lies outside the picture too, is one behind
    the last position.
    """
    offsets = np.array(causal_offsets(self.window), np.int32)
    rows = rows[:, None] + offsets[None, :, 0]
    columns = columns[:, None] + offsets[None, :, 1]
    inside = (rows >= 0) & (columns >= 0) & (columns < width)
    xp = jnp if isinstance(rows, jax.Array) else np
    index = xp.where(inside, rows * width + columns, height * width)
    return xp.pad(index, ((0, 0), (0, 1)), constant_values=height * width)

  def _expand(self, tokens):
    """Tokens with their query, key and value, each like `tokens`."""
    query, key, value = jnp.split(self.qkv(self.norm(tokens)), 3, axis=-1)
    return tokens, query * (self.channels // self.heads) ** -0.5, key, value

  def _bias(self):
    before = self.window**2 // 2
    table = self.bias[relative_indexes(self.window)].transpose(2, 0, 1)
    zeros = jax.nn.logsumexp(table[..., before:], axis=-1, keepdims=True)
    return jnp.concatenate([table[..., :before], zeros], axis=-1)

  def _finish(self, x):
    x = x + self.narrow(nn.gelu(self.wide(self.norm_mlp(x))))
    return self.out(x)


class CausalAttention(nn.Module):
  """Raw prior parameters from h and what is decoded of y_hat.

  Attributes:
    channels: of y (M).
    outputs: numbers a latent (the prior's).
    hidden: widths of the two layers between; 10M / 3 and 8M / 3 in the paper.
    heads: of the attention.
    window: side of the neighbourhood, odd.
  """

  channels: int
  outputs: int
  hidden: tuple[int, int]
  heads: int = 16
  window: int = 5

  @property
  def order(self) -> Wavefront:
    """The order of coding."""
    return Wavefront(self.channels, self.window)

  def setup(self):
    """Declares the layers."""
    self.attention = NeighbourAttention(self.channels, self.heads, self.window)
    self.first = nn.Dense(self.hidden[0], precision="highest")
    self.second = nn.Dense(self.hidden[1], precision="highest")
    # Small at the start: the prior then predicts the usual mean and scale.
    self.head = nn.Dense(
      self.channels * self.outputs,
      precision="highest",
      kernel_init=nn.initializers.variance_scaling(0.01, "fan_in", "normal"),
    )

  def _join(self, h, features):
    hidden = jnp.concatenate([h, features], axis=-1)
    hidden = nn.gelu(self.second(nn.gelu(self.first(hidden))))
    raw = self.head(hidden)
    return raw.reshape(*raw.shape[:-1], self.channels, self.outputs)

  def parameters(
    self,
    h: Float[Array, "B H W D"],
    y_hat: Float[Array, "B H W M"],
    size: Int[Array, "2"] | None = None,
  ) -> Float[Array, "B H W M K"]:
    """Raw parameters of all latents at once, from all of y_hat.

    Causal by construction: no latent reads one of its own or a later pass.
    What lies beyond `size` is read as the zeros that it is.
    """
    del size
    return self._join(h, self.attention(y_hat))

  def parameters_at(
    self,
    h: Float[Array, "1 H W D"],
    y_hat: Float[Array, "1 H W M"],
    rows: Int[Array, " P"],
    columns: Int[Array, " P"],
    local: Float[Array, ""],
    size: Int[Array, "2"],
    group: int,
  ) -> Float[Array, "P M K"]:
    """Raw parameters of one pass; equals `parameters` there.

    Args:
      h: hyper-synthesis output.
      y_hat: decoded so far, zero elsewhere.
      rows: positions of the pass, padded as in `Pass`.
      columns: likewise.
      local: the pass's `local`, always 1.0.
      size: the pass's `size`; not needed.
      group: the pass's `group`, always 0.
    """
    del local, size, group
    return self._join(
      h[0, rows, columns], self.attention.at(y_hat, rows, columns)
    )
