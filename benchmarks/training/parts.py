"""What the parts of a training step take, each as a program of its own.

A part's program is its forward pass and the gradient of all that it reads,
on random arrays of the shapes that the step has. Parts timed apart do not
add up to the step: the compiler fuses across them, and each writes out here
what the step keeps to itself.
"""

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.training import meters
from roijax.models.flow import Flow
from roijax.training.steps import Sums, make_apply_step


def _charge(flow: Flow, raw, y, z):
  """Bits of y and z from the context's raw numbers."""
  unit = jnp.exp(flow.log_unit)
  bits = flow.prior.bits(y, flow.prior.split(raw, unit))
  return bits, flow.z_prior(z)


def _entropy_networks(flow: Flow, features, z, y):
  h = flow.hyper_synthesis(z)
  return flow.hyper_analysis(features), flow.context.parameters(h, y)


def time_parts(model, config, optimizer, state, batch, budget) -> dict:
  """Times each part, forward with gradient.

  Args:
    model: the flow.
    config: the run's.
    optimizer: the run's.
    state: a state, which is used up.
    batch: a batch, for its shapes.
    budget: repeats and seconds of `meters.time_calls`.

  Returns:
    Median seconds by the part's name.
  """
  rng = np.random.default_rng(0)

  def draw(*dims):
    return jnp.asarray(rng.standard_normal(dims), jnp.float32)

  size, crop = batch["image"].shape[:2]
  sizes = config.model
  y = draw(size, crop // 16, crop // 16, sizes.latent_channels)
  z = draw(size, crop // 64, crop // 64, sizes.hyper_channels)
  h = draw(*y.shape[:3], sizes.hyper_features)
  features = draw(*y.shape[:3], y.shape[3] + 1)
  raw = draw(*y.shape, model.prior.outputs)
  image = (jnp.asarray(batch["image"]), jnp.asarray(batch["roi"]))
  plans = {
    "analysis": (lambda flow, x, roi: flow.analysis(x, roi), (), image),
    "synthesis": (lambda flow, y, h: flow.synthesis(y, h), (y, h), ()),
    "entropy networks": (_entropy_networks, (features, z, y), ()),
    "likelihood": (_charge, (raw, y, z), ()),
  }
  seconds = {}
  for name, (method, inputs, constants) in plans.items():
    forward = _make_forward(model, method)
    arguments = (_used(state.params, name), inputs, constants)
    outputs = jax.eval_shape(forward, *arguments)
    pull = jax.tree.map(lambda x: draw(*x.shape).astype(x.dtype), outputs)
    program = _with_gradient(forward)
    seconds[name] = _time(program, (*arguments, pull), budget)
  seconds["optimizer, average"] = _time_apply(config, optimizer, state, budget)
  return seconds


def _used(params, name):
  """The modules that a part reads: gradients of others would be written."""
  names = {
    "analysis": ("analysis",),
    "synthesis": ("synthesis",),
    "entropy networks": ("hyper_analysis", "hyper_synthesis", "context"),
    "likelihood": ("prior", "z_prior"),
  }[name]
  return {key: params[key] for key in (*names, "log_unit") if key in params}


def _make_forward(model, method):
  def forward(params, inputs, constants):
    return model.apply({"params": params}, *inputs, *constants, method=method)

  return forward


def _with_gradient(forward):
  @jax.jit
  def program(params, inputs, constants, pull):
    out, pullback = jax.vjp(
      lambda params, inputs: forward(params, inputs, constants), params, inputs
    )
    return out, pullback(pull)

  return program


def _time(program, arguments, budget) -> meters.Seconds:
  def call():
    jax.block_until_ready(program(*arguments))

  return meters.median(meters.time_calls(call, *budget))


def _time_apply(config, optimizer, state, budget) -> meters.Seconds:
  """The optimizer, the parameters' average and the checks of a step."""
  apply_step = jax.jit(
    make_apply_step(optimizer, config.train.ema_decay), donate_argnums=(0,)
  )
  gradients = jax.tree.map(lambda x: jnp.full_like(x, 1e-3), state.params)
  sums = Sums(gradients, {"loss": jnp.zeros(())}, state.collections)

  def call():
    nonlocal state
    state, metrics = apply_step(state, sums)
    jax.block_until_ready((state, metrics))

  return meters.median(meters.time_calls(call, *budget))
