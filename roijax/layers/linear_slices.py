"""Context in checkerboard slices that read the whole latent, at linear cost.

    slice i   reads h, the slices before it (three 3x3 convolutions), and,
      pass 0  the positions with odd row + column, the anchors: nothing more
      pass 1  the others: the slice's anchors, 5x5 around, and everywhere, by
              linear attention that the slice before directs

Each pass has a network of its own behind what it reads. Two passes a slice:
the order is `coding.passes.Checkerboard`.

"Everywhere" is all of the latent that is coded together: the photo, or a group
of a large one, which decodes alone. Nothing beyond it is read, whatever the
canvas: where arrays are larger than the latent, `inside` says where it ends.

Source: MLIC++ (arXiv 2307.15421) as arXiv 2401.08154 simplifies it: one
convolution as the local context, no attention between slices, no prediction
of the latent's residual. Ours: of the 5x5 taps only the 12 that meet anchors,
depthwise filters without a bias that start as the identity, and, where the
slice before has another width, projections to this one's.
"""

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from roijax.coding.passes import Checkerboard
from roijax.layers.checkerboard import CROSS
from roijax.layers.linear_attention import SliceAttention, keep_inside
from roijax.layers.neighbours import NeighbourDense


class ChannelContext(nn.Module):
  """3x3 convolutions of the slices before; three of them in the paper.

  Attributes:
    widths: of their outputs.
  """

  widths: tuple[int, ...]

  @nn.compact
  def __call__(
    self,
    x: Float[Array, "B H W C"],
    inside: Bool[Array, "1 H W 1"] | None = None,
  ) -> Float[Array, "B H W F"]:
    """Features of every position; `inside` as in `SliceAttention`."""
    for i, width in enumerate(self.widths):
      x = keep_inside(nn.gelu(x), inside) if i else x
      x = nn.Conv(width, (3, 3), precision="highest", name=f"conv_{i}")(x)
    return x


class LinearSlices(nn.Module):
  """Raw prior parameters from h and what is decoded of y_hat.

  Attributes:
    slices: channels of each slice; they sum to M.
    outputs: numbers a latent (the prior's).
    hidden: widths of the channel context's two hidden layers, then of the
      three in front of the parameters.
    heads: of the attention; they divide every slice but the first.
  """

  slices: tuple[int, ...]
  outputs: int
  hidden: tuple[int, ...] = (192, 128, 320, 256, 128)
  heads: int = 2

  @property
  def order(self) -> Checkerboard:
    """The order of coding; group 2 i + j is pass j of slice i."""
    return Checkerboard(self.slices, group_each=True)

  def setup(self):
    """Declares the layers of every slice."""
    later = self.slices[1:]
    self.from_slices = [
      ChannelContext((*self.hidden[:2], 4 * width)) for width in later
    ]
    self.from_anchors = [
      NeighbourDense(2 * width, CROSS) for width in self.slices
    ]
    self.from_all = [SliceAttention(width, self.heads) for width in later]
    self.layers = [
      [nn.Dense(width, precision="highest") for width in self.hidden[2:]]
      for _ in range(2 * len(self.slices))
    ]
    # Small at the start: the prior then predicts the usual mean and scale.
    self.ends = [
      nn.Dense(
        self.slices[group // 2] * self.outputs,
        precision="highest",
        kernel_init=nn.initializers.variance_scaling(0.01, "fan_in", "normal"),
      )
      for group in range(2 * len(self.slices))
    ]

  def parameters(
    self,
    h: Float[Array, "B H W D"],
    y_hat: Float[Array, "B H W M"],
    size: Int[Array, "2"] | None = None,
  ) -> Float[Array, "B H W M K"]:
    """Raw parameters of all latents at once, from all of y_hat.

    Causal by construction: no latent reads one of its own or a later pass.

    Args:
      h: hyper-synthesis output.
      y_hat: the latent.
      size: rows and columns of the latent, where h and y_hat are larger.
    """
    anchors, inside = _mark(h.shape[1:3], size)
    parts = []
    for number in range(len(self.slices)):
      read = self._read_before(number, h, y_hat, inside)
      more = self._read_anchors(number, y_hat, anchors, inside)
      first = self._join(2 * number, read)
      second = self._join(
        2 * number + 1, jnp.concatenate([read, more], axis=-1)
      )
      parts.append(jnp.where(anchors[..., None], first, second))
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
      local: the pass's `local`, which its group tells as well.
      size: the pass's `size`.
      group: the pass's `group`; static.
    """
    del local
    anchors, inside = _mark(h.shape[1:3], size)
    number, second = divmod(group, 2)
    read = self._read_before(number, h, y_hat, inside)
    if second:
      more = self._read_anchors(number, y_hat, anchors, inside)
      read = jnp.concatenate([read, more], axis=-1)
    return self._join(group, read[0, rows, columns])

  def _read_before(self, number, h, y_hat, inside):
    """What both passes of a slice read, at every position."""
    if not number:
      return h
    start, _ = self.order.span(number)
    context = self.from_slices[number - 1](y_hat[..., :start], inside)
    return jnp.concatenate([h, context], axis=-1)

  def _read_anchors(self, number, y_hat, anchors, inside):
    """What the second pass reads besides."""
    own = y_hat[..., slice(*self.order.span(number))]
    # From the positions of this pass, the taps reach anchors alone.
    near = self.from_anchors[number](own)
    if not number:
      return near
    before = y_hat[..., slice(*self.order.span(number - 1))]
    far = self.from_all[number - 1](before, own, anchors, inside)
    return jnp.concatenate([near, far], axis=-1)

  def _join(self, group, x):
    for layer in self.layers[group]:
      x = nn.gelu(layer(x))
    raw = self.ends[group](x)
    return raw.reshape(*raw.shape[:-1], self.slices[group // 2], self.outputs)


def _mark(dims, size):
  """Where the anchors are, and where the latent is, each [1, H, W, 1]."""
  rows, columns = np.indices(dims)[:, None, ..., None]
  anchors = jnp.asarray((rows + columns) % 2 == 1)
  if size is None:
    return anchors, None
  return anchors, (rows < size[0]) & (columns < size[1])
