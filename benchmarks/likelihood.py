"""How long a million latents' bits and gradients take, and how right they are.

  python -m benchmarks.likelihood [--count N] [--repeats R]

prints one table: the generalized Gaussian with a shape for every latent
(GGM-e) in its three shape gradients, the Gaussian, and a likelihood built on
`jax.scipy.special.gammainc`, timed in turn in one process; "gradient s" is
forward and gradients together. Errors are against SciPy in float64 wherever
the likelihood p exceeds 1e-9: the largest relative one of p, and the largest
of each gradient over its root mean square. The Gaussian is held to its own
reference.

The goal: GGM-e (finite_difference), forward plus gradient, at most 6 times
the Gaussian; errors at most 1e-4 (likelihood), 1e-3 (mean, scale) and 1e-2
(shape). The naive likelihood takes seconds a call and is timed three times.
"""

import argparse
import functools
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
from rich.console import Console
from rich.progress import track
from rich.table import Table

from roijax.cli import exit_code
from roijax.coding.grid import SCALE_MAX, SHAPE_MAX, SHAPE_MIN, alpha_per_scale
from roijax.entropy.gaussian import gaussian_bits
from roijax.entropy.generalized_gaussian import (
  generalized_gaussian_bits,
  log_alpha_per_scale,
)
from roijax.ops.bounds import lower_bound

LIKELIHOOD_MIN = 1e-9
NAIVE_REPEATS = 3
NAMES = ("mean", "scale", "shape")


def naive_bits(x, mean, scale, shape):
  """The textbook formula, on `jax.scipy`'s iterated incomplete gamma."""
  alpha = scale * jnp.exp(log_alpha_per_scale(shape))

  def distribution(u):
    power = (jnp.abs(u) / alpha) ** shape
    return 0.5 * jnp.sign(u) * jax.scipy.special.gammainc(1 / shape, power)

  likelihood = distribution(x - mean + 0.5) - distribution(x - mean - 0.5)
  return -jnp.log2(lower_bound(likelihood, LIKELIHOOD_MIN))


def draw_latents(count, seed=0):
  """Latents from their own distributions, a tenth of them further out."""
  rng = np.random.default_rng(seed)
  shape = rng.uniform(SHAPE_MIN, SHAPE_MAX, count)
  scale = np.exp(rng.uniform(np.log(0.04), np.log(SCALE_MAX), count))
  mean = rng.normal(size=count)
  alpha = scale * alpha_per_scale(shape)
  distance = alpha * rng.gamma(1 / shape) ** (1 / shape)
  r = distance * rng.choice([-1, 1], count) + rng.uniform(-0.5, 0.5, count)
  r = np.where(rng.random(count) < 0.1, 3 * r, r)
  return tuple(np.float32(a) for a in (mean + r, mean, scale, shape))


def reference(x, mean, scale, shape):
  """Likelihood and gradients of the bits in mean, scale, shape; float64."""
  r = np.float64(x - mean)
  scale, shape = np.float64(scale), np.float64(shape)
  v = np.abs(r)

  def likelihood(shape):
    alpha = scale * alpha_per_scale(shape)
    far, near = ((np.abs(u) / alpha) ** shape for u in (v + 0.5, v - 0.5))
    tail = scipy.special.gammaincc(1 / shape, near)
    tail -= scipy.special.gammaincc(1 / shape, far)
    body = scipy.special.gammainc(1 / shape, near)
    body += scipy.special.gammainc(1 / shape, far)
    return 0.5 * np.where(v >= 0.5, tail, body)

  def density(u):
    alpha = scale * alpha_per_scale(shape)
    peak = shape / (2 * alpha * scipy.special.gamma(1 / shape))
    return peak * np.exp(-((np.abs(u) / alpha) ** shape))

  mass = likelihood(shape)
  valid = mass > LIKELIHOOD_MIN
  mass = np.where(valid, mass, 1.0)
  low, high = density(r - 0.5), density(r + 0.5)
  step = 1e-5
  ratio = np.where(valid, likelihood(shape + step), 1.0)
  ratio /= np.where(valid, likelihood(shape - step), 1.0)
  slopes = (
    (low - high) / mass,
    ((r - 0.5) * low - (r + 0.5) * high) / (scale * mass),
    np.log(ratio) / (2 * step),
  )
  return valid, mass, [slope / -np.log(2) for slope in slopes]


def measure_errors(bits, slopes, expected):
  """Relative error of the likelihood, and each gradient's over its rms."""
  valid, mass, references = expected
  bits = np.float64(bits)[valid]
  errors = [np.abs(2**-bits / mass[valid] - 1).max()]
  for slope, right in zip(slopes, references, strict=False):
    error = np.abs(np.float64(slope) - right)[valid]
    errors.append(error.max() / np.sqrt(np.mean(right[valid] ** 2)))
  return errors


def make_programs():
  """Bits, and bits with gradients in all arguments, by name."""
  ggm = {
    f"GGM-e {gradient}": functools.partial(
      generalized_gaussian_bits, gradient=gradient
    )
    for gradient in ("finite_difference", "exact", "paper")
  }
  functions = {
    "Gaussian": gaussian_bits,
    **ggm,
    "GGM-e naive gammainc": naive_bits,
  }
  programs = {}
  for name, bits in functions.items():
    count = 3 if bits is gaussian_bits else 4
    both = jax.value_and_grad(
      lambda *arrays, bits=bits: bits(*arrays).sum(), tuple(range(count))
    )
    programs[name] = (jax.jit(bits), jax.jit(both), count)
  return programs


def time_programs(programs, arrays, repeats):
  """Median seconds of bits and of bits with gradients, taken in turn."""
  seconds = {(name, part): [] for name in programs for part in (0, 1)}
  for turn in track(range(-1, repeats), "timing", transient=True):
    for name, (*parts, count) in programs.items():
      if "gammainc" in name and turn >= NAIVE_REPEATS:
        continue
      for part, program in enumerate(parts):
        start = time.perf_counter()
        jax.block_until_ready(program(*arrays[:count]))
        # The first turn compiles.
        if turn >= 0:
          seconds[name, part].append(time.perf_counter() - start)
  return {key: float(np.median(values)) for key, values in seconds.items()}


def main():
  """Times, compares and prints."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--count", type=int, default=1_000_000)
  parser.add_argument("--repeats", type=int, default=21)
  options = parser.parse_args()
  latents = draw_latents(options.count)
  x, mean, scale, shape = latents
  expected = reference(*latents)
  of_gaussian = reference(x, mean, scale, np.full_like(shape, 2.0))
  arrays = [jnp.asarray(a) for a in latents]
  programs = make_programs()
  seconds = time_programs(programs, arrays, options.repeats)

  table = Table(
    title=f"{options.count} latents on {jax.devices()[0].device_kind}, "
    f"{jax.local_device_count()} device"
  )
  table.add_column("bits", no_wrap=True)
  columns = ("forward s", "gradient s", "x Gaussian", "p error")
  for column in (*columns, *(f"{name} error" for name in NAMES)):
    table.add_column(column, justify="right")
  for name, (bits, both, count) in programs.items():
    _, slopes = both(*arrays[:count])
    errors = measure_errors(
      bits(*arrays[:count]),
      slopes[1:],
      of_gaussian if name == "Gaussian" else expected,
    )
    ratio = seconds[name, 1] / seconds["Gaussian", 1]
    table.add_row(
      name,
      f"{seconds[name, 0]:.4f}",
      f"{seconds[name, 1]:.4f}",
      f"{ratio:.2f}",
      *(f"{error:.1e}" for error in errors),
      *[""] * (len(NAMES) + 1 - len(errors)),
    )
  Console(width=120).print(table)


if __name__ == "__main__":
  sys.exit(exit_code(main))
