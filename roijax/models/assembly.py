"""Transforms and an entropy model, put together: where every builder ends."""

from collections.abc import Callable, Sequence

import flax.linen as nn

from roijax.entropy.factorized import FactorizedPrior
from roijax.entropy.priors import Prior, check_prior
from roijax.layers.gain import Gain
from roijax.models.contexts import Hidden, build_context
from roijax.models.flow import Flow

# Photos larger than a window of coding are transformed in several, which
# overlap by this many cells of 64 pixels at most, each way. Through all its
# layers a network of the papers' sizes sees a little further.
MOST_HALO = 4


def assemble(
  *,
  analysis: nn.Module,
  synthesis: nn.Module,
  hyper_analysis: nn.Module,
  hyper_synthesis: nn.Module,
  hyper_channels: int,
  latent_channels: int,
  reach: int,
  slices: Sequence[int],
  context: str,
  context_hidden: Hidden,
  prior: dict,
  lmbdas: Sequence[float],
  fit: Callable | None = None,
  rounds_context: bool = False,
  rounds_rate: bool = False,
) -> Flow:
  """A flow of a system's own transforms and of the parts that all share.

  Args:
    analysis: see `Flow`.
    synthesis: see `Flow`.
    hyper_analysis: see `Flow`.
    hyper_synthesis: see `Flow`.
    hyper_channels: channels of z (N).
    latent_channels: channels of y (M).
    reach: pixels around a pixel of x_hat that it depends on, each way.
    slices: channels of each slice of the context, which sum to M; a single
      one where the context codes all channels at once.
    context: a key of `contexts.CONTEXTS`.
    context_hidden: width inside the context, or widths.
    prior: keywords of `Prior`.
    lmbdas: the trade-off of each rate, ascending; quality i is rate i.
    fit: see `Flow`.
    rounds_context: see `Flow`.
    rounds_rate: see `Flow`.

  Returns:
    The flow.

  Raises:
    ValueError: sizes that do not fit each other, an unknown prior or context.
    TypeError: an unknown keyword of the prior.
  """
  if sum(slices) != latent_channels:
    raise ValueError(
      f"slices {tuple(slices)} sum to {sum(slices)}, but the latent has "
      f"{latent_channels} channels"
    )
  the_prior = Prior(channels=latent_channels, **prior)
  check_prior(the_prior)
  return Flow(
    analysis=analysis,
    synthesis=synthesis,
    hyper_analysis=hyper_analysis,
    hyper_synthesis=hyper_synthesis,
    context=build_context(context, slices, the_prior.outputs, context_hidden),
    prior=the_prior,
    z_prior=FactorizedPrior(hyper_channels),
    gain=Gain(latent_channels, tuple(lmbdas)),
    latent_channels=latent_channels,
    halo=min(-(-reach // Flow.STRIDE), MOST_HALO),
    fit=fit,
    rounds_context=rounds_context,
    rounds_rate=rounds_rate,
  )
