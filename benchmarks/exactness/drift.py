"""(c) How far two machines' predictions drift apart, pass by pass.

Both decode the same symbols, each with the means that it computed itself: what
one rounds otherwise in a pass is read by all later ones.
"""

import dataclasses
import pathlib
import tempfile
from collections.abc import Mapping, Sequence

import numpy as np

from benchmarks.exactness.machines import Machine, run_jobs
from roijax.coding.grid import NUM_SCALES, NUM_SHAPES, SCALES, SHAPES

NEAR = 1e-3


@dataclasses.dataclass(frozen=True)
class Curve:
  """Two runs compared; the lists have a number for every pass.

  Attributes:
    name: which runs.
    position: the largest difference of a table position before rounding.
    mean: the largest difference of a mean.
    flips: how many latents chose another table.
  """

  name: str
  position: list[float]
  mean: list[float]
  flips: list[int]


@dataclasses.dataclass(frozen=True)
class Drift:
  """What was found for one file.

  Attributes:
    latents: how many a pass codes.
    curves: the comparisons.
    near: how many positions lie within `NEAR` of a boundary.
    nearest: the smallest distance of a position from a boundary.
  """

  latents: list[int]
  curves: list[Curve]
  near: int
  nearest: float


def locate(
  scale: np.ndarray, shape: np.ndarray, level: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
  """Positions in the grid of tables, before rounding, float64.

  Args:
    scale: standard deviations.
    shape: exponents, of the same size.
    level: whose scales to measure in; by default the rounded shape's own.

  Returns:
    (by shape, by scale), within the grid.
  """
  logs = np.log(SHAPES)
  by_shape = (np.log(shape.astype(float)) - logs[0]) / (logs[1] - logs[0])
  by_shape = np.clip(by_shape, 0, NUM_SHAPES - 1)
  if level is None:
    level = np.round(by_shape).astype(int)
  floors = np.log(SCALES[:, 0])
  steps = np.log(SCALES[:, 1]) - floors
  by_scale = (np.log(scale.astype(float)) - floors[level]) / steps[level]
  return by_shape, np.clip(by_scale, 0, NUM_SCALES - 1)


def compare(
  name: str,
  one: Mapping[str, np.ndarray],
  other: Mapping[str, np.ndarray],
  passes: np.ndarray,
) -> Curve:
  """Compares two runs over the same symbols.

  Args:
    name: of the comparison.
    one: `probes.Note`'s fields, all passes one after the other; the reference.
    other: likewise.
    passes: the pass of each.
  """
  by_shape, by_scale = locate(one["scale"], one["shape"])
  level = np.round(by_shape).astype(int)
  others = locate(other["scale"], other["shape"], level)
  apart = np.maximum(np.abs(others[0] - by_shape), np.abs(others[1] - by_scale))
  means = np.abs(other["mean"].astype(float) - one["mean"])
  starts = np.flatnonzero(np.diff(passes, prepend=-1))
  flips = (one["indexes"] != other["indexes"]).astype(int)
  return Curve(
    name,
    np.maximum.reduceat(apart, starts).tolist(),
    np.maximum.reduceat(means, starts).tolist(),
    np.add.reduceat(flips, starts).tolist(),
  )


def measure_distances(
  scale: np.ndarray, shape: np.ndarray
) -> tuple[int, float]:
  """How near latents come to a boundary.

  Returns:
    Positions (two a latent) within `NEAR` of one, and the least distance.
  """
  distances = []
  for position, levels in zip(
    locate(scale, shape), (NUM_SHAPES, NUM_SCALES), strict=True
  ):
    inside = position[(position > 0) & (position < levels - 1)]
    distances.append(np.abs(inside - np.floor(inside) - 0.5))
  flat = np.concatenate(distances)
  return int((flat < NEAR).sum()), float(flat.min(initial=0.5))


def _part(arrays, precision: str) -> dict[str, np.ndarray]:
  return {
    name.partition("/")[2]: array
    for name, array in arrays.items()
    if name.startswith(f"{precision}/")
  }


def _judge(found: Sequence[Mapping[str, np.ndarray]], names: str) -> Drift:
  passes = found[0]["passes"]
  wide, narrow = (
    [_part(arrays, precision) for arrays in found]
    for precision in ("float64", "float32")
  )
  curves = [
    compare(f"float64: {names}", wide[0], wide[1], passes),
    compare(f"float32: {names}", narrow[0], narrow[1], passes),
    compare("float32 and float64", wide[0], narrow[0], passes),
  ]
  near, nearest = measure_distances(wide[0]["scale"], wide[0]["shape"])
  return Drift(np.bincount(passes).tolist(), curves, near, nearest)


def measure_drift(
  checkpoint: str, files: Sequence[bytes], machines: Sequence[Machine]
) -> list[Drift]:
  """Lets two machines walk files in float64 and in float32.

  Args:
    checkpoint: the weights.
    files: made with them.
    machines: two; the first one's float64 is the reference.
  """
  with tempfile.TemporaryDirectory() as folder:
    place = pathlib.Path(folder)
    for i, data in enumerate(files):
      (place / f"{i}.roij").write_bytes(data)
    for k, machine in enumerate(machines):
      outs = {
        f"{place}/{i}.roij": f"{place}/{i}_{k}.npz" for i in range(len(files))
      }
      run_jobs(machine, [("observe", (checkpoint, outs))])
    names = f"{machines[0].name}, {machines[1].name}"
    found = []
    for i in range(len(files)):
      pair = []
      for k in range(len(machines)):
        with np.load(place / f"{i}_{k}.npz") as arrays:
          pair.append(dict(arrays))
      found.append(_judge(pair, names))
    return found
