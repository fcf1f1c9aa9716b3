"""What the configs of all codecs have in common.

A file in `configs/` states its model, its loss and what it trains on; how
long, how often and by what optimizer is here, and so is what a variant for a
CPU, for the bundled photos or for tests changes of it. Any of it can be set on
the command line.
"""

from collections.abc import Callable, Mapping
from typing import Any

from ml_collections import ConfigDict

# Trade-offs, each about twice the one before, on the 255 scale.
LMBDAS = (0.0018, 0.0035, 0.0067, 0.013, 0.025, 0.0483, 0.0932, 0.18)
# Levels of the background that training draws, see `objective`.
BACKGROUND = dict(
  background_low=0.05, background_high=1.0, background_extremes=0.1
)
# One level, the same always: the background hardly counts.
FAINT = dict(background_low=0.01, background_high=0.01, background_extremes=0.0)

# A `ConfigDict`, whose keys type checkers do not know.
Config = Any
Change = Callable[[Config], None]


def make_config(
  system: str,
  *,
  model: Mapping[str, Any],
  data: Mapping[str, Any],
  loss: Mapping[str, Any] | None = None,
  steps: int = 1_000_000,
) -> Config:
  """A codec's configuration, for COCO 2017 on a GPU or TPU.

  Args:
    system: one of `models.registry.SYSTEMS`.
    model: what its builder takes.
    data: see `codec.open_data`; source, data_dir and workers are set.
    loss: see `objective.make_loss_fn`; `balance` and `BACKGROUND` are set.
    steps: of training.
  """
  config: Config = ConfigDict()
  config.system = system
  config.seed = 0
  config.model = ConfigDict(dict(model))
  config.loss = ConfigDict(dict(balance=0.5, **{**BACKGROUND, **(loss or {})}))
  config.data = ConfigDict(
    dict(source="coco_roi:train", data_dir="data_dir", workers=4, **data)
  )
  config.optimizer = ConfigDict(
    dict(
      name="adam",
      learning_rate=1e-4,
      warmup_steps=1000,
      schedule="cosine",
      final_fraction=0.01,
      clip_norm=1.0,
    )
  )
  config.train = ConfigDict(
    dict(
      steps=steps,
      seconds=0,
      accumulate=1,
      ema_decay=0.9999,
      log_every=100,
      checkpoint_every=5000,
      checkpoint_minutes=0,
      keep=3,
      devices=0,
      observe_every=5000,
      start_from="",
      start_partly=False,
    )
  )
  config.eval = ConfigDict(
    dict(
      data="coco_roi:val",
      qualities=(0.0, 2.0, 4.0, 6.0),
      background=0.25,
      anchors=("uniform", "jpeg"),
    )
  )
  return config


def fit_cpu(config: Config) -> None:
  """Hours on a CPU: small crops, few at a time, a higher rate of learning."""
  config.data.crop = 128
  config.data.batch_size = 4
  config.data.workers = 0
  config.optimizer.learning_rate = 1e-3
  config.optimizer.warmup_steps = 100
  config.train.steps = 40_000
  config.train.ema_decay = 0.999
  config.train.log_every = 50
  config.train.checkpoint_every = 0
  config.train.checkpoint_minutes = 5
  config.train.observe_every = 1000


def fit_sample(config: Config) -> None:
  """Minutes on a CPU, on the bundled photos; after `fit_cpu`."""
  _use_bundled_photos(config)
  config.train.steps = 1200
  config.train.seconds = 240
  config.train.ema_decay = 0.99
  config.train.checkpoint_minutes = 1
  config.train.observe_every = 400
  config.eval.data = "sample:val"


def fit_smoke(config: Config) -> None:
  """Seconds, for tests; after `fit_cpu`."""
  _use_bundled_photos(config)
  config.model.lmbdas = (0.0067, 0.025)
  config.data.crop = 64
  config.data.batch_size = 8
  config.optimizer.warmup_steps = 2
  config.train.steps = 4
  config.train.log_every = 1
  config.train.checkpoint_every = 2
  config.train.checkpoint_minutes = 0
  config.train.observe_every = 2
  config.eval.data = ""
  config.eval.qualities = (0.0, 1.0)


def _use_bundled_photos(config: Config) -> None:
  config.data.source = "sample:train"
  config.data.data_dir = ""


def choose(
  name: str,
  variant: str,
  base: Callable[[], Config],
  variants: Mapping[str, Change | None],
) -> Config:
  """A config file's variant.

  Args:
    name: of the file, for the error message.
    variant: what stands behind the colon of `--config=FILE:VARIANT`.
    base: makes the default.
    variants: what each variant changes of it; None: nothing.

  Raises:
    ValueError: there is no such variant.
  """
  if variant not in variants:
    known = ", ".join(sorted(filter(None, variants)))
    raise ValueError(
      f"unknown variant {variant!r} of {name}; there are: {known}"
    )
  config = base()
  change = variants[variant]
  if change is not None:
    change(config)
  return config
