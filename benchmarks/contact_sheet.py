"""What decoded photos look like, all on one sheet.

    python -m benchmarks.contact_sheet --photos=folder:KODAK --roi=center
    python -m benchmarks.contact_sheet --photos=drawn --out=runs/sheets

Each photo is coded as a real file and decoded; a sheet for each quality shows
them in order of their PSNR, the worst first, with bits a pixel and decibels.
`drawn` are pictures that no camera takes: noise, flat colours, a screenshot,
line art, a checkerboard of single pixels, a gradient. To be looked at: no
figure tells that a picture looks broken.
"""

import argparse
import io
import pathlib
import sys
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from benchmarks import photos
from roijax.cli import exit_code
from roijax.codec import Codec
from roijax.data.photo import Photo
from roijax.files import write_whole
from roijax.metrics.psnr import psnr

THUMBNAIL = (240, 180)
CAPTION = 14
GAP = 4
DRAWN_SIZE = (256, 384)


class Cell(NamedTuple):
  """One picture of a sheet.

  Attributes:
    name: of the photo.
    bpp: of the file.
    psnr: in dB.
    picture: what came back, small.
  """

  name: str
  bpp: float
  psnr: float
  picture: Image.Image


def _picture(draw) -> np.ndarray:
  height, width = DRAWN_SIZE
  picture = Image.new("RGB", (width, height), "white")
  draw(ImageDraw.Draw(picture))
  return np.asarray(picture)


def _draw_screenshot(pen: ImageDraw.ImageDraw) -> None:
  for line in range(14):
    text = f"def function_{line}(x, y): return x * {line} + y  # a screenshot"
    pen.text((8, 6 + 17 * line), text, fill=(20, 20, 60 if line % 2 else 160))
  pen.rectangle((250, 20, 370, 90), fill=(40, 120, 220))


def _draw_line_art(pen: ImageDraw.ImageDraw) -> None:
  for i in range(20):
    pen.line((0, 13 * i, 384, 256 - 9 * i), fill="black", width=1 + i % 3)
    pen.ellipse((20 + 15 * i, 60, 80 + 15 * i, 120), outline="black")


def draw_pictures() -> dict[str, np.ndarray]:
  """Pictures that no camera takes, by name, uint8 [256, 384, 3]."""
  rows, columns = np.indices(DRAWN_SIZE)
  dims = (*DRAWN_SIZE, 3)
  checkers = ((rows + columns) % 2 * 255)[..., None].repeat(3, axis=2)
  gradient = [columns * 255 // DRAWN_SIZE[1], rows, 255 - rows]
  return {
    "noise": np.random.default_rng(0).integers(0, 256, dims, np.uint8),
    "white": np.full(dims, 255, np.uint8),
    "black": np.zeros(dims, np.uint8),
    "red": np.full(dims, (200, 30, 60), np.uint8),
    "screenshot": _picture(_draw_screenshot),
    "line art": _picture(_draw_line_art),
    "checkerboard": checkers.astype(np.uint8),
    "gradient": np.stack(gradient, axis=-1).astype(np.uint8),
  }


def shrink(image: np.ndarray) -> Image.Image:
  """A thumbnail."""
  picture = Image.fromarray(image)
  picture.thumbnail(THUMBNAIL)
  return picture


def draw_sheet(cells: Sequence[Cell], columns: int) -> Image.Image:
  """A sheet of decoded pictures, the lowest PSNR first."""
  width, height = THUMBNAIL[0] + GAP, THUMBNAIL[1] + CAPTION + GAP
  rows = -(-len(cells) // columns)
  sheet = Image.new("RGB", (width * columns, height * rows))
  pen = ImageDraw.Draw(sheet)
  for number, cell in enumerate(sorted(cells, key=lambda cell: cell.psnr)):
    left, top = number % columns * width, number // columns * height
    sheet.paste(cell.picture, (left, top + CAPTION))
    caption = f"{cell.name[-20:]}  {cell.bpp:.2f} bpp  {cell.psnr:.1f} dB"
    pen.text((left, top), caption, fill="white")
  return sheet


def draw_photos() -> list[Photo]:
  """The same as photos without a region."""
  return [
    Photo(name=name, image=image, roi=None)
    for name, image in draw_pictures().items()
  ]


def code(codec: Codec, photo: Photo, quality: float) -> Cell:
  """A photo as it comes back from its file."""
  image = photo["image"]
  data = codec.compress(image, photo["roi"], quality=quality)
  decoded = codec.decompress(data)
  bpp = 8 * len(data) / (image.shape[0] * image.shape[1])
  return Cell(photo["name"], bpp, psnr(image, decoded), shrink(decoded))


def main() -> int:
  """Codes, decodes, draws."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  photos.add_options(parser)
  parser.add_argument("--checkpoint", default=None)
  parser.add_argument("--qualities", type=photos.numbers, default="1,4")
  parser.add_argument("--columns", type=int, default=6)
  parser.add_argument("--out", type=pathlib.Path, default="runs/sheets")
  arguments = parser.parse_args()
  codec = Codec.load(arguments.checkpoint)
  sheets: dict[float, list[Cell]] = {each: [] for each in arguments.qualities}
  drawn = draw_photos() if arguments.photos == "drawn" else None
  for photo in photos.read(arguments, drawn):
    for quality, cells in sheets.items():
      cells.append(code(codec, photo, quality))
  arguments.out.mkdir(parents=True, exist_ok=True)
  for quality, cells in sheets.items():
    stream = io.BytesIO()
    draw_sheet(cells, arguments.columns).save(stream, "PNG")
    path = arguments.out / f"quality-{quality:g}.png"
    write_whole(path, stream.getvalue())
    worst = min(cells, key=lambda cell: cell.psnr)
    print(f"{path}: worst {worst.psnr:.1f} dB, {worst.name}")
  return 0


if __name__ == "__main__":
  sys.exit(exit_code(main))
