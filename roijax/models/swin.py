"""System E, "SwinROI": Swin transformers, GDN and feature transforms.

    x, roi --[Swin pair, GDN, SFT] a scale--> * gain --> y
    y, roi --[Swin pair, SFT] a scale--> z      z_hat --Swin pairs--> h
    h, causal attention over y_hat --> mean, scale  (Gaussian)
    y_hat / gain, h --SFT, [Swin pair, IGDN, SFT] a scale--> x_hat  (no map)

The encoder reads the map's logarithm u, by which the loss's weights are
powers: lmbda_i = alpha exp(omega u_i). What it tells of the region travels in
z_hat alone.

Source: arXiv 2305.07783, whose layers are not public: see `trunks.st_gdn` for
them, `layers.causal_attention` for the context; the ancestor of the region's
path is Song et al. 2021 (arXiv 2108.09551).
"""

import functools
from collections.abc import Sequence

import jax.numpy as jnp

from roijax.entropy.factorized import FactorizedPrior
from roijax.entropy.priors import Prior, check_prior
from roijax.layers.gain import Gain
from roijax.models.contexts import build_context
from roijax.models.flow import Flow
from roijax.models.trunks import st_gdn

# Photos larger than a window of coding are transformed in several, which
# overlap by this many cells of 64 pixels at most, each way. Through all its
# layers the paper-sized network sees a little further.
MOST_HALO = 4


def build_swin(
  *,
  stages: dict,
  region: dict,
  hyper: dict,
  hyper_features: int,
  slices: Sequence[int],
  context: str,
  context_hidden: int | Sequence[int],
  prior: dict,
  lmbdas: Sequence[float],
  dtype: str = "float32",
  use_region: bool = True,
) -> Flow:
  """Builds the system; every argument is a key of `config.model`.

  Args:
    stages: keywords of `st_gdn.Stages`.
    region: keywords of `st_gdn.Region`.
    hyper: keywords of `st_gdn.HyperStages`.
    hyper_features: channels of h.
    slices: channels of each slice of the context; a single one where the
      context codes all channels at once.
    context: a key of `contexts.CONTEXTS`.
    context_hidden: width inside the context; two of them for "attention".
    prior: keywords of `Prior`.
    lmbdas: the trade-off of each rate, ascending; quality i is rate i.
    dtype: of the transforms, "float32" or "bfloat16".
    use_region: False takes the region's path away: what is left of it is a
      loss (the paper's ablation).

  Returns:
    The flow.

  Raises:
    ValueError: sizes that do not fit each other.
    TypeError: an unknown keyword.
  """
  scales = st_gdn.Stages(**stages)
  scales.check()
  area = st_gdn.Region(**region)
  area.check()
  path = area if use_region else None
  latent_channels = scales.channels[-1]
  if sum(slices) != latent_channels:
    raise ValueError(
      f"slices {tuple(slices)} sum to {sum(slices)}, the last of "
      f"stages.channels is {latent_channels}"
    )
  hypers = st_gdn.HyperStages(**hyper)
  hypers.check()
  the_prior = Prior(channels=latent_channels, **prior)
  check_prior(the_prior)
  compute = jnp.dtype(dtype)
  synthesis = st_gdn.Synthesis(scales, path, compute)
  fit = None
  if scales.stem == "patch":
    fit = functools.partial(st_gdn.fit_start, scales)
  return Flow(
    analysis=st_gdn.Analysis(scales, path, compute),
    synthesis=synthesis,
    hyper_analysis=st_gdn.HyperAnalysis(hypers, path),
    hyper_synthesis=st_gdn.HyperSynthesis(hypers, hyper_features),
    context=build_context(context, slices, the_prior.outputs, context_hidden),
    prior=the_prior,
    z_prior=FactorizedPrior(hypers.channels),
    gain=Gain(latent_channels, tuple(lmbdas)),
    latent_channels=latent_channels,
    halo=min(-(-synthesis.reach // Flow.STRIDE), MOST_HALO),
    fit=fit,
  )
