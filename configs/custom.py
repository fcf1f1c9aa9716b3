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

from roijax.training import recipe


def _base() -> ConfigDict:
  return recipe.make_config(
    "custom",
    model=dict(
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
      lmbdas=recipe.LMBDAS,
      dtype="float32",
    ),
    data=dict(
      crop=256,
      batch_size=8,
      # One of the photo's categories is the prompt; "truth": their union.
      masks="category",
    ),
  )


def _paper(config: ConfigDict) -> None:
  config.loss.update(recipe.FAINT)


def _small(config: ConfigDict) -> None:
  recipe.fit_cpu(config)
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


def _sample(config: ConfigDict) -> None:
  _small(config)
  recipe.fit_sample(config)


def _smoke(config: ConfigDict) -> None:
  _small(config)
  recipe.fit_smoke(config)
  model = config.model
  model.stages.channels = (12, 16, 32)
  model.stages.heads = (2, 2)
  model.hyper.channels = 8
  model.hyper.heads = 2
  model.hyper_features = 16
  model.slices = (32,)
  model.context_hidden = (32, 16)


VARIANTS = {
  "": None,
  "paper": _paper,
  "small": _small,
  "sample": _sample,
  "smoke": _smoke,
}


def get_config(variant: str = "") -> ConfigDict:
  """The configuration of a variant; see the module's docstring."""
  return recipe.choose("custom", variant, _base, VARIANTS)
