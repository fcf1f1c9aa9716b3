"""Intersection over union of each guess, and what the predictor sees."""

import pathlib
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw
from rich.console import Console
from rich.table import Table

from benchmarks.predictor.guesses import make_guesses
from roijax.data.photo import Source
from roijax.evaluation.prediction import judge, judged_photos, mean_ious
from roijax.predictor import Predictor
from roijax.roi.predictor import THRESHOLD
from roijax.roi.preview import draw_preview

THRESHOLDS = tuple(round(0.05 * i, 2) for i in range(1, 20))
# The sheet: the worst photos of all, and those around the best quarter.
SHOWN = 6
SUCCESSES = 0.75
CELL = 300
TITLE = 16


def measure(predictor: Predictor, source: Source) -> dict:
  """All guesses on all photos.

  Args:
    predictor: the predictor.
    source: annotated photos.

  Returns:
    `rows`, one a guess and setting: mIoU there, and the guess's best threshold
    on these photos with its mIoU; and `photos`, the predictor's IoU at its own
    threshold.
  """
  rows, photos = [], {}
  for name, (guess, settings) in make_guesses(predictor).items():
    thresholds = (*THRESHOLDS, *settings.values())
    agreements = judge(guess, source, thresholds)
    means = mean_ious(agreements)
    best = int(np.argmax(means))
    for i, setting in enumerate(settings):
      rows.append(
        {
          "guess": name,
          "setting": setting,
          "miou": round(float(means[len(THRESHOLDS) + i]), 4),
          "best_threshold": thresholds[best],
          "best_miou": round(float(means[best]), 4),
        }
      )
    if guess is predictor:
      place = thresholds.index(THRESHOLD)
      photos = {a.name: round(a.ious[place], 4) for a in agreements}
  return {"rows": rows, "photos": photos}


def print_rows(rows: Sequence[dict]) -> None:
  """Prints the table."""
  table = Table("setting", "mIoU", "best threshold", "mIoU there")
  for row in rows:
    table.add_row(
      row["setting"],
      f"{row['miou']:.3f}",
      f"{row['best_threshold']:.2f}",
      f"{row['best_miou']:.3f}",
    )
  Console(width=100).print(table)


def draw_sheet(
  predictor: Predictor, source: Source, ious: dict[str, float], out
) -> None:
  """Writes `sheet.png`: photo, truth and prediction of failures, successes.

  Args:
    predictor: the predictor.
    source: annotated photos.
    ious: how well each photo was predicted, by name.
    out: the folder.
  """
  order = sorted(ious, key=ious.__getitem__)
  place = min(int(SUCCESSES * len(order)), max(0, len(order) - SHOWN))
  columns = order[:SHOWN], order[place : place + SHOWN]
  wanted = {name: None for column in columns for name in column}
  for photo, truth in judged_photos(source):
    if photo["name"] in wanted:
      likely = predictor(photo["image"])
      wanted[photo["name"]] = _draw_row(photo, truth, likely, ious)
  stacked = [np.concatenate([wanted[n] for n in column]) for column in columns]
  height = max(column.shape[0] for column in stacked)
  stacked = [
    np.pad(c, ((0, height - c.shape[0]), (0, 12), (0, 0)), constant_values=255)
    for c in stacked
  ]
  path = pathlib.Path(out) / "sheet.png"
  path.parent.mkdir(parents=True, exist_ok=True)
  Image.fromarray(np.concatenate(stacked, axis=1)).save(path)
  print(f"failures (left) and successes (right): {path}")


def _draw_row(photo, truth, likely, ious) -> np.ndarray:
  maps = truth, likely >= THRESHOLD
  pictures = [photo["image"]] + [
    draw_preview(photo["image"], inside.astype(np.float32)) for inside in maps
  ]
  soft = np.uint8(255 * likely)
  pictures.append(np.repeat(soft[..., None], 3, axis=2))
  cells = []
  for picture in pictures:
    cell = Image.new("RGB", (CELL, CELL * 3 // 4 + TITLE), "white")
    image = Image.fromarray(picture)
    image.thumbnail((CELL - 6, CELL * 3 // 4))
    cell.paste(image, (0, TITLE))
    cells.append(cell)
  name = photo["name"]
  ImageDraw.Draw(cells[0]).text(
    (0, 2), f"{name}  IoU {ious[name]:.2f}", "black"
  )
  for cell, title in zip(
    cells[1:], ("truth", "auto", "probability"), strict=True
  ):
    ImageDraw.Draw(cell).text((0, 2), title, "black")
  return np.concatenate([np.asarray(cell) for cell in cells], axis=1)
