"""Which coding table a prediction selects.

Coding knows `NUM_SHAPES` shapes and, for each, `NUM_SCALES` scales. Both are
rounded in the log domain, the shape first. Two machines that compute the
same scale differ in its last digits, and a table that differs by one ruins
all that follows; so this runs in float64, and tells which latents lie so
close to a boundary that even float64 might not agree: the encoder writes
those down.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from roijax.coding.grid import NUM_SCALES, NUM_SHAPES, SCALES, SHAPES

MARGIN = 1e-9
_LOG_SHAPES = np.log(SHAPES)
_SHAPE_STEP = float(_LOG_SHAPES[1] - _LOG_SHAPES[0])
_LOG_FLOORS = np.log(SCALES[:, 0])
_SCALE_STEPS = np.log(SCALES[:, 1]) - _LOG_FLOORS


def _near_half(position, levels):
  inside = (position > 0) & (position < levels - 1)
  return inside & (jnp.abs(position - jnp.floor(position) - 0.5) < MARGIN)


def select_tables(
  scale: Float[Array, "*dims"], shape: Float[Array, "*dims"]
) -> tuple[Int[Array, "*dims"], Bool[Array, "*dims"]]:
  """The table of each latent, and whether it was a close call.

  Args:
    scale: standard deviations.
    shape: exponents.

  Returns:
    Indexes `shape_level * NUM_SCALES + scale_level` (int32), and True where
    either level, before rounding, lay within 1e-9 of a boundary.
  """
  position = (jnp.log(shape) - _LOG_SHAPES[0]) / _SHAPE_STEP
  close = _near_half(position, NUM_SHAPES)
  level = jnp.clip(jnp.round(position), 0, NUM_SHAPES - 1).astype(jnp.int32)
  floors = jnp.asarray(_LOG_FLOORS, scale.dtype)[level]
  steps = jnp.asarray(_SCALE_STEPS, scale.dtype)[level]
  position = (jnp.log(scale) - floors) / steps
  close |= _near_half(position, NUM_SCALES)
  scale_level = jnp.clip(jnp.round(position), 0, NUM_SCALES - 1)
  return level * NUM_SCALES + scale_level.astype(jnp.int32), close
