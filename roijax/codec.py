"""Weights, a photo and a mask in; a `.roij` file out; and back.

    photo, roi --tiling.transform--> y --walk: hyper_analyse, round--> z
                                      \\--walk: tables, round--> symbols, file
    file --walk--> y_hat, h [, mask] --tiling.synthesise--> photo

Where each part runs is told in `programs`.
"""

import dataclasses
import functools
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from roijax import checks, efforts, refinement, tiling
from roijax.coding import container, tables
from roijax.coding.boxes import Box
from roijax.directions import DISAGREEMENT, Decoding, Encoding
from roijax.errors import BitstreamError, CheckpointError, ConfigError
from roijax.executables import Executables
from roijax.models.registry import build_model
from roijax.programs import Programs, cache_folder, use_compilation_cache
from roijax.walk import Walk
from roijax.weights import index
from roijax.weights.archive import Weights, load_weights

if TYPE_CHECKING:
  from roijax.models.flow import Flow

Progress = Callable[[float], None]


@dataclasses.dataclass(frozen=True)
class Encoded:
  """A compressed photo and where its bits went.

  Attributes:
    data: the file.
    header: what the file says of itself.
    cells: float [h, w], bits by the tables of each 16x16 pixels, z's spread
      evenly.
    bits_roi: their sum inside the region of interest, by the pooled mask.
    bits_bg: outside it.
    boundary: how many close calls the file lists.
    estimate: computes `bits_likelihood`.
  """

  data: bytes
  header: container.Header
  cells: np.ndarray = dataclasses.field(repr=False)
  bits_roi: float
  bits_bg: float
  boundary: int
  estimate: Callable[[], float] = dataclasses.field(repr=False)

  @property
  def bits_tables(self) -> float:
    """Bits of all symbols by the integer tables."""
    return float(self.cells.sum())

  @functools.cached_property
  def bits_likelihood(self) -> float:
    """Bits of the same symbols by the float likelihoods.

    Computed when first asked for: it takes a program of its own.
    """
    return self.estimate()


class Codec:
  """Compresses photos with one set of weights.

  Attributes:
    weights: what it was made of.
    programs: the flow's methods, compiled.
    lmbdas: the trade-off of each rate.
  """

  def __init__(self, weights: Weights, executables: Executables | None = None):
    """Takes loaded weights; `Codec.load` reads a file."""
    self.weights = weights
    self.programs = Programs(
      functools.partial(build_model, weights.system, weights.model),
      weights.params,
      executables,
    )
    self.lmbdas = tuple(weights.model["lmbdas"])
    self._y_tables = tables.load_tables()

  @classmethod
  def load(
    cls,
    name_or_path: str | os.PathLike | None = None,
    *,
    keep_programs: bool = False,
  ) -> "Codec":
    """Reads weights: shipped ones, a training run's, or those of a file.

    Args:
      name_or_path: a name that `roijax weights` lists, a training run's
        folder, or a `model.npz`; the default weights when it is None.
      keep_programs: keep compiled programs in the user's cache folder, so
        that a new process starts coding a second sooner.

    Raises:
      CheckpointError: missing, damaged, or of another version.
    """
    path = index.find(name_or_path)
    weights = load_weights(path)
    # Whole programs are kept for CPUs alone; JAX's own cache does the rest.
    if keep_programs and jax.default_backend() == "cpu":
      # Programs take the weights as arguments: one model, many trainings.
      identity = f"{weights.system} {sorted(weights.model.items())}"
      executables = Executables(cache_folder() / "programs", identity)
    else:
      use_compilation_cache()
      executables = None
    try:
      return cls(weights, executables)
    except ConfigError as error:
      raise CheckpointError(
        f"{path}: {error}; weights of a newer roijax need that version"
      ) from error

  @property
  def model(self) -> "Flow":
    """The flow; building it takes the first caller half a second."""
    return self.programs.flow

  @property
  def max_quality(self) -> float:
    """The finest quality; qualities are floats in [0, max_quality]."""
    return float(len(self.lmbdas) - 1)

  def trade_off(self, quality: float) -> float:
    """The lmbda of a quality, interpolated as in training."""
    rates = np.arange(len(self.lmbdas))
    return float(np.exp(np.interp(quality, rates, np.log(self.lmbdas))))

  @property
  def default_quality(self) -> float:
    """The middle of the range."""
    return self.max_quality / 2

  def compress(
    self,
    image: np.ndarray,
    roi: np.ndarray | None = None,
    *,
    quality: float | None = None,
    background: float = container.DEFAULT_BACKGROUND,
    boxes: Sequence[Box] = (),
    effort: int = 0,
    progress: Progress | None = None,
  ) -> bytes:
    """Codes a photo.

    Args:
      image: uint8 [H, W, 3], RGB, or [H, W], grey.
      roi: float [H, W] in [0, 1]; None is an ordinary codec (all ones).
      quality: in [0, max_quality]; the middle by default.
      background: importance outside the region, in (0, 1].
      boxes: what else the file is to hold.
      effort: 0 to 3; more than 0 takes seconds to minutes a megapixel, for a
        better file that decodes as quickly (`efforts`).
      progress: called with the share that is done; for large photos.

    Returns:
      The content of a `.roij` file.

    Raises:
      DataError: an image or a map of the wrong kind.
      ConfigError: a quality or background out of range, an unknown effort.
    """
    return self._encode(
      image,
      roi,
      quality=quality,
      background=background,
      boxes=boxes,
      effort=effort,
      progress=progress,
    )[0]

  def compress_detailed(
    self, image: np.ndarray, roi: np.ndarray | None = None, **settings: Any
  ) -> Encoded:
    """`compress`, with an account of the bits.

    Args:
      image: as for `compress`.
      roi: likewise.
      **settings: likewise.
    """
    data, header, walk, boundary = self._encode(
      image, roi, **settings, count_bits=True
    )
    assert walk.cells is not None
    if roi is None:
      inside, outside = float(walk.cells.sum()), 0.0
    else:
      inside, outside = self.split_bits(walk.cells, roi)
    return Encoded(
      data, header, walk.cells, inside, outside, boundary, walk.estimate_bits
    )

  def _encode(
    self,
    image,
    roi,
    *,
    quality=None,
    background=container.DEFAULT_BACKGROUND,
    boxes=(),
    effort=0,
    progress=None,
    count_bits=False,
  ):
    steps = efforts.count_steps(effort)
    checks.check_image(image)
    roi = checks.as_roi(roi, image)
    header = self._header(image, quality, background)
    # What it takes is mostly the refinement, where there is one.
    analysed, refined = (0.01, 0.99) if steps else (0.5, 0.5)
    y, pooled = tiling.transform(
      self.programs,
      image,
      roi,
      header.background,
      _quality(header),
      _part(progress, 0.0, analysed),
    )
    # Only the float likelihoods look at what was written.
    walk = self._walk(header, count_bits, keeps=count_bits)
    mask = walk.write_mask(roi)
    z = None
    if steps:
      y, z = refinement.refine(
        self.programs,
        image,
        None if roi is None else np.maximum(roi, header.background),
        y,
        pooled,
        quality=header.quality,
        lmbda=self.trade_off(header.quality),
        steps=steps,
        mask=walk.mask,
        progress=_part(progress, analysed, refined),
      )
    with Encoding(walk, y, pooled, z) as direction:
      walk.run(direction, _part(progress, refined, 1.0))
    data = container.write(
      container.Container(
        header=header,
        boundary=tuple(direction.boundary),
        streams=tuple(direction.streams),
        symbols_crc=walk.symbols_crc,
        boxes=tuple(boxes),
        mask=mask,
      )
    )
    return data, header, walk, len(direction.boundary)

  def _header(self, image, quality, background) -> container.Header:
    quality = self.default_quality if quality is None else quality
    if not 0 <= quality <= self.max_quality:
      raise ConfigError(
        f"quality {quality:g} is outside 0 to {self.max_quality:g}, "
        "the range of these weights"
      )
    return container.Header(
      fingerprint=self.weights.fingerprint,
      width=image.shape[1],
      height=image.shape[0],
      quality_code=container.quantize_quality(quality),
      background_code=container.quantize_background(background),
      grey=image.ndim == 2,
      rounded=self.programs.outline.order.reads_far_back,
    )

  def _walk(
    self, header: container.Header, count_bits: bool, keeps: bool = True
  ) -> Walk:
    return Walk(
      self.programs,
      self.weights.z_tables,
      self._y_tables,
      (header.height, header.width),
      rounded=header.rounded,
      count_bits=count_bits,
      keeps=keeps,
    )

  def decompress(
    self,
    data: bytes,
    *,
    max_pixels: int = container.MAX_PIXELS,
    progress: Progress | None = None,
  ) -> np.ndarray:
    """Decodes a file.

    Args:
      data: the content of a `.roij` file made with these weights.
      max_pixels: a file that claims more is refused before any work.
      progress: called with the share that is done; for large photos.

    Returns:
      The photo, uint8 [H, W, 3], or [H, W] if it is grey.

    Raises:
      BitstreamError: not such a file, damaged, too large, made with other
        weights, or this machine computes other tables than the encoder's did.
    """
    found = container.read(data)
    header = found.header
    walk = self._decode(
      found, max_pixels=max_pixels, progress=_part(progress, 0.0, 0.5)
    )
    assert walk.h is not None
    dims = (header.height, header.width)
    return tiling.synthesise(
      self.programs,
      walk.y_hat,
      walk.h,
      _quality(header),
      dims if header.grey else (*dims, 3),
      _part(progress, 0.5, 1.0),
      walk.mask,
    )

  def measure_cells(
    self, data: bytes, *, max_pixels: int = container.MAX_PIXELS
  ) -> np.ndarray:
    """Where the bits of a file are; see `Encoded.cells`.

    Raises:
      BitstreamError: as `decompress`.
    """
    found = container.read(data)
    walk = self._decode(found, max_pixels=max_pixels, count_bits=True)
    assert walk.cells is not None
    return walk.cells

  def split_bits(
    self, cells: np.ndarray, roi: np.ndarray
  ) -> tuple[float, float]:
    """Bits inside and outside a region, by the mask's mean over each cell.

    Args:
      cells: bits, as `Encoded.cells`.
      roi: float [H, W] in [0, 1], of the photo's size.
    """
    inside = float((cells * tiling.pool_map(roi)).sum())
    return inside, float(cells.sum()) - inside

  def _decode(self, found, *, max_pixels, count_bits=False, progress=None):
    header = found.header
    if header.fingerprint != self.weights.fingerprint:
      raise BitstreamError(
        f"made with weights {header.fingerprint.hex()}, these are "
        f"{self.weights.fingerprint.hex()}: give the checkpoint that made it"
      )
    if header.quality > self.max_quality:
      raise BitstreamError(
        f"quality {header.quality:g} is beyond these weights' "
        f"{self.max_quality:g}: the file is damaged"
      )
    checks.check_pixels(header, max_pixels)
    walk = self._walk(header, count_bits)
    walk.read_mask(found.mask)
    direction = Decoding(walk, found)
    try:
      walk.run(direction, progress)
    except BitstreamError as error:
      # The checksum was right: what fails now is no damage on the way here.
      raise BitstreamError(f"{DISAGREEMENT} ({error})") from error
    direction.close(found.symbols_crc)
    return walk


def _part(progress: Progress | None, low: float, high: float):
  """The progress of a part of the work."""
  if progress is None:
    return None
  return lambda share: progress(low + share * (high - low))


def _quality(header) -> np.ndarray:
  return np.asarray([header.quality], np.float32)
