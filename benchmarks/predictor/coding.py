"""What a guessed region is worth: decibels inside the true one, real files."""

from collections.abc import Sequence

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.predictor.guesses import make_guesses
from roijax.codec import Codec
from roijax.data.photo import Source
from roijax.errors import RoijaxError
from roijax.evaluation.prediction import judged_photos
from roijax.evaluation.progress import PhotoProgress
from roijax.evaluation.rate_distortion import default_qualities
from roijax.metrics.bd_rate import bd_psnr
from roijax.metrics.psnr import psnr, psnr_roi
from roijax.predictor import Predictor
from roijax.roi.similarity import tidy_mask

# Photos that are nearly all region, or have nearly none, show nothing.
SHARES = (0.02, 0.8)


def measure(
  predictor: Predictor,
  source: Source,
  checkpoint: str,
  limit: int,
  background: float,
) -> dict:
  """Codes photos with every guess, the true region and none.

  Args:
    predictor: the predictor.
    source: annotated photos.
    checkpoint: the codec's weights.
    limit: how many photos with a region of middling size.
    background: the importance outside the region.

  Returns:
    `rows`, one a mask and quality, means over photos; each mask's `gain`, in
    decibels inside the true region at the bits of an ordinary coding (BD-PSNR,
    mean over photos); and how many photos had an `empty` guess.
  """
  codec = Codec.load(checkpoint)
  qualities = default_qualities(codec.max_quality)
  photos = [
    (photo, truth)
    for photo, truth in judged_photos(source)
    if SHARES[0] <= truth.mean() <= SHARES[1]
  ][:limit]
  figures, empty = {}, {}
  with PhotoProgress(len(photos)) as progress:
    for photo, truth in photos:
      for name, mask in _draw_masks(predictor, photo["image"], truth).items():
        if mask is not None and not mask.any():
          # What a person would then do.
          mask, empty[name] = None, empty.get(name, 0) + 1
        curve = _code(codec, photo["image"], truth, mask, qualities, background)
        figures.setdefault(name, []).append(curve)
      progress(photo["name"])
  return {
    "codec": codec.weights.fingerprint.hex(),
    "photos": len(photos),
    "background": background,
    "empty": empty,
    "rows": _summarise(figures, qualities),
  }


def _draw_masks(predictor, image, truth) -> dict[str, np.ndarray | None]:
  masks: dict[str, np.ndarray | None] = {"truth": truth}
  for guess, settings in make_guesses(predictor).values():
    soft = guess(image)
    for name, threshold in settings.items():
      # Saliency's weights are soft by nature, and coded as they are.
      mask = soft if name == "saliency" else soft >= threshold
      masks[name] = tidy_mask(mask) if name.startswith("auto") else mask
  return {**masks, "none": None}


def _code(codec, image, truth, mask, qualities, background) -> np.ndarray:
  """Bits a pixel, ROI-PSNR and PSNR, one row a quality."""
  roi = None if mask is None else mask.astype(np.float32)
  true = truth.astype(np.float32)
  rows = []
  for quality in qualities:
    data = codec.compress(image, roi, quality=quality, background=background)
    back = codec.decompress(data)
    bpp = 8 * len(data) / truth.size
    rows.append((bpp, psnr_roi(image, back, true), psnr(image, back)))
  return np.array(rows)


def _summarise(figures, qualities) -> list[dict]:
  rows = []
  for name, curves in figures.items():
    means = np.mean(curves, axis=0)
    gains = [
      _gain(plain, curve)
      for plain, curve in zip(figures["none"], curves, strict=True)
    ]
    for quality, (bpp, inside, whole) in zip(qualities, means, strict=True):
      rows.append(
        {
          "mask": name,
          "quality": quality,
          "bpp": round(float(bpp), 4),
          "psnr_roi": round(float(inside), 3),
          "psnr": round(float(whole), 3),
          "gain": round(float(np.nanmean(gains)), 3),
        }
      )
  return rows


def _gain(plain: np.ndarray, curve: np.ndarray) -> float:
  """BD-PSNR inside the region; NaN where the curves share no rates."""
  try:
    return bd_psnr(plain[:, 0], plain[:, 1], curve[:, 0], curve[:, 1])
  except RoijaxError:
    return float("nan")


def print_rows(rows: Sequence[dict]) -> None:
  """Prints the table: a line a mask, a pair of figures a quality."""
  qualities = sorted({row["quality"] for row in rows})
  table = Table("mask", "gain, dB")
  for quality in qualities:
    table.add_column(f"bpp at {quality:g}", justify="right")
    table.add_column("ROI-PSNR", justify="right")
  for name in dict.fromkeys(row["mask"] for row in rows):
    own = [row for row in rows if row["mask"] == name]
    cells = [
      text
      for row in own
      for text in (f"{row['bpp']:.3f}", f"{row['psnr_roi']:.2f}")
    ]
    table.add_row(name, f"{own[0]['gain']:+.2f}", *cells)
  Console(width=140).print(table)
