"""Rows of captioned pictures, and the gain curves, as arrays of pixels."""

import io
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

from roijax.metrics.psnr import ROI_THRESHOLD

Pixels = UInt8[np.ndarray, "H W 3"]

# Tiles are enlarged by whole factors up to this many pixels.
TILE = 256
GAP = 8
FONT_SIZE = 14
LINE = 18
INK, PAPER, FRAME, OUTLINE = (
  (40, 40, 40),
  (255, 255, 255),
  (190, 190, 190),
  (230, 60, 30),
)


def to_pixels(image: Float[np.ndarray, "H W C"]) -> Pixels:
  """Values in [0, 1], of three colours or one, as 8-bit colours."""
  pixels = np.round(255 * np.clip(image, 0, 1)).astype(np.uint8)
  return np.broadcast_to(pixels, (*pixels.shape[:2], 3))


def to_heat(values: Float[np.ndarray, "h w"], top: float) -> Pixels:
  """Values from 0 to `top` as colours from black over red to light yellow."""
  from matplotlib import colormaps

  colours = colormaps["inferno"](np.clip(values / max(top, 1e-9), 0, 1))
  return to_pixels(colours[..., :3])


def outline(tile: Pixels, roi: Float[np.ndarray, "H W"]) -> Pixels:
  """Marks the pixels along the border of a region of interest."""
  mask = roi >= ROI_THRESHOLD
  border = np.zeros_like(mask)
  border[1:] |= mask[1:] != mask[:-1]
  border[:, 1:] |= mask[:, 1:] != mask[:, :-1]
  return np.where(border[..., None], np.array(OUTLINE, np.uint8), tile)


def draw_row(tiles: Sequence[Pixels], captions: Sequence[str]) -> Pixels:
  """Puts tiles side by side, each over its caption.

  Args:
    tiles: pictures of one size or of whole fractions of it.
    captions: one a tile, of one line or two.
  """
  size = max(tile.shape[0] for tile in tiles)
  side = size * max(1, TILE // size)
  width = len(tiles) * (side + GAP) + GAP
  row = Image.new("RGB", (width, side + 2 * LINE + GAP), PAPER)
  pen, font = ImageDraw.Draw(row), ImageFont.load_default(FONT_SIZE)
  for i, (tile, caption) in enumerate(zip(tiles, captions, strict=True)):
    left = GAP + i * (side + GAP)
    factor = side // tile.shape[0]
    row.paste(Image.fromarray(_enlarge(tile, factor)), (left, 0))
    # White pictures on white paper.
    pen.rectangle((left - 1, 0, left + side, side), outline=FRAME)
    for j, line in enumerate(caption.split("\n")):
      pen.text((left, side + 1 + j * LINE), line, INK, font)
  return np.asarray(row)


def stack_rows(rows: Sequence[Pixels]) -> Pixels:
  """Puts rows of one width below each other, with a margin above."""
  margin = np.full((GAP, *rows[0].shape[1:]), PAPER, np.uint8)
  return np.concatenate([margin, *rows])


def encode_png(pixels: Pixels) -> bytes:
  """The content of a PNG file."""
  buffer = io.BytesIO()
  Image.fromarray(pixels).save(buffer, "PNG")
  return buffer.getvalue()


def draw_gains(gains: Float[np.ndarray, "N C"]) -> Pixels:
  """Draws the gain of each rate: median and quartiles over the channels."""
  from matplotlib.backends.backend_agg import FigureCanvasAgg
  from matplotlib.figure import Figure

  figure = Figure(figsize=(5, 3.6), dpi=110, layout="constrained")
  canvas = FigureCanvasAgg(figure)
  axes = figure.subplots()
  low, median, high = np.quantile(gains, (0.25, 0.5, 0.75), axis=1)
  rates = np.arange(len(gains))
  axes.fill_between(rates, low, high, alpha=0.25, linewidth=0)
  axes.plot(rates, median, marker="o")
  axes.set_yscale("log", base=2)
  axes.yaxis.set_major_formatter("{x:g}")
  axes.set_xlabel("quality")
  axes.set_ylabel("gain")
  axes.set_title("Median and quartiles over channels", fontsize=10, loc="left")
  axes.grid(color="0.9")
  axes.spines[["top", "right"]].set_visible(False)
  canvas.draw()
  return np.array(canvas.buffer_rgba())[..., :3]


def _enlarge(tile, factor):
  return np.repeat(np.repeat(tile, factor, axis=0), factor, axis=1)
