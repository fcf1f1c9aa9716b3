"""System B, "implicit": the encoder shifts bits, two decoders share a photo.

    x, roi --trunk, MGFE after every stage--> * gain --> y
    y, roi --hyper_analysis--> z        z_hat --hyper_synthesis--> h
    h, slices of y_hat --checkerboard--> mean, scale  (Gaussian)
    y_hat / gain, h --trunk--> x_f  foreground ---+
                    --trunk--> x_b  background --+|
    mask m, as the file has it --bilinear--> m x_f + (1 - m) x_b = x_hat

Encoder, entropy model and trunks are system A's, so that the two differ in
the prior and in the decoder alone. The loss is

    bpp + 255**2 lambda_f mean(r**2 [m (x - x_f)**2 + (1 - m) (x - x_b)**2])

with r the importance map: where its edges are the mask's, lambda_f mean(m ...)
+ lambda_b mean((1 - m) ...), lambda_b / lambda_f the background level squared.
m is what the decoder composites by: both decoders learn all of its soft band.

Source: arXiv 2511.08918 for implicit allocation, MGFE and the two decoders.
Ours are the trunk, a mask of 16 or 8 pixels a cell that the file carries, and
the head that predicts it from y_hat instead. Explicit gating is what the paper
argues against.
"""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from roijax.coding.mask import FOREGROUND
from roijax.layers.gating import GatedAnalysis
from roijax.models.flow import Flow, Layers, Mask
from roijax.models.ggm import RegionalSynthesis, build_ggm
from roijax.ops.resample import depth_to_space, upsample_bilinear

COMPOSITES = ("mask", "predicted", "none")
GATINGS = ("implicit", "explicit")
STRIDE = 16


class MaskHead(nn.Module):
  """Predicts the mask from y_hat.

  Attributes:
    stride: pixels on a side of the mask's cells, 16 or 8.
    hidden: channels between the two convolutions.
  """

  stride: int
  hidden: int = 32

  @nn.compact
  def __call__(self, y: Float[Array, "B h w M"]) -> Float[Array, "B p q 1"]:
    """Logits of "lies in the region"; zero at the start."""
    block = STRIDE // self.stride
    x = nn.gelu(nn.Conv(self.hidden, (3, 3), name="in")(y))
    x = nn.Conv(
      block**2, (3, 3), kernel_init=nn.initializers.zeros, name="out"
    )(x)
    return depth_to_space(x, block)


class DualSynthesis(nn.Module):
  """Two decoders of one latent.

  Attributes:
    foreground: (y_hat / gain, h) -> x_f.
    background: likewise x_b.
    stride: pixels on a side of the mask's cells.
    head: predicts the mask, where none is given; or None.
  """

  foreground: nn.Module
  background: nn.Module
  stride: int
  head: nn.Module | None = None

  def __call__(
    self,
    y: Float[Array, "B h w M"],
    h: Float[Array, "B h w D"],
    mask: Mask = None,
  ) -> Any:
    """What both decoders make of a latent.

    Args:
      y: y_hat / gain.
      h: what `hyper_synthesis` gave.
      mask: see `Flow.synthesise`; without effect where a head predicts it.

    Returns:
      `Layers`; where one decoder serves all pixels, its x_hat.
    """
    logits = None
    if self.head is not None:
      logits = self.head(y)
      mask = nn.sigmoid(logits)
    if mask is None or isinstance(mask, str):
      one = self.foreground if mask in (None, FOREGROUND) else self.background
      return one(y, h).astype(jnp.float32)
    return Layers(
      self.foreground(y, h).astype(jnp.float32),
      self.background(y, h).astype(jnp.float32),
      upsample_bilinear(mask, self.stride),
      logits,
    )


def _fit_both(fit: Callable, gated: bool, dual: bool, params: dict, images):
  """See `Flow.fit`: both decoders start as the single one would."""
  analysis, synthesis = params["analysis"], params["synthesis"]
  one = {
    **params,
    "analysis": analysis["trunk"] if gated else analysis,
    "synthesis": synthesis["foreground"] if dual else synthesis,
  }
  found, spread = fit(one, images)
  analysis, start = found["analysis"], found["synthesis"]
  if dual:
    # Buffers of its own: a training step gives all of them away.
    again = jax.tree.map(jnp.array, start)
    both = {"foreground": start, "background": again}
    start = {**synthesis, **both}
  analysis = {"trunk": analysis} if gated else analysis
  return {**found, "analysis": analysis, "synthesis": start}, spread


def _check(composite: str, gating: str, mask_stride: int) -> None:
  for name, value, known in (
    ("composite", composite, COMPOSITES),
    ("gating", gating, GATINGS),
    ("mask_stride", mask_stride, (16, 8)),
  ):
    if value not in known:
      choices = ", ".join(map(str, known))
      raise ValueError(f"{name}={value!r}: there are {choices}")


def build_implicit(
  *,
  mgfe: dict,
  composite: str = "mask",
  gating: str = "implicit",
  raa: bool = True,
  fsca: bool = True,
  mask_stride: int = 16,
  dtype: str = "float32",
  context: str = "checkerboard",
  **arguments,
) -> Flow:
  """Builds the system; every argument is a key of `config.model`.

  Args:
    mgfe: keywords of `MGFE`.
    composite: "mask": two decoders, the file carries the mask; "predicted":
      two decoders, a head predicts the mask; "none": a single decoder.
    gating: "implicit": MGFE in the encoder; "explicit": no MGFE, y times the
      importance map.
    raa: False takes region-adaptive attention out of MGFE.
    fsca: False takes frequency-spatial attention out of MGFE.
    mask_stride: pixels on a side of the mask's cells, 16 or 8.
    dtype: see `ggm.build_ggm`.
    context: likewise.
    **arguments: all others of `ggm.build_ggm`.

  Returns:
    The flow.

  Raises:
    ValueError: an unknown choice, or sizes that do not fit each other.
    TypeError: an unknown keyword.
  """
  _check(composite, gating, mask_stride)
  gated, dual = gating == "explicit", composite != "none"
  enhance = {
    **mgfe,
    "attention": mgfe["attention"] if raa else None,
    "collaboration": mgfe["collaboration"] if fsca else None,
  }
  flow = build_ggm(
    mgfe=None if gated else enhance, dtype=dtype, context=context, **arguments
  )
  changes: dict[str, Any] = {}
  if gated:
    changes["analysis"] = GatedAnalysis(flow.analysis)
  if dual:
    foreground = flow.synthesis
    assert isinstance(foreground, RegionalSynthesis)
    # A trunk of its own: a module that is given twice shares its parameters.
    background = foreground.clone(trunk=foreground.trunk.clone())
    head = MaskHead(mask_stride) if composite == "predicted" else None
    changes |= {
      "synthesis": DualSynthesis(foreground, background, mask_stride, head),
      "mask_stride": mask_stride,
      "mask_in_file": head is None,
    }
  if flow.fit is not None:
    changes["fit"] = functools.partial(_fit_both, flow.fit, gated, dual)
  return flow.clone(**changes)
