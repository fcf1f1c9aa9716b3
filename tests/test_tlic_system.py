"""TLIC: the gate, gains and their inverse, a decoder that knows no region."""

import itertools
import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage
from smoke_model import (
  ROOT,
  load_config_file,
  make_params,
  read_crops,
  read_photo,
)

from roijax import tiling
from roijax.codec import Codec
from roijax.coding import groups
from roijax.errors import ConfigError
from roijax.layers.gain import start_gain
from roijax.layers.gating import GatedAnalysis
from roijax.models.flow import Flow
from roijax.models.registry import build_model
from roijax.models.tlic import MOST_BLUR
from roijax.ops.resample import space_to_depth
from roijax.weights.archive import FILE_NAME, load_weights, save_weights


def _config(variant="smoke"):
  return load_config_file(ROOT / "configs" / "tlic.py").get_config(variant)


@pytest.fixture(name="config", scope="module")
def _smoke_config():
  return _config()


@pytest.fixture(name="model", scope="module")
def _model(config):
  return build_model("tlic", config.model)


@pytest.fixture(name="params", scope="module")
def _params(model, config):
  """A transform codec whose blocks and entropy networks say little."""
  params = jax.tree.map(lambda x: 0.1 * x, make_params(model))
  params, spread = model.fit(params, read_crops(16, 64)["image"])
  gains = [start_gain(lmbda) for lmbda in config.model.lmbdas]
  params["gain"]["log_gain"] += jnp.log(jnp.asarray(gains))[:, None]
  params["log_unit"] = jnp.log(jnp.asarray(spread * gains[0], jnp.float32))
  return params


@pytest.fixture(name="codec", scope="module")
def _codec(config, params, tmp_path_factory):
  path = tmp_path_factory.mktemp("tlic") / FILE_NAME
  save_weights(path, "tlic", config.model.to_dict(), params)
  return Codec(load_weights(path))


def _patches(x):
  """The first numbers of every 16x16 patch."""
  return space_to_depth(x, 16)[..., :6]


class _Patches(nn.Module):
  def __call__(self, x, roi):
    return _patches(x)


def _gate(roi, **keywords):
  """The gated latent, and the one that it was made of."""
  x = jnp.asarray(np.random.default_rng(0).random((1, 64, 96, 3)), jnp.float32)
  roi = jnp.broadcast_to(jnp.asarray(roi, jnp.float32), (1, 64, 96, 1))
  layer = GatedAnalysis(_Patches(), **keywords)
  return np.asarray(layer.apply({}, x, roi)), np.asarray(_patches(x))


@pytest.mark.parametrize("blur", [0, 31])
def test_a_map_of_ones_changes_nothing(blur):
  found, plain = _gate(1, protected=2, floor=0.3, blur=blur)
  np.testing.assert_array_equal(found, plain)


def test_a_map_of_zeros_leaves_a_share_of_what_is_not_protected():
  found, plain = _gate(0, protected=2, floor=0.25, blur=31)
  np.testing.assert_array_equal(found[..., :2], plain[..., :2])
  np.testing.assert_allclose(found[..., 2:], plain[..., 2:] / 5, rtol=1e-6)


@pytest.mark.parametrize("blur", [0, 31])
def test_between_them_the_blurred_and_pooled_map_counts(blur):
  roi = np.random.default_rng(1).random((64, 96)) < 0.003
  roi = ndimage.maximum_filter(roi, 9).astype(np.float64)
  found, plain = _gate(roi[..., None], protected=1, floor=0.5, blur=blur)
  # Outside the picture its edges are repeated.
  seen = ndimage.uniform_filter(roi, blur, mode="nearest") if blur else roi
  pooled = seen.reshape(4, 16, 6, 16).mean(axis=(1, 3))
  expected = plain[0, ..., 1:] * ((pooled + 0.5) / 1.5)[..., None]
  np.testing.assert_allclose(found[0, ..., 1:], expected, rtol=1e-5)
  np.testing.assert_array_equal(found[..., :1], plain[..., :1])
  assert np.ptp(pooled) > 0.2


def test_the_system_gates_all_channels_but_its_protected_ones(
  model, params, config
):
  x = jnp.asarray(read_crops(1, 64)["image"])

  @jax.jit
  def run(params, roi):
    return model.apply(
      {"params": params}, x, roi, jnp.zeros(1), method=Flow.transform
    )

  plain = run(params, jnp.ones((1, 64, 64, 1)))
  gated = run(params, jnp.full((1, 64, 64, 1), 0.25))
  gate = config.model.gate
  assert gate.protected == config.model.slices[0] == 8
  np.testing.assert_array_equal(gated[..., :8], plain[..., :8])
  factor = (0.25 + gate.floor) / (1 + gate.floor)
  np.testing.assert_allclose(
    gated[..., 8:], factor * plain[..., 8:], rtol=1e-4, atol=1e-6
  )


def test_a_gain_and_its_inverse_are_the_identity(model, params):
  """At every rate and between; and between lies the geometric mean."""
  quality = jnp.asarray((0.0, 0.25, 1.0))
  rng = np.random.default_rng(0)
  y = jnp.asarray(rng.standard_normal((1, 4, 4, 24)), jnp.float32)
  y = jnp.broadcast_to(y, (3, 4, 4, 24))
  h = jnp.zeros((3, 4, 4, 16))

  @jax.jit
  def decode(params, y, quality):
    variables = {"params": params}
    gain = model.apply(variables, quality, method=lambda m, q: m.gain(q))
    x_hat = model.apply(variables, y * gain, h, quality, method=Flow.synthesise)
    trunk = params["synthesis"]["trunk"]
    plain = model.synthesis.trunk.apply({"params": trunk}, y)
    return gain[:, 0, 0], x_hat, plain

  gain, x_hat, plain = (np.asarray(x) for x in decode(params, y, quality))
  np.testing.assert_allclose(x_hat, plain, rtol=1e-4, atol=1e-5)
  np.testing.assert_allclose(gain[1], gain[0] ** 0.75 * gain[2] ** 0.25, 1e-5)
  assert np.abs(gain[2] / gain[0] - 1).min() > 0.1


def test_the_decoder_reads_nothing_of_the_encoder_or_of_the_region(
  model, params
):
  decoder = {
    name: part
    for name, part in params.items()
    if name not in ("analysis", "hyper_analysis")
  }
  y, h = jnp.ones((1, 8, 8, 24)), jnp.zeros((1, 8, 8, 16))

  @jax.jit
  def run(params, h):
    return model.apply(
      {"params": params}, y, h, jnp.zeros(1), method=Flow.synthesise
    )

  # Not even z, by which a file could tell of the region.
  np.testing.assert_array_equal(run(decoder, h), run(decoder, h + 1))
  assert not model.mask_in_file and not model.mask_stride


@pytest.mark.parametrize(("height", "width"), [(1, 1), (33, 70), (100, 128)])
def test_a_photo_of_any_size_comes_back(codec, height, width):
  photo = read_photo(height, width)
  roi = np.zeros((height, width), np.float32)
  roi[: height // 2 + 1] = 1
  encoded = codec.compress_detailed(photo, roi, quality=1.0)
  # Every symbol, and every table that coded one.
  np.testing.assert_array_equal(
    codec.measure_cells(encoded.data), encoded.cells
  )
  back = codec.decompress(encoded.data)
  assert back.shape == photo.shape
  error = np.mean((back.astype(float) - photo) ** 2)
  assert error < 0.1 * np.mean((photo - 127.5) ** 2)
  # In the Gaussian's tails, where these weights often are, an escape is cheaper
  # than what the likelihood says.
  excess = encoded.bits_likelihood / encoded.bits_tables - 1
  assert -0.02 < excess < 0.25


def test_tiles_decode_alone(codec, monkeypatch):
  """The attention ends where a group does."""
  monkeypatch.setattr(groups, "GROUP_CELLS", 2)
  photo = read_photo(130, 200)
  encoded = codec.compress_detailed(photo, quality=1.0)
  assert groups.count_groups(130, 200) == 4
  np.testing.assert_array_equal(
    codec.measure_cells(encoded.data), encoded.cells
  )
  assert codec.decompress(encoded.data).shape == photo.shape


def test_a_region_moves_the_bits(codec):
  photo = read_photo(128, 128)
  roi = np.zeros((128, 128), np.float32)
  roi[:, :64] = 1
  left, right = (
    codec.compress_detailed(photo, x, quality=1.0) for x in (roi, 1 - roi)
  )
  share = left.bits_roi / left.bits_tables
  assert share > 1.1 * right.bits_bg / right.bits_tables


def _count(config):
  shapes = jax.eval_shape(
    build_model("tlic", config.model).init,
    jax.random.key(0),
    jnp.zeros((1, 64, 64, 3)),
    jnp.zeros((1, 64, 64, 1)),
    jnp.zeros(1),
    jax.random.split(jax.random.key(0), 1),
  )["params"]
  count = sum(leaf.size for leaf in jax.tree.leaves(shapes))
  return count, sum(leaf.size for leaf in jax.tree.leaves(shapes["context"]))


def test_the_sizes_are_those_of_the_layers_that_the_paper_names():
  config = _config("")
  slices = config.model.slices
  assert slices == (48, 36, 36, 36, 36) and sum(slices) == 192
  assert config.model.gate.protected == slices[0]

  def dense(*widths, taps=1):
    pairs = itertools.pairwise(widths)
    return sum(taps * given * made + made for given, made in pairs)

  expected, before = 0, 0
  for i, width in enumerate(slices):
    # 12 of the local context's 25 taps meet anchors; no bias.
    expected += 12 * width * 2 * width
    first, second = 384, 384 + 2 * width
    if i:
      expected += dense(before, 192, 128, 4 * width, taps=9)
      last, twice = slices[i - 1], 2 * width
      expected += 2 * dense(last, width) + dense(width, width)
      expected += 3 * 9 * width + 9 * 2 * twice
      expected += dense(width, twice, taps=25)
      expected += dense(twice, 2 * twice, twice)
      first, second = first + 4 * width, second + 6 * width
    for read in (first, second):
      expected += dense(read, 320, 256, 128, 2 * width)
    before += width
  whole, context = _count(config)
  assert context == expected
  # MLIC++'s layers at these widths have 29.8 M. Of each slice's local context
  # the 13 taps that meet no anchor are gone.
  spared = sum(13 * 2 * width**2 for width in slices)
  assert math.isclose(whole + spared, 29.8e6, rel_tol=0.002)


def test_the_small_one_is_small():
  paper = _config("").model
  assert paper.gate.protected == paper.slices[0] == 48
  config = _config("small")
  assert len(config.model.slices) == 5
  # Its channels are in the order of their energy: fewer are a background.
  assert 0 < config.model.gate.protected < config.model.slices[0]
  assert _count(config)[0] <= 3_500_000


def test_windows_overlap_by_what_the_blur_reaches():
  assert MOST_BLUR // 2 < tiling.ANALYSIS_HALO * tiling.CELL


@pytest.mark.parametrize(
  ("change", "words"),
  [
    ({"gate": {"protected": 8, "flor": 0.2}}, "flor"),
    ({"gate": {"protected": 25}}, "gate.protected=25 must lie in 0 to"),
    ({"gate": {"floor": -0.1}}, "gate.floor=-0.1"),
    ({"gate": {"blur": 30}}, "gate.blur=30 must be odd"),
    ({"gate": {"blur": 257}}, "at most 255"),
    ({"slices": (8, 6)}, "sum to 14"),
    ({"slices": (8, 7, 9)}, "2 heads"),
    ({"context_hidden": 16}, "5 widths"),
    ({"mgfe": None}, "mgfe"),
    ({"gates": {}}, "gates"),
  ],
  ids=str,
)
def test_a_model_that_does_not_fit_is_one_line(config, change, words):
  with pytest.raises(
    ConfigError, match=r"config\.model does not fit tlic"
  ) as caught:
    build_model("tlic", {**config.model.to_dict(), **change})
  assert words in str(caught.value)
  assert "\n" not in str(caught.value)
