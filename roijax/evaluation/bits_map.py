"""Where a file's bits are, drawn: in the terminal, or as PNG."""

import io
import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
  from rich.console import Console
  from rich.text import Text

_CELL = 16
_COLUMNS = 64
_SHADES = " ░▒▓█"
_PLAIN_SHADES = " .:-=+*#%@"
_KEY = 24

# From nothing to much: dark blue, violet, red, orange, pale yellow, with the
# lightness ascending evenly, so that it reads in grey too.
_ANCHORS = np.array(
  [
    [8, 10, 40],
    [62, 22, 108],
    [134, 36, 110],
    [202, 66, 76],
    [244, 132, 40],
    [250, 206, 84],
    [255, 252, 208],
  ],
  float,
)


def bits_per_pixel(cells: np.ndarray, height: int, width: int) -> np.ndarray:
  """The map of a photo; what lies beyond an edge counts to the edge.

  Args:
    cells: bits of each 16x16 pixels, as `Codec.measure_cells` gives them.
      They may reach beyond the photo.
    height: of the photo in pixels.
    width: likewise.

  Returns:
    float [ceil(height / 16), ceil(width / 16)], bits per pixel of the photo:
    by the pixels of each cell, they add up to all bits.
  """
  pixels = count_pixels(height, width)
  bits = np.add.reduceat(cells, np.arange(pixels.shape[0]), axis=0)
  bits = np.add.reduceat(bits, np.arange(pixels.shape[1]), axis=1)
  return bits / pixels


def count_pixels(height: int, width: int) -> np.ndarray:
  """The photo's pixels in each cell of its map; those at the edges are cut.

  Args:
    height: of the photo in pixels.
    width: likewise.

  Returns:
    int [ceil(height / 16), ceil(width / 16)].
  """
  rows, columns = (
    np.minimum(side - np.arange(0, side, _CELL), _CELL)
    for side in (height, width)
  )
  return np.outer(rows, columns)


def print_map(
  density: np.ndarray, height: int, width: int, console: "Console"
) -> None:
  """Draws a map in at most 64 columns, with a legend below it.

  A line stands for two rows of the map: half blocks in colours where the
  console has them, else shades, else ASCII.

  Args:
    density: bits per pixel, as `bits_per_pixel` gives them.
    height: of the photo in pixels.
    width: likewise.
    console: where to; decides what can be shown.
  """
  shrunk = _shrink(density, count_pixels(height, width))
  if len(shrunk) % 2:
    shrunk = np.pad(shrunk, ((0, 1), (0, 0)), mode="edge")
  top = float(shrunk.max())
  scaled = shrunk / top if top > 0 else shrunk
  pairs = list(zip(scaled[0::2], scaled[1::2], strict=True))
  unicode = "utf" in console.encoding.lower()
  # Sixteen colours are no ramp.
  if console.color_system in ("256", "truecolor") and unicode:
    lines = [_half_blocks(*pair) for pair in pairs]
    key = _half_blocks(*[np.linspace(0, 1, _KEY)] * 2)
  else:
    shades = _SHADES if unicode else _PLAIN_SHADES
    lines = [_shade(np.mean(pair, axis=0), shades) for pair in pairs]
    key = shades
  for line in lines:
    console.print(line, highlight=False, soft_wrap=True)
  legend = ("0 ", key, f" {top:.3g} bits per pixel")
  console.print(*legend, sep="", highlight=False, soft_wrap=True)


def draw_png(density: np.ndarray, height: int, width: int) -> bytes:
  """Draws a map at the photo's size, with a legend below it.

  Args:
    density: bits per pixel, as `bits_per_pixel` gives them.
    height: of the photo in pixels.
    width: likewise.

  Returns:
    A PNG file.
  """
  from PIL import Image, ImageDraw, ImageFont

  # A small photo is enlarged, that the legend has room; a huge one shrunk.
  factor = max(1, math.ceil(320 / width)) / max(1, math.ceil(width / 2048))
  factor = min(factor, 4096 / height)
  size = max(1, round(width * factor)), max(1, round(height * factor))
  top = float(density.max())
  drawn = draw_map(density, *size, top, factor)
  text = max(12, min(size[0] // 40, 40))
  canvas = Image.new("RGB", (max(size[0], 320), size[1] + 2 * text), "white")
  canvas.paste(Image.fromarray(drawn), (0, 0))
  pen = ImageDraw.Draw(canvas)
  font = ImageFont.load_default(text)
  middle = size[1] + text
  pen.text((text // 2, middle), "0", "black", font, "lm")
  length = canvas.width // 3
  key = draw_key(length, text)
  left = 2 * text
  canvas.paste(Image.fromarray(key), (left, middle - text // 2))
  label = f"{top:.3g} bits per pixel"
  pen.text((left + length + text // 2, middle), label, "black", font, "lm")
  stream = io.BytesIO()
  canvas.save(stream, "PNG", optimize=True)
  return stream.getvalue()


def draw_map(
  density: np.ndarray,
  width: int,
  height: int,
  top: float,
  factor: float = 1.0,
) -> np.ndarray:
  """Draws a map alone.

  Args:
    density: bits per pixel, as `bits_per_pixel` gives them.
    width: of what is drawn, in pixels.
    height: likewise.
    top: the bits per pixel that get the lightest colour.
    factor: drawn pixels to one of the photo.

  Returns:
    uint8 [height, width, 3], RGB.
  """
  scaled = np.minimum(density / top, 1) if top > 0 else density
  rows, columns = (
    np.minimum(np.arange(side) / factor // _CELL, count - 1).astype(int)
    for side, count in zip((height, width), density.shape, strict=True)
  )
  return _colours(scaled)[rows[:, None], columns[None]]


def draw_key(length: int, thickness: int) -> np.ndarray:
  """The colours from none to most, left to right, uint8."""
  colours = _colours(np.linspace(0, 1, length))
  return colours[None].repeat(thickness, 0)


def _shrink(density: np.ndarray, pixels: np.ndarray) -> np.ndarray:
  """Means of squares by their pixels, so that the map has few columns."""
  step = -(-density.shape[1] // _COLUMNS)
  rows, columns = (np.arange(0, side, step) for side in density.shape)

  def add(values: np.ndarray) -> np.ndarray:
    return np.add.reduceat(np.add.reduceat(values, rows, 0), columns, 1)

  return add(density * pixels) / add(pixels)


def _colours(values: np.ndarray) -> np.ndarray:
  """uint8 [..., 3] of values in 0 to 1."""
  places = np.linspace(0, 1, len(_ANCHORS))
  channels = [np.interp(values, places, _ANCHORS[:, c]) for c in range(3)]
  return np.round(np.stack(channels, -1)).astype(np.uint8)


def _half_blocks(upper: np.ndarray, lower: np.ndarray) -> "Text":
  """One line of a terminal, two rows of the map."""
  from rich.color import Color
  from rich.style import Style
  from rich.text import Text

  line = Text()
  for above, below in zip(_colours(upper), _colours(lower), strict=True):
    colours = Color.from_rgb(*above), Color.from_rgb(*below)
    line.append("▀", Style(color=colours[0], bgcolor=colours[1]))
  return line


def _shade(row: np.ndarray, shades: str) -> str:
  steps = np.round(row * (len(shades) - 1)).astype(int)
  return "".join(shades[step] for step in steps)
