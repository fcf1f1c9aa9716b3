"""Random parameters for plain convolutional networks, all of one draw.

What `init` would do, without compiling a generator for every shape: seconds
each on a CPU.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array


def draw_params(shapes: Any, key: Array) -> Any:
  """Uniform kernels that keep variances under ReLU (He), biases of zero.

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
