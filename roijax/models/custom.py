"""System C, "customizable ROI": the mask acts on the latent, as users ask.

    x --convolutions, Swin groups--> u --> y0
    u, r --latent mask attention--> A in (-1/2, 3/2);   y0 * A * gain --> y
    y --Swin groups--> z                        z_hat --Swin groups--> h
    h, causal attention over y_hat --> mean, scale  (Gaussian)
    y_hat / gain --Swin groups, transposed convolutions--> x_hat    (no mask)

The map is r = 1 where the region is and sigma elsewhere; the loss weighs errors
by r**2. sigma is `--background`, for whoever compresses to choose; where the
mask comes from, a phrase for instance, is no matter of the network.

Source: arXiv 2507.00373 and its published code; its trunk is TIC (arXiv
2111.06707). Ours are gain units, sigma drawn in training, and the stem of
patches.
"""

import functools
from collections.abc import Sequence

import jax.numpy as jnp

from roijax.entropy.factorized import FactorizedPrior
from roijax.entropy.priors import Prior, check_prior
from roijax.layers.gain import Gain
from roijax.models.contexts import build_context
from roijax.models.flow import Flow
from roijax.models.trunks import tic

# See `models.swin`: a full network sees further than tiles overlap.
MOST_HALO = 4


def build_custom(
  *,
  stages: dict,
  hyper: dict,
  hyper_features: int,
  slices: Sequence[int],
  context: str,
  context_hidden: int | Sequence[int],
  prior: dict,
  lmbdas: Sequence[float],
  dtype: str = "float32",
  attend: bool = True,
) -> Flow:
  """Builds the system; every argument is a key of `config.model`.

  Args:
    stages: keywords of `tic.Stages`.
    hyper: keywords of `tic.HyperStages`.
    hyper_features: channels of h; 2M in the paper.
    slices: channels of each slice of the context; a single one where the
      context codes all channels at once.
    context: a key of `contexts.CONTEXTS`.
    context_hidden: width inside the context; two of them for "attention".
    prior: keywords of `Prior`.
    lmbdas: the trade-off of each rate, ascending; quality i is rate i.
    dtype: of the transforms, "float32" or "bfloat16".
    attend: False takes the mask attention away: TIC, blind to the map.

  Returns:
    The flow.

  Raises:
    ValueError: sizes that do not fit each other.
    TypeError: an unknown keyword.
  """
  scales = tic.Stages(**stages)
  scales.check()
  latent_channels = scales.channels[-1]
  if sum(slices) != latent_channels:
    raise ValueError(
      f"slices {tuple(slices)} sum to {sum(slices)}, the last of "
      f"stages.channels is {latent_channels}"
    )
  hypers = tic.HyperStages(**hyper)
  hypers.check()
  the_prior = Prior(channels=latent_channels, **prior)
  check_prior(the_prior)
  compute = jnp.dtype(dtype)
  synthesis = tic.Synthesis(scales, compute)
  fit = None
  if scales.stem == "patch":
    fit = functools.partial(tic.fit_start, scales)
  return Flow(
    analysis=tic.Analysis(scales, attend, compute),
    synthesis=synthesis,
    hyper_analysis=tic.HyperAnalysis(hypers),
    hyper_synthesis=tic.HyperSynthesis(hypers, hyper_features),
    context=build_context(context, slices, the_prior.outputs, context_hidden),
    prior=the_prior,
    z_prior=FactorizedPrior(hypers.channels),
    gain=Gain(latent_channels, tuple(lmbdas)),
    latent_channels=latent_channels,
    halo=min(-(-synthesis.reach // Flow.STRIDE), MOST_HALO),
    fit=fit,
  )
