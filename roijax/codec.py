"""Weights, a photo and a mask in; a `.roij` file out; and back.

    photo, roi --analyse--> y, z --round--> z symbols -----------> file
                                              |
                            hyper_synthesise, float64 on the CPU
                                              |
    for each pass: tables_at(h, y_hat) --> table of each latent
                   round(y - mean) ------> y symbols ------------> file

The decoder walks the same passes (`_Walk`): one table that differs ruins all
that follows. Where each part runs is told in `programs`.
"""

import dataclasses
import functools
import os
from collections.abc import Callable

import numpy as np

from roijax.coding import coder, container, tables
from roijax.errors import BitstreamError, ConfigError, DataError
from roijax.executables import Executables
from roijax.models.flow import Flow
from roijax.models.registry import build_model
from roijax.ops.padding import padded_size
from roijax.programs import Programs, cache_folder, use_compilation_cache
from roijax.weights.archive import Weights, load_weights

DEFAULT_BACKGROUND = 0.25
_STRIDE = 16
_SYMBOL_MAX = 2**30


@dataclasses.dataclass(frozen=True)
class Encoded:
  """A compressed photo and where its bits went.

  Attributes:
    data: the file.
    header: what the file says of itself.
    bits_tables: bits of all symbols by the integer tables.
    bits_roi: table bits inside the region of interest; z's are spread evenly.
    bits_bg: table bits outside it.
    boundary: how many close calls the file lists.
    estimate: computes `bits_likelihood`.
  """

  data: bytes
  header: container.Header
  bits_tables: float
  bits_roi: float
  bits_bg: float
  boundary: int
  estimate: Callable[[], float] = dataclasses.field(repr=False)

  @functools.cached_property
  def bits_likelihood(self) -> float:
    """Bits of the same symbols by the float likelihoods.

    Computed when first asked for: it takes a program of its own.
    """
    return self.estimate()


class _Walk:
  """One photo's symbols, pass by pass; the same for both directions.

  `exchange(ordinal, mean, indexes, close, place)` is the direction: it takes
  or gives the symbols of a pass.
  """

  def __init__(self, codec: "Codec", z_hat: np.ndarray):
    self.codec = codec
    self.h = codec.programs.hyper_synthesise(z_hat)
    height, width = self.h.shape[1:3]
    self.y_hat = np.zeros((1, height, width, codec.model.latent_channels))

  def run(self, exchange: Callable) -> None:
    """Walks the passes in order; fills `y_hat`."""
    height, width = self.h.shape[1:3]
    for one in self.codec.model.passes(height, width):
      mean, indexes, close = self.codec.programs.tables_at(
        self.h, self.y_hat, one
      )
      real = slice(one.count)
      place = (
        0,
        one.rows[real, None],
        one.columns[real, None],
        np.arange(*one.channels)[None],
      )
      symbols = exchange(mean, indexes, close, place)
      self.y_hat[place] = symbols + mean


class Codec:
  """Compresses photos with one set of weights.

  Attributes:
    weights: what it was made of.
    model: the flow.
    programs: its methods, compiled.
    lmbdas: the trade-off of each rate.
  """

  def __init__(self, weights: Weights, executables: Executables | None = None):
    """Takes loaded weights; `Codec.load` reads a file."""
    self.weights = weights
    self.model = build_model(weights.system, weights.model)
    self.lmbdas = tuple(weights.model["lmbdas"])
    self.programs = Programs(self.model, weights.params, executables)
    self._y_tables = tables.load_tables()

  @classmethod
  def load(
    cls, path: str | os.PathLike, *, keep_programs: bool = False
  ) -> "Codec":
    """Reads weights from a training run's folder, or from a `model.npz`.

    Args:
      path: the folder or the file.
      keep_programs: keep compiled programs in the user's cache folder, so
        that a new process starts coding a second sooner.

    Raises:
      CheckpointError: missing or damaged.
    """
    weights = load_weights(path)
    if not keep_programs:
      use_compilation_cache()
      return cls(weights)
    # Programs take the weights as arguments: one model, many trainings.
    identity = f"{weights.system} {sorted(weights.model.items())}"
    return cls(weights, Executables(cache_folder() / "programs", identity))

  @property
  def max_quality(self) -> float:
    """The finest quality; qualities are floats in [0, max_quality]."""
    return float(len(self.lmbdas) - 1)

  @property
  def default_quality(self) -> float:
    """The middle of the range."""
    return self.max_quality / 2

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
    )

  def _latents(self, image, roi, header):
    """Float32 y and z of a padded photo, on the host."""
    height, width = image.shape[:2]
    rows, columns = padded_size(height, width, Flow.STRIDE)
    pads = ((0, rows - height), (0, columns - width), (0, 0))
    x = np.pad(image.astype(np.float32) / 255, pads, mode="edge")
    importance = np.maximum(roi, header.background)[..., None]
    importance = np.pad(importance.astype(np.float32), pads, mode="edge")
    y, z = self.programs.analyse(x[None], importance[None], _quality(header))
    if not (np.isfinite(y).all() and np.isfinite(z).all()):
      raise DataError(
        "the analysis transform gave values that are not finite: these "
        "weights are broken, use another checkpoint"
      )
    return y, z

  def compress(
    self,
    image: np.ndarray,
    roi: np.ndarray | None = None,
    *,
    quality: float | None = None,
    background: float = DEFAULT_BACKGROUND,
  ) -> bytes:
    """Codes a photo.

    Args:
      image: uint8 [H, W, 3], RGB.
      roi: float [H, W] in [0, 1]; None is an ordinary codec (all ones).
      quality: in [0, max_quality]; the middle by default.
      background: importance outside the region, in (0, 1].

    Returns:
      The content of a `.roij` file.

    Raises:
      DataError: an image or a map of the wrong kind.
      ConfigError: a quality or background out of range.
    """
    return self._encode(image, roi, quality, background)[0]

  def compress_detailed(
    self,
    image: np.ndarray,
    roi: np.ndarray | None = None,
    *,
    quality: float | None = None,
    background: float = DEFAULT_BACKGROUND,
  ) -> Encoded:
    """`compress`, with an account of the bits; see `Encoded`."""
    data, header, walk, z, bits_y, bits_z, boundary = self._encode(
      image, roi, quality, background
    )
    y_hat = walk.y_hat.astype(np.float32)
    inside = _pool(_as_roi(roi, image), *bits_y.shape)
    share = inside.mean()
    bits_roi = float((bits_y * inside).sum() + bits_z * share)
    total = float(bits_y.sum() + bits_z)
    return Encoded(
      data,
      header,
      total,
      bits_roi,
      total - bits_roi,
      boundary,
      lambda: self.programs.estimate_bits(z, y_hat),
    )

  def _encode(self, image, roi, quality, background):
    roi = _as_roi(roi, image)
    header = self._header(image, quality, background)
    y, z = self._latents(image, roi, header)
    z_symbols = _to_symbols(z)
    encoder = coder.Encoder()
    channels = _channel_indexes(z_symbols.shape)
    encoder.encode(z_symbols.ravel(), channels, self.weights.z_tables)
    bits_z = self.weights.z_tables.bits(z_symbols.ravel(), channels).sum()
    walk = _Walk(self, z_symbols)
    written, boundary = [z_symbols], []
    bits_y = np.zeros(y.shape[1:3])
    ordinal = z_symbols.size

    def exchange(mean, indexes, close, place):
      nonlocal ordinal
      symbols = _to_symbols(y[place] - mean)
      flat = indexes.ravel()
      encoder.encode(symbols.ravel(), flat, self._y_tables)
      boundary.extend(
        (ordinal + int(i), int(flat[i])) for i in np.flatnonzero(close)
      )
      ordinal += flat.size
      written.append(symbols)
      bits = self._y_tables.bits(symbols, indexes).sum(axis=1)
      bits_y[place[1][:, 0], place[2][:, 0]] += bits
      return symbols

    walk.run(exchange)
    data = container.write(
      container.Container(
        header=header,
        boundary=tuple(boundary),
        payload=encoder.finish(),
        symbols_crc=container.symbols_crc(written),
      )
    )
    z_hat = z_symbols.astype(np.float32)
    return data, header, walk, z_hat, bits_y, bits_z, len(boundary)

  def decompress(self, data: bytes) -> np.ndarray:
    """Decodes a file.

    Args:
      data: the content of a `.roij` file made with these weights.

    Returns:
      The photo, uint8 [H, W, 3].

    Raises:
      BitstreamError: not such a file, damaged, made with other weights, or
        this machine computes other tables than the encoder's did.
    """
    found = container.read(data)
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
    z_symbols, y_hat = self._decode(found)
    x_hat = self.programs.synthesise(
      y_hat.astype(np.float32),
      z_symbols.astype(np.float32),
      _quality(header),
    )
    pixels = x_hat[0, : header.height, : header.width]
    return np.round(np.clip(pixels, 0, 1) * 255).astype(np.uint8)

  def _decode(self, found):
    """Symbols of z, and y_hat in float64."""
    header = found.header
    rows, columns = padded_size(header.height, header.width, Flow.STRIDE)
    dims = (
      1,
      rows // Flow.STRIDE,
      columns // Flow.STRIDE,
      len(self.weights.z_tables),
    )
    decoder = coder.Decoder(found.payload)
    z_symbols = decoder.decode(
      _channel_indexes(dims), self.weights.z_tables
    ).reshape(dims)
    taken = dict(found.boundary)
    if any(index >= len(self._y_tables) for index in taken.values()):
      raise BitstreamError("the file is damaged: a close call names no table")
    read = [z_symbols]
    ordinal = z_symbols.size

    def exchange(mean, indexes, close, place):
      del close, place
      nonlocal ordinal
      flat = indexes.ravel()
      for position in [p for p in taken if ordinal <= p < ordinal + flat.size]:
        flat[position - ordinal] = taken.pop(position)
      ordinal += flat.size
      symbols = decoder.decode(flat, self._y_tables).reshape(mean.shape)
      read.append(symbols)
      return symbols

    walk = _Walk(self, z_symbols)
    walk.run(exchange)
    if taken:
      raise BitstreamError("the file is damaged: a close call has no place")
    decoder.finish()
    if container.symbols_crc(read) != found.symbols_crc:
      raise BitstreamError(
        "the file is whole, but this machine computes other coding tables "
        "than the one that made it; please report both"
      )
    return z_symbols, walk.y_hat


def _quality(header) -> np.ndarray:
  return np.asarray([header.quality], np.float32)


def _to_symbols(values: np.ndarray) -> np.ndarray:
  return np.clip(np.round(values), -_SYMBOL_MAX, _SYMBOL_MAX).astype(np.int32)


def _channel_indexes(dims) -> np.ndarray:
  return np.broadcast_to(np.arange(dims[-1], dtype=np.int32), dims).ravel()


def _as_roi(roi, image) -> np.ndarray:
  if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
    raise DataError(
      f"an image must be uint8 [H, W, 3], not {image.dtype} {list(image.shape)}"
    )
  if roi is None:
    return np.ones(image.shape[:2], np.float32)
  roi = np.asarray(roi, np.float32)
  if roi.shape != image.shape[:2]:
    raise DataError(
      f"the roi map is {list(roi.shape)}, the image {list(image.shape[:2])}: "
      "they must be of one size"
    )
  if not (roi.min() >= 0 and roi.max() <= 1):
    raise DataError("roi values must lie in 0 to 1")
  return roi


def _pool(roi: np.ndarray, *dims: int) -> np.ndarray:
  """Mean of the padded map over each latent's cell."""
  pads = [
    (0, size * _STRIDE - side)
    for size, side in zip(dims, roi.shape, strict=True)
  ]
  padded = np.pad(roi, pads, mode="edge")
  cells = padded.reshape(dims[0], _STRIDE, dims[1], _STRIDE)
  return cells.mean(axis=(1, 3))
