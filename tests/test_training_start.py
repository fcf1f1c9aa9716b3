"""A run may begin with another system's weights, as far as they fit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict
from smoke_model import (
  ROOT,
  jit_once,
  load_config_file,
  make_params,
  read_crops,
)

from roijax.errors import CheckpointError, ConfigError
from roijax.layers.checkerboard import CheckerboardSlices
from roijax.models.registry import build_model
from roijax.training import widen
from roijax.training.codec import read_plan, start_run
from roijax.training.export import export_model, import_params
from roijax.training.objective import init_model, make_loss_fn
from roijax.training.start import start_params
from roijax.weights.archive import FILE_NAME, load_weights, save_weights


def _fresh(**changes):
  config = load_config_file(ROOT / "configs" / "implicit.py")
  config = config.get_config("smoke")
  config.model.trunk.skip = True
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


@pytest.fixture(name="wider", scope="module")
def _wider(smoke, smoke_path):
  """A config of 8 latent channels more, and what it begins with."""
  config = load_config_file(ROOT / "configs" / "ggm.py").get_config("smoke")
  config.model.latent_channels += 8
  config.model.slices = (*smoke.config.model.slices, 8)
  model = build_model("ggm", config.model)
  fresh = make_params(model, seed=1)
  return config, model, start_params(fresh, smoke_path, True, config)


def _round_trip(model, params, count):
  """Latents and reconstruction of crops, new latents at zero."""
  batch = read_crops(2, 64)
  x, roi = jnp.asarray(batch["image"]), jnp.asarray(batch["roi"])
  quality = jnp.asarray([0.3, 1.0])

  @jit_once
  def run(params):
    def go(flow):
      y, z = flow.analyse(x, roi, quality)
      h = flow.hyper_synthesise(z)
      return y, flow.synthesise(y.at[..., count:].set(0), h, quality)

    return model.apply({"params": params}, method=go)

  return run(params)


def test_a_wider_codec_begins_as_the_narrower_one(smoke, smoke_path, wider):
  _, model, params = wider
  count = smoke.config.model.latent_channels
  narrow = load_weights(smoke_path).params
  y, x_hat = _round_trip(smoke.model, narrow, count)
  wide_y, wide_x_hat = _round_trip(model, params, count)
  assert wide_y.shape[-1] == count + 8
  np.testing.assert_allclose(wide_y[..., :count], y, rtol=1e-3, atol=1e-3)
  np.testing.assert_allclose(wide_x_hat, x_hat, atol=1e-3)


def test_a_slice_that_grew_foretells_old_latents_as_before():
  known, wide = (
    CheckerboardSlices(slices, outputs=3, hidden=8)
    for slices in ((4, 6), (4, 16))
  )
  rng = np.random.default_rng(0)
  h = jnp.asarray(rng.normal(size=(1, 6, 5, 7)), "float32")
  y_hat = jnp.asarray(rng.normal(size=(1, 6, 5, 20)), "float32")

  def start(context, seed, y_hat):
    key = jax.random.key(seed)
    return context.init(key, h, y_hat, method="parameters")["params"]

  params = start(known, 0, y_hat[..., :10])
  fresh = start(wide, 1, y_hat)

  def fit(path, own, old):
    if own.shape == old.shape:
      return old
    layer, kind = (part.key for part in path)
    return widen.fit_in(f"context/{layer}/{kind}", own, old, 10)

  grown = jax.tree_util.tree_map_with_path(fit, fresh, params)

  def foretell(context, params, y_hat):
    return context.apply({"params": params}, h, y_hat, method="parameters")

  before = foretell(known, params, y_hat[..., :10])
  after = foretell(wide, grown, y_hat)
  np.testing.assert_allclose(after[..., :10, :], before, atol=1e-5)
  assert after.shape[-2] == 20
  assert np.abs(after[..., 10:, :]).max() > 0


def test_what_is_opened_makes_the_picture_better(smoke, wider, monkeypatch):
  config, model, params = wider
  monkeypatch.setattr(widen, "OPENING_STEPS", 60)
  count = smoke.config.model.latent_channels
  sample, loss_fn = read_crops(16, 64), make_loss_fn(model, config)
  opened = widen.open_latents(model, config, params, count, sample, loss_fn)
  for name in ("hyper_synthesis", "context", "gain"):
    assert _equal(opened[name], params[name])
  down = [tree["analysis"]["down_2"]["kernel"] for tree in (params, opened)]
  np.testing.assert_array_equal(down[0][:, :count], down[1][:, :count])
  up = [
    tree["synthesis"]["trunk"]["up_2"]["kernel"] for tree in (params, opened)
  ]
  np.testing.assert_array_equal(up[0][:count], up[1][:count])
  silent = _with_silent_rows(opened, count)
  batch = {key: jnp.asarray(value) for key, value in read_crops(4, 64).items()}
  losses = [
    float(
      jax.jit(loss_fn)(p, {}, batch, jax.random.split(jax.random.key(0), 4))[0]
    )
    for p in (opened, silent)
  ]
  assert losses[0] < losses[1]


def _with_silent_rows(params, count):
  trunk = params["synthesis"]["trunk"]
  kernel = jnp.asarray(trunk["up_2"]["kernel"]).at[count:].set(0)
  up = {**trunk["up_2"], "kernel": kernel}
  synthesis = {**params["synthesis"], "trunk": {**trunk, "up_2": up}}
  return {**params, "synthesis": synthesis}


def _open_skip(folder, sample, change=lambda known: known):
  """A model with a skip and 96 latents more, closed and opened."""
  config = load_config_file(ROOT / "configs" / "ggm.py").get_config("smoke")
  key = jax.random.key(0)
  config.model.trunk.skip = False
  known, _ = init_model(build_model("ggm", config.model), config, key, sample)
  export_model(folder / "model.npz", config, change(known))
  config.model.trunk.skip = True
  first, last = config.model.slices
  config.model.latent_channels += 96
  config.model.slices = (first, last + 96)
  model = build_model("ggm", config.model)
  fresh, _ = init_model(model, config, key, sample)
  closed = start_params(fresh, folder, True, config)
  return model, closed, start_params(fresh, folder, True, config, sample)


@pytest.fixture(name="no_opening")
def _no_opening(monkeypatch):
  """Leaves the rows of new latents as they are before they learn."""
  monkeypatch.setattr(widen, "OPENING_STEPS", 1)
  monkeypatch.setattr(widen, "OPENING_RATE", 0.0)


@pytest.mark.usefixtures("no_opening")
def test_a_skip_opens_what_pixels_foretell(tmp_path):
  model, closed, opened = _open_skip(tmp_path, read_crops(48, 128))
  x = jnp.asarray(read_crops(4, 64, seed=3)["image"])

  @jax.jit
  def error(params):
    def go(flow):
      quality = jnp.full(len(x), len(flow.gain.lmbdas) - 1.0)
      y, z = flow.analyse(x, jnp.ones((*x.shape[:3], 1)), quality)
      x_hat = flow.synthesise(y, flow.hyper_synthesise(z), quality)
      return jnp.mean((x - x_hat) ** 2)

    return model.apply({"params": params}, method=go)

  assert error(opened) < 0.7 * error(closed)


@pytest.mark.usefixtures("no_opening")
def test_what_comes_by_a_skip_fades_as_the_rest_does(tmp_path):
  def fade(known):
    known = jax.tree.map(np.array, known)
    for i in range(3):
      attention = known["analysis"][f"condition_{i}"]["attention"]
      attention["Conv_0"]["kernel"][1, 1] = 1
      attention["Conv_1"]["kernel"][1, 1] = 0.7
      attention["Conv_1"]["bias"][:] = -1
    known["synthesis"]["restore"]["bias"][:] = np.arange(24) / 10
    return known

  model, _, opened = _open_skip(tmp_path, read_crops(16, 64), fade)
  restore = np.asarray(opened["synthesis"]["restore"]["bias"])
  np.testing.assert_allclose(restore[24:], restore[:24].mean(), rtol=1e-3)
  x = jnp.asarray(read_crops(4, 128, seed=3)["image"])

  @jax.jit
  def transform(params, level):
    roi = jnp.full((*x.shape[:3], 1), level)
    quality = jnp.zeros(len(x))
    run = model.transform
    return model.apply({"params": params}, x, roi, quality, method=run)

  full, faint = (transform(opened, level) for level in (1.0, 0.3))
  left = jnp.sum(full * faint, (0, 1, 2)) / jnp.sum(full**2, (0, 1, 2))
  old, new = (np.exp(np.log(part).mean()) for part in (left[:24], left[24:]))
  assert old < 0.6
  assert new == pytest.approx(old, rel=0.25)


def test_a_trunk_that_cannot_be_widened_is_told(smoke_path):
  config = load_config_file(ROOT / "configs" / "ggm.py").get_config("smoke")
  config.model.trunk = ConfigDict(dict(name="residual_gdn", channels=8))
  config.model.latent_channels += 8
  config.model.slices = (*config.model.slices, 8)
  model = build_model("ggm", config.model)
  fresh = make_params(model)
  with pytest.raises(ConfigError, match="only a patchify trunk takes more"):
    start_params(fresh, smoke_path, True, config, read_crops(2, 64))


def test_a_run_that_goes_on_does_not_look_at_its_first_weights(tmp_path):
  config = load_config_file(ROOT / "configs" / "ggm.py").get_config("smoke")
  config.train.start_from = str(tmp_path / "gone.npz")
  plan, sample = read_plan(config), read_crops(2, 64)
  with pytest.raises(CheckpointError, match=r"gone\.npz"):
    start_run(plan, config, sample)
  state, _ = start_run(plan, config, sample, begun=True)
  assert int(state.step) == 0


def test_weights_of_before_an_option_start_runs_that_name_it(smoke, tmp_path):
  model = smoke.config.model.to_dict()
  model["trunk"].pop("skip", None)
  save_weights(tmp_path / FILE_NAME, "ggm", model, smoke.params)
  config = load_config_file(ROOT / "configs" / "ggm.py").get_config("smoke")
  config.model.trunk.skip = False
  assert import_params(tmp_path, config)
  config.model.trunk.skip = True
  with pytest.raises(ConfigError, match=r"trunk\.skip is false there and true"):
    import_params(tmp_path, config)
