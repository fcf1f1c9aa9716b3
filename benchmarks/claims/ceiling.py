"""How many bits a Gaussian prior can have lost: what no other can exceed.

Where latents follow a generalized Gaussian, the best Gaussian loses a known
number of bits on each (`metrics.sharpness.gaussian_excess`). Two answers to
which one they follow:

  fitted      one shape for each range of deviations, fitted to the residuals
              of the Gaussian arm. Shapes that differ within a range are
              averaged before, so this is a little low.
  predicted   the shape and deviation that the fitted GGM-e states for each
              latent, taken at its word.
"""

import itertools

import numpy as np

from benchmarks.claims.refit import Charge
from roijax.coding.grid import SHAPE_MAX, SHAPE_MIN
from roijax.metrics.sharpness import fit_shape, gaussian_excess

# Edges of the predicted deviation, between which residuals are alike enough.
SCALE_EDGES = (0, 0.15, 0.2, 0.3, 0.45, 0.7, 1, 1.5, 2.5, 4, 8, np.inf)
FIT_SAMPLES = 200_000
# Where the mean may lie between two integers; the other half mirrors this.
OFFSETS = (0.0, 0.125, 0.25, 0.375, 0.5)
SHAPE_CELLS = np.geomspace(SHAPE_MIN, SHAPE_MAX, 16)
# Beyond the last deviation the loss no longer depends on it.
SCALE_CELLS = np.geomspace(0.04, 40, 28)


def mean_excess(shape: float, deviation: float) -> float:
  """Bits that a Gaussian loses on a latent, over places of the mean."""
  return float(
    np.mean([gaussian_excess(shape, deviation, u)[0] for u in OFFSETS])
  )


def find_fitted_ceiling(charged: Charge) -> tuple[float, list[dict]]:
  """Bits that the Gaussian arm can have lost, by shapes fitted to it.

  Args:
    charged: by the fitted Gaussian.

  Returns:
    The bits, over all latents, and a row for every range of deviations.
  """
  rows, lost = [], 0.0
  draw = np.random.default_rng(0)
  for low, high in itertools.pairwise(SCALE_EDGES):
    chosen = (charged.scale >= low) & (charged.scale < high)
    if chosen.sum() < 1000:
      continue
    residual = charged.residual[chosen]
    some = draw.choice(residual, min(residual.size, FIT_SAMPLES), replace=False)
    deviation = float(np.sqrt(np.mean(np.square(residual))))
    shape = fit_shape(some)
    excess = mean_excess(shape, deviation)
    lost += excess * residual.size
    rows.append(
      {
        "deviation": f"{low:g} to {high:g}",
        "latents": residual.size / charged.scale.size,
        "measured deviation": deviation,
        "fitted shape": shape,
        "bits lost by a Gaussian": excess,
      }
    )
  return lost, rows


def find_predicted_ceiling(charged: Charge) -> float:
  """Bits that a Gaussian would lose if a GGM-e were right about every latent.

  Args:
    charged: by the fitted GGM-e.
  """
  place = [
    np.clip(np.round(_position(values, cells)), 0, len(cells) - 1).astype(int)
    for values, cells in (
      (charged.shape, SHAPE_CELLS),
      (charged.scale, SCALE_CELLS),
    )
  ]
  cells = np.ravel_multi_index(place, (len(SHAPE_CELLS), len(SCALE_CELLS)))
  counts = np.bincount(
    cells.ravel(), minlength=SHAPE_CELLS.size * SCALE_CELLS.size
  )
  lost = 0.0
  for cell in np.flatnonzero(counts):
    shape, scale = divmod(int(cell), len(SCALE_CELLS))
    each = mean_excess(float(SHAPE_CELLS[shape]), float(SCALE_CELLS[scale]))
    lost += each * int(counts[cell])
  return lost


def _position(values: np.ndarray, cells: np.ndarray) -> np.ndarray:
  """Where values lie among cells that are evenly spaced in the logarithm."""
  return np.log(values / cells[0]) / np.log(cells[1] / cells[0])
