"""Seconds of coding a photo with each context, as real files."""

import dataclasses
import time
from collections.abc import Callable
from typing import Any, TypeVar

import flax.linen as nn
import jax
import numpy as np

from benchmarks.exactness.probes import make_walk
from roijax.codec import Codec
from roijax.coding import container
from roijax.directions import Decoding
from roijax.programs import Programs
from roijax.weights.archive import Weights

Result = TypeVar("Result")


@dataclasses.dataclass(frozen=True)
class Seconds:
  """One context; seconds of one core.

  Attributes:
    context: its name.
    passes: for this photo.
    encode: photo to file.
    decode: file to photo.
    walk: the part of decoding that is entropy networks and range coder.
    bpp: of the file.
  """

  context: str
  passes: int
  encode: float
  decode: float
  walk: float
  bpp: float


def swap_context(
  weights: Weights, context: nn.Module, params: dict[str, Any]
) -> Codec:
  """A codec with another context.

  Args:
    weights: of the codec.
    context: in place of its own.
    params: all of the codec's, the context's replaced.
  """
  codec = Codec(weights)
  model = codec.model.clone(context=context)
  codec.programs = Programs(lambda: model, jax.device_get(params))
  return codec


def _least(run: Callable[[], Result], repeats: int) -> tuple[Result, float]:
  """The result of a call and its least CPU seconds, the first call aside."""
  result, spent = run(), []
  for _ in range(repeats):
    started = time.process_time()
    result = run()
    spent.append(time.process_time() - started)
  return result, min(spent)


def measure(
  name: str, codec: Codec, image: np.ndarray, *, repeats: int = 3
) -> Seconds:
  """Codes and decodes a photo at the middle quality, repeatedly."""
  data, encode = _least(lambda: codec.compress(image), repeats)
  _, decode = _least(lambda: codec.decompress(data), repeats)
  found = container.read(data)
  passes = 0

  def walk():
    nonlocal passes
    one = make_walk(
      codec,
      codec.programs,
      image.shape[:2],
      rounded=found.header.rounded,
    )
    direction = Decoding(one, found)
    one.run(direction)
    direction.close(found.symbols_crc)
    passes = len(codec.programs.outline.order.passes(*one.y_hat.shape[:2]))

  _, alone = _least(walk, repeats)
  pixels = image.shape[0] * image.shape[1]
  return Seconds(name, passes, encode, decode, alone, 8 * len(data) / pixels)
