"""The eight terms of the second stage, and how they are weighed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_flow

from roijax.errors import ConfigError
from roijax.models import vgg
from roijax.training.objective import Pass
from roijax.training.terms import (
  WEIGHTS,
  PerceptualOptions,
  measure_terms,
  weigh_terms,
)

WIDTHS = tiny_flow.VGG_WIDTHS
OPTIONS = PerceptualOptions(
  widths=WIDTHS, **{name: 2.0 + i for i, name in enumerate(WEIGHTS)}
)
FEATURES = vgg.make_random(WIDTHS)
RNG = np.random.default_rng(0)
X, X_HAT = (jnp.asarray(RNG.random((2, 16, 16, 3), np.float32)) for _ in "ab")
DELTA = jnp.asarray(RNG.random((2, 16, 16, 1), np.float32))
LOGITS = jnp.asarray(RNG.standard_normal((2, 16, 16), np.float32))


@pytest.fixture(name="terms", scope="module")
def _terms():
  program = jax.jit(lambda *given: measure_terms(OPTIONS, 0.5, *given))
  terms = program(FEATURES, X, X_HAT, DELTA, LOGITS)
  same = program(FEATURES, X, X, DELTA, LOGITS)
  return jax.device_get(terms), jax.device_get(same)


def test_there_is_every_term_with_its_weight(terms):
  found = {name: float(weight) for name, (weight, _) in terms[0].items()}
  named = {"mse_roi": "mse"}
  assert found.pop("adversarial") == 0.5
  assert found == {
    name: getattr(OPTIONS, named.get(name, name)) for name in found
  }
  assert len(found) == 6


def test_only_the_adversarial_term_is_left_of_a_photo_itself(terms):
  for name, (_, values) in terms[1].items():
    assert (values < 1e-12).all() == (name != "adversarial"), name
  for name, (_, values) in terms[0].items():
    assert values.shape == (2,) and (values > 0).all(), name


def test_the_region_s_terms_stop_at_its_edge(terms):
  error = np.abs(np.asarray(X - X_HAT))
  values = {name: value for name, (_, value) in terms[0].items()}
  wanted = 255**2 * np.mean(DELTA * error**2, axis=(1, 2, 3))
  np.testing.assert_allclose(values["mse_roi"], wanted, rtol=1e-5)
  both = values["l1_roi"] + values["l1_background"]
  np.testing.assert_allclose(both, error.mean(axis=(1, 2, 3)), rtol=1e-5)
  wanted = np.mean(DELTA * error, axis=(1, 2, 3))
  np.testing.assert_allclose(values["l1_roi"], wanted, rtol=1e-5)


def test_all_distortion_follows_the_trade_off():
  lmbda, middle = np.array([0.001, 0.009]), 0.003
  bpp = np.array([0.1, 0.4])
  terms = {"one": (3.0, np.array([1.0, 2.0])), "two": (0.5, np.array([4.0, 1]))}
  done = Pass(None, None, None, lmbda, middle, None)
  loss, metrics = weigh_terms(OPTIONS, 0.5, done, bpp, terms)
  grade = lmbda / middle
  distortion = 3 * terms["one"][1] + 0.5 * terms["two"][1]
  wanted = np.mean((OPTIONS.rate * bpp + grade * distortion) * grade**-0.5)
  assert float(loss) == pytest.approx(wanted, rel=1e-5)
  assert float(metrics["term_one"]) == pytest.approx(1.5)
  assert float(metrics["term_rate"]) == pytest.approx(0.25)
  part, whole = metrics["share_two"]
  assert float(whole) == pytest.approx(wanted, rel=1e-5)
  two = np.mean(grade**0.5 * 0.5 * terms["two"][1])
  assert float(part) == pytest.approx(two, rel=1e-5)


def test_no_network_looks_where_no_term_asks():
  options = PerceptualOptions(lpips=0, style=0)
  assert not options.needs_features
  terms = jax.eval_shape(
    lambda: measure_terms(options, 1.0, {}, X, X_HAT, DELTA, LOGITS)
  )
  assert "lpips" not in terms and "style" not in terms


@pytest.mark.parametrize(
  ("changes", "line"),
  [
    ({"style": -1.0}, r"config.perceptual.style=-1.0 must not be below 0"),
    ({"mse": float("nan")}, "config.perceptual.mse=nan must not"),
    ({"widths": (1, 2)}, "must be five widths"),
  ],
)
def test_a_weight_out_of_range_is_one_line(changes, line):
  with pytest.raises(ConfigError, match=line):
    PerceptualOptions(**changes)
