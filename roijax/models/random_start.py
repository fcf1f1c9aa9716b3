"""Fresh parameters, without waiting long for a compiler.

`init` holds a generator for every shape, and XLA thinks long about each.
"""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array


def init_params(model: nn.Module, key: Array, *inputs: Array) -> dict:
  """What `model.init` gives, up to rounding.

  It runs once: on a CPU it is compiled in a third of the time, and not for
  speed.

  Args:
    model: a network with parameters and nothing else.
    key: a PRNG key.
    *inputs: of the shapes that it takes.
  """
  quick = {"xla_backend_optimization_level": 0}
  options = quick if jax.default_backend() == "cpu" else None
  return jax.jit(model.init, compiler_options=options)(key, *inputs)["params"]


def draw_params(shapes: Any, key: Array) -> Any:
  """Random parameters of a plain convolutional network, all of one draw.

  Uniform kernels that keep variances under ReLU (He), biases of zero.

  Args:
    shapes: nested shapes of parameters, as `jax.eval_shape` gives them;
      kernels are what has more than one axis, outputs last.
    key: a PRNG key.
  """
  leaves, structure = jax.tree.flatten(shapes)
  sizes = [math.prod(leaf.shape) if leaf.ndim > 1 else 0 for leaf in leaves]
  draws = jax.random.uniform(key, (sum(sizes),), minval=-1.0)
  made, place = [], 0
  for leaf, size in zip(leaves, sizes, strict=True):
    if size:
      limit = math.sqrt(6 * leaf.shape[-1] / size)
      made.append(limit * draws[place : place + size].reshape(leaf.shape))
    else:
      made.append(jnp.zeros(leaf.shape))
    place += size
  return jax.tree.unflatten(structure, made)
