"""Causal attention: the paper's module, causal, in wavefronts as serially."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from smoke_model import (
  ROOT,
  load_config_file,
  make_params,
  read_photo,
  stir,
)

from benchmarks.exactness import noise
from roijax.codec import Codec
from roijax.coding.passes import number_passes
from roijax.layers.causal_attention import CausalAttention, NeighbourAttention
from roijax.layers.wavefront import Wavefronts, causal_offsets
from roijax.models.registry import build_model
from roijax.weights.archive import FILE_NAME, load_weights, save_weights

SIZES = [(5, 7), (4, 6), (1, 6), (5, 2), (5, 1), (1, 1)]
CHANNELS, FEATURES = 8, 6
CONTEXT = CausalAttention(CHANNELS, outputs=3, hidden=(7, 5), heads=2)


def _make(height, width, seed=0, batch=1, dtype=jnp.float32):
  rng = np.random.default_rng(seed)
  h = rng.standard_normal((batch, height, width, FEATURES))
  y_hat = np.round(3 * rng.standard_normal((batch, height, width, CHANNELS)))
  return jnp.asarray(h, dtype), jnp.asarray(y_hat, dtype)


def _start(context, h, y_hat):
  # Compiled: operation by operation takes seconds.
  init = functools.partial(context.init, method="parameters")
  return jax.jit(init)(jax.random.key(0), h, y_hat)


@pytest.fixture(name="params", scope="module")
def _params():
  made = stir(stir(_start(CONTEXT, *_make(4, 4))))
  # Biases of 0.02 would be read all the same if they were mixed up.
  bias = made["params"]["attention"]["bias"]
  rng = np.random.default_rng(2)
  made["params"]["attention"]["bias"] = rng.standard_normal(bias.shape)
  return jax.tree.map(lambda x: np.asarray(x, np.float32), made)


@pytest.fixture(name="parameters", scope="module")
def _parameters(params):
  run = jax.jit(lambda *a: CONTEXT.apply(params, *a, method="parameters"))
  return lambda *arrays: np.asarray(run(*arrays))[0]


def _widen(tree):
  return jax.tree.map(lambda x: np.asarray(x, np.float64), tree)


def _dense(x, p):
  return x @ p["kernel"] + p["bias"].reshape((1,) * (x.ndim - 1) + (-1,))


def _norm(x, p):
  scale, bias = (
    p[name].reshape((1,) * (x.ndim - 1) + (-1,)) for name in ("scale", "bias")
  )
  x = x - x.mean(-1, keepdims=True)
  return x / jnp.sqrt((x**2).mean(-1, keepdims=True) + 1e-5) * scale + bias


def _unfold_and_attend(p, y_hat, heads, window):
  """The module as its source has it: 25 tokens of every position."""
  batch, height, width, channels = y_hat.shape
  area, reach = window**2, window // 2
  around = ((0, 0), (reach, reach), (reach, reach), (0, 0))
  padded = jnp.pad(y_hat, around)
  tokens = jnp.stack(
    [
      padded[:, r : r + height, c : c + width]
      for r in range(window)
      for c in range(window)
    ],
    axis=3,
  )
  tokens = tokens.at[..., area // 2 :, :].set(0)
  qkv = _dense(_norm(tokens, p["norm"]), p["qkv"])
  qkv = qkv.reshape(batch, height, width, area, 3, heads, -1)
  query, key, value = (qkv[..., i, :, :] for i in range(3))
  logits = jnp.einsum("...nad,...mad->...anm", query, key)
  logits = logits / np.sqrt(channels // heads)
  places = np.arange(area)
  down = places[:, None] // window - places[None] // window + window - 1
  right = places[:, None] % window - places[None] % window + window - 1
  bias = p["bias"][down * (2 * window - 1) + right].transpose(2, 0, 1)
  weights = jax.nn.softmax(logits + bias[None, None, None])
  read = jnp.einsum("...anm,...mad->...nad", weights, value)
  x = (tokens + read.reshape(tokens.shape)).sum(axis=3)
  hidden = jax.nn.gelu(_dense(_norm(x, p["norm_mlp"]), p["wide"]))
  return _dense(x + _dense(hidden, p["narrow"]), p["out"])


def test_the_module_has_the_published_size():
  module = NeighbourAttention(192)
  shapes = jax.eval_shape(
    module.init, jax.random.key(0), jnp.zeros((1, 4, 4, 192))
  )
  count = sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(shapes))
  assert count == 483_216
  features = jax.eval_shape(module.apply, shapes, jnp.zeros((1, 4, 4, 192)))
  assert features.shape == (1, 4, 4, 384)


@pytest.mark.parametrize(("height", "width"), [(5, 7), (5, 1)])
def test_it_is_the_unfolded_attention(params, height, width):
  _, y_hat = _make(height, width, batch=2)
  p = params["params"]["attention"]
  module = NeighbourAttention(CHANNELS, heads=2)
  found = jax.jit(module.apply)({"params": p}, y_hat)
  expected = _unfold_and_attend(p, y_hat, 2, 5)
  np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_all_images_at_once_are_the_images_one_by_one(params, monkeypatch):
  """What an accelerator runs, and what a CPU does."""
  _, y_hat = _make(4, 5, batch=3)
  module = NeighbourAttention(CHANNELS, heads=2)
  p = {"params": params["params"]["attention"]}

  def run(y_hat):
    return module.apply(p, y_hat)

  found = jax.jit(run)(y_hat)
  traced = jax.jit(run).trace(y_hat)
  for platform, loops in {"cpu": True, "cuda": False}.items():
    text = traced.lower(lowering_platforms=(platform,)).as_text()
    assert ("stablehlo.while" in text) == loops
  monkeypatch.setattr(
    jax.lax, "platform_dependent", lambda *maps, cpu, default: default(*maps)
  )
  expected = jax.jit(lambda y: module.apply(p, y))(y_hat)
  np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("window", [3, 5])
def test_values_and_gradients_are_the_unfolded_ones_in_float64(window):
  with jax.enable_x64(True):
    _, y_hat = _make(5, 4, batch=2, dtype=jnp.float64)
    module = NeighbourAttention(CHANNELS, heads=2, window=window)
    p = jax.jit(module.init)(jax.random.key(0), y_hat)["params"]
    rng = np.random.default_rng(0)
    p = jax.tree.map(lambda x: x + 0.3 * rng.standard_normal(x.shape), p)
    slope = rng.standard_normal((2, 5, 4, 2 * CHANNELS))

    def run(function):
      def total(p, y_hat):
        out = function(p, y_hat)
        return jnp.sum(slope * out), out

      return jax.jit(jax.grad(total, argnums=(0, 1), has_aux=True))(p, y_hat)

    found = run(lambda p, y: module.apply({"params": p}, y))
    expected = run(lambda p, y: _unfold_and_attend(p, y, 2, window))
    assert found[1].dtype == np.float64
    # What a normalised y of equal numbers has for a slope is ill-conditioned.
    jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11),
      found,
      expected,
    )
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_every_pass_alone_equals_all_passes_at_once(params, height, width):
  with jax.enable_x64(True):
    h, y_hat = _make(height, width, dtype=jnp.float64)
    p = _widen(params)
    at_once = functools.partial(CONTEXT.apply, method="parameters")
    whole = np.asarray(jax.jit(at_once)(p, h, y_hat))[0]
    order = number_passes(CONTEXT.order, height, width)

    rest = jnp.float64(1), jnp.asarray([height, width]), 0

    @jax.jit
    def run(*arrays):
      return CONTEXT.apply(p, *arrays, *rest, method="parameters_at")

    for number, one in enumerate(CONTEXT.order.passes(height, width)):
      decoded = jnp.where(order[None] < number, y_hat, 0)
      found = run(h, decoded, one.rows, one.columns)
      assert found.dtype == np.float64
      rows, columns = one.rows[: one.count], one.columns[: one.count]
      np.testing.assert_allclose(
        found[: one.count], whole[rows, columns], rtol=1e-12, atol=1e-12
      )


def test_no_latent_reads_its_own_or_a_later_pass(parameters):
  h, y_hat = _make(5, 7)
  _, other = _make(5, 7, seed=1)
  order = number_passes(CONTEXT.order, 5, 7)
  whole = parameters(h, y_hat)
  for number in range(order.max() + 1):
    changed = jnp.where(order[None] < number, y_hat, other)
    found = parameters(h, changed)
    np.testing.assert_array_equal(
      found[order <= number], whole[order <= number]
    )


def test_a_position_reads_each_of_its_taps_and_nothing_else(parameters):
  h, y_hat = _make(6, 7)
  whole = parameters(h, y_hat)
  for row, column in np.ndindex(6, 7):
    changed = y_hat.at[0, row, column].add(jnp.arange(1.0, 1 + CHANNELS))
    moved = np.any(parameters(h, changed) != whole, axis=(2, 3))
    expected = np.zeros((6, 7), bool)
    for down, right in causal_offsets(5):
      reader = row - down, column - right
      if 0 <= reader[0] < 6 and 0 <= reader[1] < 7:
        expected[reader] = True
    np.testing.assert_array_equal(moved, expected)


@pytest.mark.parametrize("window", [3, 7])
def test_every_window_has_its_wavefronts(window):
  context = CausalAttention(4, 2, (4, 4), heads=1, window=window)
  order = number_passes(context.order, 6, 9)[..., 0]
  step = window // 2 + 1
  assert order.max() + 1 == 9 + step * 5
  for row, column in np.ndindex(6, 9):
    for down, right in causal_offsets(window):
      there = row + down, column + right
      if 0 <= there[0] < 6 and 0 <= there[1] < 9:
        assert order[there] < order[row, column]


def _one_by_one(context, height, width):
  """The passes of serial coding: position after position, row by row."""
  first = context.order.passes(height, width)[0]
  place = np.indices((height, width), np.int32).reshape(2, -1, 1)
  return [
    first._replace(rows=rows, columns=columns, count=1)
    for rows, columns in zip(*place, strict=True)
  ]


def _code(context, p, passes, h, y):
  """What a decoder ends with: y_hat, and the parameters it used."""
  rest = jnp.float64(1), jnp.asarray(h.shape[1:3]), 0
  run = jax.jit(lambda *a: context.apply(p, *a, *rest, method="parameters_at"))
  y, y_hat = np.asarray(y), np.zeros(y.shape)
  used = np.zeros((*y.shape[1:], context.outputs))
  for one in passes:
    found = run(h, jnp.asarray(y_hat), one.rows, one.columns)
    found = np.asarray(found)[: one.count]
    place = one.rows[: one.count], one.columns[: one.count]
    mean = found[..., 0]
    y_hat[0][place] = mean + np.round(y[0][place] - mean)
    used[place] = found
  return y_hat, used


@pytest.mark.parametrize("kind", ["attention", "wavefront"])
@pytest.mark.parametrize(("height", "width"), [(5, 7), (4, 5)])
def test_wavefronts_code_what_serial_coding_codes(kind, height, width):
  context = {"attention": CONTEXT, "wavefront": Wavefronts(CHANNELS, 3, 5)}
  context = context[kind]
  with jax.enable_x64(True):
    h, y_hat = _make(height, width, dtype=jnp.float64)
    y = y_hat + np.random.default_rng(3).uniform(-0.5, 0.5, y_hat.shape)
    p = jax.tree.map(lambda x: 2 * x, _widen(_start(context, h, y)))
    fronts = context.order.passes(height, width)
    serial = _one_by_one(context, height, width)
    assert len(fronts) < len(serial) == height * width
    found = _code(context, p, fronts, h, y)
    expected = _code(context, p, serial, h, y)
  # The means differ from position to position, by what was decoded.
  assert np.all(np.std(found[1][..., 0], axis=(0, 1)) > 1e-3)
  for one, other in zip(found, expected, strict=True):
    np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)


def test_heads_that_do_not_divide_are_told():
  module = NeighbourAttention(CHANNELS, heads=3)
  with pytest.raises(ValueError, match="3 heads do not divide 8 channels"):
    jax.eval_shape(module.init, jax.random.key(0), jnp.zeros((1, 2, 2, 8)))


@pytest.fixture(name="codec", scope="module")
def _codec(tmp_path_factory):
  config = load_config_file(ROOT / "configs" / "swin.py").get_config("smoke")
  assert config.model.context == "attention"
  params = make_params(build_model("swin", config.model))
  # Heads begin small; latents far in the tails would cost anything.
  head = params["context"]["head"]
  params["context"]["head"] = jax.tree.map(lambda x: 0.3 * x, head)
  path = tmp_path_factory.mktemp("attention") / FILE_NAME
  save_weights(path, "swin", config.model.to_dict(), params)
  return Codec(load_weights(path))


def test_files_bear_noise_of_float64_and_tell_noise_that_matters(codec):
  photo = read_photo(40, 70)
  small, large = noise.decode_with_noise(
    codec, photo, amounts=(1e-11, 0.05), repeats=1
  )
  assert (small.same_symbols, small.same_pixels) == (1, 1)
  assert large.same_symbols == 0


def test_a_file_walks_the_wavefronts(codec):
  photo = read_photo(64, 128)
  calls = []
  tables_at = codec.programs.tables_at

  def note(h, y_hat, one):
    calls.append(one.count)
    return tables_at(h, y_hat, one)

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(codec.programs, "tables_at", note)
    codec.compress(photo)
  # A latent of 4 by 8.
  assert len(calls) == 8 + 3 * 3
  assert sum(calls) == 4 * 8
  assert isinstance(codec.model.context, CausalAttention)
