import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import training_run

from roijax.errors import ConfigError
from roijax.training import parallel
from roijax.training.state import make_state, sample_keys
from roijax.training.steps import (
  INDEX,
  NONFINITE,
  describe_nonfinite,
  make_steps,
  make_train_step,
)


def make_sgd_state(optimizer):
  return make_state(
    training_run.init_params(),
    {"seen": jnp.zeros((), jnp.int32)},
    optimizer,
    jax.random.key(3),
  )


def update_some(devices=1, accumulate=1, steps=4, ema_decay=0.9):
  """The state and the last metrics of a few noisy steps of plain SGD."""
  optimizer = optax.sgd(0.1)
  chosen = parallel.pick_devices(devices)
  update = parallel.make_update(
    make_steps(training_run.loss_fn, optimizer, ema_decay),
    chosen,
    accumulate,
  )
  state = parallel.place_state(make_sgd_state(optimizer), chosen)
  photos = training_run.Photos()
  for _ in range(steps):
    state, metrics = update(state, next(photos))
  return jax.device_get((state.params, state.ema_params, metrics))


def assert_close(one, other):
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6),
    one,
    other,
  )


@pytest.mark.parametrize("accumulate", [1, 2])
def test_eight_devices_equal_one_with_noise_on(accumulate):
  params, ema_params, metrics = update_some()
  params8, ema_params8, metrics8 = update_some(8, accumulate)
  assert_close((params, ema_params), (params8, ema_params8))
  for name in ("loss", "bpp", "mse", "gradient_norm"):
    np.testing.assert_allclose(metrics[name], metrics8[name], rtol=1e-5)


def test_a_batch_in_parts_updates_as_a_whole_one():
  whole, parts = update_some()[:2], update_some(accumulate=4)[:2]
  assert_close(whole, parts)


def test_noise_matters_to_these_tests():
  loss_fn = training_run.loss_fn
  batch = next(training_run.Photos())
  state = make_sgd_state(optax.sgd(0.1))
  losses = [
    loss_fn(
      state.params,
      state.collections,
      batch,
      sample_keys(state.key, state.step, jnp.arange(16) + start),
    )[0]
    for start in (0, 16)
  ]
  assert abs(losses[0] - losses[1]) > 1e-3


def test_a_key_depends_on_step_and_row_alone():
  key = jax.random.key(0)
  rows = jnp.arange(8)

  def draw(step, index):
    return jax.random.key_data(sample_keys(key, step, index))

  assert np.array_equal(draw(1, rows)[4:], draw(1, rows[4:]))
  both = np.concatenate([draw(1, rows), draw(2, rows)])
  assert len(np.unique(both, axis=0)) == 16


def test_a_batch_without_rows_counts_from_zero():
  optimizer = optax.sgd(0.1)
  step = jax.jit(make_train_step(make_steps(training_run.loss_fn, optimizer)))
  batch = next(training_run.Photos())
  plain, _ = step(make_sgd_state(optimizer), batch)
  numbered, _ = step(make_sgd_state(optimizer), {**batch, INDEX: np.arange(16)})
  assert_close(plain.params, numbered.params)


def test_an_update_follows_the_gradient_of_the_mean():
  def loss_fn(params, collections, batch, keys):
    return jnp.mean((params["w"] - batch["image"]) ** 2), ({}, collections)

  optimizer = optax.sgd(0.5)
  state = make_state({"w": jnp.zeros(())}, {}, optimizer, jax.random.key(0))
  devices = parallel.pick_devices(8)
  update = parallel.make_update(make_steps(loss_fn, optimizer), devices)
  batch = {"image": np.arange(16, dtype=np.float32)}
  state, metrics = update(parallel.place_state(state, devices), batch)
  # SGD shows a gradient that is a device count too large; Adam hides it.
  np.testing.assert_allclose(state.params["w"], 7.5, rtol=1e-6)
  np.testing.assert_allclose(state.ema_params["w"], 7.5, rtol=1e-6)
  np.testing.assert_allclose(metrics["gradient_norm"], 15.0, rtol=1e-6)


def test_the_average_trails_the_parameters():
  params, ema_params, _ = update_some(steps=1, ema_decay=0.999)
  first = training_run.init_params()

  def expected(new, old):
    return old + (1 - 2 / 11) * (new - old)

  assert_close(ema_params, jax.tree.map(expected, params, first))


def test_a_step_compiles_once():
  traces = []

  def loss_fn(*arguments):
    traces.append(1)
    return training_run.loss_fn(*arguments)

  optimizer = optax.sgd(0.1)
  devices = parallel.pick_devices(2)
  update = parallel.make_update(make_steps(loss_fn, optimizer), devices)
  state = parallel.place_state(make_sgd_state(optimizer), devices)
  photos = training_run.Photos()
  for _ in range(3):
    state, _ = update(state, next(photos))
  assert len(traces) == 1


def test_flags_name_the_first_array_that_is_not_finite():
  optimizer = optax.sgd(0.1)
  step = make_train_step(make_steps(training_run.loss_fn, optimizer))
  state = make_sgd_state(optimizer)
  paths = ["analysis/kernel", "synthesis/bias", "synthesis/kernel"]
  batch = next(training_run.Photos())
  flags = step(state, batch)[1][NONFINITE]
  assert describe_nonfinite(flags, paths) is None
  batch["image"][3, 0, 0, 0] = np.nan
  flags = step(state, batch)[1][NONFINITE]
  assert describe_nonfinite(flags, paths) == (
    "the gradient of analysis/kernel (and 2 more)"
  )
  only_parameter = np.array([0, 0, 0, 0, 1, 0, 0], bool)
  line = describe_nonfinite(only_parameter, paths)
  assert line == "after the update, synthesis/bias"
  only_loss = np.array([0, 0, 0, 0, 0, 0, 1], bool)
  assert describe_nonfinite(only_loss, paths) == "the loss"


def test_a_batch_that_does_not_split_is_one_line():
  with pytest.raises(ConfigError, match=r"batch_size=12 .* use 16"):
    parallel.check_batch_size(12, devices=8, accumulate=1)
  with pytest.raises(ConfigError, match="8 device"):
    parallel.shard_batch({"image": np.zeros((4, 2))}, parallel.pick_devices())
  with pytest.raises(ConfigError, match="JAX sees 8"):
    parallel.pick_devices(9)


def test_parts_and_devices_keep_the_rows_in_order():
  devices = parallel.pick_devices(2)
  batch = {"image": np.arange(12.0)}
  parts = parallel.split_batch(batch, devices, 3)
  assert [part["image"].shape for part in parts] == [(2, 2)] * 3
  rows = np.concatenate([part[INDEX].ravel() for part in parts])
  images = np.concatenate([part["image"].ravel() for part in parts])
  assert np.array_equal(rows, np.arange(12))
  assert np.array_equal(images, batch["image"])
