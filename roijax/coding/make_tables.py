"""Makes the generalized Gaussian's tables, once for a format version.

  python -m roijax.coding.make_tables [--output FILE]

The file is committed and is what coders read: SciPy's last digits differ
between machines and versions, so tables made anew may differ by one count.
"""

import argparse
import io
import pathlib

import numpy as np
from scipy import special

from roijax.coding import escape, grid
from roijax.coding.tables import TOTAL, apportion, class_bits

MAX_SUPPORT = 1023
"""The largest integer that a table covers; see `choose_support`."""


def bin_masses(shape: float, scale: float) -> tuple[np.ndarray, np.ndarray]:
  """Masses of a zero-mean generalized Gaussian in unit bins.

  Args:
    shape: the exponent (beta).
    scale: the standard deviation.

  Returns:
    Two float64 arrays over k = 0 ... n, where less than 1e-12 lies beyond n:
    the mass of the bin [k - 1/2, k + 1/2], and of everything above k + 1/2.
  """
  alpha = scale * float(grid.alpha_per_scale(shape))
  far = alpha * special.gammainccinv(1 / shape, 1e-12) ** (1 / shape)
  edges = np.arange(np.ceil(far) + 2) + 0.5
  powers = (edges / alpha) ** shape
  above = 0.5 * special.gammaincc(1 / shape, powers)
  middle = special.gammainc(1 / shape, powers[0])
  return np.append(middle, above[:-1] - above[1:]), above


def fold(mass: np.ndarray, above: np.ndarray, support: int) -> np.ndarray:
  """Integer frequencies of one side of a symmetric table.

  Args:
    mass: bin masses, see `bin_masses`.
    above: masses beyond each bin.
    support: the largest covered integer, >= 1.

  Returns:
    int64 [support + 2]: half the frequency of 0, the frequencies of
    1 ... support, half the frequency of the escape; together 32768.
  """
  sides = mass[1 : support + 1]
  return apportion(
    np.concatenate([mass[:1] / 2, sides, above[support : support + 1]]),
    TOTAL // 2,
  )


def expected_bits(mass: np.ndarray, above: np.ndarray, support: int) -> float:
  """Mean cost in bits of a symbol under its folded table and escapes."""
  half = fold(mass, above, support).astype(np.float64)
  half[[0, -1]] *= 2
  entry_bits = -np.log2(half / TOTAL)
  inside = mass[: support + 1] * entry_bits[:-1]
  beyond = mass[support + 1 :]
  order = escape.escape_order(np.full(beyond.shape, 2 * support + 2))
  tail = escape.escape_bits(np.arange(beyond.size), order, class_bits())
  outside = beyond @ (tail + entry_bits[-1])
  return inside[0] + 2 * (inside[1:].sum() + outside)


def choose_support(mass: np.ndarray, above: np.ndarray) -> int:
  """The support with the lowest mean cost, at most `MAX_SUPPORT`.

  A wide table spends a count on each rare symbol; a narrow one escapes often.
  """
  last = min(MAX_SUPPORT, mass.size - 2)
  candidates = np.unique(np.geomspace(1, last, 64).round().astype(int))
  costs = [expected_bits(mass, above, support) for support in candidates]
  return int(candidates[np.argmin(costs)])


def make_halves() -> tuple[np.ndarray, np.ndarray]:
  """All tables of the grid, in the form that `tables.unfold` reads."""
  halves, supports = [], []
  for shape, scales in zip(grid.SHAPES, grid.SCALES, strict=True):
    for scale in scales:
      mass, above = bin_masses(shape, scale)
      supports.append(choose_support(mass, above))
      halves.append(fold(mass, above, supports[-1]))
  return (
    np.concatenate(halves).astype(np.uint16),
    np.array(supports, np.uint16),
  )


def main() -> None:
  """Writes the tables beside this file, or where `--output` says."""
  parser = argparse.ArgumentParser(description="Makes the coding tables.")
  default = pathlib.Path(__file__).with_name("tables_v1.npz")
  parser.add_argument("--output", type=pathlib.Path, default=default)
  output = parser.parse_args().output
  buffer = io.BytesIO()
  halves, supports = make_halves()
  np.savez_compressed(buffer, halves=halves, supports=supports)
  output.write_bytes(buffer.getvalue())
  print(f"{output}: {grid.NUM_TABLES} tables, {buffer.tell():,} bytes")


if __name__ == "__main__":
  main()
