"""A run may begin with another system's weights, as far as they fit."""

import jax
import numpy as np
import pytest
from smoke_model import ROOT, load_config_file, make_params

from roijax.errors import CheckpointError, ConfigError
from roijax.models.registry import build_model
from roijax.training.start import start_params


def _fresh(**changes):
  config = load_config_file(ROOT / "configs" / "implicit.py")
  config = config.get_config("smoke")
  config.model.update(changes)
  return config, make_params(build_model("implicit", config.model), seed=1)


def _equal(one, other):
  same = jax.tree.map(lambda a, b: np.array_equal(a, b), one, other)
  return all(jax.tree.leaves(same))


def test_two_decoders_begin_as_the_single_one(smoke, smoke_path, capsys):
  config, fresh = _fresh()
  found = start_params(fresh, smoke_path, True, config)
  # Weights files hold float16.
  theirs = jax.tree.map(
    lambda leaf: np.asarray(leaf, np.float16).astype(np.float32), smoke.params
  )
  assert _equal(found["synthesis"]["foreground"], theirs["synthesis"])
  assert _equal(found["synthesis"]["background"], theirs["synthesis"])
  assert _equal(found["analysis"], theirs["analysis"])
  # Another prior's heads do not fit.
  head = found["context"]["head_0"]["kernel"]
  np.testing.assert_array_equal(head, fresh["context"]["head_0"]["kernel"])
  assert head.shape != theirs["context"]["head_0"]["kernel"].shape
  total = len(jax.tree.leaves(fresh))
  (line,) = capsys.readouterr().out.splitlines()
  assert line.startswith(f"{total - 4} of {total} arrays begin as those in ")


def test_gains_are_read_off_at_the_trade_offs_of_the_new_model(
  smoke, smoke_path
):
  # The weights have two rates, at .0067 and .025.
  middle, below = (0.0067 * 0.025) ** 0.5, 0.0067**2 / 0.025
  config, fresh = _fresh(lmbdas=(below, 0.0067, middle, 0.025))
  rows = start_params(fresh, smoke_path, True, config)["gain"]["log_gain"]
  low, high = np.asarray(smoke.params["gain"]["log_gain"])
  expected = np.stack([2 * low - high, low, (low + high) / 2, high])
  np.testing.assert_allclose(rows, expected, atol=2e-3)
  assert np.abs(high - low).min() > 0.1


def test_what_wraps_the_encoder_is_looked_through(smoke, smoke_path):
  config, fresh = _fresh(gating="explicit")
  found = start_params(fresh, smoke_path, True, config)
  trunk = found["analysis"]["trunk"]
  assert "condition_0" not in trunk
  theirs = {name: smoke.params["analysis"][name] for name in trunk}
  close = jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-6),
    trunk,
    theirs,
  )
  assert jax.tree.structure(close) == jax.tree.structure(
    jax.tree.map(lambda _: None, trunk)
  )


def test_weights_that_do_not_fit_are_told(smoke_path, tmp_path):
  config, fresh = _fresh()
  with pytest.raises(ConfigError, match="holds nothing that fits this model"):
    start_params({"other": np.zeros(3)}, smoke_path, True, config)
  with pytest.raises(ConfigError, match="is of ggm, not of implicit: with"):
    start_params(fresh, smoke_path, False, config)
  with pytest.raises(CheckpointError):
    start_params(fresh, tmp_path / "none.npz", True, config)
