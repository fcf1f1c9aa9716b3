"""The second stage from its config: what it needs, and a whole run."""

import json
import types

import jax
import numpy as np
import pytest
import smoke_model
from ml_collections import ConfigDict

from roijax.codec import Codec
from roijax.errors import CheckpointError, ConfigError
from roijax.training.adversarial import describe, read_second_stage
from roijax.training.codec import train_codec

CODEC = types.SimpleNamespace(mask_stride=0)


def _make_config(start_from="runs/one", **changes):
  path = smoke_model.ROOT / "configs" / "ggm.py"
  config = smoke_model.load_config_file(path).get_config("smoke")
  config.train.start_from = str(start_from)
  config.adversarial = ConfigDict(
    {"enabled": True, "width": 2, "condition": 2, "weight": 0.5}
  )
  config.perceptual = ConfigDict(
    {"weights": "random", "widths": (2, 2, 2, 2, 2)}
  )
  for key, value in changes.items():
    section, _, name = key.partition("__")
    config[section].unlock()
    config[section][name] = value
  return config


def test_a_config_without_it_or_with_it_off_is_the_first_stage():
  config = _make_config(adversarial__enabled=False)
  assert read_second_stage(config, CODEC) is None
  del config.adversarial
  assert read_second_stage(config, CODEC) is None
  assert describe(config, None) == config.to_dict()


@pytest.mark.parametrize(
  ("changes", "line"),
  [
    ({"train__start_from": ""}, "set config.train.start_from to its workdir"),
    ({"perceptual__weights": ""}, "`roijax weights perceptual` makes"),
    ({"adversarial__with": 4}, "adversarial.with does not exist: did you mean"),
    ({"perceptual__lpip": 4.0}, "did you mean lpips"),
    ({"perceptual__style": -4.0}, "perceptual.style=-4.0 must not be below"),
    ({"adversarial__weight": -1.0}, "adversarial.weight=-1.0 must not be"),
    ({"adversarial__width": 0}, "adversarial.width=0 must be above 0"),
  ],
)
def test_what_does_not_fit_is_one_line(changes, line):
  with pytest.raises(ConfigError, match=line) as caught:
    read_second_stage(_make_config(**changes), CODEC)
  assert "\n" not in str(caught.value)


def test_missing_weights_are_one_line(tmp_path):
  path = tmp_path / "none.npz"
  with pytest.raises(CheckpointError, match=f"cannot read {path}: No such"):
    read_second_stage(_make_config(perceptual__weights=str(path)), CODEC)


def test_a_codec_of_two_decoders_and_a_predictor_have_none():
  two = types.SimpleNamespace(mask_stride=16)
  with pytest.raises(ConfigError, match="ggm has two decoders"):
    read_second_stage(_make_config(), two)
  config = _make_config()
  config.predictor = ConfigDict({"mode": "joint"})
  with pytest.raises(ConfigError, match=r"predictor\.mode=none"):
    read_second_stage(config, CODEC)


def test_no_weights_are_needed_where_no_term_asks():
  config = _make_config(
    perceptual__weights="", perceptual__lpips=0.0, perceptual__style=0.0
  )
  stage = read_second_stage(config, CODEC)
  assert stage.adversary.features == {} and stage.fingerprint == ""


def test_the_weights_fingerprint_is_part_of_the_run():
  config = _make_config()
  stage = read_second_stage(config, CODEC)
  assert describe(config, stage)["perceptual"]["fingerprint"] == "random"
  assert "fingerprint" not in config.perceptual


@pytest.mark.slow
def test_a_run_starts_from_the_first_stage_and_resumes(
  smoke, smoke_path, tmp_path
):
  config = _make_config(smoke_path)
  config.train.devices = 1
  config.data.batch_size = 2
  config.train.observe_every = 0
  config.train.log_every = 1
  config.train.checkpoint_every = 1
  straight = train_codec(config, tmp_path / "straight")
  config.train.steps = 2
  train_codec(config, tmp_path / "parts")
  config.train.steps = 4
  parts = train_codec(config, tmp_path / "parts")
  for name in ("params", "opt_state", "ema_params", "collections"):
    jax.tree.map(
      np.testing.assert_array_equal,
      getattr(straight, name),
      getattr(parts, name),
    )
  # It began where the first stage ended, and what is exported is a codec.
  for old, new in zip(
    jax.tree.leaves(smoke.params),
    jax.tree.leaves(straight.ema_params),
    strict=True,
  ):
    assert np.abs(np.asarray(old) - new).max() < 0.05
  exported = Codec.load(tmp_path / "parts").weights.params
  assert set(exported) == set(smoke.params)
  rows = [
    json.loads(line)
    for line in (tmp_path / "parts" / "metrics.jsonl").read_text().splitlines()
  ]
  assert [row["step"] for row in rows] == [1, 2, 3, 4]
  assert sum(v for k, v in rows[-1].items() if "share_" in k) == pytest.approx(
    1
  )
  assert 0 < rows[-1]["discriminator_fake"] < 1
