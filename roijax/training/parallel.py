"""One program on every device: the only file that names `pmap`.

The state goes in once and comes out once (`None` axes), so that it is neither
replicated nor picked from replicas by hand, and is saved as it is. Batches
carry a leading device axis.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from roijax.errors import ConfigError
from roijax.training.steps import INDEX

AXIS = "devices"


def pick_devices(count: int | None = None) -> list[jax.Device]:
  """Takes this process's devices: all, or the first `count`.

  Raises:
    ConfigError: there are not that many.
  """
  devices = jax.local_devices()
  if not count:
    return devices
  if count > len(devices):
    raise ConfigError(
      f"config.train.devices={count}, but JAX sees {len(devices)}"
    )
  return devices[:count]


def place_state(state: Any, devices: Sequence[jax.Device]) -> Any:
  """Copies a state to where the steps leave it, on every one of `devices`.

  A state that starts elsewhere would compile the first step twice. The copy
  shares no buffer with its source, which donation would take along.
  """
  mesh = jax.sharding.Mesh(np.asarray(devices), (AXIS,))
  everywhere = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
  return jax.device_put(state, everywhere, may_alias=False)


def check_batch_size(
  batch_size: int, devices: int, accumulate: int, processes: int = 1
) -> None:
  """Makes sure that a global batch splits evenly.

  Args:
    batch_size: samples in the global batch.
    devices: devices of each process.
    accumulate: parts that each device handles one after the other.
    processes: processes that share the batch.

  Raises:
    ConfigError: it does not; the line names a size that does.
  """
  unit = devices * accumulate * processes
  if batch_size > 0 and batch_size % unit == 0:
    return
  better = max(1, round(batch_size / unit)) * unit
  raise ConfigError(
    f"config.data.batch_size={batch_size} does not split over {devices} "
    f"device(s) x {accumulate} accumulation part(s) x {processes} "
    f"process(es): use {better}, or set config.train.devices"
  )


def split_batch(
  batch: Mapping[str, np.ndarray],
  devices: Sequence[jax.Device],
  accumulate: int = 1,
  process_index: int = 0,
) -> list[dict[str, np.ndarray]]:
  """Cuts a process's batch into parts, and each part among the devices.

  Every sample is given its row in the global batch first (`index`), from
  which the steps draw its noise.

  Args:
    batch: arrays `[B, ...]`.
    devices: the devices that share it.
    accumulate: the number of parts.
    process_index: this process's place in the global batch.

  Returns:
    `accumulate` batches of arrays `[devices, B / devices / accumulate, ...]`.
  """
  size = len(next(iter(batch.values())))
  index = np.arange(size, dtype=np.int32) + np.int32(process_index * size)
  numbered = {**batch, INDEX: index}
  each = size // (accumulate * len(devices))
  cut = {
    name: value.reshape(accumulate, len(devices), each, *value.shape[1:])
    for name, value in numbered.items()
  }
  return [
    {name: value[part] for name, value in cut.items()}
    for part in range(accumulate)
  ]


def shard_batch(
  batch: Mapping[str, np.ndarray], devices: Sequence[jax.Device]
) -> dict[str, np.ndarray]:
  """Cuts a batch among devices: arrays `[devices, B / devices, ...]`.

  Raises:
    ConfigError: the devices do not divide the batch.
  """
  size = len(next(iter(batch.values())))
  check_batch_size(size, len(devices), 1)
  return split_batch(batch, devices)[0]


def map_train_step(
  step: Callable[..., Any], devices: Sequence[jax.Device]
) -> Callable[..., Any]:
  """Maps `(state, batch) -> (state, metrics)`; the state is donated."""
  return jax.pmap(
    step,
    axis_name=AXIS,
    in_axes=(None, 0),
    out_axes=(None, None),
    donate_argnums=(0,),
    devices=devices,
  )


def map_gradient_step(
  step: Callable[..., Any], devices: Sequence[jax.Device]
) -> Callable[..., Any]:
  """Maps `(state, sums, batch) -> sums`; the sums are donated."""
  return jax.pmap(
    step,
    axis_name=AXIS,
    in_axes=(None, None, 0),
    out_axes=None,
    donate_argnums=(1,),
    devices=devices,
  )


def compile_apply_step(step: Callable[..., Any]) -> Callable[..., Any]:
  """Compiles `(state, sums) -> (state, metrics)`; the state is donated.

  There is no batch to cut: it runs alike wherever the sums already are.
  """
  return jax.jit(step, donate_argnums=(0,))
