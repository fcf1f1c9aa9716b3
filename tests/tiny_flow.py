"""A codec of a few matrices, for tests of what trains codecs.

Its noise, qualities and importance come from the keys by plain arithmetic:
random generators take a second each to compile.
"""

import jax
import jax.numpy as jnp
import numpy as np

from roijax.models.flow import FlowOutput
from roijax.ops.resample import depth_to_space, space_to_depth
from roijax.training.objective import Pass

CHANNELS = 4
VGG_WIDTHS = (2, 2, 3, 3, 2)
MIDDLE = 0.003


def run(params, batch, keys) -> Pass:
  """What `objective.make_pass` gives, of noise and draws of each key."""
  x, roi = batch["image"], batch["roi"]
  bits = jax.random.key_data(keys)[:, :1]
  draws = (bits % 1000).astype(jnp.float32)[..., None, None] / 1000
  lmbda = MIDDLE * 4 ** (draws[:, 0, 0, 0] - 0.3)
  importance = jnp.maximum(roi, 0.5 * draws)
  seen = space_to_depth(jnp.concatenate([x, importance], axis=-1), 16)
  y = seen @ params["analysis"] * (1 + draws)
  places = jnp.arange(y[0].size, dtype=jnp.float32).reshape(1, *y.shape[1:])
  y_hat = y + 0.5 * jnp.sin(1000 * draws + 7 * places)
  x_hat = depth_to_space(y_hat @ params["synthesis"], 16)
  unit = jnp.exp(params["log_unit"]).reshape(1, 1, 1, -1)
  bits_y = jnp.log2(1 + (y_hat / unit) ** 2)
  out = FlowOutput(x_hat, bits_y, 0.1 * bits_y, y_hat)
  bpp = 1.1 * jnp.sum(bits_y, axis=(1, 2, 3)) / (x.shape[1] * x.shape[2])
  return Pass(out, bpp, importance, lmbda, jnp.float32(MIDDLE), None)


def make_params(seed: int = 0) -> dict:
  draw = np.random.default_rng(seed).standard_normal
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
