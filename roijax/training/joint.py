"""A codec and a predictor of regions that train together.

    image --HRNet--> likely --codec, sees--> rate + distortion
              |                                 | weighs, by the true region
              +--> cross-entropy + Dice --------+--> one loss

The codec's encoder sees the predicted map, soft, so that its gradient reaches
the predictor; the distortion is weighed by the true one, for a predictor that
set the weights could lower them all. Samples with a random map (see
`data.augment`) keep it, so that the codec still obeys whoever gives a region.

Source: SwinROI (arXiv 2305.07783), the third of its three ways to a mask.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from roijax.errors import ConfigError
from roijax.losses.segmentation import cross_entropy, dice
from roijax.models.hrnet import HRNet, build_hrnet
from roijax.training.export import PREDICTOR
from roijax.training.options import call_with
from roijax.training.predictor import import_predictor, init_predictor
from roijax.training.steps import LossFn


def read_predictor(config: Any) -> HRNet | None:
  """The predictor that trains with a codec, if one does.

  Args:
    config: a codec's; its `predictor` section, which may be missing, has `mode`
      (`none` or `joint`), `model` (see `models.hrnet.build_hrnet`), `weight`
      of its loss and `start_from`, weights to begin with or an empty string.

  Raises:
    ConfigError: another mode, or a crop that the predictor cannot take.
  """
  section = config.get("predictor")
  if section is None or section.mode == "none":
    return None
  if section.mode != "joint":
    raise ConfigError(
      f"config.predictor.mode={section.mode!r}: use none or joint"
    )
  model = call_with(build_hrnet, "predictor.model", section.model)
  if config.data.crop % model.stride:
    raise ConfigError(
      f"config.data.crop={config.data.crop} must be a multiple of "
      f"{model.stride} where a predictor trains too"
    )
  return model


def start_predictor(model: HRNet, config: Any, key, params: Any) -> dict:
  """Adds a predictor to a codec's parameters.

  Args:
    model: from `read_predictor`.
    config: the run's.
    key: a PRNG key.
    params: the codec's.

  Raises:
    CheckpointError: what `config.predictor.start_from` names is missing.
    ConfigError: it is of other sizes.
  """
  section = config.predictor
  if section.start_from:
    own = import_predictor(section.start_from, section.model)
  else:
    own = init_predictor(model, jax.random.fold_in(key, 1))
  return {**params, PREDICTOR: own}


def make_joint_loss(model: HRNet, config: Any, codec_loss: LossFn) -> LossFn:
  """The loss of one batch for both.

  Args:
    model: from `read_predictor`.
    config: with `predictor.weight`.
    codec_loss: the codec's, which shows its encoder `seen` in place of `roi`.

  Returns:
    A loss of batches as `data.objects.make_joint_sample` makes them; the
    metrics are the codec's, `cross_entropy` and `dice`.
  """

  def loss_fn(params, collections, batch, keys):
    batch = dict(batch)
    own, known = batch.pop("own"), batch.pop("known")[..., 0]
    logits = model.apply({"params": params[PREDICTOR]}, batch["image"])
    assert isinstance(logits, Array)
    likely = jax.nn.sigmoid(logits)[..., None]
    seen = batch["roi"] + own * (likely - batch["roi"])
    codec = {name: tree for name, tree in params.items() if name != PREDICTOR}
    loss, (metrics, collections) = codec_loss(
      codec, collections, {**batch, "seen": seen}, keys
    )
    target = batch["roi"][..., 0]
    entropy = cross_entropy(logits, target, known)
    # Where no background is known, everything would be the best answer.
    whole = jnp.all(known == 1, axis=(1, 2)).astype(logits.dtype)
    overlap = dice(logits, target, known) * whole
    overlap = jnp.sum(overlap) / jnp.maximum(jnp.sum(whole), 1)
    loss += config.predictor.weight * (entropy + overlap)
    metrics = {**metrics, "loss": loss, "cross_entropy": entropy}
    return loss, ({**metrics, "dice": overlap}, collections)

  return loss_fn
