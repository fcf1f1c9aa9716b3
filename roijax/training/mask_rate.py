"""What a mask costs in a file, without coding it.

The coder's contexts (`coding.mask`) with the odds that they start with: it
adapts from there, so a file's mask is a little cheaper or dearer. No gradient
comes of it: the mask is given.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from roijax.coding.mask import NEIGHBOURS, START

_REACH = 2
# The length in front of the mask, and what the coder ends with.
_OVERHEAD = 24.0
_ALIKE = 16.0


def estimate_bits(mask: Float[Array, "B p q 1"]) -> Float[Array, " B"]:
  """Bits of masks of zeros and ones, each sample's."""
  height, width = mask.shape[1:3]
  cells = mask[..., 0].astype(jnp.int32)
  padded = jnp.pad(cells, ((0, 0), (_REACH, 0), (_REACH, _REACH)))
  contexts = jnp.zeros_like(cells)
  for bit, (row, column) in enumerate(NEIGHBOURS):
    top, left = _REACH + row, _REACH + column
    shifted = padded[:, top : top + height, left : left + width]
    contexts += shifted << bit
  ones = jnp.asarray(START, jnp.float32)[contexts] / 256
  bits = -jnp.log2(jnp.where(cells == 1, ones, 1 - ones)).sum(axis=(1, 2))
  filled = jnp.mean(mask, axis=(1, 2, 3))
  alike = (filled == 0) | (filled == 1)
  return jnp.where(alike, _ALIKE, bits + _OVERHEAD)
