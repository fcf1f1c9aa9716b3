"""System A, "GGM": unified ROI compression with a generalized Gaussian.

    x, roi --trunk, MGFE after every stage--> * gain --> y
    y, roi --hyper_analysis--> z        z_hat --hyper_synthesis--> h
    h, slices of y_hat --checkerboard--> mean, scale, shape  (GGM-e)
    y_hat / gain * exp(w . h) --trunk--> x_hat               (no mask)

The encoder alone sees the importance map. Where it attenuates a region, the
step there is coarser in proportion; z carries how much, and the decoder
undoes it with a factor read off h.

Source: arXiv 2602.01325. Its network is not public: the trunk, MGFE
(arXiv 2511.08918), the checkerboard slices and the decoder's factor are our
choices.
"""

import functools
import math
from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from roijax.layers.mgfe import (
  MGFE,
  FrequencySpatialAttention,
  RegionAdaptiveAttention,
)
from roijax.models.assembly import assemble
from roijax.models.flow import Flow
from roijax.models.trunks import patchify, residual_gdn

# Pixels on a side of a latent.
STRIDE = 16


class RegionalSynthesis(nn.Module):
  """Restores each region's size from h, then runs the trunk.

  Attributes:
    trunk: y_hat / gain -> x_hat.
    channels: latent channels (M).
  """

  trunk: nn.Module
  channels: int

  @nn.compact
  def __call__(
    self, y: Float[Array, "B h w M"], h: Float[Array, "B h w D"]
  ) -> Float[Array, "B H W 3"]:
    """x_hat, without the mask; the factor is one at the start."""
    logits = nn.Dense(
      self.channels, kernel_init=nn.initializers.zeros, name="restore"
    )(h)
    return self.trunk(y * jnp.exp(jnp.clip(logits, -5.0, 5.0)))


def _patchify(
  condition,
  latent_channels,
  dtype,
  *,
  channels,
  blocks,
  factors=patchify.FACTORS,
  skip=False,
):
  widths = (*channels, latent_channels)
  blocks, factors = tuple(blocks), tuple(factors)
  if not len(widths) == len(blocks) == len(factors):
    raise ValueError(
      f"a patchify trunk of factors {factors} needs {len(factors) - 1} "
      f"channels and {len(factors)} blocks, not {tuple(channels)} and {blocks}"
    )
  if math.prod(factors) != STRIDE:
    raise ValueError(f"trunk.factors {factors} must multiply to {STRIDE}")
  return (
    patchify.Analysis(widths, blocks, condition, dtype, factors, skip),
    patchify.Synthesis(widths, blocks, dtype, factors, skip),
  )


def _residual_gdn(condition, latent_channels, dtype, *, channels):
  return (
    residual_gdn.Analysis(channels, latent_channels, condition, dtype),
    residual_gdn.Synthesis(channels, latent_channels, dtype),
  )


def _make_condition(mgfe: dict | None) -> Callable[..., nn.Module] | None:
  """What makes the enhancement after a stage.

  Linen reads keywords when a model first runs; a misspelled one is to be told
  when the model is built.
  """
  if mgfe is None:
    return None
  made = MGFE(**mgfe)
  RegionAdaptiveAttention(**(made.attention or {}))
  FrequencySpatialAttention(**(made.collaboration or {}))
  return functools.partial(MGFE, **mgfe)


def _attenuation(mgfe: dict | None) -> float:
  """What the enhancement of each stage multiplies by at the start."""
  attention = (mgfe or {}).get("attention")
  if attention is None:
    return 1.0
  made = RegionAdaptiveAttention(**attention)
  return made.start + made.residual


def _fit_patchify(attenuation, factors, params, images):
  """See `Flow.fit`."""
  synthesis = params["synthesis"]
  analysis, trunk, spread = patchify.starting_point(
    params["analysis"], synthesis["trunk"], images, attenuation, factors
  )
  synthesis = {**synthesis, "trunk": trunk}
  return {**params, "analysis": analysis, "synthesis": synthesis}, spread


TRUNKS = {"patchify": _patchify, "residual_gdn": _residual_gdn}
HYPERS = {"depthwise": patchify, "convolutional": residual_gdn}


def build_ggm(
  *,
  trunk: dict,
  latent_channels: int,
  hyper: str,
  hyper_channels: int,
  hyper_features: int,
  mgfe: dict | None,
  dtype: str = "float32",
  context: str = "checkerboard",
  **shared,
) -> Flow:
  """Builds the system; every argument is a key of `config.model`.

  Args:
    trunk: {"name": a key of `TRUNKS`, ...its widths}.
    latent_channels: channels of y (M).
    hyper: a key of `HYPERS`.
    hyper_channels: channels of z (N).
    hyper_features: channels of h.
    mgfe: keywords of `MGFE`, or None for an encoder blind to the map.
    dtype: of the transforms, "float32" or "bfloat16".
    context: a key of `contexts.CONTEXTS`.
    **shared: slices, context_hidden, prior and lmbdas, see `assemble`.

  Returns:
    The flow.

  Raises:
    ValueError: sizes that do not fit each other.
    TypeError: an unknown keyword.
  """
  compute = jnp.dtype(dtype)
  widths = dict(trunk)
  analysis, synthesis = TRUNKS[widths.pop("name")](
    _make_condition(mgfe), latent_channels, compute, **widths
  )
  fit = None
  if isinstance(analysis, patchify.Analysis):
    fit = functools.partial(_fit_patchify, _attenuation(mgfe), analysis.factors)
  hypers = HYPERS[hyper]
  return assemble(
    analysis=analysis,
    synthesis=RegionalSynthesis(synthesis, latent_channels),
    hyper_analysis=hypers.HyperAnalysis(hyper_channels),
    hyper_synthesis=hypers.HyperSynthesis(
      hyper_channels if hyper == "depthwise" else latent_channels,
      hyper_features,
    ),
    hyper_channels=hyper_channels,
    latent_channels=latent_channels,
    reach=synthesis.reach,
    context=context,
    fit=fit,
    **shared,
  )
