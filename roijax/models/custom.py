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

import jax.numpy as jnp

from roijax.models.assembly import assemble
from roijax.models.flow import Flow
from roijax.models.trunks import tic


def build_custom(
  *,
  stages: dict,
  hyper: dict,
  hyper_features: int,
  dtype: str = "float32",
  attend: bool = True,
  **shared,
) -> Flow:
  """Builds the system; every argument is a key of `config.model`.

  Args:
    stages: keywords of `tic.Stages`.
    hyper: keywords of `tic.HyperStages`.
    hyper_features: channels of h; 2M in the paper.
    dtype: of the transforms, "float32" or "bfloat16".
    attend: False takes the mask attention away: TIC, blind to the map.
    **shared: slices, context, context_hidden, prior and lmbdas, see
      `assemble`.

  Returns:
    The flow.

  Raises:
    ValueError: sizes that do not fit each other.
    TypeError: an unknown keyword.
  """
  scales = tic.Stages(**stages)
  scales.check()
  hypers = tic.HyperStages(**hyper)
  hypers.check()
  compute = jnp.dtype(dtype)
  synthesis = tic.Synthesis(scales, compute)
  fit = None
  if scales.stem == "patch":
    fit = functools.partial(tic.fit_start, scales)
  return assemble(
    analysis=tic.Analysis(scales, attend, compute),
    synthesis=synthesis,
    hyper_analysis=tic.HyperAnalysis(hypers),
    hyper_synthesis=tic.HyperSynthesis(hypers, hyper_features),
    hyper_channels=hypers.channels,
    latent_channels=scales.channels[-1],
    reach=synthesis.reach,
    fit=fit,
    **shared,
  )
