"""A trunk for CPUs: patches early, few wide products, depthwise blocks.

    x 3 --[patch 4, 1x1]-> c0, blocks --[patch 2, 1x1]-> c1, blocks
        --[patch 2, 1x1]-> M, blocks = y          (synthesis: the mirror image)

Every change of resolution is a space-to-depth and a linear map, a fifth of
the cost of a strided convolution on a CPU; every block starts as the
identity. `starting_point` sets the linear maps to the principal components
of their input patches and the synthesis to the transpose: before any
training the trunk is a transform codec, and ten minutes later a good one.

With `skip` a linear map leads from patches of 16 pixels, less their means, to
y, beside the stages, and another back. Stages that serve few bits lose what
only many bits would code: without it, more latent channels find nothing left
to say.

Source: ours; the fast video codecs (DCVC-RT, arXiv 2502.20762) work at low
resolution early for the same reason.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from roijax.layers.depthwise import DepthwiseBlock
from roijax.ops.resample import average_pool, depth_to_space, space_to_depth

FACTORS = (4, 2, 2)
SKIP_SCALE = 0.1
"""Of what the skip adds: an optimizer whose steps are all alike would otherwise
move pixels by more than a quantisation step."""


def without_means(patches: Float[Array, "*dims D"]) -> Float[Array, "*dims D"]:
  """Patches of RGB pixels, colours innermost, less each colour's mean.

  Means are the stages' business, and would drown what else a patch holds.
  """
  pixels = patches.reshape(*patches.shape[:-1], -1, 3)
  return (pixels - pixels.mean(axis=-2, keepdims=True)).reshape(patches.shape)


class Analysis(nn.Module):
  """g_a.

  Attributes:
    channels: of each stage, the latent's last.
    blocks: depthwise blocks of each stage.
    condition: makes the module that the importance map goes through after
      each stage.
    dtype: of the computation.
    factors: by which each stage divides the sides; 16 in all.
    skip: whether y also reads patches of pixels.
  """

  channels: tuple[int, ...]
  blocks: tuple[int, ...]
  condition: Callable[..., nn.Module] | None = None
  dtype: jnp.dtype | None = None
  factors: tuple[int, ...] = FACTORS
  skip: bool = False

  @nn.compact
  def __call__(
    self, x: Float[Array, "B H W 3"], roi: Float[Array, "B H W 1"]
  ) -> Float[Array, "B h w M"]:
    """The latent y before the gain, stride 16."""
    last = len(self.factors) - 1
    photo = x
    for i, factor in enumerate(self.factors):
      # bfloat16 loses integers above 256: what makes y is float32.
      dtype = self.dtype if i < last else jnp.dtype("float32")
      x = nn.Dense(self.channels[i], dtype=dtype, name=f"down_{i}")(
        space_to_depth(x, factor)
      )
      if self.skip and i == last:
        x += SKIP_SCALE * nn.Dense(
          self.channels[i],
          use_bias=False,
          kernel_init=nn.initializers.zeros,
          dtype=dtype,
          name="skip",
        )(without_means(space_to_depth(photo, math.prod(self.factors))))
      for j in range(self.blocks[i]):
        x = DepthwiseBlock(dtype=dtype, name=f"block_{i}_{j}")(x)
      roi = average_pool(roi, factor)
      if self.condition is not None:
        x = self.condition(dtype=dtype, name=f"condition_{i}")(x, roi)
    return x


class Synthesis(nn.Module):
  """g_s, the mirror image of `Analysis`, with the same attributes."""

  channels: tuple[int, ...]
  blocks: tuple[int, ...]
  dtype: jnp.dtype | None = None
  factors: tuple[int, ...] = FACTORS
  skip: bool = False

  @property
  def reach(self) -> int:
    """How many pixels away a latent is seen: one a block, at its scale."""
    strides = np.cumprod(self.factors)
    return int(np.dot(self.blocks, strides))

  @nn.compact
  def __call__(self, y: Float[Array, "B h w M"]) -> Float[Array, "B H W 3"]:
    """x_hat from y_hat / gain."""
    x = y
    widths = (3, *self.channels[:-1])
    last = len(self.factors) - 1
    straight = None
    for i, factor in reversed(list(enumerate(self.factors))):
      for j in range(self.blocks[i]):
        x = DepthwiseBlock(dtype=self.dtype, name=f"block_{i}_{j}")(x)
      if self.skip and i == last:
        side = math.prod(self.factors)
        straight = SKIP_SCALE * depth_to_space(
          nn.Dense(
            3 * side**2,
            use_bias=False,
            kernel_init=nn.initializers.zeros,
            dtype=self.dtype,
            name="skip",
          )(x),
          side,
        )
      wide = widths[i] * factor**2
      x = depth_to_space(
        nn.Dense(wide, dtype=self.dtype, name=f"up_{i}")(x), factor
      )
    return x if straight is None else x + straight


class HyperAnalysis(nn.Module):
  """h_a: two halvings with a depthwise block before each; float32."""

  channels: int

  @nn.compact
  def __call__(self, y: Float[Array, "B h w D"]) -> Float[Array, "B p q N"]:
    """The hyper-latent z from the features of y."""
    x = nn.Dense(self.channels, name="in")(y)
    for i in range(2):
      x = DepthwiseBlock(name=f"block_{i}")(x)
      x = nn.Dense(self.channels, name=f"down_{i}")(space_to_depth(x, 2))
    return x


class HyperSynthesis(nn.Module):
  """h_s, the mirror image of `HyperAnalysis`; full precision."""

  channels: int
  features: int

  @nn.compact
  def __call__(self, z: Float[Array, "B p q N"]) -> Float[Array, "B h w D"]:
    """h, at the size of y."""
    x = z
    for i, width in enumerate((self.channels, self.features)):
      x = nn.Dense(4 * width, precision="highest", name=f"up_{i}")(x)
      x = DepthwiseBlock(name=f"block_{i}")(depth_to_space(x, 2))
    return x


def _principal_components(patches, channels):
  """Mean [D], and basis [D, K] with K = min(D, channels), by variance."""
  mean = patches.mean(axis=0)
  covariance = np.cov(patches.T)
  _, vectors = np.linalg.eigh(covariance)
  return mean, vectors[:, ::-1][:, :channels]


def starting_point(
  analysis: dict,
  synthesis: dict,
  images: np.ndarray,
  attenuation: float = 1.0,
  factors: tuple[int, ...] = FACTORS,
) -> tuple[dict, dict, np.ndarray]:
  """Starts the trunk as a transform codec fitted to photos.

  Args:
    analysis: fresh parameters of `Analysis`, or of a trunk with linear maps
      of the same names.
    synthesis: fresh parameters of `Synthesis`, likewise.
    images: photos [B, H, W, 3] in [0, 1]; a few thousand 16x16 patches are
      enough.
    attenuation: what each stage's condition multiplies by at the start.
    factors: by which each stage divides the sides.

  Returns:
    New parameters of both, and the standard deviation of each channel of y.
  """
  analysis, synthesis = dict(analysis), dict(synthesis)
  features = np.asarray(images, np.float64)
  for i, factor in enumerate(factors):
    patches = space_to_depth(jnp.asarray(features, jnp.float32), factor)
    patches = np.asarray(patches, np.float64)
    flat = patches.reshape(-1, patches.shape[-1])
    down = analysis[f"down_{i}"]
    # More channels than components keep a little of their random start.
    kernel = 0.1 * np.asarray(down["kernel"], np.float64)
    mean, basis = _principal_components(flat, kernel.shape[1])
    count = basis.shape[1]
    kernel[:, :count] = basis
    analysis[f"down_{i}"] = {
      "kernel": jnp.asarray(kernel, jnp.float32),
      "bias": jnp.asarray(-mean @ kernel, jnp.float32),
    }
    back = np.zeros((kernel.shape[1], kernel.shape[0]))
    back[:count] = basis.T / attenuation
    synthesis[f"up_{i}"] = {
      "kernel": jnp.asarray(back, jnp.float32),
      "bias": jnp.asarray(mean, jnp.float32),
    }
    features = attenuation * (patches - mean) @ kernel
  return analysis, synthesis, features.std(axis=(0, 1, 2))


def quieten(params: Mapping, last: Mapping[str, Sequence[str]]) -> dict:
  """Parameters with blocks that say nothing yet: their last layers at zero.

  Args:
    params: of a trunk; parts are named as `swin_1` is, kind and stage.
    last: by kind, the names of the layers that it ends in.
  """

  def silence(path, leaf):
    names = [part.key for part in path]
    quiet = names[-2] in last.get(names[0].partition("_")[0], ())
    return jnp.zeros_like(leaf) if quiet else leaf

  return jax.tree_util.tree_map_with_path(silence, dict(params))
