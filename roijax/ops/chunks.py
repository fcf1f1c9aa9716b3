"""Long elementwise work, in pieces that stay in a CPU's cache.

XLA cuts a long expression into dozens of loops and hands arrays from one to
the next. On a CPU, arrays of millions of elements make that hand-over the
larger half of the time; in pieces of `CHUNK` it happens in cache. An
accelerator does not need this and is given the whole.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Shaped

# Forty float32 temporaries of this length fit a desktop's last cache; two
# cores still share each piece.
CHUNK = 65536


def map_in_chunks(
  function: Callable[..., Any],
  *arrays: Shaped[Array, "*dims"],
  chunk: int = CHUNK,
) -> Any:
  """Computes `function(*arrays)`, on a CPU chunk by chunk.

  Args:
    function: elementwise, from arrays of one shape to a tree of arrays of
      that shape.
    *arrays: all of one shape.
    chunk: elements at a time; below twice as many nothing is cut.

  Returns:
    What `function` returns, to the same values.
  """
  if arrays[0].size < 2 * chunk:
    return function(*arrays)
  return jax.lax.platform_dependent(
    *arrays,
    cpu=lambda *arrays: _loop_over_chunks(function, arrays, chunk),
    default=function,
  )


def _loop_over_chunks(function, arrays, chunk):
  shape, size = arrays[0].shape, arrays[0].size
  flat = [array.reshape(-1) for array in arrays]

  def compute_chunk(i, results):
    # The last chunk begins early rather than end beyond the array.
    start = jnp.minimum(i * chunk, size - chunk)
    pieces = function(
      *(jax.lax.dynamic_slice(array, (start,), (chunk,)) for array in flat)
    )
    return jax.tree.map(
      lambda result, piece: jax.lax.dynamic_update_slice(
        result, piece, (start,)
      ),
      results,
      pieces,
    )

  results = jax.tree.map(
    lambda result: jnp.zeros(size, result.dtype),
    jax.eval_shape(function, *flat),
  )
  results = jax.lax.fori_loop(0, -(-size // chunk), compute_chunk, results)
  return jax.tree.map(lambda result: result.reshape(shape), results)
