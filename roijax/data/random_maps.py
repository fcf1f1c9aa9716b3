"""Random importance maps, for photos whose objects nobody marked.

Uniform maps, gradients between two levels and mixtures of Gaussians are those
that Song et al. train with ("Variable-Rate Deep Image Compression through
Spatially-Adaptive Feature Transform", ICCV 2021); boxes and ellipses are added
because people draw them.
"""

from collections.abc import Callable

import numpy as np

Size = tuple[int, int]

MAX_BLOBS = 20
# Half of the shapes have a soft edge, at most this share of the side wide.
MAX_SOFTNESS = 0.25


def uniform(size: Size, generator: np.random.Generator) -> np.ndarray:
  """One level everywhere, in [0, 1].

  Args:
    size: height and width.
    generator: the source of randomness.

  Returns:
    float32 [H, W].
  """
  return np.full(size, generator.random(), np.float32)


def box(size: Size, generator: np.random.Generator) -> np.ndarray:
  """An upright box; it may reach over the edges, so that halves occur.

  Args:
    size: height and width.
    generator: the source of randomness.

  Returns:
    float32 [H, W] in [0, 1].
  """
  x, y, rx, ry, scale = _draw_frame(size, generator)
  distance = np.minimum(rx - np.abs(x), ry - np.abs(y))
  return _draw_edge(distance / scale, generator)


def ellipse(size: Size, generator: np.random.Generator) -> np.ndarray:
  """An upright ellipse; it may reach over the edges.

  Args:
    size: height and width.
    generator: the source of randomness.

  Returns:
    float32 [H, W] in [0, 1].
  """
  x, y, rx, ry, scale = _draw_frame(size, generator)
  distance = (1 - np.hypot(x / rx, y / ry)) * min(rx, ry)
  return _draw_edge(distance / scale, generator)


def blobs(size: Size, generator: np.random.Generator) -> np.ndarray:
  """A mixture of 1 to 20 Gaussians, its largest value 1.

  Args:
    size: height and width.
    generator: the source of randomness.

  Returns:
    float32 [H, W] in [0, 1].
  """
  height, width = size
  count = int(generator.integers(1, MAX_BLOBS + 1))
  rows = _bells(height, count, generator)
  columns = _bells(width, count, generator)
  total = (rows * generator.random((count, 1))).T @ columns
  return (total / max(total.max(), 1e-9)).astype(np.float32)


def gradient(size: Size, generator: np.random.Generator) -> np.ndarray:
  """A linear ramp between two levels, in any direction.

  Args:
    size: height and width.
    generator: the source of randomness.

  Returns:
    float32 [H, W] in [0, 1].
  """
  height, width = size
  angle = generator.uniform(0, 2 * np.pi)
  x = np.linspace(-1, 1, width)[None, :] * np.cos(angle)
  y = np.linspace(-1, 1, height)[:, None] * np.sin(angle)
  ramp = x + y
  ramp = (ramp - ramp.min()) / max(np.ptp(ramp), 1e-9)
  start, end = generator.random(2)
  return (start + (end - start) * ramp).astype(np.float32)


KINDS: dict[str, Callable[[Size, np.random.Generator], np.ndarray]] = {
  "uniform": uniform,
  "box": box,
  "ellipse": ellipse,
  "blobs": blobs,
  "gradient": gradient,
}


def draw(size: Size, generator: np.random.Generator) -> np.ndarray:
  """Draws a map of a random kind.

  Args:
    size: height and width.
    generator: the source of randomness.

  Returns:
    float32 [H, W] in [0, 1].
  """
  names = list(KINDS)
  return KINDS[names[int(generator.integers(len(names)))]](size, generator)


def _draw_frame(size, generator):
  """Draws a centre and semi-axes; returns coordinates around the centre."""
  height, width = size
  x = np.arange(width)[None, :] + 0.5 - generator.random() * width
  y = np.arange(height)[:, None] + 0.5 - generator.random() * height
  rx = generator.uniform(0.1, 0.7) * width
  ry = generator.uniform(0.1, 0.7) * height
  return x, y, rx, ry, min(height, width)


def _draw_edge(distance, generator):
  """Turns signed distances (1 is the photo's side) into a hard or soft edge."""
  if generator.random() < 0.5:
    return (distance > 0).astype(np.float32)
  softness = generator.uniform(0.01, MAX_SOFTNESS)
  return np.clip(0.5 + distance / softness, 0, 1).astype(np.float32)


def _bells(length, count, generator):
  centre = generator.random((count, 1)) * length
  width = generator.uniform(0.05, 0.35, (count, 1)) * length
  return np.exp(-(((np.arange(length) + 0.5 - centre) / width) ** 2) / 2)
