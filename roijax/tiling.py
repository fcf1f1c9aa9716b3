"""The transforms on photos of any size, at a few fixed sizes.

    photo --windows that overlap--> transform --> y, each latent once
    y_hat, h [, mask] --windows that overlap--> synthesise --> photo

A photo of at most 16 cells of 64 pixels on a side is one window. A larger one
is covered by windows of 16 cells that overlap; each gives what lies at least a
halo inside it, or at the photo's edge. The halo belongs to the model
(`Flow.halo`): where it is what synthesis sees around a pixel, a seam cannot
show. A window lies at the upper left of one of `groups.CANVASES`: a photo's
last row and column repeated around it, latents with zeros.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from roijax.coding import groups
from roijax.coding.mask import BACKGROUND, FOREGROUND, mask_size
from roijax.errors import DataError
from roijax.programs import Programs

CELL = groups.CELL
STRIDE = 16
SPAN = groups.GROUP_CELLS
ANALYSIS_HALO = 2
"""Even, so that Fourier windows of two cells lie alike in all windows."""

PER_CELL = CELL // STRIDE


class Window(NamedTuple):
  """What the transforms see at once, in cells.

  Attributes:
    rows: slice of the photo's rows of cells that lie in the window.
    columns: likewise.
    core_rows: slice of those whose result is taken from this window.
    core_columns: likewise.
    canvas: rows and columns of the canvas.
  """

  rows: slice
  columns: slice
  core_rows: slice
  core_columns: slice
  canvas: tuple[int, int]


def _cover(cells: int, halo: int) -> list[tuple[slice, slice]]:
  """(window, core) along one side; the cores are a partition."""
  parts = []
  start = 0
  while True:
    end = min(start + SPAN, cells)
    last = end == cells
    core = slice(start + halo * bool(start), cells if last else end - halo)
    parts.append((slice(start, end), core))
    if last:
      return parts
    start += SPAN - 2 * halo


def split_windows(height: int, width: int, halo: int) -> Iterator[Window]:
  """The windows of a photo, row by row.

  Args:
    height: of the photo in pixels.
    width: likewise.
    halo: cells that windows reach beyond their cores (`Flow.halo`).
  """
  across = _cover(groups.count_cells(width), halo)
  for rows, core_rows in _cover(groups.count_cells(height), halo):
    for columns, core_columns in across:
      canvas = groups.pick_canvas(
        rows.stop - rows.start, columns.stop - columns.start
      )
      yield Window(rows, columns, core_rows, core_columns, canvas)


def latent_size(height: int, width: int) -> tuple[int, int]:
  """Rows and columns of y that are coded: those that touch the photo."""
  return -(-height // STRIDE), -(-width // STRIDE)


def scale(cells: slice, factor: int) -> slice:
  """The same stretch in units of which a cell has `factor`."""
  return slice(cells.start * factor, cells.stop * factor)


def _shift(cells: slice, origin: int, factor: int) -> slice:
  return scale(slice(cells.start - origin, cells.stop - origin), factor)


def pad_edges(values: np.ndarray, rows: int, columns: int) -> np.ndarray:
  """Repeats the last row and column of [H, W, ...] up to a size."""
  height, width = values.shape[:2]
  if (height, width) == (rows, columns):
    return values
  pads = [(0, rows - height), (0, columns - width)]
  return np.pad(values, pads + [(0, 0)] * (values.ndim - 2), mode="edge")


def pad_zeros(values: np.ndarray, rows: int, columns: int) -> np.ndarray:
  """Puts [H, W, ...] at the upper left of zeros."""
  out = np.zeros((rows, columns, *values.shape[2:]), values.dtype)
  out[: values.shape[0], : values.shape[1]] = values
  return out


def transform(
  programs: Programs,
  image: np.ndarray,
  roi: np.ndarray | None,
  background: float,
  quality: np.ndarray,
  progress: Callable[[float], None] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
  """The gained latent of a photo, and the importance map at its size.

  Args:
    programs: the compiled flow.
    image: uint8 [H, W, 3] or [H, W].
    roi: float [H, W] in [0, 1]; None for ones.
    background: the least importance.
    quality: float32 [1].
    progress: called with the share that is done.

  Returns:
    float32 [h, w, M] and [h, w, 1], with h and w of `latent_size`.

  Raises:
    DataError: the network gave values that are not finite.
  """
  height, width = image.shape[:2]
  rows, columns = latent_size(height, width)
  y, pooled = None, np.ones((rows, columns, 1), np.float32)
  windows = list(split_windows(height, width, ANALYSIS_HALO))
  for number, window in enumerate(windows):
    sides = [cells * CELL for cells in window.canvas]
    place = scale(window.rows, CELL), scale(window.columns, CELL)
    x = pad_edges(image[place], *sides).astype(np.float32) / np.float32(255)
    if x.ndim == 2:
      x = np.repeat(x[..., None], 3, axis=2)
    importance = np.ones((*sides, 1), np.float32)
    if roi is not None:
      seen = np.maximum(roi[place], np.float32(background))
      importance[..., 0] = pad_edges(seen.astype(np.float32), *sides)
    found = programs.transform(x[None], importance[None], quality)[0]
    if not np.isfinite(found).all():
      raise DataError(
        "the analysis transform gave values that are not finite: these "
        "weights are broken, use another checkpoint"
      )
    if y is None:
      y = np.empty((rows, columns, found.shape[-1]), np.float32)
    there, here = _core(window, PER_CELL)
    target = y[there]
    inside = np.s_[: target.shape[0], : target.shape[1]]
    target[...] = found[here][inside]
    if roi is not None:
      pooled[there][..., 0] = _pool(importance[..., 0])[here][inside]
    if progress is not None:
      progress((number + 1) / len(windows))
  assert y is not None
  return y, pooled


def hyper_analyse(
  programs: Programs, y: np.ndarray, pooled: np.ndarray, group: groups.Group
) -> np.ndarray:
  """The hyper-latent of a group, not rounded.

  Args:
    programs: the compiled flow.
    y: of the photo, as `transform` gave it.
    pooled: likewise.
    group: one of the photo's.

  Returns:
    float32 [p, q, N].
  """
  place = tuple(scale(cells, PER_CELL) for cells in group.cells)
  canvas = groups.pick_canvas(group.rows, group.columns)
  dims = [side * PER_CELL for side in canvas]
  z = programs.hyper_analyse(
    pad_edges(y[place], *dims)[None], pad_edges(pooled[place], *dims)[None]
  )
  return z[0, : group.rows, : group.columns]


def synthesise(
  programs: Programs,
  y_hat: np.ndarray,
  h: np.ndarray,
  quality: np.ndarray,
  dims: tuple[int, ...],
  progress: Callable[[float], None] | None = None,
  mask: np.ndarray | None = None,
) -> np.ndarray:
  """The photo that latents stand for.

  Args:
    programs: the compiled flow.
    y_hat: float32 [h, w, M].
    h: float32 [h, w, D], from the hyper-synthesis.
    quality: float32 [1].
    dims: (H, W, 3), or (H, W) for a grey photo.
    progress: called with the share that is done.
    mask: bool, from `pool_mask`, for programs that need one.

  Returns:
    uint8 of `dims`.
  """
  out = np.empty(dims, np.uint8)
  windows = list(split_windows(dims[0], dims[1], programs.outline.halo))
  for number, window in enumerate(windows):
    place = scale(window.rows, PER_CELL), scale(window.columns, PER_CELL)
    sides = [cells * PER_CELL for cells in window.canvas]
    x_hat = programs.synthesise(
      pad_zeros(y_hat[place], *sides)[None],
      pad_zeros(h[place], *sides)[None],
      quality,
      None
      if mask is None
      else _cut_mask(mask, window, programs.outline.mask_stride),
    )[0]
    there, here = _core(window, CELL)
    target = out[there]
    pixels = x_hat[here][: target.shape[0], : target.shape[1]]
    if len(dims) == 2:
      pixels = pixels.mean(axis=-1)
    target[...] = np.round(np.clip(pixels, 0, 1) * 255)
    if progress is not None:
      progress((number + 1) / len(windows))
  return out


def _cut_mask(mask: np.ndarray, window: Window, stride: int):
  """What a window sees of the mask; where it is all alike, by name."""
  factor = CELL // stride
  place = scale(window.rows, factor), scale(window.columns, factor)
  seen = mask[place]
  if seen.all() or not seen.any():
    return FOREGROUND if seen.any() else BACKGROUND
  sides = [cells * factor for cells in window.canvas]
  return pad_edges(seen.astype(np.float32), *sides)[None, ..., None]


def _core(window, factor):
  """Where a window's core lies in the whole, and where in the window."""
  there = (
    scale(window.core_rows, factor),
    scale(window.core_columns, factor),
  )
  here = (
    _shift(window.core_rows, window.rows.start, factor),
    _shift(window.core_columns, window.columns.start, factor),
  )
  return there, here


def _pool(values: np.ndarray, stride: int = STRIDE) -> np.ndarray:
  """Means over the pixels of each latent, or of cells of another stride."""
  rows, columns = (side // stride for side in values.shape)
  cells = values.reshape(rows, stride, columns, stride)
  return cells.mean(axis=(1, 3))


def pool_map(roi: np.ndarray) -> np.ndarray:
  """A map's mean over the pixels of each latent, the edges repeated.

  Args:
    roi: float [H, W].

  Returns:
    float32 [h, w], with h and w of `latent_size`.
  """
  sides = [side * STRIDE for side in latent_size(*roi.shape)]
  return _pool(pad_edges(roi.astype(np.float32), *sides))


def pool_mask(roi: np.ndarray, stride: int) -> np.ndarray:
  """The mask that a file holds: cells of which the region has at least half.

  Args:
    roi: float [H, W] in [0, 1].
    stride: pixels on a cell's side; beyond the photo its edges are repeated.

  Returns:
    bool [ceil(H / stride), ceil(W / stride)].
  """
  height, width = roi.shape
  sides = [side * stride for side in mask_size(height, width, stride)]
  return _pool(pad_edges(roi.astype(np.float32), *sides), stride) >= 0.5
