"""System A, the generalized Gaussian model (arXiv 2602.01325).

python train.py --config=configs/ggm.py:VARIANT --workdir=runs/NAME

(none)     paper size, residual/GDN trunk, N = M = 192; for a GPU or TPU
small      made for a CPU: patchify trunk with a skip, depthwise blocks
wavefront  :small with a serial context; to compare, slow to code
sample     :small on the bundled photos, minutes on a CPU
smoke      tiny; seconds, for tests

The large run, on COCO 2017 (not made yet: counted, not clocked):

  python -m roijax.data.coco --manual_dir=COCO --data_dir=data_dir
  python train.py --config=configs/ggm.py --workdir=runs/ggm

28.1 M parameters; 1,000,000 steps of 16 crops of 256x256, 135 times through
the 118,287 photos; 6.8 TFLOP a step, 9 hours at a sustained 200 TFLOP/s;
about 29 GB in float32 (`train.accumulate` divides it);
any number of devices that divides 16. `docs/training.md` has more.
"""

from ml_collections import ConfigDict

from roijax.training import recipe


def _base() -> ConfigDict:
  return recipe.make_config(
    "ggm",
    model=dict(
      trunk=dict(name="residual_gdn", channels=192),
      latent_channels=192,
      hyper="convolutional",
      hyper_channels=192,
      hyper_features=384,
      slices=(16, 16, 32, 64, 64),
      context="checkerboard",
      context_hidden=256,
      prior=dict(
        kind="ggm_e",
        bound="dynamic",
        gradient="finite_difference",
        step=2e-3,
      ),
      mgfe=dict(
        attention=dict(hidden=32, per_channel=True, residual=False, start=0.95),
        collaboration=dict(width=0, window=8),
      ),
      rounds_context=True,
      rounds_rate=False,
      lmbdas=recipe.LMBDAS,
      dtype="float32",
    ),
    data=dict(crop=256, batch_size=16),
  )


def _small(config: ConfigDict) -> None:
  recipe.fit_cpu(config)
  model = config.model
  model.trunk = ConfigDict(
    dict(name="patchify", channels=(64, 128), blocks=(1, 3, 1), skip=True)
  )
  model.latent_channels = 320
  model.hyper = "depthwise"
  model.hyper_channels = 96
  model.hyper_features = 128
  model.slices = (16, 32, 48, 64, 160)
  model.context_hidden = 128
  model.mgfe.collaboration.width = 16
  model.mgfe.attention.hidden = 16


def _wavefront(config: ConfigDict) -> None:
  _small(config)
  config.model.context = "wavefront"
  config.model.slices = (config.model.latent_channels,)


def _sample(config: ConfigDict) -> None:
  _small(config)
  recipe.fit_sample(config)
  # Leads at two minutes (docs/training.md).
  config.optimizer.learning_rate = 2e-3


def _smoke(config: ConfigDict) -> None:
  _small(config)
  recipe.fit_smoke(config)
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


VARIANTS = {
  "": None,
  "small": _small,
  "wavefront": _wavefront,
  "sample": _sample,
  "smoke": _smoke,
}


def get_config(variant: str = "") -> ConfigDict:
  """The configuration of a variant; see the module's docstring."""
  return recipe.choose("ggm", variant, _base, VARIANTS)
