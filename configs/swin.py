"""System E, SwinROI (arXiv 2305.07783).

python train.py --config=configs/swin.py:VARIANT --workdir=runs/NAME

(none)        paper size, 15.6 M parameters; for a GPU or TPU
small         made for a CPU: patches, attention at 1/8 and 1/16
paper         the paper's three omegas, and no other levels of the background
checkerboard  :small with the fast context
loss_only     :small without the region's path, the paper's ablation
sample        :small on the bundled photos, minutes on a CPU
smoke         tiny; seconds, for tests

The default draws omega and, like all systems here, a level of the background
below which no weight falls: one checkpoint for all of them. `:paper` keeps to
the paper's weights, alpha and alpha exp(omega); its three models are `:paper`
with `--config.loss.omegas='(3.0,)'`, (5.0,) and (6.5,).

Masks are true, predicted beforehand (`--config.data.masks`), or predicted by a
network that trains too (`--config.predictor.mode=joint`): docs/predictor.md.
"""

import math

from ml_collections import ConfigDict

from roijax.training import recipe

# Trade-offs where the region is fully important; the last one is the paper's,
# alpha exp(6.5), and the others lie where the other systems have them.
ALPHA = 0.001
LMBDAS = (0.00665, 0.0129, 0.0248, 0.048, 0.0924, 0.178, 0.344, 0.66514)
SMALL_ALPHA = recipe.LMBDAS[-1] / math.exp(6.5)


def _base() -> ConfigDict:
  config = recipe.make_config(
    "swin",
    model=dict(
      stages=dict(
        factors=(2, 2, 2, 2),
        channels=(192, 192, 192, 192),
        windows=(0, 8, 8, 8),
        stem="conv5",
        heads=8,
        ratio=2,
        gamma=0.1,
        remat=False,
      ),
      region=dict(
        omega=6.5, factor=2, widths=(192, 128, 64), size=3, hidden=64
      ),
      use_region=True,
      hyper=dict(channels=192, windows=(4, 4, 4), heads=8, ratio=2),
      hyper_features=384,
      slices=(192,),
      context="attention",
      context_hidden=(640, 512),
      prior=dict(kind="gaussian"),
      lmbdas=LMBDAS,
      dtype="float32",
    ),
    loss=dict(
      alpha=ALPHA,
      omegas=(3.0, 5.0, 6.5),
      # Below exp(-6.5 / 2): without, the largest omega is hardly trained for.
      background_low=0.02,
    ),
    data=dict(
      # z is 6x6 then: the hyper path's moved windows are whole in training.
      crop=384,
      batch_size=8,
      # "predicted:0.2" and "maps" read the folder `maps`; see
      # docs/predictor.md and docs/saliency.md.
      masks="truth",
      maps="",
    ),
    steps=740_000,
  )
  # mode="joint" trains a predictor of regions with the codec.
  config.predictor = ConfigDict(
    dict(
      mode="none",
      weight=1.0,
      start_from="",
      model=dict(
        widths=(32, 64, 96, 128),
        modules=(1, 1, 1),
        blocks=2,
        stem_width=24,
        head_width=64,
        side=128,
      ),
    )
  )
  return config


def _paper(config: ConfigDict) -> None:
  # Less than exp(-omega / 2) for every omega: the level never shows.
  config.loss.update(recipe.FAINT)


def _small(config: ConfigDict) -> None:
  recipe.fit_cpu(config)
  model = config.model
  model.stages.factors = (4, 2, 2)
  model.stages.channels = (64, 128, 160)
  model.stages.windows = (0, 8, 4)
  model.stages.stem = "patch"
  model.stages.heads = 4
  # Near the identity: the start is a transform codec.
  model.stages.gamma = 1e-3
  model.region.factor = 4
  model.region.widths = (64, 32)
  model.region.size = 1
  model.region.hidden = 32
  # What a crop of 128 pixels holds in whole windows: more is not learned.
  model.hyper = ConfigDict(
    dict(channels=96, windows=(4, 0, 0), heads=4, ratio=2)
  )
  model.hyper_features = 128
  model.slices = (160,)
  model.context_hidden = (320, 256)
  model.lmbdas = recipe.LMBDAS
  config.loss.alpha = SMALL_ALPHA
  config.loss.omegas = (6.5,)


def _checkerboard(config: ConfigDict) -> None:
  _small(config)
  config.model.context = "checkerboard"
  config.model.context_hidden = (128,)
  config.model.slices = (16, 32, 48, 64)


def _loss_only(config: ConfigDict) -> None:
  _small(config)
  config.model.use_region = False


def _sample(config: ConfigDict) -> None:
  _small(config)
  recipe.fit_sample(config)


def _smoke(config: ConfigDict) -> None:
  _small(config)
  recipe.fit_smoke(config)
  model = config.model
  model.stages.channels = (12, 16, 32)
  model.stages.heads = 2
  model.region.widths = (8, 8)
  model.region.hidden = 8
  model.hyper.channels = 8
  model.hyper.heads = 2
  model.hyper_features = 16
  model.slices = (32,)
  model.context_hidden = (32, 16)
  config.loss.alpha = 0.025 / math.exp(6.5)
  config.predictor.model = ConfigDict(
    dict(
      widths=(4, 6, 8),
      modules=(1, 1),
      blocks=1,
      stem_width=4,
      head_width=8,
      side=32,
    )
  )


VARIANTS = {
  "": None,
  "paper": _paper,
  "small": _small,
  "checkerboard": _checkerboard,
  "loss_only": _loss_only,
  "sample": _sample,
  "smoke": _smoke,
}


def get_config(variant: str = "") -> ConfigDict:
  """The configuration of a variant; see the module's docstring."""
  return recipe.choose("swin", variant, _base, VARIANTS)
