"""Attention over all positions whose cost grows with their number alone.

    out_p = sum_q w_pq value_q       w_pq = sum_d query_pd key_qd

A query is a softmax over channels, a key one over positions: the weights w of
a position are positive and sum to one. They factor, so keys and values meet
first, in a matrix of channels by channels, and no position meets another.

Source: Shen et al. 2021 (arXiv 1812.01243); inside the slices of a latent:
MLIC++ (arXiv 2307.15421).
"""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from roijax.layers.depthwise import DepthwiseConv


def attend_linearly(
  query: Float[Array, "B H W C"],
  key: Float[Array, "B H W C"],
  value: Float[Array, "B H W C"],
  heads: int,
  inside: Bool[Array, "1 H W 1"] | None = None,
) -> Float[Array, "B H W C"]:
  """What every position reads of all positions.

  Args:
    query: of each position; heads lie side by side in the channels.
    key: likewise.
    value: likewise.
    heads: how many; they divide C.
    inside: where keys count; everywhere by default.
  """
  if inside is not None:
    key = jnp.where(inside, key, -jnp.inf)
  batch, height, width, channels = query.shape
  query, key, value = (
    x.reshape(batch, height * width, heads, channels // heads)
    for x in (query, key, value)
  )
  query, key = nn.softmax(query, axis=-1), nn.softmax(key, axis=1)
  met = jnp.einsum("bphd,bphe->bhde", key, value, precision="highest")
  read = jnp.einsum("bphd,bhde->bphe", query, met, precision="highest")
  return read.reshape(batch, height, width, channels)


def keep_inside(
  x: Float[Array, "B H W C"], inside: Bool[Array, "1 H W 1"] | None
) -> Float[Array, "B H W C"]:
  """Zeros beyond the latent, as convolutions find at an array's edge."""
  return x if inside is None else jnp.where(inside, x, 0)


class SliceAttention(nn.Module):
  """What the slice before, whole, and a slice's anchors tell of the rest.

  Where the slice before has its like, the anchors are read: queries are made
  of its other positions, keys of its anchors, values of the slice's own.

  Attributes:
    channels: of the slice (S).
    heads: of the attention.
  """

  channels: int
  heads: int = 2

  @nn.compact
  def __call__(
    self,
    before: Float[Array, "B H W T"],
    own: Float[Array, "B H W S"],
    anchors: Bool[Array, "1 H W 1"],
    inside: Bool[Array, "1 H W 1"] | None = None,
  ) -> Float[Array, "B H W F"]:
    """2S features.

    Args:
      before: the slice before, decoded.
      own: the slice itself; read at the anchors alone.
      anchors: where those are.
      inside: where the latent is; everywhere by default.
    """

    def dense(width, name):
      return nn.Dense(width, precision="highest", name=name)

    def project(x, name):
      x = keep_inside(dense(self.channels, name)(x), inside)
      return DepthwiseConv(name=f"{name}_filter")(x)

    x = attend_linearly(
      project(jnp.where(anchors, 0, before), "query"),
      project(jnp.where(anchors, before, 0), "key"),
      project(jnp.where(anchors, own, 0), "value"),
      self.heads,
      inside,
    )
    width = 2 * self.channels
    x = keep_inside(x, inside)
    x = nn.Conv(width, (5, 5), precision="highest", name="join")(x)
    hidden = nn.gelu(dense(2 * width, "wide")(x))
    hidden = DepthwiseConv(name="filter")(keep_inside(hidden, inside))
    return x + dense(width, "narrow")(nn.gelu(hidden))
