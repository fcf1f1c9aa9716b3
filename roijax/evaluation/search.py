"""Files of a wanted size: the quality, or the setting, that gives it."""

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

from roijax.coding import container
from roijax.errors import ConfigError

Setting = TypeVar("Setting")

# No two qualities closer than this differ in a file.
QUALITY_STEP = 1 / container.QUALITY_STEPS


def quality_for_bytes(
  encode: Callable[[float], bytes],
  max_quality: float,
  target: int,
  *,
  tolerance: float = 0.005,
) -> tuple[float, bytes]:
  """Finds the quality whose file is nearest to a size, by bisection.

  Sizes are taken to grow with quality. A target below the smallest file gives
  quality 0, and one above the largest gives `max_quality`: compare the size
  that came back with the target.

  Args:
    encode: quality -> the file's bytes.
    max_quality: qualities run from 0 to this.
    target: the wanted size in bytes.
    tolerance: stop when the size is within this share of the target.

  Returns:
    The quality, a multiple of 1/32, and its file.
  """
  if target <= 0:
    raise ConfigError(f"a file cannot have {target} bytes: ask for at least 1")
  low, high = 0, math.floor(max_quality / QUALITY_STEP)
  best: tuple[float, bytes] | None = None

  def attempt(code: int) -> int:
    nonlocal best
    data = encode(code * QUALITY_STEP)
    if best is None or abs(len(data) - target) < abs(len(best[1]) - target):
      best = code * QUALITY_STEP, data
    return len(data)

  while low <= high:
    code = (low + high) // 2
    size = attempt(code)
    if abs(size - target) <= tolerance * target:
      break
    if size < target:
      low = code + 1
    else:
      high = code - 1
  assert best is not None
  return best


def largest_within(
  encode: Callable[[Setting], bytes],
  settings: Sequence[Setting],
  budget: int,
) -> tuple[Setting, bytes]:
  """Finds the last setting whose file has at most `budget` bytes.

  Args:
    encode: setting -> the file's bytes.
    settings: in the order in which files grow.
    budget: bytes.

  Returns:
    The setting and its file. When even the first setting's file is larger,
    that one: compare its size with the budget.
  """
  low, high = 0, len(settings) - 1
  best = None
  while low <= high:
    middle = (low + high) // 2
    data = encode(settings[middle])
    if len(data) <= budget:
      best = settings[middle], data
      low = middle + 1
    else:
      high = middle - 1
  return best or (settings[0], encode(settings[0]))
