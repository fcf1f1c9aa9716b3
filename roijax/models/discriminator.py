"""A U-Net that says of every pixel whether it is a photo's.

    y_hat --conv3 to 12, LReLU--> repeated 16 times --+
                                                      |
    x or x_hat ---------------------------------------+--conv3--> 64 --+ skip
        SN conv4, stride 2 --> 128 --+ skip                            |
        SN conv4, stride 2 --> 256 --|--+ skip                         |
        SN conv4, stride 2 --> 512   |  |                              |
        twice as large, SN conv3 --> 256 +                             |
        twice as large, SN conv3 --> 128 +                             |
        twice as large, SN conv3 --> 64 -------------------------------+
        SN conv3, SN conv3 --> 64, conv3 --> logits

Leaky ReLU (0.2) after all but the last; SN is spectral normalisation. What has
been decoded is a condition: the network judges whether an image is a likely
one for that latent, not any likely one.

Source: TLIC (arXiv 2401.08154) names a U-Net discriminator that sees y_hat and
no more. The layout is Real-ESRGAN's (arXiv 2107.10833), the condition HiFiC's
(arXiv 2006.09965); both are our choice.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from roijax.layers import spectral
from roijax.layers.spectral import SpectralConv
from roijax.models.random_start import draw_params
from roijax.ops.resample import upsample_bilinear

SLOPE = 0.2


class UNetDiscriminator(nn.Module):
  """Logits of "this pixel is a photo's", given what was decoded.

  Attributes:
    width: channels at full resolution.
    condition: channels that the latent is made.
    depth: doublings of the width, each at half the resolution.
  """

  width: int = 64
  condition: int = 12
  depth: int = 3

  @nn.compact
  def __call__(
    self, x: Float[Array, "B H W 3"], y_hat: Float[Array, "B h w M"]
  ) -> Float[Array, "B H W"]:
    """Judges.

    Args:
      x: photos or reconstructions; `2**depth` divides their sides.
      y_hat: the decoded latents; its sides are a whole factor smaller. They
        are taken as they are: whoever calls stops gradients.
    """
    factor = x.shape[1] // y_hat.shape[1]
    known = nn.Conv(self.condition, (3, 3), name="condition")(y_hat)
    known = _leaky(known).repeat(factor, axis=1).repeat(factor, axis=2)
    x = jnp.concatenate([2 * x - 1, known], axis=-1)
    x = _leaky(nn.Conv(self.width, (3, 3), name="first")(x))
    skips = []
    for level in range(self.depth):
      skips.append(x)
      width = self.width << (level + 1)
      x = _leaky(SpectralConv(width, 4, 2, name=f"down_{level}")(x))
    for level in reversed(range(self.depth)):
      x = upsample_bilinear(x, 2)
      x = _leaky(SpectralConv(self.width << level, name=f"up_{level}")(x))
      x += skips[level]
    for index in range(2):
      x = _leaky(SpectralConv(self.width, name=f"refine_{index}")(x))
    return nn.Conv(1, (3, 3), name="logits")(x)[..., 0]


def _leaky(x):
  return nn.leaky_relu(x, SLOPE)


def init_discriminator(
  model: UNetDiscriminator, key: Array, latent_channels: int
) -> tuple[dict, dict]:
  """A fresh discriminator.

  Args:
    model: the network.
    key: a PRNG key.
    latent_channels: channels of y_hat.

  Returns:
    Its parameters, and its spectral vectors, which have begun to settle.
  """
  x, y_hat = jnp.zeros((1, 16, 16, 3)), jnp.zeros((1, 1, 1, latent_channels))
  shapes = jax.eval_shape(model.init, key, x, y_hat)
  params = draw_params(shapes["params"], key)
  vectors = spectral.start(shapes[spectral.COLLECTION])
  return params, jax.jit(spectral.advance, static_argnums=2)(
    params, vectors, 10
  )
