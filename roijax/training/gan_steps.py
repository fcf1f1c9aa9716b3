"""One update of a codec and of the discriminator that it learns from.

    params --codec--> x_hat, bpp                       (one forward, kept open)
    x, x_hat, y_hat, all stopped --discriminator--> its loss --> its update
    x_hat --updated discriminator, terms--> loss --> d loss / d (x_hat, bpp)
                                                  --pullback--> the codec's

So the codec runs once though two networks learn, and hears the discriminator
as it is now. A batch in parts cannot keep every part's pass open: there the
codec runs forward once more, in the discriminator's phase.

Spectral vectors move once a step, by the weights alone, before anything is
judged: devices and parts find the same ones.

Both networks' parameters, and both optimizers' states, lie side by side in
one `TrainState`, under `codec` and `discriminator`; the average is the codec's
alone.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import optax
from jax import Array

from roijax.layers import spectral
from roijax.losses.adversarial import discriminator_losses
from roijax.models.discriminator import UNetDiscriminator
from roijax.training.objective import Pass, measure_pass
from roijax.training.state import TrainState
from roijax.training.steps import (
  NONFINITE,
  Phase,
  Steps,
  Sums,
  find_nonfinite,
  move_average,
)
from roijax.training.terms import (
  PerceptualOptions,
  measure_terms,
  weigh_terms,
)

CODEC, DISCRIMINATOR = "codec", "discriminator"
# What the discriminator's phase leaves for the flags of the whole step.
_FLAGS = "discriminator_nonfinite"


class Adversary(NamedTuple):
  """What the second stage has besides the codec.

  Attributes:
    model: the discriminator.
    optimizer: what moves its parameters.
    weight: of the adversarial term in the codec's loss.
    options: of the other terms.
    features: VGG-16 and LPIPS's heads; empty where no term asks for them.
  """

  model: UNetDiscriminator
  optimizer: optax.GradientTransformation
  weight: float
  options: PerceptualOptions
  features: Any


def make_gan_state(
  params: Any,
  judge: Any,
  vectors: Any,
  optimizer: optax.GradientTransformation,
  adversary: Adversary,
  key: Array,
) -> TrainState:
  """Starts a run of both networks at step 0.

  Args:
    params: the codec's.
    judge: the discriminator's.
    vectors: its spectral vectors.
    optimizer: what moves the codec's parameters.
    adversary: with the discriminator's optimizer.
    key: the run's key.
  """
  return TrainState(
    step=jnp.zeros((), jnp.int32),
    params={CODEC: params, DISCRIMINATOR: judge},
    opt_state={
      CODEC: optimizer.init(params),
      DISCRIMINATOR: adversary.optimizer.init(judge),
    },
    # A copy: the step donates its state, and no buffer may be donated twice.
    ema_params=jax.tree.map(jnp.array, params),
    collections=vectors,
    key=key,
  )


def make_gan_steps(
  run: Callable[..., Pass],
  balance: float,
  optimizer: optax.GradientTransformation,
  adversary: Adversary,
  ema_decay: float = 0.0,
) -> Steps:
  """The update of both networks.

  Args:
    run: the codec's pass, from `objective.make_pass`; it has one decoder, and
      its parameters a `log_unit`.
    balance: the power that levels the rates, `config.loss.balance`.
    optimizer: what moves the codec's parameters.
    adversary: the rest.
    ema_decay: see `steps.make_apply_step`.

  Returns:
    Steps whose metrics are those of `objective.measure_pass` and of
    `terms.weigh_terms`, and of the discriminator: `discriminator_loss_real`
    and `_fake`, the two terms of its loss; `discriminator_real` and `_fake`,
    the mean probabilities that it gives photos and reconstructions, all by
    the vectors of this step and the weights before it.
  """
  gan = _Gan(run, balance, optimizer, adversary, ema_decay)
  phases = (
    Phase(gan.evaluate_judge, gan.apply_judge),
    Phase(gan.evaluate_codec, gan.apply_codec),
  )
  return Steps(phases, gan.update, adversary.features)


class _Gan(NamedTuple):
  """The parts of an update; see the module."""

  run: Callable[..., Pass]
  balance: float
  optimizer: optax.GradientTransformation
  adversary: Adversary
  ema_decay: float

  def update(self, state, samples, keys, constants, average):
    """Both phases, with one forward of the codec."""
    given, pullback, done = self._open(state, samples, keys)
    gradients, metrics, vectors = self._learn(state, samples, done)
    gradients, metrics = average((gradients, metrics))
    sums = Sums(gradients, metrics, vectors)
    state, metrics = self.apply_judge(state, sums, {})
    gradients, own = average(
      self._pull(state, samples, constants, given, pullback, done)
    )
    return self.apply_codec(state, Sums(gradients, own, vectors), metrics)

  def evaluate_judge(self, state, collections, samples, keys, constants):
    """The discriminator's gradient, metrics and the moved vectors."""
    del collections, constants
    done = self.run(state.params[CODEC], samples, keys)
    return self._learn(state, samples, done)

  def evaluate_codec(self, state, collections, samples, keys, constants):
    """The codec's gradient and metrics."""
    given, pullback, done = self._open(state, samples, keys)
    gradients, metrics = self._pull(
      state, samples, constants, given, pullback, done
    )
    return gradients, metrics, collections

  def apply_judge(self, state, sums, metrics):
    """Moves the discriminator."""
    optimizer = self.adversary.optimizer
    state, params = _move(state, DISCRIMINATOR, optimizer, sums.gradients)
    norm = optax.tree.norm(sums.gradients)
    metrics = {
      **metrics,
      **sums.metrics,
      "discriminator_gradient_norm": norm,
      _FLAGS: find_nonfinite(sums.gradients, params, norm),
    }
    return state.replace(collections=sums.collections), metrics

  def apply_codec(self, state, sums, metrics):
    """Moves the codec and its average, and counts the step."""
    before = {name: x for name, x in metrics.items() if name != _FLAGS}
    state, params = _move(state, CODEC, self.optimizer, sums.gradients)
    own = find_nonfinite(sums.gradients, params, sums.metrics["loss"])
    step = state.step + 1
    average = move_average(state.ema_params, params, step, self.ema_decay)
    metrics = {
      **before,
      **sums.metrics,
      "gradient_norm": optax.tree.norm(sums.gradients),
      NONFINITE: _join_flags(own, metrics[_FLAGS]),
    }
    return state.replace(step=step, ema_params=average), metrics

  def _open(self, state, samples, keys):
    """One forward of the codec: what it gave, its pullback, the pass."""

    def forward(params):
      done = self.run(params, samples, keys)
      return (done.out.x_hat, done.bpp), done

    return jax.vjp(forward, state.params[CODEC], has_aux=True)

  def _learn(self, state, samples, done):
    """The discriminator's gradient; none of it reaches the codec."""
    params = state.params[DISCRIMINATOR]
    vectors = spectral.advance(params, state.collections)
    x, x_hat = samples["image"], jax.lax.stop_gradient(done.out.x_hat)
    y_hat = _condition(state.params[CODEC], done)

    def loss_fn(params):
      real = self._judge(params, vectors, x, y_hat)
      fake = self._judge(params, vectors, x_hat, y_hat)
      of_real, of_fake = map(jnp.mean, discriminator_losses(real, fake))
      metrics = {
        "discriminator_loss_real": of_real,
        "discriminator_loss_fake": of_fake,
        "discriminator_real": jnp.mean(jax.nn.sigmoid(real)),
        "discriminator_fake": jnp.mean(jax.nn.sigmoid(fake)),
      }
      return of_real + of_fake, metrics

    gradients, metrics = jax.grad(loss_fn, has_aux=True)(params)
    return gradients, metrics, vectors

  def _pull(self, state, samples, constants, given, pullback, done):
    """The loss's gradient by what the codec gave, taken back; metrics."""
    options, x = self.adversary.options, samples["image"]
    y_hat = _condition(state.params[CODEC], done)

    def loss_fn(given):
      x_hat, bpp = given
      logits = self._judge(
        state.params[DISCRIMINATOR], state.collections, x_hat, y_hat
      )
      terms = measure_terms(
        options,
        self.adversary.weight,
        constants,
        x,
        x_hat,
        done.importance,
        logits,
      )
      loss, metrics = weigh_terms(options, self.balance, done, bpp, terms)
      return loss, {**measure_pass(samples, done, loss), **metrics}

    cotangents, metrics = jax.grad(loss_fn, has_aux=True)(given)
    (gradients,) = pullback(cotangents)
    return gradients, metrics

  def _judge(self, params, vectors, x, y_hat) -> Array:
    variables = {"params": params, spectral.COLLECTION: vectors}
    return cast(Array, self.adversary.model.apply(variables, x, y_hat))


def _move(state, name, optimizer, gradients):
  """One network's update: the state with it, and its parameters."""
  old = state.params[name]
  updates, opt_state = optimizer.update(gradients, state.opt_state[name], old)
  params = optax.apply_updates(old, updates)
  state = state.replace(
    params={**state.params, name: params},
    opt_state={**state.opt_state, name: opt_state},
  )
  return state, params


def _condition(params, done: Pass) -> Array:
  """The latent in units of each channel's usual size; no gradient in it."""
  unit = jnp.exp(params["log_unit"]).reshape(1, 1, 1, -1)
  return jax.lax.stop_gradient(done.out.y_hat / unit)


def _join_flags(codec: Array, judge: Array) -> Array:
  """Flags in the order of both networks' gradients, then parameters.

  The discriminator's own last flag, of its gradient's norm, is joined with the
  loss's.
  """
  one, other = (len(codec) - 1) // 2, (len(judge) - 1) // 2
  last = codec[-1:] | judge[-1:]
  return jnp.concatenate(
    [codec[:one], judge[:other], codec[one:-1], judge[other:-1], last]
  )
