"""The second stage of a codec's training, put together from its config.

    config.train.start_from --> the codec's parameters, of the first stage
    config.perceptual ------> terms, VGG-16's weights --\\
    config.adversarial -----> discriminator -------------+--> `gan_steps`

A config without `adversarial`, or with `enabled=False`, is the first stage.
"""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from roijax.errors import ConfigError
from roijax.models.discriminator import UNetDiscriminator, init_discriminator
from roijax.models.flow import Flow
from roijax.models.vgg import make_random
from roijax.training.gan_steps import Adversary, make_gan_state, make_gan_steps
from roijax.training.objective import make_pass
from roijax.training.optimizer import make_optimizer
from roijax.training.options import call_with
from roijax.training.state import TrainState
from roijax.training.steps import Steps
from roijax.training.terms import PerceptualOptions
from roijax.weights.perceptual import RANDOM, load_perceptual


@dataclasses.dataclass(frozen=True)
class AdversarialOptions:
  """A config's `adversarial` section.

  Attributes:
    enabled: whether this is the second stage.
    weight: of the adversarial term in the codec's loss.
    learning_rate: the discriminator's; all else of its optimizer is the
      codec's.
    width: the discriminator's channels at full resolution.
    condition: channels that it makes of y_hat.
  """

  enabled: bool = False
  weight: float = 0.15
  learning_rate: float = 1e-4
  width: int = 64
  condition: int = 12

  def __post_init__(self):
    if not self.weight >= 0:
      raise ConfigError(
        f"config.adversarial.weight={self.weight} must not be below 0"
      )
    for name in ("learning_rate", "width", "condition"):
      if not getattr(self, name) > 0:
        raise ConfigError(
          f"config.adversarial.{name}={getattr(self, name)} must be above 0"
        )


class SecondStage(NamedTuple):
  """What the second stage has besides the codec and its optimizer.

  Attributes:
    adversary: the discriminator, the terms, the weights they look with.
    fingerprint: names those weights, so that a run goes on with the same.
  """

  adversary: Adversary
  fingerprint: str


def read_second_stage(config: Any, model: Flow) -> SecondStage | None:
  """What a config says of a second stage; None where it says of none.

  Args:
    config: a codec's; see `AdversarialOptions` and `PerceptualOptions` for its
      sections `adversarial` and `perceptual`, which may be missing.
    model: the codec.

  Raises:
    ConfigError: an unknown key, a value out of range, no first stage to start
      from, no weights for VGG-16, or a codec that has no second stage.
    CheckpointError: the weights are missing, damaged or of other sizes.
  """
  section = config.get("adversarial")
  if section is None:
    return None
  options = call_with(AdversarialOptions, "adversarial", section)
  if not options.enabled:
    return None
  if model.mask_stride:
    raise ConfigError(
      f"config.adversarial.enabled: {config.system} has two decoders, and the"
      " second stage trains one; leave it off"
    )
  predictor = config.get("predictor")
  if predictor is not None and predictor.mode != "none":
    raise ConfigError(
      "config.adversarial.enabled: a predictor trains in the first stage;"
      " set config.predictor.mode=none"
    )
  if not config.train.get("start_from"):
    raise ConfigError(
      "config.adversarial.enabled: the second stage starts from the first's"
      " weights; set config.train.start_from to its workdir"
    )
  perceptual = call_with(
    PerceptualOptions, "perceptual", config.get("perceptual", {})
  )
  features, fingerprint = _read_features(perceptual)
  optimizer, _ = make_optimizer(
    {
      **{k: v for k, v in config.optimizer.items() if k != "multipliers"},
      "learning_rate": options.learning_rate,
    },
    config.train.steps,
  )
  judge = UNetDiscriminator(options.width, options.condition)
  adversary = Adversary(judge, optimizer, options.weight, perceptual, features)
  return SecondStage(adversary, fingerprint)


def _read_features(options: PerceptualOptions) -> tuple[Any, str]:
  """VGG-16's weights and their fingerprint, where a term asks for them."""
  if not options.needs_features:
    return {}, ""
  if options.weights == RANDOM:
    return make_random(options.widths), RANDOM
  if not options.weights:
    raise ConfigError(
      "config.perceptual.weights is empty: name the file that `roijax weights"
      " perceptual` makes (it says where to get what goes in), or set lpips=0"
      " and style=0"
    )
  found = load_perceptual(options.weights, options.widths)
  features = {"vgg": found.vgg, "heads": found.heads}
  return jax.tree.map(jnp.asarray, features), found.fingerprint


def start_second_stage(
  stage: SecondStage,
  model: Flow,
  config: Any,
  params: Any,
  optimizer: optax.GradientTransformation,
  ema_decay: float,
  key: Any,
) -> tuple[TrainState, Steps]:
  """A state at step 0, the codec trained and the discriminator fresh; steps.

  Args:
    stage: from `read_second_stage`.
    model: the codec.
    config: the run's.
    params: the codec's parameters, of the first stage.
    optimizer: the codec's.
    ema_decay: see `steps.make_apply_step`.
    key: the run's key.
  """
  judge, vectors = init_discriminator(
    stage.adversary.model, jax.random.fold_in(key, 2), model.latent_channels
  )
  adversary = stage.adversary
  state = make_gan_state(params, judge, vectors, optimizer, adversary, key)
  steps = make_gan_steps(
    make_pass(model, config),
    config.loss.balance,
    optimizer,
    adversary,
    ema_decay,
  )
  return state, steps


def describe(config: Any, stage: SecondStage | None) -> dict[str, Any]:
  """The config as checkpoints keep it, with the weights' fingerprint."""
  plain = config.to_dict()
  if stage is not None:
    perceptual = plain.get("perceptual", {})
    plain["perceptual"] = {**perceptual, "fingerprint": stage.fingerprint}
  return plain
