"""One program on every device: the only file that names `pmap`.

The state goes in once and comes out once (`None` axes), so that it is neither
replicated nor picked from replicas by hand, and is saved as it is. Batches
carry a leading device axis.

Of several processes, each holds the state on its own devices and feeds them
its own rows of the batch; `pmap` averages over the devices of all. To each, a
state looks as it does where there is but one process.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from roijax.errors import ConfigError
from roijax.training.state import TrainState
from roijax.training.steps import (
  INDEX,
  Batch,
  Metrics,
  Phase,
  Steps,
  make_gradient_step,
  make_train_step,
  make_zero_sums,
)

AXIS = "devices"
# `jax.Device`, which type checkers take for a variable.
Device = Any


def pick_devices(count: int | None = None) -> list[Device]:
  """Takes the devices that a batch is cut among, process by process.

  Args:
    count: how many of each process; all if there is no count.

  Raises:
    ConfigError: there are not that many.
  """
  if count and count > jax.local_device_count():
    where = " in each process" if jax.process_count() > 1 else ""
    raise ConfigError(
      f"config.train.devices={count}, but JAX sees "
      f"{jax.local_device_count()}{where}"
    )
  return [
    device
    for index in range(jax.process_count())
    for device in jax.local_devices(process_index=index)[: count or None]
  ]


def pick_local(devices: Sequence[Device]) -> list[Device]:
  """Those of `devices` that are this process's."""
  own = jax.process_index()
  return [device for device in devices if device.process_index == own]


def place_state(state: Any, devices: Sequence[Device]) -> Any:
  """Copies a state to where the steps leave it: this process's `devices`.

  A state that starts elsewhere would compile the first step twice. The copy
  shares no buffer with its source, which donation would take along.
  """
  everywhere = jax.sharding.NamedSharding(
    _make_mesh(pick_local(devices)), jax.sharding.PartitionSpec()
  )
  return jax.device_put(state, everywhere, may_alias=False)


def make_global(state: Any, devices: Sequence[Device]) -> Any:
  """Makes each array of a placed state one that all processes know of.

  Orbax saves no other. Nothing is copied.
  """
  if jax.process_count() == 1:
    return state
  return multihost_utils.host_local_array_to_global_array(
    state, _make_mesh(devices), jax.sharding.PartitionSpec()
  )


def _make_mesh(devices: Sequence[Device]) -> jax.sharding.Mesh:
  return jax.sharding.Mesh(np.asarray(devices), (AXIS,))


def check_batch_size(batch_size: int, devices: int, accumulate: int) -> None:
  """Makes sure that a batch splits evenly.

  Args:
    batch_size: samples in the batch, over all processes.
    devices: how many share it, of all processes.
    accumulate: parts that each device handles one after the other.

  Raises:
    ConfigError: it does not; the line names a size that does.
  """
  unit = devices * accumulate
  if batch_size > 0 and batch_size % unit == 0:
    return
  better = max(1, round(batch_size / unit)) * unit
  count = jax.process_count()
  among = f" in {count} processes" if count > 1 else ""
  raise ConfigError(
    f"config.data.batch_size={batch_size} does not split over {devices} "
    f"device(s){among} x {accumulate} accumulation part(s): use {better}, or "
    f"set config.train.devices"
  )


def split_batch(
  batch: Mapping[str, np.ndarray],
  devices: Sequence[Device],
  accumulate: int = 1,
) -> list[dict[str, np.ndarray]]:
  """Cuts this process's batch into parts, and each part among its devices.

  Every sample is given its row in the whole batch first (`index`), from which
  the steps draw its noise.

  Args:
    batch: arrays `[B, ...]`: this process's rows of the whole batch, which
      come after those of the processes before it.
    devices: the devices that share the whole batch.
    accumulate: the number of parts.

  Returns:
    `accumulate` batches of arrays `[D, B / D / accumulate, ...]`, for the `D`
    devices that are this process's.
  """
  size = len(next(iter(batch.values())))
  first = jax.process_index() * size
  rows = np.arange(first, first + size, dtype=np.int32)
  numbered = {**batch, INDEX: rows}
  count = len(pick_local(devices))
  each = size // (accumulate * count)
  cut = {
    name: value.reshape(accumulate, count, each, *value.shape[1:])
    for name, value in numbered.items()
  }
  return [
    {name: value[part] for name, value in cut.items()}
    for part in range(accumulate)
  ]


def shard_batch(
  batch: Mapping[str, np.ndarray], devices: Sequence[Device]
) -> dict[str, np.ndarray]:
  """Cuts a batch among devices; see `split_batch`.

  Raises:
    ConfigError: the devices do not divide the batch.
  """
  size = len(next(iter(batch.values())))
  check_batch_size(size * jax.process_count(), len(devices), 1)
  return split_batch(batch, devices)[0]


def make_update(
  steps: Steps, devices: Sequence[Device], accumulate: int = 1
) -> Callable[[TrainState, Batch], tuple[TrainState, Metrics]]:
  """Compiles one update over `devices`, in parts if there are several.

  Args:
    steps: what an update is.
    devices: what the batch is cut among.
    accumulate: parts that the batch is handled in, one after the other.

  Returns:
    A function of the state, which it donates, and this process's rows of a
    batch; it returns the new state and the metrics. Numbers are the same, up
    to rounding, for any devices, processes and parts.
  """
  constants = place_state(steps.constants, devices)
  if accumulate == 1:
    train_step = jax.pmap(
      make_train_step(steps, AXIS),
      axis_name=AXIS,
      in_axes=(None, 0, None),
      out_axes=(None, None),
      donate_argnums=(0,),
      devices=devices,
    )

    def update(state, batch):
      return train_step(state, shard_batch(batch, devices), constants)

    return update

  phases = [
    _compile_phase(phase, devices, accumulate) for phase in steps.phases
  ]

  def update_in_parts(state, batch):
    parts = split_batch(batch, devices, accumulate)
    metrics = {}
    for run in phases:
      state, metrics = run(state, parts, constants, metrics)
    return state, metrics

  return update_in_parts


def _compile_phase(phase: Phase, devices, accumulate):
  """One phase in parts: `(state, parts, constants, metrics) -> ...`."""
  zero_sums = jax.jit(make_zero_sums(phase))
  gradient_step = jax.pmap(
    make_gradient_step(phase, accumulate, AXIS),
    axis_name=AXIS,
    in_axes=(None, None, 0, None),
    out_axes=None,
    donate_argnums=(1,),
    devices=devices,
  )
  # Nothing is cut here: it runs alike wherever the sums already are.
  apply_step = jax.jit(phase.apply, donate_argnums=(0,))

  def run(state, parts, constants, metrics):
    first = {name: value[0] for name, value in parts[0].items()}
    sums = zero_sums(state, first, constants)
    for part in parts:
      sums = gradient_step(state, sums, part, constants)
    return apply_step(state, sums, metrics)

  return run
