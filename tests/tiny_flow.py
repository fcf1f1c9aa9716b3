"""A flow of a few matrices, for tests of what trains codecs: quick to compile.

It takes what `Flow` takes and gives what it gives, with noise from the keys.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from roijax.models.flow import FlowOutput
from roijax.ops.resample import depth_to_space, space_to_depth

CHANNELS = 4
VGG_WIDTHS = (2, 2, 3, 3, 2)


class TinyFlow(nn.Module):
  mask_stride = 0
  mask_in_file = False
  latent_channels = CHANNELS

  @nn.compact
  def __call__(self, x, roi, quality, keys, mask=None):
    log_unit = self.param("log_unit", nn.initializers.zeros, (CHANNELS,))
    analysis = self.param("analysis", nn.initializers.zeros, (1024, CHANNELS))
    synthesis = self.param("synthesis", nn.initializers.zeros, (CHANNELS, 768))
    seen = space_to_depth(jnp.concatenate([x, roi], axis=-1), 16)
    y = seen @ analysis * (1 + quality[:, None, None, None])
    noise = jax.vmap(lambda key: jax.random.uniform(key, y.shape[1:]))(keys)
    y_hat = y + noise - 0.5
    x_hat = depth_to_space(y_hat @ synthesis, 16)
    bits = jnp.log2(1 + (y_hat / jnp.exp(log_unit).reshape(1, 1, 1, -1)) ** 2)
    return FlowOutput(x_hat, bits, 0.1 * bits, y_hat)


def make_params(seed: int = 0) -> dict:
  rng = np.random.default_rng(seed)
  draw = rng.standard_normal
  params = {
    "log_unit": 0.3 * draw(CHANNELS),
    "analysis": draw((1024, CHANNELS)) / 20,
    "synthesis": draw((CHANNELS, 768)) / 5,
  }
  return jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), params)


def make_batch(count: int, side: int = 32, seed: int = 0) -> dict:
  rng = np.random.default_rng(seed)
  roi = (rng.random((count, side, side, 1)) > 0.5).astype(np.float32)
  return {"image": rng.random((count, side, side, 3), np.float32), "roi": roi}


def make_config() -> ConfigDict:
  return ConfigDict(
    {
      "model": {"lmbdas": (0.001, 0.003, 0.01)},
      "loss": {
        "balance": 0.5,
        "background_low": 0.1,
        "background_high": 1.0,
        "background_extremes": 0.1,
      },
    }
  )
