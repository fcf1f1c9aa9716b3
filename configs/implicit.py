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

from roijax.training import recipe


def _base() -> ConfigDict:
  return recipe.make_config(
    "implicit",
    model=dict(
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
      lmbdas=recipe.LMBDAS,
      dtype="float32",
      composite="mask",
      gating="implicit",
      raa=True,
      fsca=True,
      mask_stride=16,
    ),
    loss=dict(
      lambda_f=1.0,
      lambda_b=0.0,
      mask_weight=0.05,
    ),
    data=dict(crop=256, batch_size=16),
  )


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
  model.slices = (16, 32, 48, 64)
  model.context_hidden = 128
  model.mgfe.collaboration.width = 16
  model.mgfe.attention.hidden = 16


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
  model.slices = (8, 16)
  model.context_hidden = 16
  model.mgfe.collaboration.width = 4
  model.mgfe.attention.hidden = 4


VARIANTS = {
  "": None,
  "small": _small,
  "sample": _sample,
  "smoke": _smoke,
}


def get_config(variant: str = "") -> ConfigDict:
  """The configuration of a variant; see the module's docstring."""
  return recipe.choose("implicit", variant, _base, VARIANTS)
