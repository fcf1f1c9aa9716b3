"""System D, TLIC: gated latents and gain units (arXiv 2401.08154).

python train.py --config=configs/tlic.py:VARIANT --workdir=runs/NAME

(none)     paper size, residual/GDN trunk, N = M = 192; for a GPU or TPU
small      made for a CPU: patchify trunk, depthwise blocks
sample     :small on the bundled photos, minutes on a CPU
smoke      tiny; seconds, for tests

As they stand these are the paper's first stage: mean squared error, a rate a
sample. The second, for looks, starts from a first one's folder:

  python train.py --config=configs/tlic.py:VARIANT --workdir=runs/TWO \
    --config.adversarial.enabled=True --config.train.start_from=runs/ONE \
    --config.perceptual.weights=perceptual.npz

`model.gate` is what the importance map does to the latent: the first
`protected` channels keep their size, the others are multiplied by
(RM + floor) / (1 + floor), RM the map blurred over `blur` pixels and pooled.
`--config.model.gate.floor=0.5` keeps more of the background.

The large run, on COCO 2017 (not made yet: counted, not clocked):

  python -m roijax.data.coco --manual_dir=COCO --data_dir=data_dir
  python train.py --config=configs/tlic.py --workdir=runs/tlic

29.6 M parameters; 1,000,000 steps of 8 crops of 320x320; 4.8 TFLOP a step, 7
hours at a sustained 200 TFLOP/s. `docs/training.md` has more.
"""

from ml_collections import ConfigDict

# A rate lower than the other systems': the paper is after 0.075, 0.15 and 0.3
# bits a pixel.
LMBDAS = (0.0009, 0.0018, 0.0035, 0.0067, 0.013, 0.025, 0.0483)


def _base() -> ConfigDict:
  config = ConfigDict()
  config.system = "tlic"
  config.seed = 0
  config.model = ConfigDict(
    dict(
      trunk=dict(name="residual_gdn", channels=192),
      latent_channels=192,
      hyper="convolutional",
      hyper_channels=192,
      hyper_features=384,
      slices=(48, 36, 36, 36, 36),
      context="linear_attention",
      context_hidden=(192, 128, 320, 256, 128),
      prior=dict(kind="gaussian"),
      gate=dict(protected=48, floor=0.2, blur=31),
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
      crop=320,
      batch_size=8,
      workers=4,
      # "maps" reads what `roijax roi` wrote into the folder `maps`.
      masks="truth",
      maps="",
    )
  )
  # The second stage: these, and a first one to start from.
  config.adversarial = ConfigDict(
    dict(
      enabled=False,
      weight=0.15,
      learning_rate=1e-4,
      width=64,
      condition=12,
    )
  )
  config.perceptual = ConfigDict(
    dict(
      weights="",
      widths=(64, 128, 256, 512, 512),
      rate=1.0,
      mse=0.01,
      l1_roi=10.0,
      l1_background=2.0,
      lpips=1.0,
      style=40.0,
      laplacian=1.0,
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
  model.slices = (40, 30, 30, 30, 30)
  model.context_hidden = (96, 64, 128, 96, 64)
  model.gate.protected = 40
  config.adversarial.width = 16
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
  model.slices = (8, 6, 10)
  model.context_hidden = (8, 8, 16, 12, 8)
  model.gate.protected = 8
  config.adversarial.width = 4
  config.perceptual.widths = (4, 4, 8, 8, 8)
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
    raise ValueError(f"unknown variant {variant!r} of tlic; there are: {known}")
  config = _base()
  if VARIANTS[variant] is not None:
    VARIANTS[variant](config)
  return config
