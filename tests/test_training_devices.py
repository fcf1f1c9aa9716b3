"""Which devices train; and that eight of them train the model as one does."""

import jax
import numpy as np
import optax
import pytest
import smoke_model

from roijax.errors import ConfigError
from roijax.training import parallel
from roijax.training.objective import make_loss_fn
from roijax.training.state import make_state
from roijax.training.steps import make_steps


def test_devices_are_counted_in_each_process(monkeypatch):
  devices = jax.devices()
  monkeypatch.setattr(jax, "process_count", lambda: 2)
  monkeypatch.setattr(jax, "local_device_count", lambda: 4)
  monkeypatch.setattr(
    jax,
    "local_devices",
    lambda process_index: devices[4 * process_index :][:4],
  )
  assert parallel.pick_devices() == devices
  assert parallel.pick_devices(2) == [*devices[:2], *devices[4:6]]
  with pytest.raises(ConfigError, match=r"devices=5, .* 4 in each process"):
    parallel.pick_devices(5)
  with pytest.raises(ConfigError, match=r"4 device\(s\) in 2 processes x 1"):
    parallel.check_batch_size(6, 4, 1)


@pytest.mark.slow
def test_eight_devices_train_the_real_model_as_one_does(smoke):
  # SGD: Adam would hide a gradient that is eight times too large. Noise,
  # qualities and background levels are drawn from the keys, as in training.
  loss_fn = make_loss_fn(smoke.model, smoke.config)
  batch = smoke_model.read_crops(8, 64)
  results = []
  for count in (1, 8):
    devices = parallel.pick_devices(count)
    optimizer = optax.sgd(1e-2)
    state = make_state(
      jax.tree.map(np.asarray, smoke.params), {}, optimizer, jax.random.key(7)
    )
    state = parallel.place_state(state, devices)
    update = parallel.make_update(make_steps(loss_fn, optimizer, 0.9), devices)
    for _ in range(2):
      state, metrics = update(state, dict(batch))
    results.append((jax.device_get(state.params), float(metrics["loss"])))
  (one, loss_one), (eight, loss_eight) = results
  assert loss_eight == pytest.approx(loss_one, rel=1e-5)
  moved = 0.0
  for before, a, b in zip(
    *map(jax.tree.leaves, (smoke.params, one, eight)), strict=True
  ):
    step = np.abs(np.asarray(before) - a).max()
    moved = max(moved, step)
    np.testing.assert_allclose(a, b, rtol=0, atol=1e-6 + 1e-3 * step)
  assert moved > 1e-4
