"""Blurs."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def box_blur(x: Float[Array, "B H W C"], size: int) -> Float[Array, "B H W C"]:
  """Means over the `size` by `size` pixels around each, the edges repeated.

  Args:
    x: maps.
    size: side of the box, odd.
  """
  reach = size // 2
  pads = ((0, 0), (reach, reach), (reach, reach), (0, 0))
  x = jnp.pad(x, pads, mode="edge")
  for box in ((1, size, 1, 1), (1, 1, size, 1)):
    x = jax.lax.reduce_window(x, 0.0, jax.lax.add, box, (1, 1, 1, 1), "VALID")
    # A division, so that a map of ones stays one to the last digit.
    x = x / size
  return x
