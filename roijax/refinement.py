"""Latents made better for one photo: slow encoding, the same decoder.

    y, z --annealed rounding--> y_hat, z_hat --prior--> bits
     ^                             \\--synthesise--> x_hat --> error by region
     +----- Adam, on lmbda 255^2 mse_w + bpp ---------+

What the analysis gives is a good guess for every photo and best for none. An
encoder with time goes on from it by gradient descent on the rate and the
distortion of this photo, with this region. Rounding is a choice between two
neighbours, made at random where both are near, and less and less so.

A group of the photo is refined with what lies around it as it is: its own bits,
and all pixels that see its latents.

Source: stochastic Gumbel annealing, Yang, Bamler and Mandt 2020 (arXiv
2006.04240), annealed otherwise (`ops.quantize.anneal_rounding`); the steps, the
rates and the groups are ours.
"""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from roijax.coding import groups
from roijax.ops.quantize import anneal_rounding
from roijax.programs import Programs
from roijax.tiling import (
  CELL,
  PER_CELL,
  hyper_analyse,
  latent_size,
  pad_edges,
  pad_zeros,
  scale,
)

if TYPE_CHECKING:
  from roijax.models.flow import Flow

RATE = 0.02
"""Adam's first step, in units of a quantisation step; it ends at zero."""

WARMEST, COLDEST = 0.5, 0.1
"""Temperatures of the first step and of the last ones."""

_DECAY, _SQUARE_DECAY, _TINY = 0.9, 0.999, 1e-8


# NumPy from the host, JAX in programs.
Values = Any


class Latents(NamedTuple):
  """What is refined, on canvases: y [1, h, w, M] and z [1, p, q, N]."""

  y: Values
  z: Values


class State(NamedTuple):
  """What goes from step to step.

  Attributes:
    latents: real numbers, to be rounded.
    mean: what the prior expects of y, by the step before.
    first: Adam's moments.
    second: of the squares.
  """

  latents: Latents
  mean: Values
  first: Latents
  second: Latents


class Scene(NamedTuple):
  """What a group's latents are judged by; all on the canvas of a window.

  Attributes:
    x: the photo in [0, 1] [1, H, W, 3].
    weight: of the squared error of each pixel; zero beyond the photo
      [1, H, W].
    y: latents around the group, gained [1, h, w, M].
    h: what is told of them [1, h, w, D].
    own: 1 for the group's latents, else 0 [1, h, w, 1].
    rows: the group's row of latents at each row of the window [h].
    columns: likewise [w].
    size: its rows and columns of latents.
    quality: [1].
    scale: lmbda 255^2 over the three colours.
    mask: what two decoders share the photo by, or None.
  """

  x: Values
  weight: Values
  y: Values
  h: Values
  own: Values
  rows: Values
  columns: Values
  size: Values
  quality: Values
  scale: Values
  mask: Values | None


def relax(
  flow: "Flow",
  latents: Latents,
  mean: Array,
  scene: Scene,
  temperature: Float[Array, ""],
  key: Key[Array, ""],
) -> tuple[Array, Array]:
  """Bits plus weighted squared error, and the means by which y was rounded."""
  y_key, z_key = jax.random.split(key)
  rows, columns = scene.size
  inside = _lies_within(latents.y.shape, rows, columns)
  cells = _lies_within(
    latents.z.shape, -(-rows // PER_CELL), -(-columns // PER_CELL)
  )
  z_hat = anneal_rounding(latents.z, z_key, temperature) * cells
  h = flow.hyper_synthesise(z_hat)
  y_hat = mean + anneal_rounding(latents.y - mean, y_key, temperature)
  y_hat *= inside
  parameters = flow.parameters(h, y_hat, scene.size)
  bits = jnp.sum(flow.prior.bits(y_hat, parameters) * inside)
  bits += jnp.sum(flow.z_prior(z_hat) * cells)
  y_seen, h_seen = (
    jnp.where(scene.own > 0, own[:, scene.rows][:, :, scene.columns], around)
    for around, own in ((scene.y, y_hat), (scene.h, h))
  )
  x_hat = flow.synthesise(y_seen, h_seen, scene.quality, scene.mask)
  errors = jnp.sum((jnp.clip(x_hat, 0, 1) - scene.x) ** 2, axis=-1)
  return bits + scene.scale * jnp.sum(scene.weight * errors), parameters.mean


def _lies_within(dims, rows, columns):
  """1 for positions of the upper left corner [1, h, w, 1]."""
  across = jnp.arange(dims[2])[None] < columns
  down = jnp.arange(dims[1])[:, None] < rows
  return (down & across)[None, :, :, None].astype(jnp.float32)


def step(
  flow: "Flow",
  params: dict,
  state: State,
  scene: Scene,
  number: Float[Array, ""],
  steps: Float[Array, ""],
) -> State:
  """One step of Adam on everything that is refined."""

  def loss(latents):
    progress = number / steps
    temperature = jnp.maximum(WARMEST * jnp.exp(-3 * progress), COLDEST)
    key = jax.random.key(number.astype(jnp.int32))
    return flow.apply(
      {"params": params},
      *(latents, state.mean, scene, temperature, key),
      method=relax,
    )

  gradients, mean = jax.grad(loss, has_aux=True)(state.latents)
  first = jax.tree.map(
    lambda old, new: _DECAY * old + (1 - _DECAY) * new, state.first, gradients
  )
  second = jax.tree.map(
    lambda old, new: _SQUARE_DECAY * old + (1 - _SQUARE_DECAY) * new**2,
    state.second,
    gradients,
  )
  rate = RATE * (1 + jnp.cos(math.pi * number / steps)) / 2
  rate /= 1 - _DECAY ** (number + 1)
  unbias = 1 - _SQUARE_DECAY ** (number + 1)
  latents = jax.tree.map(
    lambda value, up, square: (
      value - rate * up / (jnp.sqrt(square / unbias) + _TINY)
    ),
    *(state.latents, first, second),
  )
  return State(latents, mean, first, second)


def refine(
  programs: Programs,
  image: np.ndarray,
  importance: np.ndarray | None,
  y: np.ndarray,
  pooled: np.ndarray,
  *,
  quality: float,
  lmbda: float,
  steps: int,
  mask: np.ndarray | None = None,
  progress: Callable[[float], None] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
  """Better latents of a photo.

  Args:
    programs: the compiled flow.
    image: uint8 [H, W, 3] or [H, W].
    importance: float [H, W] in [0, 1], the background level applied; None for
      ones.
    y: as `tiling.transform` gave it [h, w, M].
    pooled: likewise [h, w, 1].
    quality: the file's.
    lmbda: its trade-off.
    steps: of the descent, see `efforts`.
    mask: bool, from `tiling.pool_mask`, for programs that need one.
    progress: called with the share that is done.

  Returns:
    y, and z [p, q, N], to be rounded.
  """
  photo = _Photo(programs, image, importance, mask, quality, lmbda)
  found = list(groups.split_groups(*image.shape[:2]))
  y = y.copy()
  z = _fill(
    [
      (group.cells, hyper_analyse(programs, y, pooled, group))
      for group in found
    ]
  )
  h = _fill([(photo.place(group), photo.guess_h(z, group)) for group in found])
  for number, group in enumerate(found):
    state, scene = photo.set_up(y, z, h, group, halo=len(found) > 1)
    for i in range(steps):
      state = programs.run(step, state, scene, np.float32(i), np.float32(steps))
      if progress is not None:
        progress((number + (i + 1) / steps) / len(found))
    photo.take(state, group, y, z, h)
  return y, z


class _Photo:
  """What is the same for all groups of a photo."""

  def __init__(self, programs, image, importance, mask, quality, lmbda):
    self.programs = programs
    self.image, self.importance, self.mask = image, importance, mask
    self.quality = np.asarray([quality], np.float32)
    self.scale = np.float32(lmbda * 255**2 / 3)

  def place(self, group: groups.Group) -> tuple[slice, slice]:
    """Where a group lies among the photo's latents."""
    rows, columns = latent_size(*self.image.shape[:2])
    down, across = (scale(cells, PER_CELL) for cells in group.cells)
    return slice(down.start, min(down.stop, rows)), slice(
      across.start, min(across.stop, columns)
    )

  def guess_h(self, z: np.ndarray, group: groups.Group) -> np.ndarray:
    """What the z of a group tells of its latents."""
    rows, columns = self.place(group)
    return self._guess(z, group)[
      0, : rows.stop - rows.start, : columns.stop - columns.start
    ]

  def _guess(self, z, group):
    canvas = groups.pick_canvas(group.rows, group.columns)
    own = pad_zeros(np.round(z[group.cells]), *canvas)[None]
    return self.programs.hyper_synthesise(own).astype(np.float32)

  def set_up(self, y, z, h, group, *, halo: bool) -> tuple[State, Scene]:
    """A group's start, and its window, which has a rim where `halo` says."""
    canvas = groups.pick_canvas(group.rows, group.columns)
    dims = [side * PER_CELL for side in canvas]
    own = y[self.place(group)]
    latents = Latents(
      pad_zeros(own, *dims)[None], pad_zeros(z[group.cells], *canvas)[None]
    )
    size = np.asarray(own.shape[:2], np.int32)
    zeros = jax.tree.map(np.zeros_like, latents)
    guess = self._guess(z, group)
    mean = self.programs.means(guess, latents.y, size)
    state = State(latents, mean, zeros, zeros)
    rim = self.programs.outline.halo if halo else 0
    return state, self._scene(y, h, group, size, canvas, rim)

  def _scene(self, y, h, group, size, canvas, rim) -> Scene:
    cells = [
      slice(max(own.start - rim, 0), min(own.stop + rim, count))
      for own, count in zip(
        group.cells, map(groups.count_cells, self.image.shape[:2]), strict=True
      )
    ]
    window = [side + 2 * rim for side in canvas]
    dims = [side * PER_CELL for side in window]
    sides = [side * CELL for side in window]
    latents = tuple(scale(part, PER_CELL) for part in cells)
    pixels = tuple(scale(part, CELL) for part in cells)
    inside, places = [], []
    for own, part, length, count in zip(
      group.cells, cells, dims, size, strict=True
    ):
      first = (own.start - part.start) * PER_CELL
      where = np.arange(length) - first
      inside.append((where >= 0) & (where < count))
      places.append(np.clip(where, 0, count - 1).astype(np.int32))
    x = pad_edges(self.image[pixels], *sides).astype(np.float32) / 255
    if x.ndim == 2:
      x = np.repeat(x[..., None], 3, axis=2)
    weight = np.ones(self.image[pixels].shape[:2], np.float32)
    if self.importance is not None:
      weight = self.importance[pixels].astype(np.float32) ** 2
    return Scene(
      x=x[None],
      weight=pad_zeros(weight, *sides)[None],
      y=pad_zeros(y[latents], *dims)[None],
      h=pad_zeros(h[latents], *dims)[None],
      own=(inside[0][:, None] & inside[1])[None, :, :, None].astype(np.float32),
      rows=places[0],
      columns=places[1],
      size=size,
      quality=self.quality,
      scale=self.scale,
      mask=self._cut_mask(cells, window),
    )

  def _cut_mask(self, cells, window):
    stride = self.programs.outline.mask_stride
    if not stride:
      return None
    assert self.mask is not None
    factor = CELL // stride
    seen = self.mask[tuple(scale(part, factor) for part in cells)]
    sides = [side * factor for side in window]
    return pad_edges(seen.astype(np.float32), *sides)[None, ..., None]

  def take(self, state: State, group, y, z, h) -> None:
    """Puts a group's latents into the photo's."""
    place = self.place(group)
    own = y[place]
    own[...] = np.asarray(state.latents.y)[0, : own.shape[0], : own.shape[1]]
    z[group.cells] = np.asarray(state.latents.z)[
      0, : group.rows, : group.columns
    ]
    h[place] = self.guess_h(z, group)


def _fill(parts: list[tuple[tuple[slice, slice], np.ndarray]]) -> np.ndarray:
  """One array of parts and their places, which tile it."""
  rows, columns = (
    max(place[axis].stop for place, _ in parts) for axis in (0, 1)
  )
  _, first = parts[0]
  whole = np.empty((rows, columns, first.shape[-1]), np.float32)
  for place, values in parts:
    whole[place] = values
  return whole
