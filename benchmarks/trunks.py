"""Which trunk should `:small` have? Equal CPU seconds, real files.

    python -m benchmarks.trunks --seconds=300 --data=folder:PHOTOS \
      --photos=folder:OTHER_PHOTOS

Every candidate is `configs/ggm.py:small` with another trunk, trained alone
for the same CPU seconds (compilation not counted), exported, and evaluated
with real files and the central ellipse as its region. The figure that decides
is the loss it was trained for, lmbda 255^2 mse_w + bpp, on photos that it did
not see, beside what encoding and decoding cost.
"""

import argparse
import dataclasses
import pathlib
import tempfile
import time

import jax
import numpy as np
from ml_collections import ConfigDict
from ml_collections.config_dict import config_dict
from rich.console import Console
from rich.table import Table

from configs.ggm import get_config
from roijax.codec import Codec
from roijax.data.pipeline import make_train_iterator
from roijax.data.sources import open_source
from roijax.evaluation.rate_distortion import evaluate, training_loss
from roijax.files import write_whole
from roijax.models.registry import build_model
from roijax.roi.spec import parse_roi
from roijax.training import parallel
from roijax.training.codec import draw_sample
from roijax.training.export import export_model
from roijax.training.objective import init_model, make_loss_fn
from roijax.training.optimizer import make_optimizer
from roijax.training.state import make_state
from roijax.training.steps import make_steps

QUALITIES = (1.0, 3.0, 5.0)
BACKGROUND = 0.25


@dataclasses.dataclass
class Result:
  """One row of the table."""

  name: str
  parameters: int
  steps: int
  loss: float
  bpp: float
  psnr_roi: float
  psnr_weighted: float
  encode_s: float
  decode_s: float


def _classical(channels: int, latent: int) -> dict:
  return {
    "trunk": {"name": "residual_gdn", "channels": channels},
    "latent_channels": latent,
    "slices": (16, 32, latent - 96, 48),
  }


CANDIDATES: dict[str, dict] = {
  "patchify 64-128, blocks 1-3-1": {},
  "patchify 64-128, blocks 0-2-1": {
    "trunk": {"name": "patchify", "channels": (64, 128), "blocks": (0, 2, 1)}
  },
  "patchify 48-160, blocks 1-3-2": {
    "trunk": {"name": "patchify", "channels": (48, 160), "blocks": (1, 3, 2)}
  },
  "residual GDN 96, M 128": _classical(96, 128),
  "residual GDN 48, M 128": _classical(48, 128),
}


def _configure(changes: dict, steps: int) -> ConfigDict:
  config = get_config("small")
  for key, value in changes.items():
    with config.unlocked():
      plain = isinstance(value, dict)
      config.model[key] = config_dict.create(**value) if plain else value
  config.train.steps = steps
  return config


def _train(config: ConfigDict, source, seconds: float):
  """Trains for CPU seconds; gives the averaged parameters and the steps.

  The learning rate must end with the budget, so a step is timed first and
  the schedule is made for as many as fit.
  """
  iterator = make_train_iterator(
    source,
    crop=config.data.crop,
    batch_size=config.data.batch_size,
    seed=config.seed,
  )
  model = build_model(config.system, config.model)
  sample = draw_sample(iterator, config.data.batch_size)
  params, collections = init_model(model, config, jax.random.key(0), sample)
  params = jax.tree.map(np.asarray, params)
  loss_fn = make_loss_fn(model, config)
  devices = parallel.pick_devices(1)

  def run(steps, budget):
    config.train.steps = steps
    config.optimizer.warmup_steps = min(100, steps // 2)
    optimizer, _ = make_optimizer(config.optimizer, steps)
    state = make_state(params, collections, optimizer, jax.random.key(1))
    state = parallel.place_state(state, devices)
    update = parallel.make_update(
      make_steps(loss_fn, optimizer, config.train.ema_decay), devices
    )
    state, metrics = update(state, next(iterator))
    jax.block_until_ready(metrics)
    started, count = time.process_time(), 1
    while count < steps and time.process_time() - started < budget:
      state, metrics = update(state, next(iterator))
      jax.block_until_ready(metrics)
      count += 1
    return state, count, (time.process_time() - started) / max(count - 1, 1)

  _, _, cost = run(20, seconds)
  state, count, _ = run(max(int(seconds / cost), 20), 1.2 * seconds)
  iterator.close()
  return jax.device_get(state.ema_params), count


def _measure(name, config, params, steps, photos) -> Result:
  with tempfile.TemporaryDirectory() as folder:
    export_model(folder, config, params)
    codec = Codec.load(folder)
  rows = evaluate(codec, photos, qualities=QUALITIES, background=BACKGROUND)
  warm = [row for row in rows if not row["first_call"]]
  return Result(
    name,
    sum(leaf.size for leaf in jax.tree.leaves(params)),
    steps,
    training_loss(rows, photos, config.model.lmbdas),
    *(
      float(np.mean([row[key] for row in rows]))
      for key in ("bpp", "psnr_roi", "psnr_weighted")
    ),
    float(np.median([row["encode_s"] for row in warm])),
    float(np.median([row["decode_s"] for row in warm])),
  )


def main() -> None:
  """Trains and measures every candidate; prints and saves the table."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--seconds", type=float, default=300)
  parser.add_argument("--data", default="sample:train")
  parser.add_argument("--data_dir", default=None)
  parser.add_argument("--photos", default="sample:val")
  parser.add_argument("--limit", type=int, default=8)
  parser.add_argument("--only", default="", help="part of a candidate's name")
  parser.add_argument("--out", default="runs/trunks.csv")
  arguments = parser.parse_args()
  source = open_source(arguments.data, arguments.data_dir)
  held_out = open_source(arguments.photos, arguments.data_dir)
  photos = []
  for index in range(min(arguments.limit, len(held_out))):
    photo = dict(held_out[index])
    photo["roi"] = parse_roi("center", photo["image"].shape[:2])
    photos.append(photo)
  results = []
  for name, changes in CANDIDATES.items():
    if arguments.only in name:
      config = _configure(changes, steps=1)
      params, steps = _train(config, source, arguments.seconds)
      results.append(_measure(name, config, params, steps, photos))
      print(results[-1], flush=True)
  _report(results, arguments)


def _report(results, arguments) -> None:
  fields = [field.name for field in dataclasses.fields(Result)]
  lines = [",".join(fields)] + [
    ",".join(str(getattr(result, field)) for field in fields)
    for result in results
  ]
  write_whole(pathlib.Path(arguments.out), "\n".join(lines).encode() + b"\n")
  table = Table(title=f"{arguments.seconds:g} CPU seconds each")
  for field in fields:
    table.add_column(field, justify="left" if field == "name" else "right")
  for result in results:
    table.add_row(
      *(
        f"{value:.4g}" if isinstance(value, float) else str(value)
        for value in dataclasses.astuple(result)
      )
    )
  Console(width=160).print(table)


if __name__ == "__main__":
  main()
