"""A codec and a predictor of regions train together: one state, one loss."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict
from smoke_model import ROOT, jit_once, load_config_file

from roijax.codec import Codec
from roijax.data.augment import augment, draw_sample
from roijax.data.objects import ObjectSource, make_joint_sample
from roijax.data.sources import open_source
from roijax.errors import ConfigError
from roijax.training import joint
from roijax.training.codec import train_codec
from roijax.training.objective import make_loss_fn
from roijax.weights.predictor import load_predictor

MODEL = {
  "widths": (4, 6, 8),
  "modules": (1, 1),
  "blocks": 1,
  "stem_width": 4,
  "head_width": 8,
  "side": 32,
}


def _make_config(**changes):
  config = load_config_file(ROOT / "configs" / "ggm.py").get_config("smoke")
  section = {"mode": "joint", "model": MODEL, "weight": 1.0, "start_from": ""}
  config.predictor = ConfigDict({**section, **changes})
  config.train.devices = 1
  config.data.batch_size = 2
  config.train.steps = 2
  return config


def _make_batch():
  rng = np.random.default_rng(0)
  roi = (rng.random((2, 64, 64, 1)) > 0.7).astype(np.float32)
  own = np.array([1, 0], np.float32).reshape(2, 1, 1, 1)
  batch = {
    "image": rng.random((2, 64, 64, 3), np.float32),
    "roi": roi,
    "own": own,
    "known": np.ones_like(roi) * own,
  }
  return jax.tree.map(jnp.asarray, batch)


@pytest.fixture(name="started", scope="module")
def _started():
  config = _make_config()
  model = joint.read_predictor(config)
  params = joint.start_predictor(
    model, config, jax.random.key(0), {"analysis": jnp.ones(())}
  )
  return model, params


def _codec_loss(params, collections, batch, keys):
  """Stands for a codec: what it sees is compared with the true region."""
  del keys
  seen = batch["seen"] * params["analysis"]
  loss = jnp.mean((seen - batch["roi"]) ** 2)
  return loss, ({"psnr": loss}, collections)


def _loss(started, weight):
  model, _ = started
  return joint.make_joint_loss(model, _make_config(weight=weight), _codec_loss)


def test_the_codec_s_gradient_reaches_the_predictor(started):
  _, params = started
  assert set(params) == {"analysis", "predictor"}
  loss_fn = _loss(started, 0.0)
  keys = jax.random.split(jax.random.key(0), 2)
  gradient = jit_once(jax.grad(loss_fn, has_aux=True))(
    params, {}, _make_batch(), keys
  )[0]
  norms = [np.abs(x).max() for x in jax.tree.leaves(gradient["predictor"])]
  assert np.isfinite(norms).all()
  assert np.mean(np.array(norms) > 0) > 0.9
  assert float(gradient["analysis"]) != 0


def test_a_random_map_is_neither_replaced_nor_learned(started):
  model, params = started

  def codec_loss(params, collections, batch, keys):
    loss, _ = _codec_loss(params, collections, batch, keys)
    return loss, ({"psnr": loss, "seen": batch["seen"]}, collections)

  loss_fn = jax.jit(joint.make_joint_loss(model, _make_config(), codec_loss))
  batch = _make_batch()
  keys = jax.random.split(jax.random.key(0), 2)
  loss, (metrics, _) = loss_fn(params, {}, batch, keys)
  seen = metrics["seen"]
  np.testing.assert_array_equal(seen[1], batch["roi"][1])
  assert np.abs(seen[0] - batch["roi"][0]).max() > 0.1
  assert seen[0].min() > 0 and seen[0].max() < 1
  expected = metrics["psnr"] + metrics["cross_entropy"] + metrics["dice"]
  assert float(loss) == pytest.approx(float(expected), rel=1e-6)
  other = {**batch, "roi": batch["roi"].at[1].set(1 - batch["roi"][1])}
  again = loss_fn(params, {}, other, keys)[1][0]
  for name in ("cross_entropy", "dice"):
    assert float(again[name]) == pytest.approx(float(metrics[name]))


def test_a_codec_s_loss_shows_the_encoder_what_is_seen(smoke):
  batch = _make_batch()
  batch = {"image": batch["image"], "roi": batch["roi"]}
  keys = jax.random.split(jax.random.key(0), 2)
  loss_fn = make_loss_fn(smoke.model, smoke.config)

  def total(seen):
    seen = {} if seen is None else {"seen": seen}
    return loss_fn(smoke.params, {}, {**batch, **seen}, keys)[0]

  plain = jax.jit(total)(None)
  value, gradient = jax.jit(jax.value_and_grad(total))(batch["roi"])
  assert float(value) == pytest.approx(float(plain), rel=1e-5)
  assert np.abs(gradient).max() > 0


def test_samples_are_the_codec_s_and_say_what_is_known():
  source = ObjectSource(open_source("sample:train"))
  owned = 0
  for seed in range(12):
    photo = {**source[seed % 7], "complete": seed % 2 == 0}
    sample = make_joint_sample(photo, 64, np.random.default_rng(seed))
    plain = augment(photo, 64, np.random.default_rng(seed))
    own = draw_sample(photo, 64, np.random.default_rng(seed))[1]
    for name, array in plain.items():
      np.testing.assert_array_equal(sample[name], array)
    assert sample["own"].item() == own
    if not own:
      assert not sample["known"].any()
    elif photo["complete"]:
      assert sample["known"].all()
    else:
      np.testing.assert_array_equal(sample["known"], sample["roi"] > 0.5)
    owned += own
  assert 0 < owned < 12


@pytest.mark.slow
def test_both_train_and_each_gets_a_file(tmp_path):
  config = _make_config()
  train_codec(config, tmp_path)
  assert "predictor" not in Codec.load(tmp_path).weights.params
  predictor = load_predictor(tmp_path / "predictor.npz")
  config.predictor.start_from = str(tmp_path / "predictor.npz")
  model = joint.read_predictor(config)
  params = joint.start_predictor(model, config, jax.random.key(0), {})
  jax.tree.map(
    np.testing.assert_array_equal, params["predictor"], predictor.params
  )


@pytest.mark.parametrize(
  ("changes", "crop", "line"),
  [
    ({"mode": "jointly"}, 64, "use none or joint"),
    ({}, 72, "a multiple of 16"),
    ({"model": {**MODEL, "depth": 3}}, 64, "predictor.model.depth"),
  ],
)
def test_what_does_not_fit_is_one_line(changes, crop, line):
  config = _make_config(**changes)
  config.data.crop = crop
  with pytest.raises(ConfigError, match=line):
    joint.read_predictor(config)


def test_a_config_without_a_predictor_trains_none():
  config = _make_config(mode="none")
  assert joint.read_predictor(config) is None
  del config.predictor
  assert joint.read_predictor(config) is None
