"""The same arms with the transforms free to follow: joint fine-tuning.

    python -m benchmarks.claims.joint --arms=bounds --weights=RUN \
      --data=... --photos=... --steps=1500

A frozen codec cannot show all that a prior or a bound does: an encoder may
shrink variances because noise is charged for less than rounding is. Here every
arm starts from the same trained codec and trains all of it for the same number
of steps, on the same crops with the same noise; real files of held-out photos
then decide, by the loss that is trained for, lmbda 255^2 mse_w + bpp. The
mismatch is by how much the rate with noise exceeds the rate of rounded latents.

Arms of `priors` get fresh entropy networks (equal starts), since their heads
differ; the others keep the codec's own.
"""

import argparse
import dataclasses
import pathlib
import tempfile

import jax
import numpy as np
from ml_collections import ConfigDict
from rich.progress import track

from benchmarks.claims import report
from benchmarks.claims.latents import (
  BACKGROUND,
  Frozen,
  draw_held_out_latents,
  open_frozen,
)
from benchmarks.claims.priors import ARMS
from benchmarks.claims.refit import FITTED, Refit, rates
from configs.ggm import get_config
from roijax.codec import Codec
from roijax.data.pipeline import make_train_iterator
from roijax.data.sources import open_source
from roijax.evaluation.rate_distortion import evaluate, training_loss
from roijax.models.registry import build_model
from roijax.programs import use_compilation_cache
from roijax.roi.spec import parse_roi
from roijax.training import parallel
from roijax.training.export import export_model
from roijax.training.objective import make_loss_fn
from roijax.training.optimizer import make_optimizer
from roijax.training.state import make_state
from roijax.training.steps import make_steps

QUALITIES = (1.0, 3.0, 5.0)


@dataclasses.dataclass(frozen=True)
class Row:
  """One arm: rates of crops in bits a pixel of y, and real files."""

  arm: str
  noise: float
  rounded: float
  mismatch_percent: float
  file_bpp: float
  psnr_roi: float
  psnr_weighted: float
  loss: float


def make_config(frozen: Frozen, prior: dict, arguments) -> ConfigDict:
  """The config of `:small`'s recipe for this codec with another prior."""
  config = get_config("small")
  with config.unlocked():
    model = {
      **frozen.arguments,
      "prior": {**frozen.arguments["prior"], **prior},
    }
    config.model = ConfigDict(model)
  config.train.steps = arguments.steps
  config.optimizer.learning_rate = arguments.learning_rate
  config.optimizer.warmup_steps = min(100, arguments.steps // 2)
  return config


def train(frozen: Frozen, config: ConfigDict, fresh: bool, source, name: str):
  """Trains all of the codec; gives the averaged parameters."""
  model = build_model(config.system, config.model)
  params = dict(frozen.params)
  if fresh:
    start = Refit(frozen, 1, **config.model.prior.to_dict()).start(config.seed)
    kept = {k: v for k, v in params.items() if k not in FITTED}
    params = {**kept, **start}
  optimizer, _ = make_optimizer(config.optimizer, config.train.steps)
  update = parallel.make_update(
    make_steps(make_loss_fn(model, config), optimizer, config.train.ema_decay),
    parallel.pick_devices(1),
  )
  # Copies: the update gives its buffers away, and the next arm starts here too.
  params = jax.tree.map(lambda leaf: np.array(leaf), params)
  state = make_state(params, {}, optimizer, jax.random.key(config.seed))
  state = parallel.place_state(state, parallel.pick_devices(1))
  iterator = make_train_iterator(
    source,
    crop=config.data.crop,
    batch_size=config.data.batch_size,
    seed=config.seed,
  )
  for _ in track(range(config.train.steps), f"training {name}"):
    state, metrics = update(state, next(iterator))
    jax.block_until_ready(metrics)
  iterator.close()
  return jax.device_get(state.ema_params)


def measure(arm: str, folder: str, photos: list, crops) -> Row:
  """What the trained arm costs: crops by its likelihood, photos by files."""
  frozen = open_frozen(folder)
  latents = draw_held_out_latents(frozen, crops, qualities=QUALITIES)
  own = Refit(frozen, 1)
  fitted = {k: v for k, v in frozen.params.items() if k in FITTED}
  noise, rounded = (
    rates(own.charge(fitted, latents, noise=seed).bits, latents)["whole"]
    for seed in (0, None)
  )
  codec = Codec.load(folder)
  rows = evaluate(codec, photos, qualities=QUALITIES, background=BACKGROUND)
  means = {
    key: float(np.mean([row[key] for row in rows]))
    for key in ("bpp", "psnr_roi", "psnr_weighted")
  }
  return Row(
    arm,
    noise,
    rounded,
    100 * (noise / rounded - 1),
    means["bpp"],
    means["psnr_roi"],
    means["psnr_weighted"],
    training_loss(rows, photos, frozen.arguments["lmbdas"]),
  )


def main() -> None:
  """Trains and measures every arm; prints and saves the table."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--arms", choices=ARMS, default="bounds")
  parser.add_argument("--weights", default="roijax/weights/ggm-small-1.npz")
  parser.add_argument("--data", default="sample:train")
  parser.add_argument("--photos", default="sample:val")
  parser.add_argument("--data_dir", default=None)
  parser.add_argument("--limit", type=int, default=24, help="photos to code")
  parser.add_argument("--steps", type=int, default=1500)
  parser.add_argument("--learning_rate", type=float, default=3e-4)
  parser.add_argument("--out", default="", help="a folder below runs/")
  arguments = parser.parse_args()
  use_compilation_cache()
  frozen = open_frozen(arguments.weights)
  source = open_source(arguments.data, arguments.data_dir)
  held_out = open_source(arguments.photos, arguments.data_dir)
  photos = []
  for index in range(min(arguments.limit, len(held_out))):
    photo = dict(held_out[index])
    if photo["roi"] is None:
      photo["roi"] = parse_roi("center", photo["image"].shape[:2])
    photos.append(photo)
  rows = []
  for arm, prior in ARMS[arguments.arms].items():
    config = make_config(frozen, prior, arguments)
    fresh = arguments.arms == "priors"
    params = train(frozen, config, fresh, source, arm)
    with tempfile.TemporaryDirectory() as folder:
      export_model(folder, config, params)
      rows.append(measure(arm, folder, photos, held_out))
    print(rows[-1], flush=True)
  name = arguments.out or f"runs/claims/joint-{arguments.arms}"
  report.print_table(f"{arguments.steps} steps each", rows)
  report.write_rows(pathlib.Path(name) / "rows.csv", rows)


if __name__ == "__main__":
  main()
