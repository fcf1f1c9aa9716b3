"""SwinROI's trunk: Swin blocks, GDN, and the region by feature transforms.

    x, roi --logarithm, convolutions--> condition
    x --down--> [mix] GDN SFT --down--> [mix] GDN SFT ... --down--> [mix] SFT y
    h, y_hat --convolutions--> condition
    y_hat --SFT--> [mix] --up--> IGDN SFT ... [mix] --up--> x_hat

SFT reads the condition, pooled or repeated to its scale. `down` is a patch
partition and a linear map, `up` a linear map and a pixel shuffle; `mix` is a
pair of Swin blocks where a stage names a window, else a depthwise block. A
convolutional stem, as the paper has it, mixes by itself. Without a region's
path (`Region` is None) the trunk is the paper's ablation.

Source: arXiv 2305.07783; the widths are ours (the paper gives their sum).
"""

from collections.abc import Mapping
from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from roijax.layers.depthwise import DepthwiseBlock
from roijax.layers.gdn import GDN
from roijax.layers.sft import SpatialFeatureTransform
from roijax.layers.swin import SwinPair
from roijax.models.trunks import patchify
from roijax.ops.importance import to_exponent
from roijax.ops.resample import depth_to_space, space_to_depth

FLOAT32 = jnp.dtype("float32")
# What a pair of Swin blocks ends in.
LAST = {"swin": ("out", "narrow")}


class Stages(NamedTuple):
  """The transforms' scales, from the picture down; one entry a stage.

  Attributes:
    factors: by which each stage divides the sides; 16 in all.
    channels: of each stage's output; the last is the latent's (M).
    windows: side of the attention's windows; 0 for a stage without.
    stem: "conv5" or "patch", what the first stage changes scale with.
    heads: of the attention.
    ratio: width of the MLP in widths of its input.
    gamma: GDN's gamma at the start, times the identity.
    remat: compute the blocks again in the backward pass.
  """

  factors: tuple[int, ...]
  channels: tuple[int, ...]
  windows: tuple[int, ...]
  stem: str
  heads: int = 8
  ratio: int = 2
  gamma: float = 0.1
  remat: bool = False

  @property
  def strides(self) -> tuple[int, ...]:
    """Pixels a position, behind each stage."""
    return tuple(int(stride) for stride in np.cumprod(self.factors))

  def check(self) -> None:
    """Raises a ValueError where the stages do not fit each other."""
    count = len(self.factors)
    if (len(self.channels), len(self.windows)) != (count, count):
      raise ValueError("factors, channels and windows differ in length")
    if self.strides[-1] != 16:
      raise ValueError(f"factors {self.factors} must multiply to 16")
    if self.stem not in ("conv5", "patch"):
      raise ValueError(f"stem is {self.stem!r}; there are: conv5, patch")
    if self.stem == "conv5" and (self.factors[0], self.windows[0]) != (2, 0):
      raise ValueError("a conv5 stem has factor 2 and no window")


class Region(NamedTuple):
  """The region's path.

  Attributes:
    omega: of the scale on which the network reads the map (`ops.importance`).
    factor: the encoder's condition is made of patches of this side.
    widths: channels of the layers that make a condition.
    size: side of their kernels, and of the transforms'.
    hidden: channels inside each transform.
  """

  omega: float
  factor: int
  widths: tuple[int, ...]
  size: int
  hidden: int

  def check(self) -> None:
    """Raises a ValueError for what no layer can be made of."""
    if not self.omega > 0:
      raise ValueError(f"region.omega is {self.omega}: it must be positive")
    if self.factor not in (1, 2, 4, 8, 16):
      raise ValueError(f"region.factor is {self.factor}, no power of 2 to 16")
    if not self.size % 2:
      raise ValueError(f"region.size is {self.size}: kernels have odd sides")


class Condition(nn.Module):
  """What modulates the features, made once: a stack of convolutions.

  Attributes:
    region: its sizes.
    dtype: of the computation; None follows the input.
  """

  region: Region
  dtype: jnp.dtype | None = None

  @nn.compact
  def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B H W D"]:
    """The condition, at the size of `x`."""
    kernel = (self.region.size, self.region.size)
    for i, width in enumerate(self.region.widths):
      x = nn.leaky_relu(x, 0.1) if i else x
      x = nn.Conv(width, kernel, dtype=self.dtype, name=f"conv_{i}")(x)
    return x


def _modulate(region, dtype, name):
  return SpatialFeatureTransform(region.hidden, region.size, dtype, name=name)


def _mix(stages, stage, dtype):
  """What mixes positions at a stage; None where its stem does."""
  if stages.windows[stage]:
    return SwinPair(
      stages.heads,
      stages.windows[stage],
      stages.ratio,
      stages.remat,
      dtype,
      name=f"swin_{stage}",
    )
  if stages.stem == "conv5" and stage == 0:
    return None
  return DepthwiseBlock(dtype=dtype, name=f"block_{stage}")


class Analysis(nn.Module):
  """g_a.

  Attributes:
    stages: the scales.
    region: the region's path, or None.
    dtype: of all but the last stage; None follows the input.
  """

  stages: Stages
  region: Region | None
  dtype: jnp.dtype | None = None

  @nn.compact
  def __call__(
    self, x: Float[Array, "B H W 3"], roi: Float[Array, "B H W 1"]
  ) -> Float[Array, "B h w M"]:
    """The latent y before the gain, stride 16."""
    stages, condition = self.stages, None
    if self.region is not None:
      u = to_exponent(roi, self.region.omega)
      joined = jnp.concatenate([x, u], axis=-1)
      condition = Condition(self.region, self.dtype, name="condition")(
        space_to_depth(joined, self.region.factor)
      )
    last = len(stages.factors) - 1
    for i, factor in enumerate(stages.factors):
      # bfloat16 loses integers above 256: what makes y is float32.
      dtype = FLOAT32 if i == last else self.dtype
      if i == 0 and stages.stem == "conv5":
        x = nn.Conv(
          stages.channels[0], (5, 5), (2, 2), dtype=dtype, name="down_0"
        )(x)
      else:
        x = nn.Dense(stages.channels[i], dtype=dtype, name=f"down_{i}")(
          space_to_depth(x, factor)
        )
      mix = _mix(stages, i, dtype)
      x = x if mix is None else mix(x)
      if i < last:
        x = GDN(gamma_start=stages.gamma, name=f"norm_{i}")(x)
      if condition is not None and self.region is not None:
        x = _modulate(self.region, dtype, f"transform_{i}")(x, condition)
    return x


class Synthesis(nn.Module):
  """g_s, the mirror image of `Analysis`, with the same attributes.

  Its condition is made of h, which z_hat gives, and of y_hat: the decoder
  knows no map.
  """

  stages: Stages
  region: Region | None
  dtype: jnp.dtype | None = None

  @property
  def reach(self) -> int:
    """How many pixels away a latent is seen.

    A pair of Swin blocks sees the two windows that its moved window lies
    in; GDN nothing; a convolution of side k sees k // 2.
    """
    windows, strides = self.stages.windows, self.stages.strides
    total = 0
    for window, stride in zip(windows, strides, strict=True):
      total += (3 * window // 2 - 1 if window else 1) * stride
    if self.region is not None:
      side = self.region.size // 2
      total += side * (len(self.region.widths) * 16 + 2 * sum(strides))
    return total

  @nn.compact
  def __call__(
    self, y: Float[Array, "B h w M"], h: Float[Array, "B h w D"]
  ) -> Float[Array, "B H W 3"]:
    """x_hat from y_hat / gain and from what z_hat tells."""
    stages, condition, x = self.stages, None, y
    if self.region is not None:
      condition = Condition(self.region, self.dtype, name="condition")(
        jnp.concatenate([h, y], axis=-1)
      )
      x = _modulate(self.region, self.dtype, "transform_in")(x, condition)
    widths = (3, *stages.channels[:-1])
    for i in reversed(range(len(stages.factors))):
      mix = _mix(stages, i, self.dtype)
      x = x if mix is None else mix(x)
      wide = widths[i] * stages.factors[i] ** 2
      if i == 0 and stages.stem == "conv5":
        # Sees as far as a transposed 5x5 convolution, whose gradient is slow.
        x = nn.Conv(wide, (3, 3), dtype=self.dtype, name="up_0")(x)
      else:
        x = nn.Dense(wide, dtype=self.dtype, name=f"up_{i}")(x)
      x = depth_to_space(x, stages.factors[i])
      if i:
        x = GDN(True, stages.gamma, name=f"norm_{i}")(x)
        if condition is not None and self.region is not None:
          x = _modulate(self.region, self.dtype, f"transform_{i}")(x, condition)
    return x


class HyperStages(NamedTuple):
  """The hyper path's widths, at strides 16, 32 and 64.

  Attributes:
    channels: of every stage (N).
    windows: side of the attention's windows; 0 for a depthwise block.
    heads: of the attention.
    ratio: width of the MLP.
  """

  channels: int
  windows: tuple[int, int, int]
  heads: int = 8
  ratio: int = 2

  def check(self) -> None:
    """Raises a ValueError where there is not one window a stage."""
    if len(self.windows) != 3:
      raise ValueError(f"hyper.windows are {self.windows}: give three")

  def mix(self, stage: int, precision=None) -> nn.Module:
    """What mixes positions at a stage."""
    if not self.windows[stage]:
      return DepthwiseBlock(name=f"block_{stage}")
    return SwinPair(
      self.heads,
      self.windows[stage],
      self.ratio,
      precision=precision,
      name=f"swin_{stage}",
    )


class HyperAnalysis(nn.Module):
  """h_a: the features of y and the map, two halvings; float32.

  Attributes:
    stages: its widths.
    region: the region's path, or None.
  """

  stages: HyperStages
  region: Region | None

  @nn.compact
  def __call__(
    self, features: Float[Array, "B h w D"]
  ) -> Float[Array, "B p q N"]:
    """The hyper-latent z from y and, in the last channel, the pooled map."""
    y, pooled = features[..., :-1], features[..., -1:]
    condition = None
    if self.region is not None:
      u = to_exponent(pooled, self.region.omega)
      condition = Condition(self.region, name="condition")(
        jnp.concatenate([y, u], axis=-1)
      )
    x = nn.Dense(self.stages.channels, name="in")(y)
    for i in range(3):
      if i:
        x = nn.Dense(self.stages.channels, name=f"down_{i}")(
          space_to_depth(x, 2)
        )
      x = self.stages.mix(i)(x)
      if condition is not None and self.region is not None:
        x = _modulate(self.region, None, f"transform_{i}")(x, condition)
    return x


class HyperSynthesis(nn.Module):
  """h_s: two doublings and a linear map; full precision.

  Attributes:
    stages: its widths.
    features: channels of h.
  """

  stages: HyperStages
  features: int

  @nn.compact
  def __call__(self, z: Float[Array, "B p q N"]) -> Float[Array, "B h w D"]:
    """h, at the size of y."""
    x = z
    for i in (2, 1):
      x = self.stages.mix(i, "highest")(x)
      wide = 4 * self.stages.channels
      x = nn.Dense(wide, precision="highest", name=f"up_{i}")(x)
      x = depth_to_space(x, 2)
    x = self.stages.mix(0, "highest")(x)
    return nn.Dense(self.features, precision="highest", name="out")(x)


def fit_start(
  stages: Stages, params: Mapping, images: np.ndarray
) -> tuple[dict, np.ndarray]:
  """Starts a trunk of patches as a transform codec fitted to photos.

  Args:
    stages: with a "patch" stem.
    params: of the flow, fresh.
    images: photos [B, H, W, 3] in [0, 1].

  Returns:
    New parameters, and the standard deviation of each channel of y.
  """
  analysis, synthesis, spread = patchify.starting_point(
    params["analysis"], params["synthesis"], images, factors=stages.factors
  )
  quiet = {
    "analysis": patchify.quieten(analysis, LAST),
    "synthesis": patchify.quieten(synthesis, LAST),
  }
  return {**params, **quiet}, spread
