"""A sheet as one PNG, a column a codec.

    original        codec         codec          ...
    the region      its bits      its bits
    first crop      the same      the same
    second crop     the same      the same

Photos are drawn at a column's width, crops in whole multiples of their pixels.
"""

import io
import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from roijax import files
from roijax.evaluation import bits_map
from roijax.evaluation.sheet.columns import Sheet

# Pixels. Crops of 120 fit four, or three times.
WIDE, NARROW = 480, 360
MANY_COLUMNS = 6
TALLEST = 1.5
GAP = 20
TITLE, NAME, TEXT = 26, 20, 16
NARROW_TEXT = 14
LINE = 22
INK, PALE = (20, 20, 20), (105, 105, 105)
OUTLINE = (255, 255, 255)


class Cell(NamedTuple):
  """One picture and what stands above it.

  Attributes:
    picture: uint8 [h, w, 3]; None leaves the place empty.
    name: a line in larger letters; may be empty.
    lines: more lines.
    top: draw the key of colours to so many bits a pixel; None draws none.
  """

  picture: np.ndarray | None = None
  name: str = ""
  lines: tuple[str, ...] = ()
  top: float | None = None

  @property
  def head(self) -> int:
    """The height of what stands above the picture."""
    lines = len(self.lines) + (self.top is not None)
    return (NAME + 8 if self.name else 0) + LINE * lines + 4

  @property
  def height(self) -> int:
    """Of all, in pixels."""
    return self.head + (0 if self.picture is None else len(self.picture))


def write_png(
  path: str | os.PathLike, sheets: Sequence[Sheet], subtitle: str
) -> None:
  """Draws sheets below each other.

  Args:
    path: the PNG to write.
    sheets: measured; all of the same contenders.
    subtitle: what they have in common, beside each photo's name.

  Raises:
    RoijaxError: the file cannot be written.
  """
  drawn = [draw_sheet(sheet, subtitle) for sheet in sheets]
  width = max(part.width for part in drawn)
  canvas = Image.new("RGB", (width, sum(p.height for p in drawn)), "white")
  y = 0
  for part in drawn:
    canvas.paste(part, (0, y))
    y += part.height
  stream = io.BytesIO()
  canvas.save(stream, "PNG")
  files.write_whole(path, stream.getvalue())


def draw_sheet(sheet: Sheet, subtitle: str) -> Image.Image:
  """Draws one photo's sheet.

  Args:
    sheet: measured.
    subtitle: stands behind the photo's name and size.
  """
  count = len(sheet.columns) + 1
  panel = NARROW if count >= MANY_COLUMNS else WIDE
  rows = _make_rows(sheet, panel)
  heights = [max(cell.height for cell in row) + GAP for row in rows]
  head = TITLE + GAP
  width = count * (panel + GAP) + GAP
  canvas = Image.new("RGB", (width, GAP + head + sum(heights)), "white")
  pen = ImageDraw.Draw(canvas)
  title = f"{sheet.name}, {sheet.image.shape[1]}x{sheet.image.shape[0]}"
  _write(pen, (GAP, GAP), title, TITLE, INK, 0.6 * width)
  left = 2 * GAP + min(pen.textlength(title, _font(TITLE)), 0.6 * width)
  place = (left, GAP + TITLE - NAME)
  _write(pen, place, subtitle, NAME, PALE, width - left - GAP)
  y = GAP + head
  for row, height in zip(rows, heights, strict=True):
    above = max(cell.head for cell in row)
    for i, cell in enumerate(row):
      corner = (GAP + i * (panel + GAP), y)
      _draw_cell(canvas, pen, cell, corner, above, panel)
    y += height
  return canvas


def fit_picture(image: np.ndarray, width: int) -> np.ndarray:
  """Scales a picture to a column: whole multiples, or smoothly down.

  Args:
    image: uint8 [H, W, 3].
    width: of the column.
  """
  tall, wide = image.shape[:2]
  factor = min(width / wide, TALLEST * width / tall)
  if factor >= 1:
    return image.repeat(int(factor), 0).repeat(int(factor), 1)
  size = max(1, round(wide * factor)), max(1, round(tall * factor))
  shrunk = Image.fromarray(image).resize(size, Image.Resampling.LANCZOS)
  return np.asarray(shrunk)


def draw_region(sheet: Sheet, width: int) -> np.ndarray:
  """Draws the region, with a numbered frame around each crop.

  Args:
    sheet: measured.
    width: the most that the picture may have, in pixels.

  Returns:
    uint8 [h, w, 3], RGB.
  """
  drawn = Image.fromarray(fit_picture(sheet.region, width))
  pen = ImageDraw.Draw(drawn)
  factor = drawn.width / sheet.image.shape[1]
  font = _font(max(TEXT, drawn.width // 32))
  thick = max(1, drawn.width // 400)
  for number, crop in enumerate(sheet.crops, 1):
    left, top = round(factor * crop.x), round(factor * crop.y)
    right = round(factor * (crop.x + crop.width)) - 1
    bottom = round(factor * (crop.y + crop.height)) - 1
    frame = (left, top, right, bottom)
    pen.rectangle(frame, outline=INK, width=3 * thick)
    inner = (left + thick, top + thick, right - thick, bottom - thick)
    pen.rectangle(inner, outline=OUTLINE, width=thick)
    place = (left + 4 * thick, top + 3 * thick)
    settings = {"stroke_width": 2 * thick, "stroke_fill": INK}
    pen.text(place, str(number), OUTLINE, font, **settings)
  return np.asarray(drawn)


def _make_rows(sheet: Sheet, panel: int) -> list[list[Cell]]:
  photos = [Cell(fit_picture(sheet.image, panel), "original")]
  maps = [Cell(draw_region(sheet, panel), lines=(sheet.region_line,))]
  for column in sheet.columns:
    lines = (column.size_line, column.psnr_line)
    photos.append(Cell(fit_picture(column.image, panel), column.title, lines))
    if column.density is None:
      maps.append(Cell())
      continue
    height, width = photos[-1].picture.shape[:2]  # pyright: ignore
    factor = width / sheet.image.shape[1]
    drawn = bits_map.draw_map(column.density, width, height, sheet.top, factor)
    maps.append(Cell(drawn, top=sheet.top))
  rows = [photos, maps]
  for number, crop in enumerate(sheet.crops, 1):
    pictures = [sheet.image, *(column.image for column in sheet.columns)]
    row = [Cell(fit_picture(crop.cut(image), panel)) for image in pictures]
    rows.append([row[0]._replace(lines=(f"{number}: {crop}",)), *row[1:]])
  return rows


def _draw_cell(canvas, pen, cell: Cell, corner, above: int, panel: int) -> None:
  """Draws captions from the corner on, the picture `above` pixels below it."""
  x, y = corner
  if cell.picture is not None:
    canvas.paste(Image.fromarray(cell.picture), (x, y + above))
  if cell.name:
    _write(pen, (x, y), cell.name, NAME, INK, panel)
    y += NAME + 8
  for line in cell.lines:
    _write(pen, (x, y), line, _text_size(panel), INK, panel)
    y += LINE
  if cell.top is not None:
    _draw_key(canvas, pen, (x, y), cell.top, panel)


def _draw_key(canvas, pen, corner, top: float, panel: int) -> None:
  """The line above a map of bits: what its colours mean."""
  x, y = corner
  font = _font(_text_size(panel))
  for text, bar in (("bits per pixel: 0", panel // 3), (f"{top:.3g}", 0)):
    pen.text((x, y), text, INK, font)
    x += round(pen.textlength(text, font)) + 6
    if bar:
      key = bits_map.draw_key(bar, TEXT - 3)
      canvas.paste(Image.fromarray(key), (x, y + 3))
      x += bar + 6


def _write(pen, place, text: str, size: int, ink, width: float) -> None:
  """Writes a line, with its middle left out where it is too long."""
  font = _font(size)
  kept = len(text)
  shown = text
  while pen.textlength(shown, font) > width and kept > 2:
    kept -= 1
    shown = text[: kept - kept // 2] + "..." + text[len(text) - kept // 2 :]
  pen.text(place, shown, ink, font)


def _text_size(panel: int) -> int:
  return TEXT if panel >= WIDE else NARROW_TEXT


def _font(size: int):
  return ImageFont.load_default(size)
