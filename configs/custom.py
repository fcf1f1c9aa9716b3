"""System C, customizable ROI (arXiv 2507.00373).

python train.py --config=configs/custom.py:VARIANT --workdir=runs/NAME

(none)   the published code's sizes, 13.7 M parameters; for a GPU or TPU
paper    the same with sigma fixed at 0.01, in the map and so in the loss
small    made for a CPU: patches, attention at 1/8
sample   :small on the bundled photos, minutes on a CPU
smoke    tiny; seconds, for tests

The default draws sigma, the map's value outside the region, like all systems
here (`loss.background_*`); whoever compresses chooses it with `--background`.
"""

from ml_collections import ConfigDict

# The published ones but for the first, as `configs/ggm.py` has them.
LMBDAS = (0.0018, 0.0035, 0.0067, 0.013, 0.025, 0.0483, 0.0932, 0.18)


def _base() -> ConfigDict:
  config = ConfigDict()
  config.system = "custom"
  config.seed = 0
  config.model = ConfigDict(
    dict(
      stages=dict(
        factors=(2, 2, 2, 2),
        channels=(192, 192, 192, 192),
        depths=(1, 2, 3),
        heads=(4, 8, 16),
        stem="conv",
        window=8,
        ratio=4,
        remat=False,
      ),
      attend=True,
      hyper=dict(channels=192, depths=(1, 1), heads=16, window=4, ratio=4),
      hyper_features=384,
      slices=(192,),
      context="attention",
      context_hidden=(640, 512),
      prior=dict(kind="gaussian"),
      lmbdas=LMBDAS,
      dtype="float32",
    )
  )
  config.loss = ConfigDict(
    dict(
      balance=0.5,
      background_low=0.05,
      background_high=1.0,
      background_extremes=0.1,
    )
  )
  config.data = ConfigDict(
    dict(
      source="coco_roi:train",
      data_dir="data_dir",
      crop=256,
      batch_size=8,
      workers=4,
      # One of the photo's categories is the prompt; "truth": their union.
      masks="category",
    )
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
      steps=1_000_000,
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


def _paper(config: ConfigDict) -> None:
  config.loss.background_low = config.loss.background_high = 0.01
  config.loss.background_extremes = 0.0


def _small(config: ConfigDict) -> None:
  model = config.model
  model.stages.factors = (4, 2, 2)
  model.stages.channels = (64, 128, 160)
  model.stages.depths = (0, 2)
  model.stages.heads = (4, 4)
  model.stages.stem = "patch"
  model.stages.ratio = 2
  model.hyper = ConfigDict(
    dict(channels=96, depths=(1, 1), heads=4, window=4, ratio=2)
  )
  model.hyper_features = 128
  model.slices = (160,)
  model.context_hidden = (320, 256)
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


def _sample(config: ConfigDict) -> None:
  _small(config)
  config.data.source = "sample:train"
  config.data.data_dir = ""
  config.train.steps = 1200
  config.train.seconds = 240
  config.train.ema_decay = 0.99
  config.train.checkpoint_minutes = 1
  config.train.observe_every = 400
  config.eval.data = "sample:val"


def _smoke(config: ConfigDict) -> None:
  _small(config)
  model = config.model
  model.stages.channels = (12, 16, 32)
  model.stages.heads = (2, 2)
  model.hyper.channels = 8
  model.hyper.heads = 2
  model.hyper_features = 16
  model.slices = (32,)
  model.context_hidden = (32, 16)
  model.lmbdas = (0.0067, 0.025)
  config.data.source = "sample:train"
  config.data.data_dir = ""
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


VARIANTS = {
  "": None,
  "paper": _paper,
  "small": _small,
  "sample": _sample,
  "smoke": _smoke,
}


def get_config(variant: str = "") -> ConfigDict:
  """The configuration of a variant; see the module's docstring."""
  if variant not in VARIANTS:
    known = ", ".join(sorted(filter(None, VARIANTS)))
    raise ValueError(
      f"unknown variant {variant!r} of custom; there are: {known}"
    )
  config = _base()
  if VARIANTS[variant] is not None:
    VARIANTS[variant](config)
  return config
