"""System D, "TLIC": the map gates the latent, the decoder knows nothing of it.

    x --trunk--> first channels, protected ------+
             --> the others * (RM + a) / (1 + a) + * gain --> y
    r --blur, mean of 16x16 pixels--> RM
    y, r --hyper_analysis--> z          z_hat --hyper_synthesis--> h
    h, five slices of y_hat --checkerboard, linear attention--> mean, scale
    y_hat / gain --trunk--> x_hat              (no mask, no inverse of the gate)

The protected channels tell the decoder of the background what the others no
longer do; they are the context's first slice. A row of gains for each rate,
its inverse one over the same row: qualities between are geometric means.

Its first stage of training minimises

    bpp + 255**2 lambda mean(r**2 (x - x_hat)**2)

with r the importance map, max(mask, background level), and lambda drawn with
the quality of each sample. The paper says of this stage no more than "MSE";
the weight r**2 is the kit's, so that a background level asks the same of all
systems. The encoder's RM is r itself, pooled.

Source: arXiv 2401.08154, the gate, gains and context; the trunk, the context's
layers and all widths are MLIC++'s (arXiv 2307.15421), which it simplifies.
Ours are a and the blur, on which it is silent, masks of any origin in place of
its saliency network's, and that the hyper-analysis sees the map.
"""

from typing import Any

import flax.linen as nn
from jaxtyping import Array, Float

from roijax.layers.gating import GatedAnalysis
from roijax.models.flow import Flow
from roijax.models.ggm import RegionalSynthesis, build_ggm
from roijax.models.trunks import patchify

# The encoder sees large photos in windows, which overlap by 128 pixels.
MOST_BLUR = 255


class BlindSynthesis(nn.Module):
  """The trunk alone: neither mask nor h tell it of the region.

  Attributes:
    trunk: y_hat / gain -> x_hat.
  """

  trunk: nn.Module

  def __call__(
    self, y: Float[Array, "B h w M"], h: Float[Array, "B h w D"]
  ) -> Float[Array, "B H W 3"]:
    """x_hat; h is not read."""
    del h
    return self.trunk(y)


def _fit(params: dict, images: Any):
  """See `Flow.fit`."""
  analysis, synthesis, spread = patchify.starting_point(
    params["analysis"]["trunk"], params["synthesis"]["trunk"], images
  )
  changes = {
    "analysis": {"trunk": analysis},
    "synthesis": {"trunk": synthesis},
  }
  return {**params, **changes}, spread


def _check(gate: GatedAnalysis, latent_channels: int) -> None:
  if not 0 <= gate.protected <= latent_channels:
    raise ValueError(
      f"gate.protected={gate.protected} must lie in 0 to latent_channels, "
      f"{latent_channels}"
    )
  if gate.floor < 0:
    raise ValueError(f"gate.floor={gate.floor:g} must not be below 0")
  if gate.blur and not (gate.blur % 2 and 0 < gate.blur <= MOST_BLUR):
    raise ValueError(
      f"gate.blur={gate.blur} must be odd and at most {MOST_BLUR}, or 0"
    )


def build_tlic(
  *,
  gate: dict,
  latent_channels: int,
  dtype: str = "float32",
  context: str = "linear_attention",
  **arguments,
) -> Flow:
  """Builds the system; every argument is a key of `config.model`.

  Args:
    gate: keywords of `GatedAnalysis` beside its trunk.
    latent_channels: channels of y (M).
    dtype: see `ggm.build_ggm`.
    context: likewise.
    **arguments: all others of `ggm.build_ggm` but `mgfe`; `rounds_context`
      too, see `Flow`.

  Returns:
    The flow.

  Raises:
    ValueError: sizes that do not fit each other.
    TypeError: an unknown keyword.
  """
  flow = build_ggm(
    latent_channels=latent_channels,
    mgfe=None,
    dtype=dtype,
    context=context,
    **arguments,
  )
  analysis = GatedAnalysis(flow.analysis, **gate)
  _check(analysis, latent_channels)
  regional = flow.synthesis
  assert isinstance(regional, RegionalSynthesis)
  changes: dict[str, Any] = {
    "analysis": analysis,
    "synthesis": BlindSynthesis(regional.trunk),
  }
  if flow.fit is not None:
    changes["fit"] = _fit
  return flow.clone(**changes)
