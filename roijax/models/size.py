"""How large a model is: parameters and multiply-accumulates of every part.

    Flow.__call__ --trace--> equations, each with its modules' names
                                  |
    params ----------------> part: parameters, macs

Counted are products: matrix products, convolutions, and the shifted sums that
stand for depthwise convolutions, padding included. Not counted are additions,
functions of single numbers, softmax and Fourier transforms. A forward pass
has every part once: what encoding and decoding cost together, with the
context in one parallel pass. Nothing is computed, so size costs nothing.
"""

import math
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from roijax.errors import ConfigError
from roijax.models.flow import Flow

# In the order of the signal; what else a model has follows.
PARTS = (
  "analysis",
  "synthesis",
  "hyper_analysis",
  "hyper_synthesis",
  "context",
  "prior",
  "z_prior",
  "gain",
)
Path = tuple[str, ...]


class Part(NamedTuple):
  """A part of a model, all below it included.

  Attributes:
    path: names of modules from the model's own down; empty for all of it.
    parameters: how many numbers it learns.
    macs: multiply-accumulates of a forward pass.
  """

  path: Path
  parameters: int
  macs: int


def measure_size(
  model: Flow, height: int, width: int, depth: int = 2
) -> list[Part]:
  """Counts every part of a flow for one photo.

  Args:
    model: the flow.
    height: of the photo, in pixels; padded to a multiple of `Flow.STRIDE`.
    width: likewise.
    depth: how many levels of modules to tell apart.

  Returns:
    The parts in the order of `PARTS`, each before those below it; the whole
    model is the last.

  Raises:
    ConfigError: a size below 1, or the model's configuration does not fit
      what it is to compute.
  """
  if min(height, width) < 1:
    raise ConfigError(f"a photo of {width}x{height} has no pixels")
  height, width = (side + -side % model.STRIDE for side in (height, width))
  # Training runs the context once more than coding does.
  model = model.clone(rounds_context=False)
  inputs = _describe_inputs(height, width)
  try:
    params = jax.eval_shape(model.init, jax.random.key(0), *inputs)["params"]
    program = jax.make_jaxpr(
      lambda params, *inputs: model.apply({"params": params}, *inputs)
    )(params, *inputs)
  except ValueError as error:
    what = " ".join(str(error).split())
    raise ConfigError(f"the model does not fit itself: {what}") from error
  macs = Counter()
  for names, count in _list_products(program.jaxpr, ()):
    macs[find_module(params, names)] += count
  parameters = Counter()
  for path, leaf in jax.tree.leaves_with_path(params):
    names = tuple(key.key for key in path)
    # What the flow itself learns is a part like its modules.
    parameters[names[:-1] or names] += leaf.size
  return _sum_up(parameters, macs, depth)


def _describe_inputs(height, width):
  def floats(*dims):
    return jax.ShapeDtypeStruct(dims, jnp.float32)

  keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), 1))
  return (
    floats(1, height, width, 3),
    floats(1, height, width, 1),
    floats(1),
    keys,
  )


def _sum_up(parameters, macs, depth) -> list[Part]:
  """Adds each module to all that hold it; leaves out what is too deep."""
  totals = Counter(), Counter()
  for counts, total in zip((parameters, macs), totals, strict=True):
    for path, count in counts.items():
      for level in range(min(len(path), depth) + 1):
        total[path[:level]] += count
  known = {name: place for place, name in enumerate(PARTS)}
  order = {path: place for place, path in enumerate([*totals[0], *totals[1]])}

  def rank(path):
    # A module's own place is where the first of its parameters stands.
    return [
      (known.get(path[0], len(known)), order[path[: i + 1]])
      for i in range(len(path))
    ]

  paths = sorted((path for path in order if path), key=rank)
  return [Part(path, totals[0][path], totals[1][path]) for path in [*paths, ()]]


def find_module(params: dict, names: Path) -> Path:
  """The deepest module that an equation's names lead to.

  Names of methods, of einsums and of JAX's transforms lie between.
  """
  path, here = (), params
  for name in names:
    module = name.partition(".")[0]
    if isinstance(here.get(module), dict):
      path, here = (*path, module), here[module]
  return path


def _list_products(jaxpr: Any, names: Path) -> Iterator[tuple[Path, int]]:
  """The names and the multiply-accumulates of each product of a program."""
  for equation in jaxpr.eqns:
    stack = str(equation.source_info.name_stack)
    here = (*names, *filter(None, stack.split("/")))
    kind = equation.primitive.name
    if kind == "dot_general":
      yield here, _count_dot(equation)
    elif kind == "conv_general_dilated":
      yield here, _count_convolution(equation)
    elif kind == "custom_vjp_call" and _is_depthwise(equation):
      yield here, _count_depthwise(equation)
    elif kind == "while":
      raise ConfigError("a loop without a fixed length cannot be counted")
    elif kind == "cond":
      # One branch is taken: the dearest, that nothing be promised too cheap.
      branches = [
        list(_list_products(branch.jaxpr, here))
        for branch in equation.params["branches"]
      ]
      yield from max(branches, key=lambda found: sum(n for _, n in found))
    else:
      repeats = equation.params["length"] if kind == "scan" else 1
      for value in equation.params.values():
        inner = getattr(value, "jaxpr", value)
        if hasattr(inner, "eqns"):
          for found, count in _list_products(inner, here):
            yield found, repeats * count


def _count_dot(equation) -> int:
  (contracted, _), _ = equation.params["dimension_numbers"]
  left = equation.invars[0].aval.shape
  return equation.outvars[0].aval.size * math.prod(left[i] for i in contracted)


def _count_convolution(equation) -> int:
  """Of a transposed one, without products with the zeros between pixels."""
  kernel = equation.invars[1].aval
  features = equation.params["dimension_numbers"].rhs_spec[0]
  taps = kernel.size // kernel.shape[features]
  spread = math.prod(equation.params["lhs_dilation"])
  return equation.outvars[0].aval.size * taps // spread


def _is_depthwise(equation) -> bool:
  """Whether this is `shifted_sum`, which multiplies number by number."""
  shapes = [variable.aval.shape for variable in equation.invars]
  return (
    [len(dims) for dims in shapes] == [4, 3]
    and shapes[0][-1] == shapes[1][-1]
    and equation.outvars[0].aval.shape == shapes[0]
  )


def _count_depthwise(equation) -> int:
  rows, columns, _ = equation.invars[1].aval.shape
  return equation.outvars[0].aval.size * rows * columns
