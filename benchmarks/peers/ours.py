"""One of our models in a process of its own; prints JSON.

python -m benchmarks.peers.ours '{"model": "configs/swin.py:small", ...}'
"""

import json
import pathlib
import sys
import tempfile

import jax
import numpy as np

from benchmarks.codec import write_fresh_weights
from benchmarks.peers.profile import profile_step
from benchmarks.training import meters
from benchmarks.training.case import draw_batch
from roijax.codec import Codec
from roijax.data.images import read_image
from roijax.models.__main__ import read_config
from roijax.models.size import measure_size
from roijax.roi.spec import parse_roi
from roijax.training.codec import read_plan, start_run
from roijax.training.steps import make_train_step
from roijax.weights.perceptual import RANDOM

# Of a training step: the first; the second with VGG-16, of random weights, and
# without.
FIRST, SECOND, BLIND = "first", "second", "blind"


def time_median(call, case: dict) -> float:
  """Median seconds of a call, by the clock."""
  return meters.median(
    meters.time_calls(call, case["repeats"], case["seconds"])
  ).wall


def measure_coding(case: dict) -> dict:
  """Size, one forward pass, and a file made and read."""
  file, _, variant = case["model"].partition(":")
  image = read_image(case["photo"])
  with tempfile.TemporaryDirectory() as folder:
    write_fresh_weights(pathlib.Path(folder), file, variant)
    codec = Codec.load(folder)
  whole = measure_size(codec.model, *image.shape[:2], depth=0)[-1]
  x = image[None].astype(np.float32) / 255
  roi = np.ones((*x.shape[:3], 1), np.float32)
  quality = np.asarray([codec.default_quality], np.float32)
  keys = jax.random.split(jax.random.key(0), 1)
  params = jax.device_put(codec.weights.params)
  program = jax.jit(
    lambda params, *inputs: codec.model.apply({"params": params}, *inputs)
  )
  mask = parse_roi(case["roi"], image.shape[:2])
  data = codec.compress(image, mask)
  return {
    "parameters": whole.parameters,
    "macs": whole.macs,
    "forward_s": time_median(
      lambda: jax.block_until_ready(program(params, x, roi, quality, keys)),
      case,
    ),
    "encode_s": time_median(lambda: codec.compress(image, mask), case),
    "decode_s": time_median(lambda: codec.decompress(data), case),
  }


def read_stage(model: str, stage: str, folder: str):
  """A config in one of its stages; the second starts from fresh weights."""
  config = read_config(model)
  if stage == FIRST:
    return config
  file, _, variant = model.partition(":")
  write_fresh_weights(pathlib.Path(folder), file, variant)
  config.train.start_from = folder
  config.adversarial.enabled = True
  config.perceptual.weights = RANDOM if stage == SECOND else ""
  if stage == BLIND:
    config.perceptual.lpips = config.perceptual.style = 0.0
  return config


def make_step(case: dict):
  """The step of `train()`, on a random batch and one device.

  Returns:
    A call that runs one, its compiled program, and the parameters' shapes.
  """
  batch = draw_batch(case["batch"], case["crop"])
  with tempfile.TemporaryDirectory() as folder:
    config = read_stage(case["model"], case.get("stage", FIRST), folder)
    state, steps = start_run(read_plan(config), config, batch)
  names = jax.tree.map(lambda leaf: leaf.shape, state.params)
  program = jax.jit(make_train_step(steps), donate_argnums=0)
  compiled = program.lower(state, batch, steps.constants).compile()

  def step():
    nonlocal state
    state, metrics = compiled(state, batch, steps.constants)
    jax.block_until_ready((state, metrics))

  return step, compiled, names


def measure_step(case: dict) -> dict:
  """Seconds of a training step, and the memory that steps need."""
  step, _, _ = make_step(case)
  step()
  meters.forget_peak()
  seconds = time_median(step, case)
  on_cpu = jax.default_backend() == "cpu"
  stats = None if on_cpu else jax.devices()[0].memory_stats()
  peak = stats["peak_bytes_in_use"] / 2**20 if stats else meters.peak_mib()
  return {"step_s": seconds, "step_peak_mib": peak}


def profile(case: dict) -> dict:
  """Where the seconds of a step go, see `profile_step`."""
  return profile_step(*make_step(case), case["repeats"])


def main() -> None:
  """Measures the case given as JSON."""
  case = json.loads(sys.argv[1])
  tasks = {"code": measure_coding, "step": measure_step, "profile": profile}
  print(json.dumps(tasks[case["task"]](case)))


if __name__ == "__main__":
  main()
