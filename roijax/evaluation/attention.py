"""Where the windows of a model's encoder and decoder look.

    photo, roi --analysis--> y --> y_hat, h --synthesis--> x_hat
                  |                             |
                  +--> weights of every pair <--+
                       of Swin blocks

A pair is a block with windows at the origin, then one with windows moved by
half their side. What the second reads of a position, the first has mixed from
the position's window: the products of both blocks' weights say what the pair
brings to a point from everywhere (attention rollout, of these two blocks, and
without what passes them by).

Sources: SwinROI (arXiv 2305.07783), figure 5; Abnar and Zuidema 2020 (arXiv
2005.00928), rollout; Dosovitskiy et al. 2021 (arXiv 2010.11929), appendix
D.7, mean attention distance.
"""

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from roijax.errors import DataError, RoijaxError

if TYPE_CHECKING:
  from roijax.codec import Codec

SIDES = ("encoder", "decoder")
MAX_PIXELS = 4_000_000
_MODULES = {"encoder": "analysis", "decoder": "synthesis"}
_BLOCKS = ("plain", "shifted")

Point = tuple[int, int]


class Pair(NamedTuple):
  """The attention of a pair of Swin blocks, means over its heads.

  Attributes:
    side: one of `SIDES`.
    stride: pixels between its positions.
    window: side of its windows, in positions.
    plain: float [H, W, window**2], of each position over those of its
      window; windows begin at the origin.
    shifted: likewise; windows are moved down and right by half a window.
  """

  side: str
  stride: int
  window: int
  plain: np.ndarray
  shifted: np.ndarray

  @property
  def shift(self) -> int:
    """How far the second block's windows are moved, in positions."""
    return self.window // 2

  @property
  def reach(self) -> int:
    """How far the pair can see, in pixels."""
    return 3 * self.window // 2 * self.stride


def take_weights(
  codec: "Codec",
  image: np.ndarray,
  roi: np.ndarray | None = None,
  background: float = 0.25,
) -> list[Pair]:
  """Runs a photo through both transforms and takes what attention weighs.

  The photo is coded at the middle quality; the means that its latents are
  rounded about come from the latents themselves, in one pass.

  Args:
    codec: with a model that has pairs of Swin blocks.
    image: uint8 [H, W, 3], or [H, W].
    roi: float32 [H, W] in [0, 1]; None is an ordinary codec's map.
    background: importance of what lies outside the region.

  Returns:
    The encoder's pairs, then the decoder's, each from fine to coarse.

  Raises:
    RoijaxError: the model has none.
    DataError: the photo is too large.
  """
  height, width = image.shape[:2]
  if height * width > MAX_PIXELS:
    raise DataError(
      f"attention of {width}x{height} pixels does not fit into memory: scale "
      f"the photo to {MAX_PIXELS / 1e6:g} megapixels or fewer"
    )
  colour = image if image.ndim == 3 else np.stack([image] * 3, axis=-1)
  weight = np.ones((height, width)) if roi is None else roi
  weight = np.maximum(weight, background)[..., None]
  cell = codec.model.STRIDE
  pads = ((0, -height % cell), (0, -width % cell), (0, 0))
  x, importance = (
    np.pad(values, pads, mode="edge")[None].astype(np.float32)
    for values in (colour / 255, weight)
  )
  taken = _run(codec, x, importance)
  pairs = []
  for side in SIDES:
    found = [
      _make_pair(side, x.shape[1], blocks)
      for blocks in _find_pairs(taken[side])
    ]
    pairs += sorted(found, key=lambda pair: pair.stride)
  return pairs


def _run(codec, x, importance) -> dict:
  """The weights that each transform's blocks give, without heads and batch."""
  import jax

  run = _compile(codec)
  quality = np.asarray([codec.default_quality], np.float32)
  arguments = (codec.weights.params, x, importance, quality)
  if not jax.tree.leaves(jax.eval_shape(run, *arguments)):
    raise RoijaxError(
      f"these weights are of the system {codec.weights.system!r}, which has no"
      " attention in windows: give a Swin model's with --checkpoint"
    )
  return jax.tree.map(np.asarray, run(*arguments))


# Photos of one size share a program.
@functools.lru_cache(maxsize=1)
def _compile(codec):
  import jax
  import jax.numpy as jnp

  from roijax.layers.swin import ATTENTION

  def run(params, x, importance, quality):
    def apply(method, *arguments, **options):
      return codec.model.apply(
        {"params": params}, *arguments, method=method, **options
      )

    (y, z), encoder = apply(
      "analyse", x, importance, quality, mutable=[ATTENTION]
    )
    h = apply("hyper_synthesise", jnp.round(z))
    mean = apply("parameters", h, y).mean
    y_hat = jnp.round(y - mean) + mean
    _, decoder = apply("synthesise", y_hat, h, quality, mutable=[ATTENTION])
    taken = {
      side: state.get(ATTENTION, {}).get(_MODULES[side], {})
      for side, state in zip(SIDES, (encoder, decoder), strict=True)
    }
    return jax.tree.map(lambda weights: weights[0].mean(axis=-2), taken)

  return jax.jit(run)


def _find_pairs(taken: Mapping[str, Any]) -> Iterator[list[np.ndarray]]:
  """The weights of both blocks, wherever below there are two."""
  if set(_BLOCKS) <= set(taken):
    # A sown value is a tuple, of one call.
    yield [taken[name]["attention"]["weights"][0] for name in _BLOCKS]
    return
  for below in taken.values():
    if isinstance(below, Mapping):
      yield from _find_pairs(below)


def _make_pair(side, height, blocks) -> Pair:
  plain, shifted = blocks
  rows, _, area = plain.shape
  return Pair(side, height // rows, round(area**0.5), plain, shifted)


def _find_keys(weights, shift, row, column):
  """Rows and columns of all positions in a position's window, as they lie."""
  window = round(weights.shape[-1] ** 0.5)
  down, right = np.divmod(np.arange(window**2), window)
  # Python's floor: windows also begin before the photo.
  top, left = (
    (place - shift) // window * window + shift for place in (row, column)
  )
  return top + down, left + right


def spread(
  weights: np.ndarray, shift: int, row: int, column: int
) -> np.ndarray:
  """One position's weights, over all positions.

  Args:
    weights: float [H, W, N], as in `Pair`.
    shift: of the windows.
    row: of the position.
    column: likewise.

  Returns:
    float [H, W]; sums to one.
  """
  height, width = weights.shape[:2]
  rows, columns = _find_keys(weights, shift, row, column)
  inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
  out = np.zeros((height, width))
  out[rows[inside], columns[inside]] = weights[row, column, inside]
  return out


def roll_out(pair: Pair, row: int, column: int) -> np.ndarray:
  """What a pair brings to a position from every other, float [H, W].

  Sums to one.
  """
  direct = spread(pair.shifted, pair.shift, row, column)
  out = np.zeros_like(direct)
  for there in zip(*np.nonzero(direct), strict=True):
    out += direct[there] * spread(pair.plain, 0, *map(int, there))
  return out


def measure_distance(pair: Pair) -> tuple[float, float]:
  """How far a pair looks, in pixels: the mean of its two blocks.

  Returns:
    The mean over all positions of the distance to what they read, weighed by
    how much they read of it; and what it were if they read of all alike.
  """
  means = np.zeros(2)
  for weights, shift in ((pair.plain, 0), (pair.shifted, pair.shift)):
    height, width = weights.shape[:2]
    side = np.arange(pair.window)
    # [place of the query in its window, place of the key].
    along = np.abs(side[:, None] - side[None, :])
    rows = (np.arange(height) - shift) % pair.window
    columns = (np.arange(width) - shift) % pair.window
    distance = np.hypot(
      along[rows][:, None, :, None], along[columns][None, :, None, :]
    ).reshape(weights.shape)
    visible = weights > 0
    even = visible / visible.sum(axis=-1, keepdims=True)
    means += [
      (share * distance).sum(axis=-1).mean() for share in (weights, even)
    ]
  looked, even = means / 2 * pair.stride
  return float(looked), float(even)


def measure_pairs(
  pairs: Sequence[Pair],
) -> dict[tuple[int, int], np.ndarray]:
  """How far the pairs of each scale look, in pixels.

  Returns:
    By stride and window: float [3], the encoder's `measure_distance` and the
    decoder's, NaN where that side has no such pair, and what it were if all
    were read alike.
  """
  found: dict[tuple[int, int], np.ndarray] = {}
  for pair in pairs:
    row = found.setdefault((pair.stride, pair.window), np.full(3, np.nan))
    row[SIDES.index(pair.side)], row[2] = measure_distance(pair)
  return found


def choose_points(
  height: int, width: int, roi: np.ndarray | None
) -> list[Point]:
  """Two points, x and y, worth a look: one in the region, one outside.

  Each is as far as can be from the region's edge and the photo's. Without a
  region they are the photo's middle, and that of its upper left quarter.

  Args:
    height: of the photo.
    width: likewise.
    roi: float [H, W], or None.
  """
  inside = None if roi is None else roi >= 0.5
  if inside is None or inside.all() or not inside.any():
    return [(width // 2, height // 2), (width // 4, height // 4)]
  return [_find_middle(inside), _find_middle(~inside)]


def _find_middle(inside: np.ndarray) -> Point:
  from scipy.ndimage import distance_transform_edt

  depth = np.asarray(distance_transform_edt(np.pad(inside, 1)))[1:-1, 1:-1]
  row, column = np.unravel_index(depth.argmax(), depth.shape)
  return int(column), int(row)
