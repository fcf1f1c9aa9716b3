"""A tiny run for the training tests: linear, noisy, and quick to compile.

As a command it trains as `train.py` does:

  python training_run.py WORKDIR STEPS [--delay=SECONDS] [--config=JSON]
    [--distributed=SPEC] [--options=JSON]

Each batch is held up by the delay, so that a test has time to kill the run;
`config` replaces keys of CONFIG, `options` are those of `run`.
"""

import argparse
import json
import pathlib
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np

from roijax.cli import exit_code
from roijax.training import hosts
from roijax.training.loop import run_training
from roijax.training.optimizer import make_optimizer
from roijax.training.options import TrainOptions
from roijax.training.signals import Interrupted
from roijax.training.state import TrainState, make_state
from roijax.training.steps import make_steps

BATCH_SIZE = 16
CONFIG = {
  "optimizer": {"name": "sgd", "learning_rate": 0.05, "warmup_steps": 3},
  "data": {"batch_size": BATCH_SIZE},
}


class Photos:
  """Endless random "photos", each a function of its number alone.

  Where there are several processes, each gets its rows of a batch.
  """

  def __init__(self, delay: float = 0.0):
    self.number = 0
    self.delay = delay

  def __next__(self) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(self.number)
    self.number += 1
    time.sleep(self.delay)
    images = rng.random((BATCH_SIZE, 4, 4, 3), np.float32)
    return {"image": np.split(images, jax.process_count())[jax.process_index()]}

  def get_state(self) -> dict[str, int]:
    return {"number": self.number}

  def set_state(self, state: dict[str, int]) -> None:
    self.number = state["number"]

  def close(self) -> None:
    pass


def init_params() -> dict[str, dict[str, jax.Array]]:
  kernel = jax.random.normal(jax.random.key(7), (48, 5)) / 7
  return {
    "analysis": {"kernel": kernel},
    "synthesis": {"kernel": kernel.T, "bias": jnp.zeros(48)},
  }


def loss_fn(params, collections, batch, keys):
  """A linear auto-encoder with noise in the middle."""
  x = batch["image"].reshape(-1, 48)
  y = x @ params["analysis"]["kernel"]
  noise = jax.vmap(lambda key: jax.random.uniform(key, (5,)))(keys) - 0.5
  x_hat = (y + noise) @ params["synthesis"]["kernel"]
  x_hat = x_hat + params["synthesis"]["bias"][None]
  mse = jnp.mean((x - x_hat) ** 2)
  bpp = jnp.mean(jnp.abs(y))
  metrics = {"mse": mse, "bpp": bpp, "psnr": -10 * jnp.log10(mse)}
  return 20 * mse + bpp, (metrics, {"seen": collections["seen"] + 1})


def make_optimizer_of_run(steps: int, **options):
  return make_optimizer({**CONFIG["optimizer"], **options}, steps)


def make_fresh_state(**optimizer) -> tuple[TrainState, tuple]:
  """A state at step 0, and its optimizer with the schedule."""
  made = make_optimizer_of_run(100, **optimizer)
  state = make_state(
    init_params(),
    {"seen": jnp.zeros((), jnp.int32)},
    made[0],
    jax.random.key(3),
  )
  return state, made


def run(
  workdir: str | pathlib.Path,
  steps: int,
  *,
  iterator: Photos | None = None,
  loss=loss_fn,
  optimizer: dict | None = None,
  config: dict | None = None,
  export=None,
  **options,
) -> TrainState:
  """Trains to `steps`; the schedule's length is always 100."""
  state, (made, schedule) = make_fresh_state(**(optimizer or {}))
  settings = {"log_every": 3, "checkpoint_every": 4, **options}
  chosen = TrainOptions(steps=steps, **settings)
  return run_training(
    state,
    iterator or Photos(),
    make_steps(loss, made, chosen.ema_decay),
    chosen,
    batch_size=BATCH_SIZE,
    workdir=workdir,
    config=config or CONFIG,
    schedule=schedule,
    export=export,
  )


def run_as_command() -> int:
  parser = argparse.ArgumentParser()
  parser.add_argument("workdir")
  parser.add_argument("steps", type=int)
  parser.add_argument("--delay", type=float, default=0.0)
  parser.add_argument("--config", type=json.loads, default={})
  parser.add_argument("--distributed", default="")
  parser.add_argument("--options", type=json.loads, default={})
  given = parser.parse_args()

  def train() -> int:
    hosts.start(given.distributed, timeout=60)
    try:
      run(
        given.workdir,
        given.steps,
        iterator=Photos(given.delay),
        config={**CONFIG, **given.config},
        **given.options,
      )
    except Interrupted as stop:
      hosts.close()
      if hosts.is_primary():
        print(stop, file=sys.stderr)
      return stop.exit_code
    hosts.close()
    return 0

  return hosts.leave(exit_code(train)) if given.distributed else train()


if __name__ == "__main__":
  sys.exit(run_as_command())
