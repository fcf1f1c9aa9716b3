"""Convolutions whose largest singular value is held at about one.

    kernel as a matrix W, [inputs, outputs];  sigma = left' W right
    the convolution uses kernel / sigma

`left` and `right`, unit vectors near the first singular pair, live in the
collection `spectral`. A forward pass reads them; `advance` moves them, one step
of power iteration on the kernels as they are. So whoever trains decides when:
once a step, however often the network runs in it.

Source: Miyato et al., ICLR 2018 (arXiv 1802.05957).
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

COLLECTION = "spectral"
# No kernel has norms near it.
TINY = 1e-12


class SpectralConv(nn.Module):
  """A convolution without bias, its kernel divided by its spectral norm.

  Attributes:
    features: channels that come out.
    size: side of the kernel.
    stride: 1, or 2 with a kernel of 4.
  """

  features: int
  size: int = 3
  stride: int = 1

  @nn.compact
  def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B P Q D"]:
    """Convolves; `stride` divides the sides."""
    shape = (self.size, self.size, x.shape[-1], self.features)
    # Its scale is of no matter.
    kernel = self.param("kernel", nn.initializers.he_uniform(), shape)
    left, right = (
      self.variable(COLLECTION, name, _start, count).value
      for name, count in (
        ("left", kernel.size // self.features),
        ("right", self.features),
      )
    )
    sigma = left @ _as_matrix(kernel) @ right
    pad = (self.size - self.stride + 1) // 2
    return jax.lax.conv_general_dilated(
      x,
      kernel / sigma,
      window_strides=(self.stride, self.stride),
      padding=((pad, pad), (pad, pad)),
      dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def start(shapes: dict) -> dict:
  """Vectors to begin with, for a collection of these shapes.

  All alike: kernels are random, and vectors need not be, too.
  """
  return jax.tree.map(lambda leaf: _start(leaf.size), shapes)


def advance(params: dict, vectors: dict, steps: int = 1) -> dict:
  """Moves all vectors of a network by power iteration.

  A function of the weights alone: devices that hold the same weights get the
  same vectors.

  Args:
    params: the network's parameters, nested.
    vectors: its `spectral` collection, nested likewise.
    steps: of the iteration.

  Returns:
    The new collection. No gradient passes through it.
  """
  if "left" not in vectors:
    return {
      name: advance(params[name], nested, steps)
      for name, nested in vectors.items()
    }
  matrix = jax.lax.stop_gradient(_as_matrix(params["kernel"]))

  def move(_, vectors):
    left = _unit(matrix @ vectors["right"])
    return {"left": left, "right": _unit(left @ matrix)}

  return jax.lax.fori_loop(0, steps, move, dict(vectors))


def _start(count):
  return jnp.full(count, count**-0.5)


def _as_matrix(kernel):
  return kernel.reshape(-1, kernel.shape[-1])


def _unit(vector):
  return vector / jnp.maximum(jnp.linalg.norm(vector), TINY)
