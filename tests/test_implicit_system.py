"""Implicit allocation: two decoders, a mask that travels, its ablations."""

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
  stir,
)

from roijax import tiling
from roijax.coding.mask import BACKGROUND, FOREGROUND, encode_mask
from roijax.errors import ConfigError
from roijax.models.flow import Flow
from roijax.models.registry import build_model
from roijax.ops.resample import (
  average_pool,
  threshold_cells,
  upsample_bilinear,
)
from roijax.training.mask_rate import estimate_bits
from roijax.training.objective import init_model, make_loss_fn

KINDS = {
  "mask": {},
  "stride 8": {"mask_stride": 8},
  "predicted": {"composite": "predicted", "mask_stride": 8},
  "none": {"composite": "none"},
  "explicit": {"gating": "explicit"},
}


def _config(**changes):
  config = load_config_file(ROOT / "configs" / "implicit.py")
  config = config.get_config("smoke")
  config.model.update(changes)
  return config


def _fitted(config, seed=0):
  model = build_model("implicit", config.model)
  params, _ = init_model(
    model, config, jax.random.key(seed), read_crops(16, config.data.crop)
  )
  return model, params


@pytest.fixture(name="config", scope="module")
def _smoke_config():
  return _config()


@pytest.fixture(name="start", scope="module")
def _start(config):
  return _fitted(config)


@pytest.fixture(name="model", scope="module")
def _model(start):
  return start[0]


@pytest.fixture(name="params", scope="module")
def _params(start):
  return stir(start[1])


def _synthesise(model, params, y, h, mask=None):
  """One program a kind of mask; parameters are arguments."""
  arrays = () if mask is None or isinstance(mask, str) else (mask,)
  names = (mask,) if isinstance(mask, str) else ()

  @jax.jit
  def run(params, y, h, *arrays):
    return model.apply(
      {"params": params},
      *(y, h, jnp.zeros(1), *arrays, *names),
      method=Flow.synthesise,
    )

  return np.asarray(run(params, y, h, *arrays))


def _latents(rows, columns, seed=0):
  rng = np.random.default_rng(seed)
  y = 3 * rng.standard_normal((1, rows, columns, 24)).astype(np.float32)
  return y, rng.standard_normal((1, rows, columns, 16)).astype(np.float32)


def _bilinear(mask, factor):
  """In NumPy, from the definition: centres, and edges repeated."""
  for axis in range(2):
    size = mask.shape[axis]
    place = (np.arange(size * factor) + 0.5) / factor - 0.5
    place = np.clip(place, 0, size - 1)
    low = np.minimum(place.astype(int), max(size - 2, 0))
    weight = np.expand_dims(place - low, 1 - axis)
    near = np.take(mask, low, axis)
    far = np.take(mask, np.minimum(low + 1, size - 1), axis)
    mask = near + weight * (far - near)
  return mask


@pytest.mark.parametrize("stride", [16, 8])
def test_a_mask_is_enlarged_linearly_between_its_cells_centres(stride):
  mask = np.random.default_rng(stride).random((5, 7)).astype(np.float32)
  found = upsample_bilinear(jnp.asarray(mask)[None, ..., None], stride)
  np.testing.assert_allclose(
    found[0, ..., 0], _bilinear(mask, stride), atol=1e-6
  )


@pytest.mark.parametrize("stride", [16, 8])
def test_training_composites_by_the_mask_that_files_hold(stride):
  roi = read_crops(3, 128)["roi"]
  cells = threshold_cells(jnp.asarray(roi), stride)
  for one, found in zip(roi, cells, strict=True):
    expected = tiling.pool_mask(one[..., 0], stride)
    np.testing.assert_array_equal(found[..., 0] == 1, expected)


def test_the_photo_is_both_decoders_composite(model, params):
  y, h = _latents(4, 8)
  mask = np.zeros((1, 4, 8, 1), np.float32)
  mask[:, 1:3, 2:6] = 1
  joined = _synthesise(model, params, y, h, mask)
  inside = _synthesise(model, params, y, h, FOREGROUND)
  outside = _synthesise(model, params, y, h, BACKGROUND)
  share = _bilinear(mask[0, ..., 0], 16)[..., None]
  expected = share * inside + (1 - share) * outside
  np.testing.assert_allclose(joined, expected, atol=1e-5)
  assert np.abs(inside - outside).max() > 0.01
  # The band between them is soft, a cell wide.
  assert set(np.unique(share)) > {0.0, 1.0}


def test_a_region_that_is_everything_or_nothing_needs_one_decoder(
  model, params
):
  y, h = _latents(4, 4)
  for value, name in ((1, FOREGROUND), (0, BACKGROUND)):
    mask = np.full((1, 4, 4, 1), value, np.float32)
    both = _synthesise(model, params, y, h, mask)
    np.testing.assert_allclose(
      both, _synthesise(model, params, y, h, name), atol=1e-6
    )
    # The other decoder's parameters are not even read.
    parts = {k: v for k, v in params["synthesis"].items() if k == name}
    alone = _synthesise(model, {**params, "synthesis": parts}, y, h, name)
    np.testing.assert_array_equal(alone, _synthesise(model, params, y, h, name))


def test_the_decoder_reads_nothing_of_the_encoder(model, params):
  y, h = _latents(4, 4)
  mask = np.tri(4, dtype=np.float32)[None, ..., None]
  decoder = {
    name: part
    for name, part in params.items()
    if name not in ("analysis", "hyper_analysis")
  }
  np.testing.assert_array_equal(
    _synthesise(model, decoder, y, h, mask),
    _synthesise(model, params, y, h, mask),
  )


def test_both_decoders_start_as_the_same_codec(start, config):
  model, params = start
  both = params["synthesis"]
  jax.tree.map(
    np.testing.assert_array_equal, both["foreground"], both["background"]
  )
  batch = read_crops(4, 64, seed=5)
  keys = jax.random.split(jax.random.key(0), 4)
  mask = threshold_cells(jnp.asarray(batch["roi"]), 16)
  out = jax.jit(model.apply)(
    *({"params": params}, batch["image"], batch["roi"], jnp.ones(4), keys),
    mask,
  )
  assert jnp.mean((batch["image"] - out.x_hat) ** 2) < 0.01


def _loss(config, model, params, batch, seed=0):
  keys = jax.random.split(jax.random.key(seed), len(batch["image"]))
  run = jax.jit(make_loss_fn(model, config))
  loss, (metrics, _) = run(params, {}, batch, keys)
  return loss, metrics


def test_the_loss_is_the_paper_s_with_both_lambdas(model, params):
  """A region of whole cells far apart from its band's pixels, by hand."""
  config = _config()
  config.loss.balance = 0.0
  config.loss.lambda_f, config.loss.lambda_b = 2.0, 0.5
  batch = read_crops(1, 128)
  roi = np.zeros_like(batch["roi"])
  roi[:, 32:96, :64] = 1
  batch = {**batch, "roi": roi}
  loss, metrics = _loss(config, model, params, batch)
  split = jax.random.split(jax.random.split(jax.random.key(0), 1)[0], 3)
  quality = jax.random.uniform(split[0], maxval=1.0)[None]
  low, high = config.model.lmbdas
  lmbda = float(low ** (1 - quality[0]) * high ** quality[0])
  fed = np.where(roi == 1, 1.0, 0.5).astype(np.float32)
  mask = threshold_cells(jnp.asarray(roi), 16)
  out = jax.jit(model.apply)(
    {"params": params}, batch["image"], fed, quality, split[2][None], mask
  )
  x, m = batch["image"], _bilinear(np.asarray(mask[0, ..., 0]), 16)
  m = m[None, ..., None]
  squares = [(x - np.asarray(part)) ** 2 for part in out.layers[:2]]
  # In the soft band the photo's own pixels say what they weigh.
  weight = np.where(roi == 1, 2.0, 0.5)
  each = weight * (m * squares[0] + (1 - m) * squares[1])
  expected = lmbda * 255**2 * each.mean() + metrics["bpp"]
  np.testing.assert_allclose(loss, expected, rtol=1e-4)
  # And without a band: lambda_f and lambda_b of the two means.
  whole = {**batch, "roi": np.ones_like(roi)}
  loss, metrics = _loss(config, model, params, whole)
  out = jax.jit(model.apply)(
    *({"params": params}, x, whole["roi"], quality, split[2][None]),
    jnp.ones_like(mask),
  )
  mse = np.mean((x - np.asarray(out.layers.foreground)) ** 2)
  expected = 2 * lmbda * 255**2 * mse + metrics["bpp"]
  np.testing.assert_allclose(loss, expected, rtol=1e-4)


@pytest.mark.parametrize(("high", "low"), [(1.0, 2.0), (0.0, 0.0), (1.0, -0.5)])
def test_lambdas_that_contradict_are_one_line(model, high, low):
  config = _config()
  config.loss.lambda_f, config.loss.lambda_b = high, low
  with pytest.raises(ConfigError, match=r"config\.loss\.lambda_b") as caught:
    make_loss_fn(model, config)
  assert "\n" not in str(caught.value)


def test_the_mask_counts_in_training_s_rate(model, params, config):
  batch = read_crops(2, 128)
  _, metrics = _loss(config, model, params, batch)
  none = _config(composite="none")
  single = {**params, "synthesis": params["synthesis"]["foreground"]}
  _, other = _loss(none, build_model("implicit", none.model), single, batch)
  mask = threshold_cells(jnp.asarray(batch["roi"]), 16)
  bits = float(jnp.mean(estimate_bits(mask)))
  assert bits > 16
  np.testing.assert_allclose(
    metrics["bpp"] - other["bpp"], bits / 128**2, atol=1e-4
  )


def test_the_foretold_bits_of_a_mask_are_nearly_its_code_s():
  for seed in range(4):
    roi = read_crops(4, 192, seed)["roi"]
    for stride in (16, 8):
      cells = threshold_cells(jnp.asarray(roi), stride)
      found = np.asarray(estimate_bits(cells))
      for mask, bits in zip(np.asarray(cells[..., 0]), found, strict=True):
        coded = 8 * (1 + len(encode_mask(mask == 1)))
        assert abs(coded - bits) <= 16 + 0.15 * coded


@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_has_a_finite_gradient_that_is_not_zero(kind):
  config = _config(**KINDS[kind])
  model, params = _fitted(config)
  loss_fn = make_loss_fn(model, config)
  keys = jax.random.split(jax.random.key(0), 4)
  gradients, (metrics, _) = jit_once(jax.grad(loss_fn, has_aux=True))(
    stir(params), {}, read_crops(4, 64, seed=1), keys
  )
  for path, leaf in jax.tree.leaves_with_path(gradients):
    name = jax.tree_util.keystr(path)
    assert np.isfinite(leaf).all(), name
    assert np.any(leaf != 0), name
  assert ("cross_entropy" in metrics) == (kind == "predicted")


def test_a_predicted_mask_learns_from_the_mask_alone():
  config = _config(composite="predicted")
  model, params = _fitted(config)
  batch, params = read_crops(2, 64, seed=1), stir(params)
  keys = jax.random.split(jax.random.key(0), 2)
  config.loss.mask_weight = 0.0
  gradients, _ = jit_once(jax.grad(make_loss_fn(model, config), has_aux=True))(
    params, {}, batch, keys
  )
  for leaf in jax.tree.leaves(gradients["synthesis"]["head"]):
    assert not np.any(leaf)


def _transform(model, params, x, roi):
  return jax.jit(
    lambda params, x, roi: model.apply(
      {"params": params}, x, roi, jnp.zeros(1), method=Flow.transform
    )
  )(params, x, roi)


def test_explicit_gating_multiplies_the_latent_by_the_map():
  config = _config(gating="explicit")
  model = build_model("implicit", config.model)
  params = make_params(model)
  batch = read_crops(1, 128)
  x = jnp.asarray(batch["image"])
  roi = jnp.maximum(jnp.asarray(batch["roi"]), 0.25)
  plain = _transform(model, params, x, jnp.ones_like(roi))
  gated = _transform(model, params, x, roi)
  np.testing.assert_allclose(gated, plain * average_pool(roi, 16), rtol=1e-5)
  assert float(jnp.abs(plain).max()) > 0
  assert "condition" not in str(jax.tree.structure(params["analysis"]))


@pytest.mark.parametrize(
  ("changes", "found"),
  [
    ({}, {"attention", "collaboration"}),
    ({"raa": False}, {"collaboration"}),
    ({"fsca": False}, {"attention"}),
  ],
)
def test_each_part_of_the_enhancement_can_be_left_out(changes, found):
  model = build_model("implicit", _config(**changes).model)
  assert set(make_params(model)["analysis"]["condition_0"]) == found


def test_the_encoder_is_system_a_s(config):
  ggm = load_config_file(ROOT / "configs" / "ggm.py").get_config("smoke")
  # The one part of it that this system was not trained with.
  ggm.model.trunk.skip = config.model.trunk.skip
  ours, theirs = (
    make_params(build_model(one.system, one.model)) for one in (config, ggm)
  )
  for name in ("analysis", "hyper_analysis", "hyper_synthesis", "z_prior"):
    assert jax.tree.structure(ours[name]) == jax.tree.structure(theirs[name])
  for name in ("foreground", "background"):
    jax.tree.map(
      lambda a, b: np.testing.assert_equal(a.shape, b.shape),
      *(ours["synthesis"][name], theirs["synthesis"]),
    )


@pytest.mark.parametrize(
  ("change", "words"),
  [
    ({"composite": "masks"}, "mask, predicted, none"),
    ({"gating": "hard"}, "implicit, explicit"),
    ({"mask_stride": 32}, "16, 8"),
    ({"mask_strides": 8}, "mask_strides"),
    ({"slices": (8, 8)}, "sum to 16"),
  ],
  ids=str,
)
def test_a_model_that_does_not_fit_is_one_line(config, change, words):
  with pytest.raises(
    ConfigError, match=r"config\.model does not fit"
  ) as caught:
    build_model("implicit", {**config.model.to_dict(), **change})
  assert words in str(caught.value)
  assert "\n" not in str(caught.value)


def test_files_carry_a_mask_where_two_decoders_have_nothing_else():
  for kind, changes in KINDS.items():
    model = build_model("implicit", _config(**changes).model)
    assert model.mask_in_file == (kind not in ("predicted", "none"))
