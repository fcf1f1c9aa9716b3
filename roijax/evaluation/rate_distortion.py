"""Codes photos at several qualities and measures what comes back.

Every figure is of the file: the rate is its size, and the reconstruction is
decoded from its bytes.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, cast

import numpy as np

from roijax.coding import container
from roijax.data.photo import Photo
from roijax.errors import ConfigError
from roijax.evaluation import classical, search
from roijax.evaluation.rows import COLUMNS, LPIPS, OURS, Codec, Row
from roijax.metrics import ms_ssim as ms_ssim_metric
from roijax.metrics import psnr as psnr_metric

UNIFORM = "uniform"
ANCHORS = (UNIFORM, *classical.CODECS)
Look = Callable[[np.ndarray, np.ndarray], float]
DETAILS = ("bits_tables", "bits_likelihood", "bits_roi", "bits_bg")


def default_qualities(max_quality: float, count: int = 4) -> list[float]:
  """Evenly spaced qualities over a checkpoint's range, ends included.

  Four, as a Bjontegaard difference needs; fewer where the range has fewer
  steps, and the one quality of a checkpoint without gain units.
  """
  steps = np.linspace(0, max_quality, count) / search.QUALITY_STEP
  return sorted({float(code) * search.QUALITY_STEP for code in steps // 1})


def check_settings(
  max_quality: float,
  qualities: Sequence[float],
  background: float,
  anchors: Sequence[str],
) -> None:
  """Refuses settings that would fail after photos have been coded.

  Raises:
    ConfigError: a quality outside [0, max_quality], a background level outside
      (0, 1], or an anchor that does not exist.
  """
  for quality in qualities:
    if not 0 <= quality <= max_quality:
      raise ConfigError(
        f"quality {quality:g} is outside this checkpoint's range, 0 to"
        f" {max_quality:g}"
      )
  if not qualities:
    raise ConfigError("no quality to evaluate: name at least one")
  if not 0 < background <= 1:
    raise ConfigError(
      f"background level {background:g} is outside (0, 1]; 1 is an ordinary"
      " codec"
    )
  for anchor in anchors:
    if anchor not in ANCHORS:
      raise ConfigError(
        f"no anchor {anchor!r}: choose from {', '.join(ANCHORS)}"
      )


def evaluate(
  codec: Codec,
  photos: Iterable[Photo],
  *,
  qualities: Sequence[float] | None = None,
  background: float = container.DEFAULT_BACKGROUND,
  use_roi: bool = True,
  anchors: Sequence[str] = (),
  detailed: bool = False,
  effort: int = 0,
  look: Look | None = None,
  progress: Callable[[str], None] | None = None,
) -> list[Row]:
  """Codes every photo at every quality, and rivals at the same bytes.

  A photo without annotation, or whose map is zero everywhere, is coded as by
  an ordinary codec and has no ROI figures.

  Args:
    codec: a loaded `roijax.codec.Codec`.
    photos: each with `image` uint8 [H, W, 3], `roi` float [H, W] in [0, 1] or
      None, and `name`.
    qualities: in [0, codec.max_quality]; None for `default_qualities`.
    background: the importance of the background, in (0, 1].
    use_roi: False codes without the map, and still measures inside it.
    anchors: rivals, from `ANCHORS`; `uniform` is this codec without the map.
    detailed: also record the bits that tables and likelihood foretell, and
      where they went; the encoder's seconds then include that accounting.
    effort: how long our encoder looks for a better file.
    look: measures LPIPS, from `lpips.make_lpips`.
    progress: called with a photo's name when it is done.

  Returns:
    Rows in the order photo, quality, `roijax` before its rivals.

  Raises:
    ConfigError: see `check_settings`.
  """
  if qualities is None:
    qualities = default_qualities(codec.max_quality)
  check_settings(codec.max_quality, qualities, background, anchors)
  seen: set[tuple] = set()
  rows: list[Row] = []
  for photo in photos:
    for quality in qualities:
      ours = _evaluate_ours(
        codec, photo, quality, background, use_roi, detailed, effort, seen, look
      )
      rows.append(ours)
      for anchor in anchors:
        rows.append(_evaluate_anchor(anchor, codec, photo, ours, seen, look))
    if progress is not None:
      progress(photo["name"])
  return rows


def match_bytes(
  codec: Codec,
  image: np.ndarray,
  roi: np.ndarray | None,
  target: int,
  *,
  background: float = container.DEFAULT_BACKGROUND,
  tolerance: float = 0.005,
) -> tuple[float, bytes]:
  """Codes a photo at the quality whose file is nearest to `target` bytes.

  Args:
    codec: a loaded codec.
    image: uint8 [H, W, 3].
    roi: the map [H, W], or None for an ordinary codec.
    target: the wanted size in bytes.
    background: the importance of the background.
    tolerance: how near, as a share of the target, ends the search early.

  Returns:
    The quality and the file; its size says how near the codec could get.
  """
  return search.quality_for_bytes(
    lambda quality: codec.compress(
      image, roi, quality=quality, background=background
    ),
    codec.max_quality,
    target,
    tolerance=tolerance,
  )


def measure(
  image: np.ndarray, x_hat: np.ndarray, roi: np.ndarray | None
) -> dict[str, Any]:
  """The distortion columns of a `Row` for one reconstruction."""
  if roi is None:
    inside = outside = mse = pixels = None
    weighted = psnr_metric.psnr(image, x_hat)
  else:
    mask = psnr_metric.region(roi)
    mse = psnr_metric.mse_within(image, x_hat, mask)
    inside = None if mse is None else psnr_metric.decibels(mse)
    outside = psnr_metric.psnr_bg(image, x_hat, roi)
    weighted = psnr_metric.psnr_weighted(image, x_hat, roi)
    pixels = int(mask.sum())
  return {
    "roi_pixels": pixels,
    "psnr": psnr_metric.psnr(image, x_hat),
    "psnr_roi": inside,
    "psnr_bg": outside,
    "psnr_weighted": weighted,
    "ms_ssim": ms_ssim_metric.ms_ssim(image, x_hat),
    "mse_roi": mse,
  }


class _RoundTrip(NamedTuple):
  """A file, what it decodes to, and the wall seconds of both."""

  encoded: Any
  data: bytes
  x_hat: np.ndarray
  encode_s: float
  decode_s: float


def _round_trip(encode: Callable[[], Any], decode) -> _RoundTrip:
  """Codes to bytes (or to an object with `data`) and decodes from them."""
  start = time.perf_counter()
  encoded = encode()
  middle = time.perf_counter()
  data = encoded if isinstance(encoded, bytes) else encoded.data
  x_hat = decode(data)
  end = time.perf_counter()
  return _RoundTrip(encoded, data, x_hat, middle - start, end - middle)


def _evaluate_ours(
  codec, photo, quality, background, use_roi, detailed, effort, seen, look
) -> Row:
  image, roi = photo["image"], photo["roi"]
  coded = roi if use_roi and roi is not None and np.any(roi) else None
  compress = codec.compress_detailed if detailed else codec.compress
  trip = _round_trip(
    lambda: compress(
      image, coded, quality=quality, background=background, effort=effort
    ),
    codec.decompress,
  )
  bits = {
    name: float(getattr(trip.encoded, name)) for name in DETAILS if detailed
  }
  return _row(
    photo,
    OURS,
    trip,
    seen,
    look,
    quality=quality,
    background=background,
    container_bytes=_container_bytes(trip.data),
    **bits,
  )


def _evaluate_anchor(anchor, codec, photo, ours: Row, seen, look) -> Row:
  """One rival at the bytes of one of our rows.

  The setting is searched first and coded once more, so that the seconds are of
  one encode.
  """
  image, budget = photo["image"], ours["bytes"]
  if anchor == UNIFORM:
    setting, _ = match_bytes(codec, image, None, budget)
    trip = _round_trip(
      lambda: codec.compress(image, None, quality=setting), codec.decompress
    )
  else:
    setting, _ = classical.encode_within(anchor, image, budget)
    rival = classical.CODECS[anchor]
    trip = _round_trip(lambda: rival.encode(image, setting), rival.decode)
  return _row(
    photo, anchor, trip, seen, look, quality=ours["quality"], budget=budget
  )


def _row(
  photo, codec_name: str, trip: _RoundTrip, seen, look, **columns
) -> Row:
  height, width = photo["image"].shape[:2]
  size = (codec_name, height, width)
  first_call = size not in seen
  seen.add(size)
  known = {
    "name": photo["name"],
    "codec": codec_name,
    "width": width,
    "height": height,
    "bytes": len(trip.data),
    "bpp": 8 * len(trip.data) / (height * width),
    "encode_s": trip.encode_s,
    "decode_s": trip.decode_s,
    "first_call": first_call,
    **measure(photo["image"], trip.x_hat, photo["roi"]),
    **columns,
  }
  row = {column: known.get(column) for column in COLUMNS}
  if look is not None:
    row[LPIPS] = look(photo["image"], trip.x_hat)
  return cast(Row, row)


def training_loss(
  rows: Sequence[Row], photos: Sequence[Photo], lmbdas: Sequence[float]
) -> float:
  """The mean of what training minimises, `lmbda 255^2 mse_w + bpp`, of files.

  Args:
    rows: of codings at whole qualities and a background level of 1/4, whose
      square weighs the background in the weighted PSNR too.
    photos: those that were coded, each with its region.
    lmbdas: the trade-off of each quality.
  """
  share = {}
  for photo in photos:
    inside = psnr_metric.region(cast(np.ndarray, photo["roi"]))
    weight = np.where(inside, 1.0, psnr_metric.BACKGROUND_WEIGHT)
    share[photo["name"]] = float(weight.mean())
  losses = []
  for row in rows:
    # The weighted PSNR divides by the weights' sum, training by the pixels.
    mse = 10 ** (-row["psnr_weighted"] / 10) * share[row["name"]]
    losses.append(lmbdas[int(row["quality"])] * 255**2 * mse + row["bpp"])
  return float(np.mean(losses))


def _container_bytes(data: bytes) -> int | None:
  """Bytes of a `.roij` file beside its payload; None for another format."""
  if not data.startswith(container.MAGIC):
    return None
  return len(data) - container.read(data).coded_bytes
