"""The one flow: every part of it trains, and every option builds."""

import copy

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from smoke_model import jit_once, make_params, read_crops

from roijax.entropy.priors import PRIORS, Prior
from roijax.entropy.scale_bound import SCALE_BOUNDS
from roijax.errors import ConfigError
from roijax.models.flow import Flow
from roijax.models.registry import build_model
from roijax.training.objective import (
  init_model,
  make_loss_fn,
  sample_background,
  sample_quality,
)

TINY = {
  "trunk": {"name": "patchify", "channels": (4, 6), "blocks": (0, 1, 0)},
  "latent_channels": 6,
  "hyper": "depthwise",
  "hyper_channels": 3,
  "hyper_features": 4,
  "slices": (2, 4),
  "context_hidden": 4,
  "prior": {"kind": "ggm_e"},
  "mgfe": None,
  "lmbdas": (0.0067, 0.025),
}


def _keys(count, seed=0):
  return jax.random.split(jax.random.key(seed), count)


def _apply(model, params, batch, quality, keys):
  return jax.jit(model.apply)(
    {"params": params},
    jnp.asarray(batch["image"]),
    jnp.asarray(batch["roi"]),
    jnp.asarray(quality),
    keys,
  )


def _forward(arguments):
  """One training pass of a random model on one crop."""
  model = build_model("ggm", {**TINY, **arguments})
  return _apply(model, make_params(model), read_crops(1, 64), [0.5], _keys(1))


def test_every_parameter_has_a_finite_gradient_that_is_not_zero(smoke):
  loss_fn = make_loss_fn(smoke.model, smoke.config)
  batch = read_crops(4, 64, seed=1)
  gradients, (metrics, _) = jit_once(jax.grad(loss_fn, has_aux=True))(
    smoke.params, {}, batch, _keys(4)
  )
  for path, leaf in jax.tree.leaves_with_path(gradients):
    name = jax.tree_util.keystr(path)
    assert np.isfinite(leaf).all(), name
    assert np.any(leaf != 0), name
  for x in jax.tree.leaves(metrics):
    assert np.isfinite(x) and np.shape(x) == ()
  assert {"loss", "bpp", "psnr", "psnr_roi"} <= set(metrics)


@pytest.mark.parametrize("rounds", [False, True])
def test_a_context_trains_on_noise_or_on_what_decoders_will_see(rounds):
  model = build_model("ggm", {**TINY, "rounds_context": rounds})
  calls = []

  def record(method, arguments, keywords, context):
    found = method(*arguments, **keywords)
    if context.method_name == "parameters" and context.module.name is None:
      calls.append((np.asarray(arguments[1]), np.asarray(found.mean)))
    return found

  batch, params = read_crops(1, 64), make_params(model)
  with nn.intercept_methods(record):
    out = model.apply(
      {"params": params},
      jnp.asarray(batch["image"]),
      jnp.asarray(batch["roi"]),
      jnp.asarray([0.5]),
      _keys(1),
    )
  (read, mean), *first = reversed(calls)
  assert len(first) == rounds
  np.testing.assert_allclose(_to_integers(out.y_hat - mean), 0, atol=1e-4)
  for noisy, guess in first or [(read, mean)]:
    assert np.abs(_to_integers(noisy - guess)).max() > 0.1
    if rounds:
      np.testing.assert_allclose(_to_integers(read - guess), 0, atol=1e-4)


@pytest.mark.parametrize("rounds", [False, True])
def test_rates_are_of_noise_or_of_what_is_coded(rounds):
  model = build_model("ggm", {**TINY, "rounds_rate": rounds})
  params, batch = make_params(model), read_crops(1, 64)
  # A context that sees nothing: the parameters are those of h alone.
  context = {
    name: jax.tree.map(jnp.zeros_like, value)
    if name.startswith(("from_slices", "from_anchors"))
    else value
    for name, value in params["context"].items()
  }
  params = {**params, "context": context}
  first, second = (
    _apply(model, params, batch, [0.5], _keys(1, seed)) for seed in (0, 1)
  )
  moved = np.abs(np.asarray(first.bits_y - second.bits_y)).max()
  assert (moved < 1e-5) == rounds


@pytest.mark.parametrize(
  ("trunk", "message"),
  [
    ({"factors": (4, 4, 2)}, "must multiply to 16"),
    ({"factors": (8, 2)}, "needs 1 channels and 2 blocks"),
    ({"blocks": (1, 1)}, "needs 2 channels and 3 blocks"),
  ],
)
def test_a_trunk_whose_sizes_do_not_fit_is_told(trunk, message):
  with pytest.raises(ConfigError, match=message):
    build_model("ggm", {**TINY, "trunk": {**TINY["trunk"], **trunk}})


def test_patches_of_8_are_a_transform_codec_at_the_start():
  trunk = dict(name="patchify", factors=(8, 2), channels=(192,), blocks=(0, 0))
  latent = 96
  changes = dict(latent_channels=latent, slices=(32, 64), trunk=trunk)
  model = build_model("ggm", {**TINY, **changes})
  batch = read_crops(32, 64)
  params = make_params(model)
  fitted, spread = model.fit(params, batch["image"])
  restore = jax.tree.map(jnp.zeros_like, fitted["synthesis"]["restore"])
  fitted = {**fitted, "synthesis": {**fitted["synthesis"], "restore": restore}}
  assert spread.shape == (latent,)
  x = jnp.asarray(batch["image"][:4])
  roi, quality = jnp.ones((4, 64, 64, 1)), jnp.zeros(4)

  @jax.jit
  def run(p):
    y = model.apply({"params": p}, x, roi, quality, method=Flow.transform)
    h = jnp.zeros((4, 4, 4, TINY["hyper_features"]))
    return model.apply({"params": p}, y, h, quality, method=Flow.synthesise)

  # Not rounded: what 96 of 768 components leave out.
  assert float(jnp.mean((run(fitted) - x) ** 2)) < 10**-2.4


def _to_integers(x):
  return np.asarray(x) - np.round(x)


def test_a_sample_s_bits_depend_on_its_own_key_alone(smoke):
  batch, keys = read_crops(4, 64, seed=2), _keys(4)
  quality = np.asarray([0.0, 0.3, 0.6, 1.0], np.float32)
  order = np.array([2, 0, 3, 1])
  shuffled = {name: array[order] for name, array in batch.items()}
  straight = _apply(smoke.model, smoke.params, batch, quality, keys)
  mixed = _apply(
    smoke.model, smoke.params, shuffled, quality[order], keys[order]
  )
  for one, other in zip(straight, mixed, strict=True):
    np.testing.assert_allclose(one[order], other, rtol=2e-3, atol=2e-3)
  other_noise = _apply(smoke.model, smoke.params, batch, quality, _keys(4, 9))
  assert np.any(np.abs(other_noise.bits_y - straight.bits_y) > 0.1)


@pytest.mark.parametrize("kind", PRIORS)
def test_every_prior_fits_the_flow(kind):
  model = build_model("ggm", {**TINY, "prior": {"kind": kind}})
  assert ("prior" in make_params(model)) == (kind in ("ggm_m", "ggm_c"))


@pytest.mark.parametrize("bound", SCALE_BOUNDS)
@pytest.mark.parametrize("kind", PRIORS)
def test_every_prior_and_bound_count_finite_bits_and_train(kind, bound):
  prior = Prior(kind, 3, bound)
  rng = np.random.default_rng(0)
  raw = jnp.asarray(
    9 * rng.standard_normal((50, 3, prior.outputs)), jnp.float32
  )
  y = jnp.asarray(9 * rng.standard_normal((50, 3)), jnp.float32)
  params = prior.init(jax.random.key(0), raw, jnp.ones(3), method="split")

  def total(params, y, raw):
    def bits(prior, y, raw):
      return prior.bits(y, prior.split(raw, jnp.ones(3)))

    return jnp.sum(prior.apply(params, y, raw, method=bits))

  value, gradients = jax.value_and_grad(total, (0, 1, 2))(params, y, raw)
  assert 0 < value < 30 * y.size
  for leaf in jax.tree.leaves(gradients):
    assert np.isfinite(leaf).all()
    assert np.any(leaf != 0)


@pytest.mark.parametrize(
  "arguments",
  [
    {"trunk": {"name": "residual_gdn", "channels": 4}},
    {"hyper": "convolutional"},
    {"mgfe": {"attention": {"hidden": 2}, "collaboration": {"width": 2}}},
  ],
  ids=["residual_gdn", "convolutional", "mgfe"],
)
def test_every_part_builds(arguments):
  out = _forward(arguments)
  assert out.x_hat.shape == (1, 64, 64, 3)
  assert out.bits_y.shape == (1, 4, 4, 6)
  assert out.bits_z.shape == (1, 1, 1, 3)
  assert all(np.isfinite(part).all() for part in out)


def _low_precision(trunk):
  arguments = {
    **TINY,
    "trunk": trunk,
    "mgfe": {"attention": {"hidden": 2}, "collaboration": {"width": 2}},
  }
  return [
    build_model("ggm", {**arguments, "dtype": dtype})
    for dtype in ("bfloat16", "float32")
  ]


@pytest.mark.parametrize(
  "trunk", [TINY["trunk"], {"name": "residual_gdn", "channels": 4}]
)
def test_low_precision_stays_inside_the_transforms(trunk):
  model, _ = _low_precision(trunk)
  params = make_params(model)
  assert all(x.dtype == jnp.float32 for x in jax.tree.leaves(params))
  batch = read_crops(1, 64)
  inputs = (
    jnp.asarray(batch["image"]),
    jnp.asarray(batch["roi"]),
    jnp.zeros(1),
  )
  y, z = jax.eval_shape(
    lambda p: model.apply({"params": p}, *inputs, method=Flow.analyse), params
  )
  out = jax.eval_shape(model.apply, {"params": params}, *inputs, _keys(1))
  assert all(x.dtype == jnp.float32 for x in (y, z, *out))

  # Already what leaves the analysis: a cast behind it would be too late.
  def analyse(flow, x, roi):
    return flow.analysis(x, roi)

  last = jax.eval_shape(
    lambda p: model.apply({"params": p}, *inputs[:2], method=analyse), params
  )
  assert last.dtype == jnp.float32


def test_low_precision_gives_nearly_the_same_bits():
  model, exact = _low_precision(TINY["trunk"])
  params, batch = make_params(model), read_crops(1, 64)
  out = _apply(model, params, batch, [0.0], _keys(1))
  reference = _apply(exact, params, batch, [0.0], _keys(1))
  assert all(np.isfinite(part).all() for part in out)
  assert np.any(out.x_hat != reference.x_hat)
  np.testing.assert_allclose(
    jnp.sum(out.bits_y), jnp.sum(reference.bits_y), rtol=0.1
  )


def test_a_start_from_principal_components_beats_a_random_one(smoke):
  batch = read_crops(8, 64, seed=3)
  x = jnp.asarray(batch["image"])
  roi, quality = jnp.ones((8, 64, 64, 1)), jnp.zeros(8)

  @jax.jit
  def error(params):
    def apply(method, *arguments):
      return smoke.model.apply({"params": params}, *arguments, method=method)

    y, z = apply(Flow.analyse, x, roi, quality)
    h = apply(Flow.hyper_synthesise, z)
    x_hat = apply(Flow.synthesise, y, h, quality)
    return jnp.mean((x - x_hat) ** 2)

  fitted, _ = init_model(
    smoke.model, smoke.config, jax.random.key(0), read_crops(16, 64)
  )
  random = make_params(smoke.model)
  assert error(fitted) < 0.01
  assert error(fitted) < 0.1 * error(random)


def test_a_crop_must_suit_the_stride(smoke):
  with pytest.raises(ConfigError, match=r"multiple of 64, not 48"):
    init_model(smoke.model, smoke.config, jax.random.key(0), read_crops(2, 48))


def test_background_levels_and_qualities_cover_their_ranges():
  keys = _keys(2000)
  levels = np.asarray(sample_background(keys, 0.05, 1.0, 0.1))
  assert abs(np.mean(np.isclose(levels, 0.01)) - 0.1) < 0.03
  assert abs(np.mean(levels == 1.0) - 0.1) < 0.03
  middle = levels[(levels > 0.011) & (levels < 1.0)]
  assert middle.min() >= 0.05
  # Log-uniform: half of them below the geometric mean of the ends.
  assert abs(np.mean(middle < np.sqrt(0.05)) - 0.5) < 0.05
  quality = np.asarray(sample_quality(keys, 3))
  assert 0 <= quality.min() < 0.05
  assert 1.95 < quality.max() <= 2


@pytest.mark.parametrize(
  ("change", "words"),
  [
    ({"latent_chanels": 6}, "latent_chanels"),
    ({"slices": (2, 3)}, "sum to 5"),
    ({"trunk": {"name": "patchfy"}}, "patchfy"),
    ({"trunk": {**TINY["trunk"], "widths": 3}}, "widths"),
    ({"hyper": "deptwise"}, "deptwise"),
    ({"dtype": "bfloat61"}, "bfloat61"),
    ({"prior": {"kind": "ggm_x"}}, "ggm_x"),
    ({"prior": {"kind": "ggm_e", "bound": "dynamo"}}, "dynamo"),
    ({"prior": {"kind": "ggm_e", "gradient": "exat"}}, "exat"),
    ({"prior": {"kind": "ggm_e", "steps": 1}}, "steps"),
    ({"mgfe": {"atention": None}}, "atention"),
    ({"mgfe": {"attention": {"hiden": 2}}}, "hiden"),
    ({"mgfe": {"collaboration": {"widht": 2}}}, "widht"),
  ],
  ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_model_that_does_not_fit_is_one_line(change, words):
  with pytest.raises(
    ConfigError, match=r"config\.model does not fit"
  ) as caught:
    build_model("ggm", {**TINY, **change})
  assert words in str(caught.value)
  assert "\n" not in str(caught.value)


def test_a_missing_argument_and_an_unknown_system_are_one_line():
  arguments = copy.deepcopy(TINY)
  del arguments["prior"]
  with pytest.raises(ConfigError, match="prior"):
    build_model("ggm", arguments)
  known = "custom, ggm, implicit, swin, tlic"
  with pytest.raises(ConfigError, match=f"'gmm'; there are: {known}"):
    build_model("gmm", TINY)
