"""How wrong the shape's gradient is at each step of the finite difference."""

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.claims.refit import Charge
from roijax.entropy.generalized_gaussian import generalized_gaussian_bits

LATENTS = 1_000_000
REFERENCE = {"gradient": "exact"}


def measure_errors(
  charged: Charge, arms: dict[str, dict]
) -> list[dict[str, object]]:
  """Errors of each arm's gradient in the shape, on latents as training sees.

  Args:
    charged: by a fitted GGM-e; noise is added to its residuals.
    arms: options of `Prior` by name; `gradient` and `step` are used.

  Returns:
    A row an arm: root mean square and largest error, both relative to the
    root mean square of the exact gradient, and the mean error (a bias).
  """
  draw = np.random.default_rng(0)
  count = min(LATENTS, charged.residual.size)
  chosen = draw.choice(charged.residual.size, count, replace=False)
  x, scale, shape = (
    jnp.asarray(values.reshape(-1)[chosen])
    for values in (charged.residual, charged.scale, charged.shape)
  )
  x += jnp.asarray(draw.uniform(-0.5, 0.5, x.shape), jnp.float32)

  def differentiate(options: dict) -> np.ndarray:
    known = {k: options[k] for k in ("gradient", "step") if k in options}
    gradient = jax.grad(
      lambda s: jnp.sum(generalized_gaussian_bits(x, 0.0, scale, s, **known))
    )
    return np.asarray(jax.jit(gradient)(shape), np.float64)

  exact = differentiate(REFERENCE)
  size = np.sqrt(np.mean(exact**2))
  rows = []
  for arm, options in arms.items():
    error = differentiate(options) - exact
    rows.append(
      {
        "arm": arm,
        "rms error": float(np.sqrt(np.mean(error**2)) / size),
        "largest error": float(np.abs(error).max() / size),
        "bias": float(error.mean() / size),
      }
    )
  return rows
