"""Swin transformer blocks: attention inside windows, then between them.

    x -> norm -> W-MHSA  -> + -> norm -> MLP -> +      windows at the origin
      -> norm -> SW-MHSA -> + -> norm -> MLP -> +      moved by half a window

Any size: features are padded at the right and at the bottom to whole windows
inside the attention, and nothing attends to the padding. The moved windows
come from a cyclic shift; what it joins from opposite sides of the picture
does not attend to each other. So two positions see each other where

    (row - shift) // window and (column - shift) // window

agree, whatever the size: a tile that begins at a multiple of the window
agrees with the whole picture, in the windows that it holds in full.

Source: Liu et al. 2021 (arXiv 2103.14030), as in SwinROI (arXiv 2305.07783).
"""

from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Shaped

Precision = Literal["highest"] | None

# The collection that takes attention's weights, for who wants to look.
ATTENTION = "attention"

_INIT = nn.initializers.truncated_normal(0.02)
# Finite: a window of padding alone would divide nothing by nothing.
_NEVER = -1e30


def relative_indexes(window: int) -> Int[np.ndarray, "N N"]:
  """Row of the bias table for every (query, key) of a window, N = window**2.

  The table holds (2 window - 1)**2 offsets in raster order.
  """
  rows, columns = np.divmod(np.arange(window**2), window)
  down = rows[:, None] - rows[None, :] + window - 1
  right = columns[:, None] - columns[None, :] + window - 1
  return down * (2 * window - 1) + right


def split_windows(
  x: Shaped[Array, "B H W C"] | Shaped[np.ndarray, "B H W C"], window: int
) -> Shaped[Array, "B K N C"] | Shaped[np.ndarray, "B K N C"]:
  """The K windows in raster order, each with its N positions in raster order.

  H and W must be multiples of `window`.
  """
  batch, height, width, channels = x.shape
  x = x.reshape(
    batch, height // window, window, width // window, window, channels
  )
  return x.transpose(0, 1, 3, 2, 4, 5).reshape(
    batch, -1, window * window, channels
  )


def join_windows(
  windows: Shaped[Array, "B K N C"], height: int, width: int
) -> Shaped[Array, "B H W C"]:
  """Inverts `split_windows`."""
  batch, _, area, channels = windows.shape
  window = round(area**0.5)
  x = windows.reshape(
    batch, height // window, width // window, window, window, channels
  )
  return x.transpose(0, 1, 3, 2, 4, 5).reshape(batch, height, width, channels)


def _sides(length, window, shift):
  """For each place behind the shift: was it wrapped, and is it real?"""
  padded = length + -length % window
  place = (np.arange(padded) + shift) % padded
  return place < shift, place < length


def window_groups(
  height: int, width: int, window: int, shift: int
) -> tuple[Int[np.ndarray, "K N"], Int[np.ndarray, "K N"]]:
  """The group of each position of each window, as a query and as a key.

  A query attends to the keys of its window that are of its group. Keys of
  the padding are of none: -1.
  """
  low, real_row = _sides(height, window, shift)
  left, real_column = _sides(width, window, shift)
  query = 2 * low[:, None].astype(np.int8) + left[None, :].astype(np.int8)
  real = real_row[:, None] & real_column[None, :]
  key = np.where(real, query, np.int8(-1))
  query, key = (
    np.asarray(split_windows(groups[None, :, :, None], window))[0, :, :, 0]
    for groups in (query, key)
  )
  return query, key


def attend(
  query: Float[Array, "B K A N D"],
  key: Float[Array, "B K A N D"],
  value: Float[Array, "B K A N D"],
  bias: Float[Array, "A N N"],
  mask: Shaped[Array, "K N N"] | None = None,
  precision: Precision = None,
) -> Float[Array, "B K A N D"]:
  """Softmax attention of A heads inside each of K windows.

  Logits and softmax are float32, or float64 where the inputs are: coding
  needs that, and `jax.nn.dot_product_attention` rounds to float32. On a CPU
  this is as quick: dividing last costs D divisions a query, not N.

  Args:
    query: of every position.
    key: of every position.
    value: of every position.
    bias: added to the logits, by head.
    mask: true where a query may see a key; None lets it see all.
    precision: of the products.
  """
  weights = _weigh(query, key, bias, mask, precision)
  total = jnp.einsum(
    "bkanm,bkamd->bkand",
    weights.astype(value.dtype),
    value,
    precision=precision,
    preferred_element_type=weights.dtype,
  )
  return (total / weights.sum(axis=-1, keepdims=True)).astype(value.dtype)


def attention_weights(
  query: Float[Array, "B K A N D"],
  key: Float[Array, "B K A N D"],
  bias: Float[Array, "A N N"],
  mask: Shaped[Array, "K N N"] | None = None,
  precision: Precision = None,
) -> Float[Array, "B K A N N"]:
  """By what `attend` weighs the value of every key: a query's sum to one."""
  weights = _weigh(query, key, bias, mask, precision)
  return weights / weights.sum(axis=-1, keepdims=True)


def _weigh(query, key, bias, mask, precision):
  """The weights before they are divided by their sums."""
  dtype = jnp.promote_types(query.dtype, jnp.float32)
  scale = query.shape[-1] ** -0.5
  logits = jnp.einsum(
    "bkand,bkamd->bkanm",
    query,
    key,
    precision=precision,
    preferred_element_type=dtype,
  )
  logits = scale * logits + bias[None, None].astype(dtype)
  if mask is not None:
    logits = jnp.where(mask[None, :, None], logits, _NEVER)
  top = jax.lax.stop_gradient(logits.max(axis=-1, keepdims=True))
  return jnp.exp(logits - top)


def _join_heads(x):
  """[B, K, A, N, D] as [B, K, N, A D]."""
  return x.swapaxes(2, 3).reshape(*x.shape[:2], x.shape[3], -1)


class WindowAttention(nn.Module):
  """Multi-head self-attention in windows, with relative position bias.

  Where the collection `ATTENTION` is mutable, it takes the weights of every
  position over the positions of its window, in raster order: "weights", of
  shape [B, H, W, heads, window**2]. Else they are never made.

  Attributes:
    heads: divides the channels.
    window: side of the windows.
    shift: how far the windows are moved down and right, below `window`.
    dtype: of the products; None follows the input.
    precision: of the products; "highest" where coding depends on them.
  """

  heads: int
  window: int = 8
  shift: int = 0
  dtype: jnp.dtype | None = None
  precision: Precision = None

  @nn.compact
  def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B H W C"]:
    """What each position reads in its window."""
    height, width, channels = x.shape[1:]
    rows, columns = -height % self.window, -width % self.window
    if rows or columns:
      x = jnp.pad(x, ((0, 0), (0, rows), (0, columns), (0, 0)))
    if self.shift:
      x = jnp.roll(x, (-self.shift, -self.shift), axis=(1, 2))
    padded = x.shape[1:3]
    mask = None
    if rows or columns or self.shift:
      groups = window_groups(height, width, self.window, self.shift)
      asks, is_asked = (jnp.asarray(group) for group in groups)
      # Compared in the program: as a constant this would be N times larger.
      mask = asks[:, :, None] == is_asked[:, None, :]
    query, key, value = self._split_heads(split_windows(x, self.window))
    bias = self._bias()

    def place(windows):
      x = join_windows(windows, *padded)
      if self.shift:
        x = jnp.roll(x, (self.shift, self.shift), axis=(1, 2))
      return x[:, :height, :width]

    if self.is_mutable_collection(ATTENTION) and not self.is_initializing():
      weights = attention_weights(query, key, bias, mask, self.precision)
      weights = place(_join_heads(weights))
      weights = weights.reshape(*weights.shape[:3], self.heads, -1)
      self.sow(ATTENTION, "weights", weights)
    x = _join_heads(attend(query, key, value, bias, mask, self.precision))
    return place(self._dense(channels, "out")(x))

  def _split_heads(self, windows):
    """Query, key and value, [B, K, heads, N, D] each."""
    batch, count, area, channels = windows.shape
    if channels % self.heads:
      raise ValueError(f"{self.heads} heads do not divide {channels} channels")
    joined = self._dense(3 * channels, "in")(windows)
    joined = joined.reshape(batch, count, area, 3, self.heads, -1)
    return joined.transpose(3, 0, 1, 4, 2, 5)

  def _bias(self):
    table = self.param("bias", _INIT, ((2 * self.window - 1) ** 2, self.heads))
    return table[relative_indexes(self.window)].transpose(2, 0, 1)

  def _dense(self, width, name):
    return nn.Dense(
      width,
      kernel_init=_INIT,
      dtype=self.dtype,
      precision=self.precision,
      name=name,
    )


class SwinBlock(nn.Module):
  """Attention in windows, then an MLP; each behind a norm, each residual.

  The norms compute in float32 whatever the input.

  Attributes:
    heads: of the attention.
    window: side of the windows.
    shift: how far the windows are moved.
    ratio: width of the MLP, in widths of the input.
    dtype: of the products; None follows the input.
    precision: of the products.
  """

  heads: int
  window: int = 8
  shift: int = 0
  ratio: int = 2
  dtype: jnp.dtype | None = None
  precision: Precision = None

  @nn.compact
  def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B H W C"]:
    """Mixes positions, then channels."""
    channels = x.shape[-1]
    x = x + WindowAttention(
      self.heads,
      self.window,
      self.shift,
      self.dtype,
      self.precision,
      name="attention",
    )(nn.LayerNorm(name="norm_attention")(x))
    hidden = nn.LayerNorm(name="norm_mlp")(x)
    for name, width in (("wide", self.ratio * channels), ("narrow", channels)):
      hidden = nn.gelu(hidden) if name == "narrow" else hidden
      hidden = nn.Dense(
        width,
        kernel_init=_INIT,
        dtype=self.dtype,
        precision=self.precision,
        name=name,
      )(hidden)
    return x + hidden


class SwinPair(nn.Module):
  """A block with windows at the origin, and one with windows between them.

  Attributes:
    heads: of the attention.
    window: side of the windows; 8 in the trunk, 4 in the hyper path.
    ratio: width of the MLP, in widths of the input.
    remat: compute the blocks again in the backward pass in place of keeping
      what is inside; saves memory on an accelerator.
    dtype: of the products; None follows the input.
    precision: of the products; "highest" where coding depends on them.
  """

  heads: int
  window: int = 8
  ratio: int = 2
  remat: bool = False
  dtype: jnp.dtype | None = None
  precision: Precision = None

  @nn.compact
  def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B H W C"]:
    """W-MHSA, then SW-MHSA."""
    block = nn.remat(SwinBlock) if self.remat else SwinBlock
    for name, shift in (("plain", 0), ("shifted", self.window // 2)):
      x = block(
        self.heads,
        self.window,
        shift,
        self.ratio,
        self.dtype,
        self.precision,
        name=name,
      )(x)
    return x
