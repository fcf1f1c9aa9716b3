"""VGG-16 as far as perceptual losses look into it.

    x --(x - mean) / spread--> conv conv    --> relu1_2 --pool-->
                               conv conv    --> relu2_2 --pool-->
                               conv x3      --> relu3_3 --pool-->
                               conv x3      --> relu4_3 --pool-->
                               conv x3      --> relu5_3

Convolutions are 3x3 with ReLU; pools take the largest of 2x2. The classifier
has no part in it.

Source: Simonyan and Zisserman 2015 (arXiv 1409.1556); means and spreads are
ImageNet's, which is also what LPIPS's scaling of [-1, 1] comes to.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from roijax.models.random_start import draw_params

MEAN = (0.485, 0.456, 0.406)
SPREAD = (0.229, 0.224, 0.225)
# Channels of the five blocks, and convolutions in each.
WIDTHS = (64, 128, 256, 512, 512)
DEPTHS = (2, 2, 3, 3, 3)


class VGG16(nn.Module):
  """Features of photos, one array a block.

  Attributes:
    widths: channels of the blocks; tests have fewer.
  """

  widths: Sequence[int] = WIDTHS

  @nn.compact
  def __call__(
    self, x: Float[Array, "B H W 3"]
  ) -> list[Float[Array, "B _ _ _"]]:
    """Looks.

    Args:
      x: in [0, 1]; at least 16 pixels a side.

    Returns:
      `relu1_2`, `relu2_2`, `relu3_3`, `relu4_3` and `relu5_3`.
    """
    mean, spread = (
      jnp.asarray(value, x.dtype).reshape(1, 1, 1, 3)
      for value in (MEAN, SPREAD)
    )
    x = (x - mean) / spread
    found = []
    for block, (width, depth) in enumerate(
      zip(self.widths, DEPTHS, strict=True)
    ):
      if block:
        x = nn.max_pool(x, (2, 2), strides=(2, 2))
      for index in range(depth):
        name = f"conv{block + 1}_{index + 1}"
        x = nn.relu(nn.Conv(width, (3, 3), padding=1, name=name)(x))
      found.append(x)
    return found


def make_random(widths: Sequence[int]) -> dict:
  """Weights that know nothing of photos, always the same: for tests.

  Returns:
    `vgg`, the network's parameters, and `heads`, LPIPS's: all channels alike.
  """
  key = jax.random.key(16)
  x = jnp.zeros((1, 16, 16, 3))
  shapes = jax.eval_shape(VGG16(tuple(widths)).init, key, x)["params"]
  heads = [jnp.full(width, 1 / width) for width in widths]
  return {"vgg": draw_params(shapes, key), "heads": heads}
