"""SwinROI: its region's path, its loss, its files."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from smoke_model import (
  ROOT,
  jit_once,
  load_config_file,
  make_params,
  read_crops,
  read_photo,
  stir,
)

from roijax.codec import Codec
from roijax.errors import ConfigError
from roijax.models.flow import Flow
from roijax.models.registry import build_model
from roijax.ops.importance import from_exponent, to_exponent
from roijax.training.export import import_params
from roijax.training.objective import (
  init_model,
  make_importance,
  make_loss_fn,
)
from roijax.weights.archive import FILE_NAME, load_weights, save_weights


def _config(variant="smoke"):
  return load_config_file(ROOT / "configs" / "swin.py").get_config(variant)


@pytest.fixture(name="config", scope="module")
def _smoke_config():
  return _config()


@pytest.fixture(name="model", scope="module")
def _model(config):
  return build_model("swin", config.model)


@pytest.fixture(name="fitted", scope="module")
def _fitted(model, config):
  params, _ = init_model(
    model, config, jax.random.key(0), read_crops(16, config.data.crop)
  )
  return params


@pytest.fixture(name="params", scope="module")
def _params(fitted):
  return stir(fitted)


def _make_codec(folder, config, params):
  path = folder / FILE_NAME
  save_weights(path, "swin", config.model.to_dict(), params)
  return Codec(load_weights(path))


@pytest.fixture(name="codec", scope="module")
def _codec(config, params, tmp_path_factory):
  return _make_codec(tmp_path_factory.mktemp("swin"), config, params)


def test_weights_from_before_an_option_existed_still_start_a_run(
  config, params, tmp_path
):
  model = config.model.to_dict()
  assert model.pop("use_region") is True
  path = tmp_path / FILE_NAME
  save_weights(path, "swin", model, params)
  found = import_params(path, config)
  assert jax.tree.structure(found) == jax.tree.structure(params)
  other = config.copy_and_resolve_references()
  other.model.use_region = False
  with pytest.raises(ConfigError, match=r"model\.use_region is true there"):
    import_params(path, other)


def _transform(model, params, x, roi, quality=0.0):
  return jax.jit(
    lambda x, roi: model.apply(
      {"params": params}, x, roi, jnp.full(1, quality), method=Flow.transform
    )
  )(x, roi)


def _weights(config, roi, count=1):
  """lmbda of every pixel at the finest rate, for so many samples."""
  keys = jax.random.split(jax.random.key(0), count)
  rois = jnp.broadcast_to(roi, (count, *roi.shape[1:]))
  importance = make_importance(config)(keys, rois)
  return np.asarray(config.model.lmbdas[-1] * importance**2)


@pytest.mark.parametrize(
  ("omega", "expected"), [(3.0, 0.0201), (5.0, 0.148), (6.5, 0.665)]
)
def test_the_paper_s_weights_are_those_of_its_variant(omega, expected):
  config = _config("paper")
  assert config.loss.alpha == 0.001
  config.loss.omegas = (omega,)
  roi = jnp.asarray([0.0, 0.4, 1.0]).reshape(1, 1, 3, 1)
  found = _weights(config, roi).ravel()
  np.testing.assert_allclose(found, 0.001 * np.exp(omega * roi.ravel()), 2e-4)
  np.testing.assert_allclose(found[[0, 2]], [0.001, expected], rtol=5e-3)


def test_one_checkpoint_draws_every_omega_and_levels_of_the_background():
  roi = jnp.asarray([0.0, 1.0]).reshape(1, 1, 2, 1)
  found = _weights(_config("paper"), roi, 200)[:, 0, :, 0]
  regions, counts = np.unique(found[:, 1].round(4), return_counts=True)
  np.testing.assert_allclose(regions, [0.0201, 0.1484, 0.6651], rtol=1e-2)
  assert counts.min() > 40
  levels = _weights(_config(""), roi, 200)[:, 0, 0, 0] / 0.665
  assert levels.min() < 0.01 and levels.max() > 0.9


@pytest.mark.parametrize(
  "change", [{"alpha": 0.002}, {"omegas": (3.0, 8.0)}, {"omegas": (0.0,)}]
)
def test_exponents_that_contradict_are_one_line(change):
  config = _config("paper")
  config.loss.update(change)
  with pytest.raises(ConfigError, match=r"config\.loss\.(alpha|omegas)"):
    make_importance(config)


def test_squares_of_the_map_are_the_paper_s_exponentials():
  omega = 6.5
  u = jnp.linspace(0, 1, 9).reshape(1, 1, 9, 1)
  r = from_exponent(u, omega)
  np.testing.assert_allclose(to_exponent(r, omega), u, atol=1e-6)
  lmbda = 0.001 * np.exp(omega)
  np.testing.assert_allclose(lmbda * r**2, 0.001 * np.exp(omega * u), rtol=1e-5)
  # Below the scale there is nothing: a weight of zero has no logarithm.
  low = to_exponent(jnp.zeros((1, 1, 1, 1)), omega)
  np.testing.assert_array_equal(low, np.zeros((1, 1, 1, 1)))


@pytest.mark.parametrize("omega", [3.0, 5.0])
def test_an_omega_s_loss_is_the_paper_s(model, config, params, omega):
  """One checkpoint for all omegas: the network reads m omega / 6.5."""
  config = config.copy_and_resolve_references()
  config.loss.alpha, config.loss.omegas = 0.001, (omega,)
  config.loss.background_low = config.loss.background_high = 1e-4
  config.loss.background_extremes, config.loss.balance = 0.0, 0.0
  config.model.lmbdas = (0.66514, 0.66514)
  roi = np.zeros((2, 64, 64, 1), np.float32)
  roi[:, :40, :30] = 1
  batch = {"image": read_crops(2, 64)["image"], "roi": roi}
  keys = jax.random.split(jax.random.key(1), 2)
  loss, (metrics, _) = jax.jit(make_loss_fn(model, config))(
    params, {}, batch, keys
  )
  split = jax.vmap(lambda key: jax.random.split(key, 3), out_axes=1)(keys)
  quality = jax.vmap(lambda key: jax.random.uniform(key, maxval=1.0))(split[0])
  fed = from_exponent(jnp.asarray(batch["roi"]) * omega / 6.5, 6.5)
  out = jax.jit(model.apply)(
    {"params": params}, batch["image"], fed, quality, split[2]
  )
  lmbda = 0.001 * np.exp(omega * batch["roi"])
  squares = jnp.square(batch["image"] - out.x_hat)
  distortion = 255**2 * jnp.mean(lmbda * squares)
  np.testing.assert_allclose(loss, distortion + metrics["bpp"], rtol=1e-4)


def test_the_transforms_start_as_a_codec_without_a_region(model, fitted):
  batch = read_crops(4, 64, seed=5)
  x = jnp.asarray(batch["image"])
  roi = jnp.asarray(batch["roi"])

  @jax.jit
  def there_and_back(roi):
    quality = jnp.zeros(4)

    def apply(method, *arguments):
      return model.apply({"params": fitted}, *arguments, method=method)

    y, z = apply(Flow.analyse, x, roi, quality)
    h = apply(Flow.hyper_synthesise, z)
    return y, apply(Flow.synthesise, y, h, quality)

  y, x_hat = there_and_back(roi)
  assert jnp.mean((x - x_hat) ** 2) < 0.01
  # Feature transforms start as the identity.
  np.testing.assert_array_equal(there_and_back(jnp.ones_like(roi))[0], y)


def test_the_region_steers_the_encoder_where_it_lies(model, params):
  x = jnp.asarray(read_crops(1, 128)["image"])
  roi = np.full((1, 128, 128, 1), 0.25, np.float32)
  base = _transform(model, params, x, jnp.asarray(roi))
  roi[:, 96:, 96:] = 1
  changed = _transform(model, params, x, jnp.asarray(roi))
  difference = np.abs(changed - base).max(axis=-1)[0]
  assert difference[6:, 6:].min() > 0
  # Windows of 64 pixels at the coarsest scale, moved by half.
  np.testing.assert_allclose(difference[:2, :2], np.zeros((2, 2)), atol=1e-5)


def test_without_its_path_the_region_reaches_the_loss_alone(config):
  config = config.copy_and_resolve_references()
  config.model.use_region = False
  model = build_model("swin", config.model)
  params = make_params(model)
  names = " ".join(map(str, jax.tree.leaves_with_path(params)))
  assert "condition" not in names and "transform" not in names
  x = jnp.asarray(read_crops(1, 64)["image"])
  ones, low = jnp.ones((1, 64, 64, 1)), jnp.full((1, 64, 64, 1), 0.1)
  one, other = (_transform(model, params, x, roi) for roi in (ones, low))
  np.testing.assert_array_equal(one, other)
  batch = read_crops(2, 64)
  loss_fn = jax.jit(make_loss_fn(model, config))
  keys = jax.random.split(jax.random.key(0), 2)
  found, _ = loss_fn(params, {}, batch, keys)
  blank = {**batch, "roi": np.zeros_like(batch["roi"])}
  assert np.isfinite(found) and found != loss_fn(params, {}, blank, keys)[0]


def test_every_parameter_has_a_finite_gradient_that_is_not_zero(
  model, config, params
):
  loss_fn = make_loss_fn(model, config)
  batch = read_crops(4, 64, seed=1)
  keys = jax.random.split(jax.random.key(0), 4)
  gradients, _ = jit_once(jax.grad(loss_fn, has_aux=True))(
    params, {}, batch, keys
  )
  for path, leaf in jax.tree.leaves_with_path(gradients):
    name = jax.tree_util.keystr(path)
    assert np.isfinite(leaf).all(), name
    assert np.any(leaf != 0), name


@pytest.mark.parametrize(("height", "width"), [(1, 1), (33, 70), (100, 128)])
def test_a_photo_of_any_size_comes_back(codec, height, width):
  photo = read_photo(height, width)
  roi = np.zeros((height, width), np.float32)
  roi[: height // 2 + 1] = 1
  encoded = codec.compress_detailed(photo, roi, quality=1.0)
  back = codec.decompress(encoded.data)
  assert back.shape == photo.shape
  error = np.mean((back.astype(float) - photo) ** 2)
  assert error < np.mean((photo - 127.5) ** 2)
  # All at once, in float32, the likelihoods say what the passes cost; more in
  # the Gaussian's tails, where these stirred weights are often and an escape
  # is cheaper.
  excess = encoded.bits_likelihood / encoded.bits_tables - 1
  assert -0.02 < excess < 0.15


@pytest.mark.parametrize("context", ["checkerboard", "wavefront"])
def test_every_context_codes(config, context, tmp_path):
  config = config.copy_and_resolve_references()
  config.model.context, config.model.context_hidden = context, (8,)
  if context == "checkerboard":
    config.model.slices = (8, 24)
  params = make_params(build_model("swin", config.model))
  # Heads begin small; latents far in the tails would cost anything.
  params["context"] = jax.tree.map(lambda x: 0.3 * x, params["context"])
  codec = _make_codec(tmp_path, config, params)
  photo = read_photo(40, 70)
  assert codec.decompress(codec.compress(photo)).shape == photo.shape


@pytest.mark.parametrize(
  ("change", "words"),
  [
    ({"stages.factors": (4, 2)}, "differ in length"),
    ({"stages.factors": (4, 2, 4)}, "multiply to 16"),
    ({"stages.stem": "conv7"}, "conv7"),
    ({"stages.stem": "conv5"}, "factor 2"),
    ({"slices": (16, 24)}, "sum to 40"),
    ({"slices": (16, 16)}, "all channels at once"),
    ({"context_hidden": 8}, "2 widths"),
    ({"context": "checkerbord"}, "checkerbord"),
    ({"stages.head": 3}, "head"),
    ({"region.omega": 0.0}, "omega"),
    ({"region.size": 2}, "size"),
    ({"region.factor": 3}, "factor"),
    ({"hyper.windows": (4, 4)}, "hyper.windows"),
    ({"region.width": 3}, "width"),
  ],
  ids=str,
)
def test_a_model_that_does_not_fit_is_one_line(config, change, words):
  model = config.model.to_dict()
  for key, value in change.items():
    *section, name = key.split(".")
    place = model[section[0]] if section else model
    place[name] = value
  with pytest.raises(
    ConfigError, match=r"config\.model does not fit"
  ) as caught:
    build_model("swin", model)
  assert words in str(caught.value)
  assert "\n" not in str(caught.value)


def test_the_default_has_the_paper_s_size():
  config = _config("")
  model = build_model("swin", config.model)
  x, roi = jnp.zeros((1, 64, 64, 3)), jnp.zeros((1, 64, 64, 1))
  keys = jax.random.split(jax.random.key(0), 1)
  shapes = jax.eval_shape(
    model.init, jax.random.key(0), x, roi, jnp.zeros(1), keys
  )["params"]
  count = sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(shapes))
  assert abs(count / 15.8e6 - 1) < 0.03
