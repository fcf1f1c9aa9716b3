"""The second stage's update: its gradients, its order, its devices."""

import contextlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny_flow

from roijax.layers import spectral
from roijax.losses import adversarial, perceptual
from roijax.models.discriminator import UNetDiscriminator, init_discriminator
from roijax.training import parallel
from roijax.training.checkpoints import Checkpoints
from roijax.training.gan_steps import (
  CODEC,
  DISCRIMINATOR,
  Adversary,
  _join_flags,
  make_gan_state,
  make_gan_steps,
)
from roijax.training.optimizer import leaf_paths
from roijax.training.state import sample_keys
from roijax.training.steps import NONFINITE, describe_nonfinite
from roijax.training.terms import PerceptualOptions

JUDGE = UNetDiscriminator(width=2, condition=2, depth=1)
# Without VGG-16, whose convolutions take long to compile: `test_terms` has it.
OPTIONS = PerceptualOptions(lpips=0.0, style=0.0)
# Plain SGD: Adam would hide a gradient that is a device count too large.
RATES = {CODEC: 1e-3, DISCRIMINATOR: 0.5}
WEIGHT = 0.7
BATCH = tiny_flow.make_batch(8)


def _make(params=None):
  adversary = Adversary(
    JUDGE,
    optax.sgd(RATES[DISCRIMINATOR]),
    WEIGHT,
    OPTIONS,
    {},
  )
  optimizer = optax.sgd(RATES[CODEC])
  judge, vectors = init_discriminator(
    JUDGE, jax.random.key(1), tiny_flow.CHANNELS
  )
  state = make_gan_state(
    params or tiny_flow.make_params(),
    judge,
    vectors,
    optimizer,
    adversary,
    jax.random.key(5),
  )
  steps = make_gan_steps(tiny_flow.run, 0.5, optimizer, adversary, 0.9)
  return state, steps


def _reference(state):
  """One update by the book: every gradient by a forward pass of its own."""
  keys = sample_keys(state.key, state.step, jnp.arange(8))
  batch = jax.tree.map(jnp.asarray, BATCH)
  x, run = batch["image"], tiny_flow.run
  codec, judge = state.params[CODEC], state.params[DISCRIMINATOR]
  vectors = spectral.advance(judge, state.collections)

  def look(params, x, y_hat):
    variables = {"params": params, "spectral": vectors}
    return JUDGE.apply(variables, x, y_hat)

  def judge_loss(params):
    done = run(codec, batch, keys)
    unit = jnp.exp(codec["log_unit"]).reshape(1, 1, 1, -1)
    y_hat = done.out.y_hat / unit
    losses = adversarial.discriminator_losses(
      look(params, x, y_hat), look(params, done.out.x_hat, y_hat)
    )
    return jnp.mean(losses[0]) + jnp.mean(losses[1])

  judge = jax.tree.map(
    lambda p, g: p - RATES[DISCRIMINATOR] * g,
    judge,
    jax.grad(judge_loss)(judge),
  )

  def codec_loss(params):
    done = run(params, batch, keys)
    x_hat, delta = done.out.x_hat, done.importance
    unit = jnp.exp(params["log_unit"]).reshape(1, 1, 1, -1)
    y_hat = jax.lax.stop_gradient(done.out.y_hat / unit)
    error = jnp.abs(x - x_hat)
    distortion = (
      0.01 * 255**2 * jnp.mean(delta * error**2, axis=(1, 2, 3))
      + 10 * jnp.mean(delta * error, axis=(1, 2, 3))
      + 2 * jnp.mean((1 - delta) * error, axis=(1, 2, 3))
      + perceptual.laplacian(x, x_hat)
      + WEIGHT * adversarial.generator_loss(look(judge, x_hat, y_hat))
    )
    grade = done.lmbda / done.middle
    loss = done.bpp + grade * distortion
    return jnp.mean(loss / grade**0.5)

  loss, gradient = jax.value_and_grad(codec_loss)(codec)
  codec = jax.tree.map(lambda p, g: p - RATES[CODEC] * g, codec, gradient)
  return {CODEC: codec, DISCRIMINATOR: judge}, vectors, loss


@pytest.fixture(name="reference", scope="module")
def _the_reference():
  state, _ = _make()
  return jax.device_get(jax.jit(_reference)(state))


class Run:
  """A state and what updates it."""

  def __init__(self, devices, accumulate):
    state, steps = _make()
    self.devices = parallel.pick_devices(devices)
    self.update = parallel.make_update(steps, self.devices, accumulate)
    state = parallel.place_state(state, self.devices)
    self.state, self.metrics = self.update(state, BATCH)


@pytest.fixture(name="runs", scope="module")
def _runs():
  """One update each, by devices and parts."""
  return {case: Run(*case) for case in ((8, 1), (2, 2))}


CASES = pytest.mark.parametrize("case", [(8, 1), (2, 2)])


@CASES
def test_an_update_equals_one_of_two_forward_passes(runs, reference, case):
  start, _ = _make()
  state, metrics = runs[case].state, runs[case].metrics
  params, _, loss = reference
  assert float(metrics["loss"]) == pytest.approx(float(loss), rel=1e-4)
  for before, found, wanted in zip(
    *map(jax.tree.leaves, (start.params, state.params, params)), strict=True
  ):
    step = np.asarray(wanted) - np.asarray(before)
    moved = np.asarray(found) - np.asarray(before)
    size = np.abs(step).max()
    assert size > 1e-6
    np.testing.assert_allclose(moved, step, rtol=0, atol=2e-3 * size)
  assert int(state.step) == 1


@CASES
def test_spectral_vectors_are_one_step_on_and_the_same_everywhere(
  runs, reference, case
):
  start, _ = _make()
  for before, found, wanted in zip(
    *map(
      jax.tree.leaves,
      (start.collections, runs[case].state.collections, reference[1]),
    ),
    strict=True,
  ):
    shards = [np.asarray(shard.data) for shard in found.addressable_shards]
    assert len(shards) == case[0]
    for shard in shards:
      np.testing.assert_array_equal(shard, shards[0])
    np.testing.assert_allclose(shards[0], wanted, atol=1e-6)
    assert np.abs(np.asarray(before) - wanted).max() > 1e-5


def test_a_restored_run_goes_on_bit_for_bit(runs, tmp_path):
  run = runs[8, 1]
  with contextlib.closing(Checkpoints(tmp_path, {})) as checkpoints:
    checkpoints.save(run.state, {}, {})
    fresh = parallel.place_state(_make()[0], run.devices)
    restored = checkpoints.restore(fresh).state
  going_on = parallel.place_state(run.state, run.devices)
  going_on, _ = run.update(going_on, BATCH)
  restored, _ = run.update(restored, BATCH)
  assert int(restored.step) == 2
  for name in ("params", "opt_state", "ema_params", "collections"):
    jax.tree.map(
      np.testing.assert_array_equal,
      getattr(going_on, name),
      getattr(restored, name),
    )


def test_the_average_is_the_codec_s_alone(runs):
  start, _ = _make()
  state = runs[8, 1].state
  for old, new, found in zip(
    *map(
      jax.tree.leaves,
      (start.ema_params, state.params[CODEC], state.ema_params),
    ),
    strict=True,
  ):
    old, new = np.asarray(old), np.asarray(new)
    wanted = old + (1 - 2 / 11) * (new - old)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-7)


@CASES
def test_every_term_and_the_discriminator_are_reported(runs, case):
  metrics = jax.device_get(runs[case].metrics)
  shares = [v for k, v in metrics.items() if k.startswith("share_")]
  assert len(shares) == 6
  assert sum(part / whole for part, whole in shares) == pytest.approx(1, 1e-4)
  terms = [v for k, v in metrics.items() if k.startswith("term_")]
  assert len(terms) == 6 and min(terms) > 0
  for name in ("real", "fake"):
    assert 0 < metrics[f"discriminator_{name}"] < 1
    assert metrics[f"discriminator_loss_{name}"] > 0
  for name in ("bpp", "psnr", "gradient_norm", "discriminator_gradient_norm"):
    assert np.isfinite(metrics[name])


@CASES
def test_flags_know_both_networks(runs, case):
  state, metrics = runs[case].state, runs[case].metrics
  paths = leaf_paths(state.params)
  flags = np.asarray(metrics[NONFINITE])
  assert describe_nonfinite(flags, paths) is None
  assert len(flags) == 2 * len(paths) + 1


def test_flags_of_both_networks_are_put_in_order():
  # Gradients a, b; parameters a, b; the loss: of a codec of two arrays.
  codec = jnp.array([0, 0, 0, 1, 0], bool)
  judge = jnp.array([1, 0, 0], bool)
  flags = np.asarray(_join_flags(codec, judge))
  paths = ["codec/a", "codec/b", "discriminator/a"]
  assert describe_nonfinite(flags, paths) == "the gradient of discriminator/a"
  flags = np.asarray(_join_flags(codec, judge & False))
  assert describe_nonfinite(flags, paths) == "after the update, codec/b"
  flags = np.asarray(_join_flags(codec & False, jnp.array([0, 0, 1], bool)))
  assert describe_nonfinite(flags, paths) == "the loss"
