"""One case of `benchmarks.training`, in a process of its own; prints JSON.

    python -m benchmarks.training.case '{"variant": "small", "batch": 8, ...}'

The step is the one that `train()` runs: `make_update` of `make_loss_fn` and
`make_optimizer`, with the variant's config.
"""

import dataclasses
import inspect
import itertools
import json
import os
import statistics
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.training import meters
from benchmarks.training.parts import time_parts
from configs.ggm import get_config
from roijax.models.registry import build_model
from roijax.ops.quantize import add_noise
from roijax.training import parallel
from roijax.training.codec import open_data
from roijax.training.objective import (
  init_model,
  make_loss_fn,
  sample_background,
  sample_quality,
)
from roijax.training.optimizer import leaf_paths, make_optimizer
from roijax.training.state import make_state, sample_keys
from roijax.training.steps import make_steps

LOOP_STEPS = 8
MATMUL_SIDE = 2048


@dataclasses.dataclass(frozen=True)
class Case:
  """What is measured, and how.

  Attributes:
    variant: of `configs/ggm.py`; "" is the default.
    batch: samples, over all devices.
    crop: their side; 0 takes the variant's.
    dtype: of the transforms.
    devices: how many share the batch.
    framework: "jax", or a mode of `torch_case`.
    repeats: timed calls.
    seconds: after which fewer calls do.
    split: whether the parts of a step are timed too.
    data: a source such as `sample:train`, or "" for random arrays.
    data_dir: where prepared datasets lie.
    workers: reader processes.
    memory_gib: what the process may hold; 0: no limit.
    reference: where the twin's reference lies, for torch.
  """

  variant: str
  batch: int
  crop: int = 0
  dtype: str = "float32"
  devices: int = 1
  framework: str = "jax"
  repeats: int = 9
  seconds: float = 60.0
  split: bool = True
  data: str = ""
  data_dir: str = ""
  workers: int = 0
  memory_gib: float = 0.0
  reference: str = ""


def read_config(case: Case):
  """The variant's config, as the case changes it."""
  config = get_config(case.variant)
  config.model.dtype = case.dtype
  config.data.crop = case.crop or config.data.crop
  config.data.batch_size = case.batch
  config.data.workers = case.workers
  if case.data:
    config.data.source = case.data
    config.data.data_dir = case.data_dir
  return config


def draw_batch(batch: int, crop: int) -> dict[str, np.ndarray]:
  """Random photos and regions of the right shapes."""
  rng = np.random.default_rng(0)
  return {
    "image": rng.random((batch, crop, crop, 3), np.float32),
    "roi": (rng.random((batch, crop, crop, 1)) < 0.5).astype(np.float32),
  }


def time_loop(update, state, batches, steps: int) -> tuple:
  """Runs steps as `train()` does, one ahead of what is read.

  Returns:
    The state, seconds a step, and how many of those the loop spent waiting
    for batches.
  """
  pending, waited = None, 0.0
  start = time.perf_counter()
  for _ in range(steps):
    asked = time.perf_counter()
    batch = next(batches)
    waited += time.perf_counter() - asked
    state, metrics = update(state, batch)
    if pending is not None:
      jax.device_get(pending)
    pending = metrics
  jax.block_until_ready((state, pending))
  return state, (time.perf_counter() - start) / steps, waited / steps


def measure_peak() -> float:
  """FLOP/s of large float32 matrix products on all of this CPU's cores.

  Of its busy seconds, so that a neighbour on the same cores hides nothing.
  """
  side = MATMUL_SIDE
  matrix = jnp.asarray(np.random.default_rng(0).random((side, side), "f4"))
  product = jax.jit(jnp.matmul)
  seconds = meters.time_calls(
    lambda: jax.block_until_ready(product(matrix, matrix)), 9, 5.0
  )
  cores = len(os.sched_getaffinity(0))
  return 2 * side**3 / min(one.cpu for one in seconds) * cores


def _compile(update, state, batch, devices) -> tuple[dict, float]:
  """Seconds of tracing and compiling; the compiler's view of the step."""
  # `make_update` keeps its program to itself, and the program is what can
  # be asked; calling the update later finds it compiled.
  program = inspect.getclosurevars(update).nonlocals["train_step"]
  lowered = compiled = None

  def trace():
    nonlocal lowered
    sharded = parallel.shard_batch(batch, devices)
    lowered = program.lower(state, sharded, ())

  def compile_it():
    nonlocal compiled
    compiled = lowered.compile()

  tracing, compiling = meters.time_call(trace), meters.time_call(compile_it)
  memory = compiled.memory_analysis()
  program_bytes = (
    memory.argument_size_in_bytes
    + memory.output_size_in_bytes
    + memory.temp_size_in_bytes
    - memory.alias_size_in_bytes
  )
  found = {
    "trace_s": tracing.wall,
    "compile_s": compiling.wall,
    "compile_cpu_s": compiling.cpu,
    "process_peak_mib": meters.peak_mib(),
    "program_mib": program_bytes / 2**20,
  }
  # XLA counts one device's share.
  return found, compiled.cost_analysis()["flops"] * len(devices)


def _peak_memory(devices) -> float:
  stats = devices[0].memory_stats()
  if stats is None:
    return meters.peak_mib()
  return max(d.memory_stats()["peak_bytes_in_use"] for d in devices) / 2**20


def measure(case: Case) -> dict:
  """All figures of a case."""
  base = meters.resident_mib()
  config = read_config(case)
  devices = parallel.pick_devices(case.devices)
  parallel.check_batch_size(case.batch, len(devices), 1)
  on_cpu = devices[0].platform == "cpu"
  found: dict = {
    "device": devices[0].device_kind,
    "crop": config.data.crop,
    "base_mib": base if on_cpu else 0.0,
    "matmul_flops": measure_peak() if on_cpu else None,
  }
  model = build_model(config.system, config.model)
  optimizer, _ = make_optimizer(config.optimizer, config.train.steps)
  batch = draw_batch(case.batch, config.data.crop)
  start = time.perf_counter()
  params, collections = init_model(model, config, jax.random.key(0), batch)
  state = make_state(params, collections, optimizer, jax.random.key(1))
  state = parallel.place_state(state, devices)
  found["init_s"] = time.perf_counter() - start
  found["parameters"] = sum(x.size for x in jax.tree.leaves(params))
  del params
  update = parallel.make_update(
    make_steps(make_loss_fn(model, config), optimizer, config.train.ema_decay),
    devices,
  )
  costs, found["flops"] = _compile(update, state, batch, devices)
  found |= costs
  meters.forget_peak()

  def step():
    nonlocal state
    state, metrics = update(state, batch)
    jax.block_until_ready((state, metrics))

  seconds = meters.time_calls(step, case.repeats, case.seconds)
  found["step_s"], found["step_cpu_s"] = meters.median(seconds)
  found["step_min_s"] = min(one.wall for one in seconds)
  found["step_max_s"] = max(one.wall for one in seconds)
  found["stepping_mib"] = _peak_memory(devices)
  found["process_peak_mib"] = max(found["process_peak_mib"], meters.peak_mib())
  state, found["loop_s"], _ = time_loop(
    update, state, itertools.repeat(batch), LOOP_STEPS
  )
  if case.data:
    state, pipeline = _measure_pipeline(update, state, config)
    found |= pipeline
  if case.split and case.devices == 1:
    budget = (case.repeats, case.seconds)
    parts = time_parts(model, config, optimizer, state, batch, budget)
    # Busy seconds where there are neighbours, the clock's elsewhere.
    found["parts_clock"] = "step_cpu_s" if on_cpu else "step_s"
    found["parts"] = {
      name: one.cpu if on_cpu else one.wall for name, one in parts.items()
    }
  return found


def _measure_pipeline(update, state, config) -> tuple:
  """The iterator alone, and in the loop."""
  data = dict(config.data)
  iterator = open_data(seed=config.seed, **data)
  try:
    # The first ones were read ahead of the clock.
    alone = meters.time_calls(lambda: next(iterator), 24, 30.0, warm_up=8)
    state, loop_s, wait_s = time_loop(update, state, iterator, LOOP_STEPS)
  finally:
    iterator.close()
  return state, {
    # A mean: batches that were read ahead come in bursts.
    "next_alone_s": statistics.fmean(one.wall for one in alone),
    "data_loop_s": loop_s,
    "next_in_loop_s": wait_s,
  }


def write_reference(case: Case, path: str) -> None:
  """Loss and gradients that the twin is held to, with all that is random.

  The parameters are moved off their start, where many are zero and hide
  what lies behind them.
  """
  config = read_config(case)
  model = build_model(config.system, config.model)
  batch = draw_batch(case.batch, config.data.crop)
  key = jax.random.key(0)
  params, collections = init_model(model, config, key, batch)
  rng = np.random.default_rng(1)
  params = jax.tree.map(
    lambda x: np.asarray(x + 0.005 * rng.standard_normal(x.shape), "f4"),
    params,
  )
  keys = sample_keys(key, jnp.int32(0), jnp.arange(case.batch))
  split = jax.vmap(lambda key: jax.random.split(key, 3), out_axes=1)(keys)
  noise = jax.vmap(jax.random.split, out_axes=1)(split[2])
  options, crop = config.loss, config.data.crop
  latent = (case.batch, crop // 16, crop // 16, config.model.latent_channels)
  hyper = (case.batch, crop // 64, crop // 64, config.model.hyper_channels)
  draws = {
    "quality": sample_quality(split[0], len(config.model.lmbdas)),
    "background": sample_background(
      split[1],
      options.background_low,
      options.background_high,
      options.background_extremes,
    ),
    "noise_y": add_noise(jnp.zeros(latent), noise[1]),
    "noise_z": add_noise(jnp.zeros(hyper), noise[0]),
  }
  loss_fn = make_loss_fn(model, config)
  with jax.default_matmul_precision("highest"):
    (loss, _), gradients = jax.jit(jax.value_and_grad(loss_fn, has_aux=True))(
      params, collections, batch, keys
    )
  names = leaf_paths(params)
  arrays = {
    **_name("params", names, jax.tree.leaves(params)),
    **_name("gradient", names, jax.tree.leaves(gradients)),
    **_name("batch", [*batch, *draws], [*batch.values(), *draws.values()]),
    "loss": loss,
    "config": json.dumps(
      {
        "model": config.model.to_dict(),
        "loss": config.loss.to_dict(),
        "ema_decay": config.train.ema_decay,
      }
    ),
  }
  np.savez(path, **{n: np.asarray(x) for n, x in arrays.items()})


def _name(section: str, names, arrays) -> dict:
  pairs = zip(names, arrays, strict=True)
  return {f"{section}:{name}": array for name, array in pairs}


def main() -> None:
  """Measures the case given as JSON, or writes its reference."""
  case = Case(**json.loads(sys.argv[1]))
  meters.limit_memory(case.memory_gib)
  if case.reference:
    write_reference(case, case.reference)
    print(json.dumps({}))
    return
  print(json.dumps(measure(case)))


if __name__ == "__main__":
  main()
