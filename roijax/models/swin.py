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

import jax.numpy as jnp

from roijax.models.assembly import assemble
from roijax.models.flow import Flow
from roijax.models.trunks import st_gdn


def build_swin(
  *,
  stages: dict,
  region: dict,
  hyper: dict,
  hyper_features: int,
  dtype: str = "float32",
  use_region: bool = True,
  **shared,
) -> Flow:
  """Builds the system; every argument is a key of `config.model`.

  Args:
    stages: keywords of `st_gdn.Stages`.
    region: keywords of `st_gdn.Region`.
    hyper: keywords of `st_gdn.HyperStages`.
    hyper_features: channels of h.
    dtype: of the transforms, "float32" or "bfloat16".
    use_region: False takes the region's path away: what is left of it is a
      loss (the paper's ablation).
    **shared: slices, context, context_hidden, prior and lmbdas, see
      `assemble`.

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
  hypers = st_gdn.HyperStages(**hyper)
  hypers.check()
  compute = jnp.dtype(dtype)
  synthesis = st_gdn.Synthesis(scales, path, compute)
  fit = None
  if scales.stem == "patch":
    fit = functools.partial(st_gdn.fit_start, scales)
  return assemble(
    analysis=st_gdn.Analysis(scales, path, compute),
    synthesis=synthesis,
    hyper_analysis=st_gdn.HyperAnalysis(hypers, path),
    hyper_synthesis=st_gdn.HyperSynthesis(hypers, hyper_features),
    hyper_channels=hypers.channels,
    latent_channels=scales.channels[-1],
    reach=synthesis.reach,
    fit=fit,
    **shared,
  )
