"""A small HRNet that predicts where the region of interest lies.

    x --stem--> 1/4  ----X--blocks--X--blocks--X--blocks--X---+
                          \\         |          |          |    |
                  1/8      +-blocks-X--blocks--X--blocks--X---+--> logits
                                     \\         |          |    |
                  1/16                +-blocks-X--blocks--X---+
                                                \\         |    |
                  1/32                           +-blocks-X---+

Every resolution keeps its own branch from where it begins to the end. Between
any two rows of blocks lies an exchange (X): each branch gets something of all
the others, the finer ones folded down, the coarser ones spread out, and once a
stage a new branch begins. The head adds up all branches at the finest
resolution.

What differs from the original, for a CPU and for few photos: norms are over
channels, so that the network is a pure function of one photo; resolutions
change by averaging and folding 2x2 patches into channels (down) and by
repeating (up); the two coordinates of a pixel are inputs, for objects lie near
the middle. (Depthwise blocks, a third of the arithmetic, take half as long
again on a CPU.)

Source: Sun et al., CVPR 2019 (arXiv 1902.09212).
"""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from roijax.errors import ConfigError
from roijax.ops.resample import average_pool, space_to_depth

# About the mean and the spread of photos' values.
MEAN = 0.45
SPREAD = 0.25
STEM = 4


class Block(nn.Module):
  """Norm, 3x3, GELU, 3x3; residual."""

  @nn.compact
  def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B H W C"]:
    """Refines one branch."""
    channels = x.shape[-1]
    hidden = nn.Conv(channels, (3, 3))(nn.LayerNorm()(x))
    hidden = nn.Conv(channels, (3, 3), kernel_init=_small)(nn.gelu(hidden))
    return x + hidden


class Exchange(nn.Module):
  """Adds to each branch what every other has to say.

  Attributes:
    widths: channels of the branches that come out, finest first; one more than
      come in begins a branch.
  """

  widths: Sequence[int]

  @nn.compact
  def __call__(
    self, branches: Sequence[Float[Array, "B _ _ _"]]
  ) -> list[Float[Array, "B _ _ _"]]:
    """Mixes all resolutions."""
    normed = [nn.LayerNorm(name=f"norm_{i}")(x) for i, x in enumerate(branches)]
    mixed = []
    for target, width in enumerate(self.widths):
      total = branches[target] if target < len(branches) else 0.0
      for source, x in enumerate(normed):
        if source != target:
          total += _bring(x, source, target, width)
      mixed.append(total)
    return mixed


class HRNet(nn.Module):
  """From a photo to the logit of "region of interest" at each pixel.

  Attributes:
    widths: channels of the branches, at 1/4, 1/8, ... of the resolution; three
      at least.
    modules: for 2, 3, ... branches, how often blocks and an exchange follow
      each other.
    blocks: blocks of each branch in a module.
    stem_width: channels at 1/2 of the resolution.
    head_width: channels in which the branches are added up.
    side: of the square that photos are made before prediction, in pixels.
  """

  widths: Sequence[int]
  modules: Sequence[int]
  blocks: int = 2
  stem_width: int = 24
  head_width: int = 64
  side: int = 128

  @property
  def stride(self) -> int:
    """What the sides of an image must be multiples of."""
    return STEM << (len(self.widths) - 1)

  @nn.compact
  def __call__(self, x: Float[Array, "B H W 3"]) -> Float[Array, "B H W"]:
    """Predicts.

    Args:
      x: in [0, 1]; sides are multiples of `stride`.
    """
    height, width = x.shape[1:3]
    x = jnp.concatenate([(x - MEAN) / SPREAD, _coordinates(x)], axis=-1)
    x = nn.Conv(self.stem_width, (3, 3), name="stem_2")(space_to_depth(x, 2))
    x = space_to_depth(nn.gelu(x), 2)
    branches = [nn.Dense(self.widths[0], name="stem_4")(x)]
    for stage, modules in enumerate(self.modules):
      branches = Exchange(self.widths[: stage + 2], name=f"begin_{stage}")(
        branches
      )
      for module in range(modules):
        name = f"stage_{stage}_module_{module}"
        branches = [
          self._refine(x, f"{name}_{i}") for i, x in enumerate(branches)
        ]
        branches = Exchange(self.widths[: stage + 2], name=name)(branches)
    return self._head(branches, height, width)

  def _refine(self, x, name):
    for block in range(self.blocks):
      x = Block(name=f"{name}_block_{block}")(x)
    return x

  def _head(self, branches, height, width):
    finest = branches[0].shape[1:3]
    total = 0.0
    for i, x in enumerate(branches):
      x = nn.Dense(self.head_width, name=f"head_{i}")(
        nn.LayerNorm(name=f"head_norm_{i}")(x)
      )
      total += _resize(x, *finest)
    total = Block(name="head_block")(total)
    total = nn.gelu(nn.LayerNorm(name="head_norm")(total))
    logits = nn.Dense(1, name="head")(total)
    return _resize(logits, height, width)[..., 0]


def build_hrnet(
  *,
  widths: Sequence[int],
  modules: Sequence[int],
  blocks: int = 2,
  stem_width: int = 24,
  head_width: int = 64,
  side: int = 128,
) -> HRNet:
  """Builds the predictor from a config's `model` section.

  Args:
    widths: see `HRNet`.
    modules: see `HRNet`.
    blocks: see `HRNet`.
    stem_width: see `HRNet`.
    head_width: see `HRNet`.
    side: see `HRNet`.

  Raises:
    ConfigError: fewer than three resolutions, a stage without a module, or a
      side that the resolutions do not divide.
  """
  if len(widths) < 3:
    raise ConfigError(
      f"config.model.widths={tuple(widths)}: give three resolutions at least"
    )
  if len(modules) != len(widths) - 1 or min(modules) < 1:
    raise ConfigError(
      f"config.model.modules={tuple(modules)}: give one number, 1 or more, for "
      f"each of 2 to {len(widths)} branches"
    )
  model = HRNet(
    tuple(widths),
    tuple(modules),
    blocks,
    stem_width,
    head_width,
    side,
  )
  if side < 1 or side % model.stride:
    raise ConfigError(
      f"config.model.side={side}: give a multiple of {model.stride}, what "
      "the coarsest branch takes"
    )
  return model


def _small(key, shape, dtype=jnp.float32):
  return 0.1 * nn.initializers.lecun_normal()(key, shape, dtype)


def _bring(x, source, target, width):
  """Brings branch `source` to the resolution and width of `target`."""
  name = f"from_{source}_to_{target}"
  if target < source:
    x = nn.Dense(width, name=name)(x)
    return _repeat(x, 1 << (source - target))
  factor = 1 << (target - source)
  if factor > 2:
    x = average_pool(x, factor // 2)
  return nn.Dense(width, name=name)(space_to_depth(x, 2))


def _repeat(x, factor):
  """Each pixel as a square of `factor` by `factor`."""
  batch, height, width, channels = x.shape
  # Not `jnp.repeat`, whose gradient is a scatter.
  x = jnp.broadcast_to(
    x[:, :, None, :, None],
    (batch, height, factor, width, factor, channels),
  )
  return x.reshape(batch, height * factor, width * factor, channels)


def _coordinates(x):
  """Each pixel's place, -1 to 1 from edge to edge: [B, H, W, 2]."""
  batch, height, width = x.shape[:3]
  rows = (2 * jnp.arange(height, dtype=x.dtype) + 1) / height - 1
  columns = (2 * jnp.arange(width, dtype=x.dtype) + 1) / width - 1
  grid = jnp.stack(jnp.meshgrid(rows, columns, indexing="ij"), axis=-1)
  return jnp.broadcast_to(grid, (batch, height, width, 2))


def _resize(x, height, width):
  shape = (x.shape[0], height, width, x.shape[3])
  return jax.image.resize(x, shape, "bilinear")
