"""A transposed convolution that doubles the resolution, as an ordinary one.

    x --conv to 4 times the channels--> phases --depth to space--> 2x

Each of the four phases of the result reads its own taps of the kernel; taps of
a phase that do not exist are zeros. XLA's transposed convolution multiplies by
three zeros in four on a CPU, and its gradient is slower still.
"""

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from flax.linen.dtypes import promote_dtype
from jax import lax
from jaxtyping import Array, Float

from roijax.layers.swin import Precision
from roijax.ops.resample import depth_to_space


def _taps(size):
  """Which tap each offset of the input is to either phase; [offsets, 2].

  Output 2 p + a reads input i through tap 2 (p - i) + a + size // 2; `size`
  stands for none.
  """
  reach = size // 2
  offsets = np.arange(-(reach // 2), (reach + 1) // 2 + 1)
  taps = reach + np.arange(2)[None] - 2 * offsets[:, None]
  return np.where((taps >= 0) & (taps < size), taps, size), offsets


def to_phases(
  kernel: Float[Array, "K K C D"],
) -> tuple[Float[Array, "N N C D4"], list[tuple[int, int]]]:
  """The kernel of the ordinary convolution, and its padding.

  Args:
    kernel: of the transposed one, K odd.
  """
  taps, offsets = _taps(kernel.shape[0])
  padded = jnp.pad(kernel, ((0, 1), (0, 1), (0, 0), (0, 0)))
  # [N, 2, N, 2, C, D] -> [N, N, C, 2 2 D], as `depth_to_space` reads it.
  spread = padded[taps][:, :, taps]
  count, wide = len(offsets), 4 * kernel.shape[3]
  phases = spread.transpose(0, 2, 4, 1, 3, 5)
  padding = (-int(offsets[0]), int(offsets[-1]))
  return phases.reshape(count, count, -1, wide), [padding, padding]


class TransposedConv(nn.Module):
  """Twice the resolution: kernel odd, stride 2, padding half the kernel.

  The same numbers as PyTorch's `ConvTranspose2d(C, D, k, 2, k // 2, 1)`.

  Attributes:
    features: channels of the result.
    size: side of the kernel, odd.
    dtype: of the computation; None follows the input.
    precision: of the products; "highest" where coding depends on them.
  """

  features: int
  size: int = 3
  dtype: jnp.dtype | None = None
  precision: Precision = None

  @nn.compact
  def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B H2 W2 D"]:
    """Upsamples."""
    shape = (self.size, self.size, x.shape[-1], self.features)
    # A quarter of the taps meet in each phase.
    init = nn.initializers.variance_scaling(4.0, "fan_in", "truncated_normal")
    kernel = self.param("kernel", init, shape)
    bias = self.param("bias", nn.initializers.zeros, (self.features,))
    x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
    phases, padding = to_phases(kernel)
    x = lax.conv_general_dilated(
      x,
      phases,
      (1, 1),
      padding,
      dimension_numbers=("NHWC", "HWIO", "NHWC"),
      precision=self.precision,
    )
    return depth_to_space(x, 2) + bias.reshape(1, 1, 1, -1)
