"""TIC's trunk: strided convolutions and groups of Swin blocks.

    x --conv5--> group --conv3--> group --conv3--> group u --conv3--> y
                                       roi at 1/2, u --> mask attention --> * y
    y_hat --up3--> group --up3--> group --up3--> group --up5--> x_hat

A group is a row of Swin blocks, the windows of every second one moved, plus
its input; nothing else stands between the convolutions. The stem "patch" is
for CPUs: patches and linear maps in place of the convolutions, and a depthwise
block where a stage has no group.

Sources: TIC, Lu et al. 2022 (arXiv 2111.06707); arXiv 2507.00373.
"""

from collections.abc import Mapping
from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from roijax.layers.depthwise import DepthwiseBlock
from roijax.layers.mask_attention import LatentMaskAttention
from roijax.layers.swin import Precision, SwinBlock
from roijax.layers.transposed import TransposedConv
from roijax.models.trunks import patchify
from roijax.ops.resample import average_pool, depth_to_space, space_to_depth

FLOAT32 = jnp.dtype("float32")
# The mask attention's three strided convolutions begin at half the resolution.
MASK_STRIDE = 2
# What a group, and the mask attention, end in.
LAST = {"group": ("out", "narrow"), "attention": ("image_out", "mask_2")}


class Stages(NamedTuple):
  """The transforms' scales, from the picture down; one entry a stage.

  Attributes:
    factors: by which each stage divides the sides; 16 in all, the last by 2.
    channels: of each stage's output; the last is the latent's (M).
    depths: Swin blocks behind each stage but the last.
    heads: of their attention.
    stem: "conv" or "patch", what changes the scale.
    window: side of the attention's windows.
    ratio: width of the MLP in widths of its input.
    remat: compute the blocks again in the backward pass.
  """

  factors: tuple[int, ...]
  channels: tuple[int, ...]
  depths: tuple[int, ...]
  heads: tuple[int, ...]
  stem: str
  window: int = 8
  ratio: int = 4
  remat: bool = False

  @property
  def strides(self) -> tuple[int, ...]:
    """Pixels a position, behind each stage."""
    return tuple(int(stride) for stride in np.cumprod(self.factors))

  def check(self) -> None:
    """Raises a ValueError where the stages do not fit each other."""
    count = len(self.factors)
    if (len(self.channels), len(self.depths), len(self.heads)) != (
      count,
      count - 1,
      count - 1,
    ):
      raise ValueError(
        "channels must be as long as factors, depths and heads one shorter"
      )
    if self.strides[-1] != 16 or self.factors[-1] != 2:
      raise ValueError(f"factors {self.factors} must multiply to 16, and end 2")
    if self.stem not in ("conv", "patch"):
      raise ValueError(f"stem is {self.stem!r}; there are: conv, patch")
    if self.stem == "conv" and set(self.factors) != {2}:
      raise ValueError(f"a conv stem has factors of 2, not {self.factors}")


class SwinGroup(nn.Module):
  """A row of Swin blocks, plus its input.

  Attributes:
    depth: how many; the windows of every second one are moved.
    heads: of the attention.
    window: side of its windows.
    ratio: width of the MLP in widths of its input.
    remat: see `Stages`.
    dtype: of the products; None follows the input.
    precision: of the products; "highest" where coding depends on them.
  """

  depth: int
  heads: int
  window: int
  ratio: int = 4
  remat: bool = False
  dtype: jnp.dtype | None = None
  precision: Precision = None

  @nn.compact
  def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B H W C"]:
    """Mixes positions and channels."""
    block = nn.remat(SwinBlock) if self.remat else SwinBlock
    hidden = x
    for i in range(self.depth):
      hidden = block(
        self.heads,
        self.window,
        i % 2 * (self.window // 2),
        self.ratio,
        self.dtype,
        self.precision,
        name=f"block_{i}",
      )(hidden)
    return x + hidden


def _group(stages, stage, dtype):
  """What follows a change of scale; None where nothing does."""
  if stage < len(stages.depths) and stages.depths[stage]:
    return SwinGroup(
      stages.depths[stage],
      stages.heads[stage],
      stages.window,
      stages.ratio,
      stages.remat,
      dtype,
      name=f"group_{stage}",
    )
  if stages.stem == "patch":
    return DepthwiseBlock(dtype=dtype, name=f"block_{stage}")
  return None


class Analysis(nn.Module):
  """g_a.

  Attributes:
    stages: the scales.
    attend: whether the latent is multiplied by the mask attention.
    dtype: of all but the last stage; None follows the input.
  """

  stages: Stages
  attend: bool = True
  dtype: jnp.dtype | None = None

  @nn.compact
  def __call__(
    self, x: Float[Array, "B H W 3"], roi: Float[Array, "B H W 1"]
  ) -> Float[Array, "B h w M"]:
    """The latent y before the gain, stride 16."""
    stages, features = self.stages, x
    last = len(stages.factors) - 1
    for i in range(last):
      features = self._down(features, i, self.dtype)
      group = _group(stages, i, self.dtype)
      features = features if group is None else group(features)
    # bfloat16 loses integers above 256: what makes y is float32.
    y = self._down(features, last, FLOAT32)
    group = _group(stages, last, FLOAT32)
    y = y if group is None else group(y)
    if self.attend:
      y = LatentMaskAttention(FLOAT32, name="attention")(
        y, features, average_pool(roi, MASK_STRIDE)
      )
    return y

  def _down(self, x, stage, dtype):
    name, width = f"down_{stage}", self.stages.channels[stage]
    if self.stages.stem == "patch":
      x = space_to_depth(x, self.stages.factors[stage])
      return nn.Dense(width, dtype=dtype, name=name)(x)
    side = 3 if stage else 5
    return nn.Conv(
      width,
      (side, side),
      (2, 2),
      [(side // 2, side // 2)] * 2,
      dtype=dtype,
      name=name,
    )(x)


class Synthesis(nn.Module):
  """g_s, the mirror image of `Analysis` without the mask.

  Attributes:
    stages: the scales.
    dtype: of the computation; None follows the input.
  """

  stages: Stages
  dtype: jnp.dtype | None = None

  @property
  def reach(self) -> int:
    """How many pixels away a latent is seen.

    A block sees its window, so a plain and a moved one see a window and a
    half less one; a convolution of side k sees k // 2, one that doubles the
    scale half of that.
    """
    stages, total = self.stages, 0
    for i, stride in enumerate(stages.strides):
      depth = stages.depths[i] if i < len(stages.depths) else 0
      pairs, odd = divmod(depth, 2)
      seen = pairs * (3 * stages.window // 2 - 1) + odd * (stages.window - 1)
      if stages.stem == "patch":
        total += (seen or 1) * stride
      else:
        total += (seen + 1) * stride
    return total

  @nn.compact
  def __call__(
    self, y: Float[Array, "B h w M"], h: Float[Array, "B h w D"]
  ) -> Float[Array, "B H W 3"]:
    """x_hat from y_hat / gain; `h` is not used."""
    del h
    stages, x = self.stages, y
    widths = (3, *stages.channels[:-1])
    for i in reversed(range(len(stages.factors))):
      group = _group(stages, i, self.dtype)
      x = x if group is None else group(x)
      if stages.stem == "patch":
        factor = stages.factors[i]
        x = nn.Dense(widths[i] * factor**2, dtype=self.dtype, name=f"up_{i}")(x)
        x = depth_to_space(x, factor)
      else:
        x = TransposedConv(
          widths[i], 3 if i else 5, self.dtype, name=f"up_{i}"
        )(x)
    return x


class HyperStages(NamedTuple):
  """The hyper path's widths, at strides 16, 32 and 64.

  Attributes:
    channels: of every stage (N).
    depths: Swin blocks at strides 16 and 32.
    heads: of their attention.
    window: side of its windows.
    ratio: width of the MLP in widths of its input.
  """

  channels: int
  depths: tuple[int, int]
  heads: int = 16
  window: int = 4
  ratio: int = 4

  def check(self) -> None:
    """Raises a ValueError where there are not two depths."""
    if len(self.depths) != 2:
      raise ValueError(f"hyper.depths are {self.depths}: give two")

  def group(self, stage: int, precision: Precision = None) -> nn.Module:
    """The group at stride 16 (stage 0) or 32 (stage 1)."""
    return SwinGroup(
      self.depths[stage],
      self.heads,
      self.window,
      self.ratio,
      precision=precision,
      name=f"group_{stage}",
    )


class HyperAnalysis(nn.Module):
  """h_a: three convolutions, a group behind each of the first two; float32.

  Attributes:
    stages: its widths.
  """

  stages: HyperStages

  @nn.compact
  def __call__(
    self, features: Float[Array, "B h w D"]
  ) -> Float[Array, "B p q N"]:
    """The hyper-latent z from y; the map, the last channel, is not read."""
    x = features[..., :-1]
    for i, stride in enumerate((1, 2, 2)):
      x = nn.Conv(
        self.stages.channels,
        (3, 3),
        (stride, stride),
        ((1, 1), (1, 1)),
        name=f"conv_{i}",
      )(x)
      if i < 2:
        x = self.stages.group(i)(x)
    return x


class HyperSynthesis(nn.Module):
  """h_s, the mirror image of `HyperAnalysis`; full precision.

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
    for i in (1, 0):
      x = TransposedConv(
        self.stages.channels, precision="highest", name=f"up_{i}"
      )(x)
      x = self.stages.group(i, "highest")(x)
    return nn.Conv(self.features, (3, 3), precision="highest", name="out")(x)


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
  analysis = patchify.quieten(analysis, LAST)
  synthesis = patchify.quieten(synthesis, LAST)
  for i, depth in enumerate(stages.depths):
    if depth:
      # A group adds its blocks, which say nothing yet, to its input: twice it.
      analysis[f"down_{i + 1}"]["kernel"] *= 0.5
      synthesis[f"up_{i}"]["kernel"] *= 0.5
  if "attention" in analysis:
    # Its factor begins at a half.
    last = analysis[f"down_{len(stages.factors) - 1}"]
    last.update({name: 2 * leaf for name, leaf in last.items()})
  return {**params, "analysis": analysis, "synthesis": synthesis}, spread
