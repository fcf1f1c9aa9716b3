"""Bits and tables against tensorflow-compression's; see goldens/make.py."""

import json

import jax.numpy as jnp
import numpy as np
import pytest
from smoke_model import ROOT

from roijax.coding.tables import TOTAL, apportion
from roijax.entropy.factorized import FactorizedPrior
from roijax.entropy.gaussian import gaussian_bits, laplace_bits


@pytest.fixture(name="numbers", scope="module")
def _numbers():
  path = ROOT / "tests" / "goldens" / "numbers.json"
  return json.loads(path.read_bytes())


def test_the_factorized_prior_charges_the_same(numbers):
  golden = numbers["factorized"]
  # Theirs keep an axis for matrix products.
  params = {
    name: jnp.asarray(value) if "matrix" in name else jnp.asarray(value)[..., 0]
    for name, value in golden["parameters"].items()
  }
  z = jnp.asarray(golden["values"])[None, None]
  prior = FactorizedPrior(z.shape[-1])
  bits = np.asarray(prior.apply({"params": params}, z))[0, 0]
  np.testing.assert_allclose(bits, golden["bits"], atol=3e-5)
  assert np.max(golden["bits"]) - np.min(golden["bits"]) > 3


@pytest.mark.parametrize(
  ("name", "ours", "deviation"),
  [
    ("gaussian", gaussian_bits, 1.0),
    # Theirs takes the exponential's own parameter.
    ("laplace", laplace_bits, np.sqrt(2)),
  ],
)
def test_noisy_priors_charge_the_same(numbers, name, ours, deviation):
  golden = {key: jnp.asarray(value) for key, value in numbers[name].items()}
  bits = ours(golden["x"], golden["mean"], deviation * golden["scale"])
  np.testing.assert_allclose(bits, golden["bits"], rtol=1e-5, atol=5e-5)
  assert golden["bits"].max() > 10


def test_tables_are_the_same_up_to_ties(numbers):
  assert 1 << numbers["precision"] == TOTAL
  for table in numbers["tables"]:
    pmf, counts = np.array(table["pmf"]), np.array(table["counts"])
    ours = apportion(pmf)
    assert ours.sum() == counts.sum() == TOTAL
    assert np.abs(ours - counts).max() <= 1
    bits = [-(pmf * np.log2(c / TOTAL)).sum() for c in (ours, counts)]
    assert abs(bits[0] - bits[1]) < 1e-5
