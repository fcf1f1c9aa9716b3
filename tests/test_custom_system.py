"""Customizable ROI: TIC's sizes, the mask attention, the user's background."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
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
from roijax.layers.mask_attention import LatentMaskAttention
from roijax.layers.transposed import TransposedConv
from roijax.models.flow import Flow
from roijax.models.registry import build_model
from roijax.training.objective import init_model, make_loss_fn
from roijax.weights.archive import FILE_NAME, load_weights, save_weights


def _config(variant="smoke"):
  return load_config_file(ROOT / "configs" / "custom.py").get_config(variant)


@pytest.fixture(name="config", scope="module")
def _smoke_config():
  return _config()


@pytest.fixture(name="model", scope="module")
def _model(config):
  return build_model("custom", config.model)


@pytest.fixture(name="fitted", scope="module")
def _fitted(model, config):
  params, _ = init_model(
    model, config, jax.random.key(0), read_crops(16, config.data.crop)
  )
  return params


@pytest.fixture(name="params", scope="module")
def _params(fitted):
  return stir(fitted)


@pytest.fixture(name="codec", scope="module")
def _codec(config, params, tmp_path_factory):
  path = tmp_path_factory.mktemp("custom") / FILE_NAME
  save_weights(path, "custom", config.model.to_dict(), params)
  return Codec(load_weights(path))


def _sizes(channels, latent, depths, attend):
  """Parameters of each part, and of what the paper counts."""
  config = _config("")
  model = config.model
  model.stages.channels = (channels,) * 3 + (latent,)
  model.stages.depths = depths[:3]
  model.hyper.channels = channels
  model.hyper.depths = depths[3:]
  model.attend = attend
  shapes = jax.eval_shape(
    build_model("custom", model).init,
    jax.random.key(0),
    jnp.zeros((1, 64, 64, 3)),
    jnp.zeros((1, 64, 64, 1)),
    jnp.zeros(1),
    jax.random.split(jax.random.key(0), 1),
  )["params"]
  sizes = {
    name: sum(leaf.size for leaf in jax.tree.leaves(part))
    for name, part in shapes.items()
  }
  # Gain units, and the latents' usual sizes, are ours.
  ours = sizes.pop("gain") + sizes.pop("log_unit")
  assert ours == (len(model.lmbdas) + 1) * latent
  return shapes, sizes, sum(sizes.values())


def test_tic_has_its_parameters_to_the_unit():
  shapes, sizes, total = _sizes(128, 192, (2, 4, 6, 2, 2), attend=False)
  context = sum(
    leaf.size for leaf in jax.tree.leaves(shapes["context"]["attention"])
  )
  assert sizes["analysis"] == 2_936_136
  assert sizes["hyper_analysis"] == 1_312_704
  assert sizes["hyper_synthesis"] == 1_534_144
  assert sizes["synthesis"] == 2_935_947
  assert sizes["z_prior"] == 7_424
  assert (context, sizes["context"] - context) == (483_216, 1_017_344)
  assert total == 10_226_915


@pytest.mark.parametrize(
  ("channels", "trunk", "attention"),
  [(192, 13_007_835, 726_656), (128, 7_020_827, 521_728)],
)
def test_the_published_sizes_are_met_to_the_unit(channels, trunk, attention):
  depths = (1, 2, 3, 1, 1)
  shapes, _, total = _sizes(channels, 192, depths, attend=True)
  own = shapes["analysis"]["attention"]
  assert sum(leaf.size for leaf in jax.tree.leaves(own)) == attention
  assert total == trunk + attention
  assert "attention" not in _sizes(channels, 192, depths, False)[0]["analysis"]


def test_the_default_is_the_published_code_s():
  model = _config("").model
  assert model.stages.channels == (192,) * 4
  assert (*model.stages.depths, *model.hyper.depths) == (1, 2, 3, 1, 1)
  assert (model.attend, model.context) == (True, "attention")


@pytest.mark.parametrize("size", [3, 5])
def test_a_transposed_convolution_is_what_its_formula_says(size):
  rng = np.random.default_rng(size)
  x = rng.normal(size=(2, 4, 5, 3))
  layer = TransposedConv(2, size)
  with jax.enable_x64():
    params = layer.init(jax.random.key(0), jnp.asarray(x))
    kernel = rng.normal(size=(size, size, 3, 2))
    params["params"]["kernel"] = jnp.asarray(kernel)
    params["params"]["bias"] = jnp.asarray([1.0, -2.0])
    found = layer.apply(params, jnp.asarray(x))
  # Every input spreads the kernel around twice its place.
  expected = np.zeros((2, 8 + 2 * size, 10 + 2 * size, 2))
  for row in range(4):
    for column in range(5):
      place = np.s_[
        :,
        size + 2 * row - size // 2 : size + 2 * row - size // 2 + size,
        size + 2 * column - size // 2 : size + 2 * column - size // 2 + size,
      ]
      expected[place] += np.einsum("bc,klcd->bkld", x[:, row, column], kernel)
  expected = expected[:, size : size + 8, size : size + 10] + [1.0, -2.0]
  np.testing.assert_allclose(found, expected, atol=1e-12)
  # And XLA's own, which reads the kernel the other way round.
  dilated = lax.conv_general_dilated(
    jnp.asarray(x, jnp.float32),
    jnp.asarray(kernel[::-1, ::-1], jnp.float32),
    (1, 1),
    [(size // 2, size // 2 + 1)] * 2,
    lhs_dilation=(2, 2),
    dimension_numbers=("NHWC", "HWIO", "NHWC"),
  )
  dilated = np.asarray(dilated) + [1.0, -2.0]
  np.testing.assert_allclose(dilated, expected, atol=1e-4)


def _attention_by_hand(params, u, mask):
  """The factor, in NumPy, from the formulas of the paper."""

  def conv(x, name, stride):
    kernel, bias = (
      np.asarray(part[name][k], float) for k in ("kernel", "bias")
    )
    x = np.pad(x, ((1, 1), (1, 1), (0, 0)))
    rows, columns = ((side - 3) // stride + 1 for side in x.shape[:2])
    out = np.empty((rows, columns, kernel.shape[-1]))
    for i in range(rows):
      for j in range(columns):
        patch = x[stride * i : stride * i + 3, stride * j : stride * j + 3]
        out[i, j] = np.einsum("klc,klcd->d", patch, kernel) + bias
    return out

  def linear(x, name):
    kernel, bias = (
      np.asarray(part[name][k], float) for k in ("kernel", "bias")
    )
    return x @ kernel + bias

  part = params
  q = conv(u, "image_in", 2)
  q = np.where(q > 0, q, 0.01 * q)
  for _ in range(3):
    part = params["bottleneck"]
    inside = np.maximum(conv(np.maximum(linear(q, "in"), 0), "middle", 1), 0)
    q = q + linear(inside, "out")
  part = params
  q = np.tanh(linear(q, "image_out"))
  s = mask
  for i in range(3):
    s = conv(np.maximum(s, 0) if i else s, f"mask_{i}", 2)
  return q / (1 + np.abs(q)) + 1 / (1 + np.exp(-s))


def test_mask_attention_is_the_paper_s_to_the_digit():
  rng = np.random.default_rng(0)
  u = rng.normal(size=(1, 8, 12, 6)).astype(np.float32)
  mask = rng.random((1, 32, 48, 1)).astype(np.float32)
  y = rng.normal(size=(1, 4, 6, 5)).astype(np.float32)
  layer = LatentMaskAttention()
  y, u, mask = (jnp.asarray(one) for one in (y, u, mask))
  params = stir(layer.init(jax.random.key(0), y, u, mask)["params"])
  found = layer.apply({"params": params}, y, u, mask)
  factor = _attention_by_hand(params, np.asarray(u[0]), np.asarray(mask[0]))
  np.testing.assert_allclose(found[0], y[0] * factor, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e3])
def test_the_factor_stays_within_its_limits(size):
  rng = np.random.default_rng(1)
  u = size * rng.normal(size=(1, 8, 8, 6)).astype(np.float32)
  mask = rng.random((1, 32, 32, 1)).astype(np.float32)
  y = np.ones((1, 4, 4, 5), np.float32)
  layer = LatentMaskAttention()
  y, u, mask = (jnp.asarray(one) for one in (y, u, mask))
  params = layer.init(jax.random.key(0), y, u, mask)["params"]
  params = jax.tree.map(lambda leaf: 3 * leaf, stir(params))
  factor = np.asarray(layer.apply({"params": params}, y, u, mask))
  assert factor.min() >= -0.5 and factor.max() <= 1.5
  assert factor.max() - factor.min() > (1e-3 if size == 1e-3 else 0.5)


def test_the_transforms_start_as_a_codec_whatever_the_map(model, fitted):
  batch = read_crops(4, 64, seed=5)
  x = jnp.asarray(batch["image"])

  # The parameters as an argument: with kernels of zeros as constants, jaxlib
  # 0.10.2 miscompiles a pooling with convolutions behind it on a CPU.
  @jax.jit
  def run(params, roi):
    quality = jnp.zeros(4)

    def apply(method, *arguments):
      return model.apply({"params": params}, *arguments, method=method)

    y, z = apply(Flow.analyse, x, roi, quality)
    h = apply(Flow.hyper_synthesise, z)
    return y, apply(Flow.synthesise, y, h, quality)

  y, x_hat = run(fitted, jnp.asarray(batch["roi"]))
  assert jnp.mean((x - x_hat) ** 2) < 0.01
  np.testing.assert_array_equal(run(fitted, jnp.ones_like(x[..., :1]))[0], y)


def _transform(model, params, x, roi):
  return jax.jit(
    lambda x, roi: model.apply(
      {"params": params}, x, roi, jnp.zeros(1), method=Flow.transform
    )
  )(x, roi)


def test_the_map_acts_where_it_lies_and_not_without_attention(
  config, model, params
):
  x = jnp.asarray(read_crops(1, 128)["image"])
  roi = np.full((1, 128, 128, 1), 0.25, np.float32)
  base = _transform(model, params, x, jnp.asarray(roi))
  roi[:, 96:, 96:] = 1
  changed = _transform(model, params, x, jnp.asarray(roi))
  difference = np.abs(changed - base).max(axis=-1)[0]
  assert difference[6:, 6:].min() > 0
  # Three 3x3 convolutions of stride 2 see one latent further.
  np.testing.assert_array_equal(difference[:4], np.zeros((4, 8)))
  config = config.copy_and_resolve_references()
  config.model.attend = False
  blind = build_model("custom", config.model)
  params = make_params(blind)
  one, other = (
    _transform(blind, params, x, jnp.asarray(m)) for m in (roi, 0.5 * roi)
  )
  np.testing.assert_array_equal(one, other)


def test_a_background_of_one_is_an_ordinary_codec_s_loss(config, model, params):
  """sigma = 1 everywhere: the weights are one, whatever the region."""
  config = config.copy_and_resolve_references()
  config.loss.background_low = config.loss.background_high = 1.0
  config.loss.background_extremes, config.loss.balance = 0.0, 0.0
  batch = read_crops(2, 64)
  keys = jax.random.split(jax.random.key(0), 2)
  loss_fn = jax.jit(make_loss_fn(model, config))
  loss, _ = loss_fn(params, {}, batch, keys)
  blank = {**batch, "roi": np.zeros_like(batch["roi"])}
  assert loss == loss_fn(params, {}, blank, keys)[0]
  full = {**batch, "roi": np.ones_like(batch["roi"])}
  assert loss == loss_fn(params, {}, full, keys)[0]


def test_the_paper_s_variant_weighs_the_background_by_sigma_squared():
  config = _config("paper")
  assert config.loss.background_low == config.loss.background_high == 0.01
  model = build_model("custom", _config().model)
  config.model = _config().model
  config.loss.balance = 0.0
  params = make_params(model)
  roi = np.zeros((1, 64, 64, 1), np.float32)
  roi[:, :40] = 1
  batch = {"image": read_crops(1, 64)["image"], "roi": roi}
  keys = jax.random.split(jax.random.key(1), 1)
  loss, (metrics, _) = jax.jit(make_loss_fn(model, config))(
    params, {}, batch, keys
  )
  split = jax.vmap(lambda key: jax.random.split(key, 3), out_axes=1)(keys)
  top = len(config.model.lmbdas) - 1.0
  quality = jax.vmap(lambda k: jax.random.uniform(k, maxval=top))(split[0])
  fed = np.where(roi == 1, 1.0, 0.01).astype(np.float32)
  out = jax.jit(model.apply)(
    {"params": params}, batch["image"], fed, quality, split[2]
  )
  low, high = config.model.lmbdas
  lmbda = low ** (1 - quality[0]) * high ** quality[0]
  squares = (batch["image"] - np.asarray(out.x_hat)) ** 2
  weight = np.where(roi == 1, 1.0, 1e-4)
  expected = lmbda * 255**2 * np.mean(weight * squares) + metrics["bpp"]
  np.testing.assert_allclose(loss, expected, rtol=1e-4)


def test_every_parameter_has_a_finite_gradient_that_is_not_zero(
  model, config, params
):
  loss_fn = make_loss_fn(model, config)
  keys = jax.random.split(jax.random.key(0), 4)
  gradients, _ = jit_once(jax.grad(loss_fn, has_aux=True))(
    params, {}, read_crops(4, 64, seed=1), keys
  )
  for path, leaf in jax.tree.leaves_with_path(gradients):
    name = jax.tree_util.keystr(path)
    assert np.isfinite(leaf).all(), name
    assert np.any(leaf != 0), name


def test_the_decoder_reads_nothing_of_the_encoder(model, params):
  latent = jnp.asarray(
    np.random.default_rng(0).normal(size=(1, 4, 4, 32)).astype(np.float32)
  )
  z = jnp.ones((1, 1, 1, 8))
  decoder = {
    name: part
    for name, part in params.items()
    if name not in ("analysis", "hyper_analysis")
  }

  def decode(params):
    h = model.apply({"params": params}, z, method=Flow.hyper_synthesise)
    return model.apply(
      {"params": params}, latent, h, jnp.zeros(1), method=Flow.synthesise
    )

  np.testing.assert_array_equal(decode(decoder), decode(params))


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
  # In the Gaussian's tails, where these stirred weights are often, an escape is
  # cheaper than what the likelihood says.
  excess = encoded.bits_likelihood / encoded.bits_tables - 1
  assert -0.02 < excess < 0.25


@pytest.mark.parametrize(
  ("change", "words"),
  [
    ({"stages.factors": (4, 2)}, "one shorter"),
    ({"stages.factors": (4, 2, 4)}, "multiply to 16"),
    ({"stages.stem": "conv7"}, "conv7"),
    ({"stages.stem": "conv"}, "factors of 2"),
    ({"stages.head": 3}, "head"),
    ({"hyper.depths": (1,)}, "hyper.depths"),
    ({"slices": (16, 24)}, "sum to 40"),
    ({"context": "checkerbord"}, "checkerbord"),
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
    build_model("custom", model)
  assert words in str(caught.value)
  assert "\n" not in str(caught.value)
