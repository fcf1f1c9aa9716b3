"""LPIPS of decoded photos, where its weights are at hand.

Photos are looked at whole, at their own size; nearer to 0 is more alike.

Source: Zhang et al., CVPR 2018 (arXiv 1801.03924), version 0.1 with VGG-16.
"""

import os
from collections.abc import Callable, Sequence
from typing import cast

import jax
import jax.numpy as jnp
import numpy as np

from roijax.losses.perceptual import lpips
from roijax.models.vgg import VGG16, WIDTHS
from roijax.weights.perceptual import load_perceptual


def make_lpips(
  path: str | os.PathLike, widths: Sequence[int] = WIDTHS
) -> Callable[[np.ndarray, np.ndarray], float]:
  """Loads the weights, and gives what measures two photos, uint8 [H, W, 3].

  Args:
    path: what `roijax weights perceptual` made.
    widths: of VGG-16's blocks; others than the published ones in tests.

  Raises:
    CheckpointError: missing, damaged or of another kind.
  """
  weights = load_perceptual(path, widths)
  params = jax.device_put({"vgg": weights.vgg, "heads": weights.heads})
  model = VGG16(tuple(widths))

  @jax.jit
  def program(params, x, x_hat):
    variables = {"params": params["vgg"]}
    one, other = (
      cast(list, model.apply(variables, image.astype(jnp.float32) / 255))
      for image in (x, x_hat)
    )
    return lpips(one, other, params["heads"])[0]

  return lambda x, x_hat: float(program(params, x[None], x_hat[None]))
