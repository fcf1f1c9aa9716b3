"""Any size in, whole latents inside, the same size out."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def padded_size(height: int, width: int, multiple: int) -> tuple[int, int]:
  """The smallest size not below `height, width` that `multiple` divides."""
  return -(-height // multiple) * multiple, -(-width // multiple) * multiple


def pad_to_multiple(
  x: Float[Array, "B H W C"], multiple: int
) -> Float[Array, "B H2 W2 C"]:
  """Repeats the last row and column until `multiple` divides both sides."""
  height, width = x.shape[1:3]
  new_height, new_width = padded_size(height, width, multiple)
  pads = ((0, 0), (0, new_height - height), (0, new_width - width), (0, 0))
  return jnp.pad(x, pads, mode="edge")


def crop_to_size(
  x: Float[Array, "B H W C"], height: int, width: int
) -> Float[Array, "B H2 W2 C"]:
  """Undoes `pad_to_multiple`: keeps the top left `height` by `width`."""
  return x[:, :height, :width, :]
