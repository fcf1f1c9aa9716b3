"""Context in channel slices, each coded in two passes of a checkerboard.

    slice i   reads h, the slices before it (3x3 around), and,
      pass 0  the positions with odd row + column: nothing more
      pass 1  the other positions: the slice's own pass 0 (5x5 around)

Two passes a slice, whatever the size of the photo, in place of one a
position. A tap reaches from an even position to odd ones alone, so what is
not decoded yet has no weight at all.

Sources: He et al. 2021 (arXiv 2103.15306), ELIC (arXiv 2203.10886), reduced:
one hidden layer reads all three contexts, for both passes.
"""

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from roijax.coding.passes import Checkerboard
from roijax.layers.neighbours import NeighbourDense

NEAR = tuple((r, c) for r in (-1, 0, 1) for c in (-1, 0, 1))
CROSS = tuple((r, c) for r in range(-2, 3) for c in range(-2, 3) if (r + c) % 2)


class CheckerboardSlices(nn.Module):
  """Raw prior parameters from h and what is decoded of y_hat.

  Attributes:
    slices: channels of each slice; they sum to M.
    outputs: numbers a latent (the prior's).
    hidden: width of the layers between.
  """

  slices: tuple[int, ...]
  outputs: int
  hidden: int = 128

  @property
  def order(self) -> Checkerboard:
    """The order of coding."""
    return Checkerboard(self.slices)

  def setup(self):
    """Declares the layers of every slice."""

    def dense(width, name, **keywords):
      return nn.Dense(width, precision="highest", name=name, **keywords)

    count = len(self.slices)
    self.from_h = [dense(self.hidden, f"from_h_{i}") for i in range(count)]
    self.from_slices = [
      NeighbourDense(self.hidden, NEAR, name=f"from_slices_{i}")
      for i in range(1, count)
    ]
    self.from_anchors = [
      NeighbourDense(self.hidden, CROSS, name=f"from_anchors_{i}")
      for i in range(count)
    ]
    self.middle = [dense(self.hidden, f"middle_{i}") for i in range(count)]
    # Small at the start: the prior then predicts the usual mean and scale.
    self.heads = [
      dense(
        width * self.outputs,
        f"head_{i}",
        kernel_init=nn.initializers.variance_scaling(0.01, "fan_in", "normal"),
      )
      for i, width in enumerate(self.slices)
    ]

  def _join(self, group, hidden):
    hidden = nn.gelu(hidden)
    hidden = nn.gelu(self.middle[group](hidden))
    raw = self.heads[group](hidden)
    return raw.reshape(*raw.shape[:-1], self.slices[group], self.outputs)

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
    rows, columns = np.indices(h.shape[1:3])
    local = jnp.asarray((rows + columns) % 2 == 0, h.dtype)[None, :, :, None]
    parts = []
    for group in range(len(self.slices)):
      start, stop = self.order.span(group)
      hidden = self.from_h[group](h)
      hidden += local * self.from_anchors[group](y_hat[..., start:stop])
      if group:
        hidden += self.from_slices[group - 1](y_hat[..., :start])
      parts.append(self._join(group, hidden))
    return jnp.concatenate(parts, axis=-2)

  def parameters_at(
    self,
    h: Float[Array, "1 H W D"],
    y_hat: Float[Array, "1 H W M"],
    rows: Int[Array, " P"],
    columns: Int[Array, " P"],
    local: Float[Array, ""],
    size: Int[Array, "2"],
    group: int,
  ) -> Float[Array, "P S K"]:
    """Raw parameters of one pass; equals `parameters` there.

    Args:
      h: hyper-synthesis output.
      y_hat: decoded so far, zero elsewhere.
      rows: positions of the pass, padded as in `Pass`.
      columns: likewise.
      local: the pass's `local`.
      size: the pass's `size`; not needed.
      group: the pass's `group`; static.
    """
    del size
    start, stop = self.order.span(group)
    hidden = self.from_h[group](h[0, rows, columns])

    def read(context, own):
      return context.from_anchors[group].at(own, rows, columns)

    # A quarter of the work, which the first of two passes does not need.
    hidden += nn.cond(
      local > 0,
      read,
      lambda _, own: jnp.zeros_like(hidden),
      self,
      y_hat[..., start:stop],
    )
    if group:
      hidden += self.from_slices[group - 1].at(
        y_hat[..., :start], rows, columns
      )
    return self._join(group, hidden)


def grow_last_slice(
  layer: str, fresh: np.ndarray, known: np.ndarray, more: int
) -> np.ndarray | None:
  """An array of `CheckerboardSlices` whose last slice got more channels.

  What is foretold of old channels stays what it was.

  Args:
    layer: its name.
    fresh: of the wider context.
    known: of the narrower one.
    more: how many channels the wider one has more.

  Returns:
    The array, or None where shapes do not fit.
  """
  value = np.array(fresh)
  extra = np.subtract(value.shape, known.shape)
  if layer.startswith("head_") and not extra[:-1].any():
    if extra[-1] % more:
      return None
    value[..., : known.shape[-1]] = known
    return value
  taps = len(CROSS)
  if layer.startswith("from_anchors_") and extra.tolist() == [taps * more, 0]:
    # What it has learned reads nothing of what is new.
    by_tap = np.zeros((taps, len(value) // taps, value.shape[1]), value.dtype)
    old = known.reshape(taps, -1, known.shape[1])
    by_tap[:, : old.shape[1]] = old
    return by_tap.reshape(value.shape)
  return None
