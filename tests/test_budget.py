"""Experiments on equal terms: the budget, and what the arms change."""

import importlib

import numpy as np
import pytest
from ml_collections import ConfigDict
from smoke_model import ROOT, load_config_file

from benchmarks import budget
from benchmarks.search.__main__ import Row, compare
from benchmarks.search.arms import ARMS, BASE, BEFORE, know_blind_context
from roijax.data.sources import open_source
from roijax.layers.gain import start_gain
from roijax.models.registry import build_model


def _config():
  return load_config_file(ROOT / "configs" / "ggm.py").get_config("smoke")


def test_a_budget_is_spent_and_no_more():
  config = _config()
  told = []
  trained = budget.train(
    config, open_source("sample:train"), 0.6, show=told.append
  )
  assert trained.steps == len(told) >= 2
  assert told == sorted(told)
  assert 0.6 <= trained.seconds < 3
  before, after = (
    np.asarray(tree["gain"]["log_gain"])
    for tree in (
      budget.train(config, open_source("sample:train"), 1e-6).params,
      trained.params,
    )
  )
  assert np.abs(before - after).max() > 0


def test_what_is_frozen_stays_and_what_begins_otherwise_starts_alike():
  config = _config()
  other = {"model.lmbdas": (0.0134, 0.05)}

  def gains(seconds, **options):
    trained = budget.train(
      config, open_source("sample:train"), seconds, **options
    )
    return np.asarray(trained.params["gain"]["log_gain"])

  start = np.log([[start_gain(lmbda)] for lmbda in config.model.lmbdas])
  frozen = gains(0.3, frozen="log_gain")
  np.testing.assert_allclose(frozen - start, 0, atol=1e-6)
  with pytest.raises(KeyError, match="log_gian is no parameter"):
    gains(1e-6, frozen="log_gian")
  begun = gains(1e-6, parts=(budget.Part(1.0, other),))
  np.testing.assert_allclose(begun - start, 0, atol=2e-3)
  assert np.abs(begun - start).max() > 1e-6


def test_the_learning_rate_rises_with_steps_and_falls_with_the_clock():
  options = _config().optimizer
  options.warmup_steps = 9
  peak = options.learning_rate

  def rate(steps, share):
    return budget._learning_rate(options, steps, share)

  assert rate(0, 0) == pytest.approx(peak / 10)
  assert rate(9, 0) == pytest.approx(peak)
  assert rate(100, 0.5) == pytest.approx(peak * 0.505)
  assert rate(100, 1.2) == pytest.approx(peak * options.final_fraction)
  options.schedule = "constant"
  assert rate(100, 1) == peak


def test_a_change_of_what_is_not_there_is_told():
  with pytest.raises(KeyError, match=r"model\.no_such"):
    budget.change(_config(), {"model.no_such": 1})


def test_a_section_is_replaced_whole():
  config = _config()
  budget.change(config, {"model.prior": dict(kind="gaussian")})
  assert isinstance(config.model.prior, ConfigDict)
  assert config.model.prior.to_dict() == {"kind": "gaussian"}


@pytest.mark.parametrize("name", ARMS)
def test_every_arm_is_a_model_that_can_be_built(name):
  know_blind_context()
  arm = ARMS[name]
  module = importlib.import_module(f"configs.{arm.config}")
  config = module.get_config("small")
  assert sum(part.share for part in arm.parts) == pytest.approx(1)
  for changes in (arm.settings, *(part.changes for part in arm.parts)):
    budget.change(config, changes)
    build_model(config.system, config.model)
  plain = importlib.import_module("configs.ggm").get_config("small")
  budget.change(plain, BEFORE)
  same = config.to_dict() == plain.to_dict() and arm.frozen is None
  assert same == (arm.group == "seed"), "an arm that changes nothing"


def test_half_the_rate_is_minus_fifty_percent():
  def row(share):
    bpp = " ".join(str(share * rate) for rate in (0.1, 0.2, 0.4, 0.8))
    psnr = "28 30 32 34"
    return Row(BASE, 1, 1, 1.0, 1.0, 1.0, 1.0, 1.0, bpp, psnr, bpp, psnr)

  for kind in ("region", "all"):
    assert compare(row(0.5), row(1.0), kind) == pytest.approx(-50)
