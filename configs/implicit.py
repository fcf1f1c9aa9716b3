"""System B, implicit bit allocation (arXiv 2511.08918).

python train.py --config=configs/implicit.py:VARIANT --workdir=runs/NAME

(none)     paper size, residual/GDN trunk, N = M = 192; for a GPU or TPU
small      made for a CPU: patchify trunk, depthwise blocks
sample     :small on the bundled photos, minutes on a CPU
smoke      tiny; seconds, for tests

The ablations, by command line:

  --config.model.gating=explicit       y times the map, no MGFE
  --config.model.composite=none        a single decoder, no mask in the file
  --config.model.composite=predicted   two decoders, the mask read off y_hat
  --config.model.raa=False             no region-adaptive attention
  --config.model.fsca=False            no frequency-spatial attention
  --config.model.mask_stride=8         a finer mask

The loss's lambdas are `loss.lambda_f` and `loss.lambda_b`, in units of the
quality's `model.lmbdas`. lambda_b = 0: each sample draws a background level,
and lambda_b is lambda_f times its square. Any other fixes the ratio, and with
it the level that the encoder sees: the paper's form.

The large run, on COCO 2017 (not made yet: counted, not clocked):

  python -m roijax.data.coco --manual_dir=COCO --data_dir=data_dir
  python train.py --config=configs/implicit.py --workdir=runs/implicit

39.9 M parameters; 1,000,000 steps of 16 crops of 256x256; 10 TFLOP a step, 15
hours at a sustained 200 TFLOP/s. `docs/training.md` has more.
"""

from ml_collections import ConfigDict

LMBDAS = (0.0018, 0.0035, 0.0067, 0.013, 0.025, 0.0483, 0.0932, 0.18)


def _base() -> ConfigDict:
  config = ConfigDict()
  config.system = "implicit"
  config.seed = 0
  config.model = ConfigDict(
    dict(
      trunk=dict(name="residual_gdn", channels=192),
      latent_channels=192,
      hyper="convolutional",
      hyper_channels=192,
      hyper_features=384,
      slices=(16, 16, 32, 64, 64),
      context_hidden=256,
      prior=dict(kind="gaussian"),
      mgfe=dict(
        attention=dict(hidden=32, per_channel=True, residual=False, start=0.95),
        collaboration=dict(width=0, window=8),
      ),
      lmbdas=LMBDAS,
      dtype="float32",
      composite="mask",
      gating="implicit",
      raa=True,
      fsca=True,
      mask_stride=16,
    )
  )
  config.loss = ConfigDict(
    dict(
      balance=0.5,
      background_low=0.05,
      background_high=1.0,
      background_extremes=0.1,
      lambda_f=1.0,
      lambda_b=0.0,
      mask_weight=0.05,
    )
  )
  config.data = ConfigDict(
    dict(
      source="coco_roi:train",
      data_dir="data_dir",
      crop=256,
      batch_size=16,
      workers=4,
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


def _small(config: ConfigDict) -> None:
  model = config.model
  model.trunk = ConfigDict(
    dict(name="patchify", channels=(64, 128), blocks=(1, 3, 1))
  )
  model.latent_channels = 160
  model.hyper = "depthwise"
  model.hyper_channels = 96
  model.hyper_features = 128
  model.slices = (16, 32, 48, 64)
  model.context_hidden = 128
  model.mgfe.collaboration.width = 16
  model.mgfe.attention.hidden = 16
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
  model.trunk.channels = (12, 16)
  model.trunk.blocks = (1, 1, 1)
  model.latent_channels = 24
  model.hyper_channels = 8
  model.hyper_features = 16
  model.slices = (8, 16)
  model.context_hidden = 16
  model.mgfe.collaboration.width = 4
  model.mgfe.attention.hidden = 4
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
  "small": _small,
  "sample": _sample,
  "smoke": _smoke,
}


def get_config(variant: str = "") -> ConfigDict:
  """The configuration of a variant; see the module's docstring."""
  if variant not in VARIANTS:
    known = ", ".join(sorted(filter(None, VARIANTS)))
    raise ValueError(
      f"unknown variant {variant!r} of implicit; there are: {known}"
    )
  config = _base()
  if VARIANTS[variant] is not None:
    VARIANTS[variant](config)
  return config
