"""The predictor of regions of interest, a small HRNet (`models/hrnet.py`).

python train.py --config=configs/roi_predictor.py:VARIANT --workdir=runs/NAME

(none)  full size, four resolutions, for COCO 2017 on a GPU
small   for a CPU and few photos, an hour of one core; what is shipped is two
        such runs, one begun with the other's weights (see its card)
smoke   tiny; seconds, for tests
"""

from ml_collections import ConfigDict

from roijax.training import recipe


def _base() -> ConfigDict:
  config = ConfigDict()
  config.system = "hrnet"
  config.seed = 0
  config.model = ConfigDict(
    dict(
      widths=(32, 64, 128, 224),
      modules=(1, 2, 2),
      blocks=2,
      stem_width=24,
      head_width=64,
      side=192,
    )
  )
  config.loss = ConfigDict(dict(positive=1.0, partial=0.3, dice=1.0, paste=0.7))
  config.data = ConfigDict(
    dict(
      source="coco_roi:train",
      data_dir="data_dir",
      side=192,
      batch_size=64,
      workers=4,
      repeat=1,
      shrink=0,
    )
  )
  config.optimizer = ConfigDict(
    dict(
      name="adamw",
      learning_rate=1e-3,
      weight_decay=0.05,
      warmup_steps=500,
      schedule="cosine",
      final_fraction=0.01,
      clip_norm=1.0,
    )
  )
  config.train = ConfigDict(
    dict(
      steps=100_000,
      seconds=0,
      accumulate=1,
      ema_decay=0.9995,
      log_every=100,
      checkpoint_every=2000,
      checkpoint_minutes=0,
      keep=3,
      devices=0,
      observe_every=0,
      start_from="",
    )
  )
  config.eval = ConfigDict(
    dict(data="coco_roi:val", thresholds=(0.2, 0.3, 0.5))
  )
  return config


def _small(config: ConfigDict) -> None:
  config.model.widths = (32, 64, 96, 128)
  config.model.modules = (1, 1, 1)
  config.model.side = 128
  config.data.side = 96
  config.data.batch_size = 16
  config.data.workers = 0
  config.data.repeat = 8
  config.data.shrink = 256
  config.optimizer.learning_rate = 2e-3
  config.optimizer.warmup_steps = 100
  config.train.steps = 6000
  config.train.ema_decay = 0.998
  config.train.log_every = 50
  config.train.checkpoint_every = 0
  config.train.checkpoint_minutes = 3


def _smoke(config: ConfigDict) -> None:
  _small(config)
  config.model.widths = (4, 6, 8)
  config.model.modules = (1, 1)
  config.model.blocks = 1
  config.model.stem_width = 4
  config.model.head_width = 8
  config.data.source = "sample:train"
  config.data.data_dir = ""
  config.model.side = 32
  config.data.side = 32
  config.data.batch_size = 8
  config.optimizer.warmup_steps = 1
  config.train.steps = 4
  config.train.log_every = 2
  config.train.checkpoint_minutes = 0
  config.eval.data = "sample:val"


VARIANTS = {"": None, "small": _small, "smoke": _smoke}


def get_config(variant: str = "") -> ConfigDict:
  """The configuration of a variant; see the module's docstring."""
  return recipe.choose("roi_predictor", variant, _base, VARIANTS)
