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
Outside a region the map is the background's level, 0.25 as a rule, and not
zero: with the floor of 0.1 a third of a channel is left there, as with 0.5
where the map is a mask. `--config.model.gate.floor=0.5` keeps more.

The large run, on COCO 2017 (not made yet: counted, not clocked):

  python -m roijax.data.coco --manual_dir=COCO --data_dir=data_dir
  python train.py --config=configs/tlic.py --workdir=runs/tlic

29.6 M parameters; 1,000,000 steps of 8 crops of 320x320; 4.8 TFLOP a step, 7
hours at a sustained 200 TFLOP/s. `docs/training.md` has more.
"""

from ml_collections import ConfigDict

from roijax.training import recipe

# Rates lower than the other systems': the paper is after 0.075, 0.15 and 0.3
# bits a pixel.
LMBDAS = (0.00045, 0.0009, 0.0018, 0.0035, 0.0067, 0.013, 0.025, 0.0483)


def _base() -> ConfigDict:
  config = recipe.make_config(
    "tlic",
    model=dict(
      trunk=dict(name="residual_gdn", channels=192),
      latent_channels=192,
      hyper="convolutional",
      hyper_channels=192,
      hyper_features=384,
      slices=(48, 36, 36, 36, 36),
      context="linear_attention",
      context_hidden=(192, 128, 320, 256, 128),
      # The paper rounds in the loop. Its attention, trained on noise, is lost
      # among the zeros of low rates.
      rounds_context=True,
      prior=dict(kind="gaussian"),
      gate=dict(protected=48, floor=0.1, blur=31),
      lmbdas=LMBDAS,
      dtype="float32",
    ),
    data=dict(
      crop=320,
      batch_size=8,
      # "maps" reads what `roijax roi` wrote into the folder `maps`.
      masks="truth",
      maps="",
    ),
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
  return config


def _small(config: ConfigDict) -> None:
  recipe.fit_cpu(config)
  model = config.model
  model.trunk = ConfigDict(
    dict(name="patchify", channels=(64, 128), blocks=(1, 3, 1), skip=False)
  )
  model.latent_channels = 160
  model.hyper = "depthwise"
  model.hyper_channels = 96
  model.hyper_features = 128
  model.slices = (40, 30, 30, 30, 30)
  model.context_hidden = (96, 64, 128, 96, 64)
  # Of patches the first channels are the principal ones: few are enough for
  # a background, and with a quarter of them a region would gain nothing at
  # low rates.
  model.gate.protected = 16
  config.adversarial.width = 16
  # Few steps are made on a CPU: with 1e-4 a hundred of them move nothing.
  config.adversarial.learning_rate = 1.5e-3


def _sample(config: ConfigDict) -> None:
  _small(config)
  recipe.fit_sample(config)


def _smoke(config: ConfigDict) -> None:
  _small(config)
  recipe.fit_smoke(config)
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


VARIANTS = {
  "": None,
  "small": _small,
  "sample": _sample,
  "smoke": _smoke,
}


def get_config(variant: str = "") -> ConfigDict:
  """The configuration of a variant; see the module's docstring."""
  return recipe.choose("tlic", variant, _base, VARIANTS)
