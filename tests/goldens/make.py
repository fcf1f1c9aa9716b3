"""Makes numbers.json with tensorflow-compression, for tests to compare with.

    python3.11 -m venv ENV
    ENV/bin/pip install -r tests/goldens/requirements.txt
    ENV/bin/python tests/goldens/make.py

What is asked of the reference: bits of a factorized prior with given
parameters, of Gaussians and Laplacians convolved with a unit bin, and the
integers that a range coder gets for lists of probabilities.
"""

import json
import pathlib
from importlib.metadata import version

import numpy as np
import tensorflow as tf
import tensorflow_compression as tfc

PRECISION = 16
CHANNELS = 3
WIDTHS = (1, 3, 3, 3, 3, 1)


def draw_factorized(rng: np.random.Generator) -> dict:
  """A stirred factorized prior's parameters, and bits of some values."""
  prior = tfc.NoisyDeepFactorized(
    batch_shape=(CHANNELS,), num_filters=WIDTHS[1:-1], init_scale=10.0
  )
  base = prior.base
  named = {}
  for kind, variables in (
    ("matrix", base._matrices),
    ("bias", base._biases),
    ("factor", base._factors),
  ):
    for i, variable in enumerate(variables):
      start = variable.numpy()
      value = np.float32(start + rng.normal(0, 0.3, start.shape))
      variable.assign(value)
      named[f"{kind}_{i}"] = value.tolist()
  values = np.float32(rng.normal(0, 6, (40, CHANNELS)))
  bits = -prior.log_prob(tf.constant(values)).numpy() / np.log(2)
  return {"parameters": named, "values": values.tolist(), "bits": bits.tolist()}


def draw_noisy(make, rng: np.random.Generator) -> dict:
  """Places, scales and values of a noisy distribution, and its bits."""
  mean = rng.normal(0, 3, 200)
  scale = np.exp(rng.uniform(np.log(0.15), np.log(60), 200))
  x = np.rint(mean + rng.normal(0, 1.5, 200) * (scale + 0.3))
  cases = [np.float32(one) for one in (mean, scale, x)]
  bits = -make(loc=cases[0], scale=cases[1]).log_prob(
    cases[2]
  ).numpy() / np.log(2)
  names = ("mean", "scale", "x")
  found = {k: v.tolist() for k, v in zip(names, cases, strict=True)}
  return {**found, "bits": bits.tolist()}


def draw_tables(rng: np.random.Generator) -> list[dict]:
  """Lists of probabilities and the integers that they become."""
  lists = [rng.dirichlet(np.full(n, a)) for n, a in ((2, 1), (9, 1), (40, 0.2))]
  for scale in (0.3, 2.0, 30.0):
    grid = np.arange(-round(4 * scale) - 1, round(4 * scale) + 2)
    mass = np.exp(-0.5 * (grid / scale) ** 2)
    lists.append(mass / mass.sum())
  found = []
  for pmf in lists:
    pmf = np.float32(pmf)
    cdf = tfc.pmf_to_quantized_cdf(pmf, PRECISION).numpy()
    found.append({"pmf": pmf.tolist(), "counts": np.diff(cdf).tolist()})
  return found


def main() -> None:
  """Writes the file beside this one."""
  rng = np.random.default_rng(0)
  numbers = {
    "tensorflow-compression": version("tensorflow-compression"),
    "precision": PRECISION,
    "factorized": draw_factorized(rng),
    "gaussian": draw_noisy(tfc.NoisyNormal, rng),
    "laplace": draw_noisy(tfc.NoisyLaplace, rng),
    "tables": draw_tables(rng),
  }
  path = pathlib.Path(__file__).with_name("numbers.json")
  path.write_text(json.dumps(numbers) + "\n")


if __name__ == "__main__":
  main()
