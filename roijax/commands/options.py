"""Options that several commands have in common."""

import math
import re
from typing import Annotated

import typer

from roijax.errors import ConfigError

_UNITS = {"": 1, "k": 1e3, "m": 1e6, "g": 1e9, "ki": 2**10, "mi": 2**20}

Output = Annotated[
  str | None,
  typer.Option(
    "--output",
    "-o",
    metavar="OUT",
    help="A file, a folder (made when missing), or - for the standard output;"
    " beside each input when absent.",
  ),
]
Overwrite = Annotated[
  bool,
  typer.Option(
    "--overwrite",
    help="Replace outputs that exist; without it one is refused, and of many"
    " those are left as they are.",
  ),
]
Jobs = Annotated[
  int,
  typer.Option(
    metavar="N", help="Processes that share many inputs.", show_default=True
  ),
]
AsJson = Annotated[
  bool,
  typer.Option(
    "--json", help="Print JSON instead: an object, of many inputs one a line."
  ),
]
Checkpoint = Annotated[
  str | None,
  typer.Option(
    metavar="NAME|PATH",
    help="Weights: a name of `roijax weights`, a training run's folder, or a"
    " model.npz.",
  ),
]
DecoderCheckpoint = Annotated[
  str | None,
  typer.Option(
    metavar="NAME|PATH",
    help="Weights, in place of those that the file names.",
  ),
]
Background = Annotated[
  float,
  typer.Option(
    metavar="LEVEL",
    help="How much what lies outside the region matters, above 0, at most 1.",
  ),
]
Rois = Annotated[
  list[str] | None,
  typer.Option(
    "--roi",
    metavar="SPEC",
    help="The region of interest, see below; several are united.",
  ),
]
Feather = Annotated[
  float,
  typer.Option(
    metavar="PIXELS", help="Soften the region's edge over so many pixels."
  ),
]
Dilate = Annotated[
  float,
  typer.Option(
    metavar="PIXELS",
    help="Grow the region by so many pixels.",
  ),
]
MaxPixels = Annotated[
  int | None,
  typer.Option(
    metavar="N", help="Refuse pictures of more pixels, for memory's sake."
  ),
]

ROI_HELP = """\b
SPEC is one of
  MASK.png                   a picture whose 0 to 255 is a weight
  box:x,y,w,h                pixels, from the upper left corner
  ellipse:cx,cy,rx,ry        centre and semi-axes
  polygon:x,y,x,y,...        corners in order
  coco:FILE.json[#category]  annotations, found by the photo's file name
  face, person, saliency     what OpenCV finds
  center                     the central ellipse
  all, none                  an ordinary file"""


def parse_bytes(text: str) -> int:
  """Reads a size in bytes such as `40000`, `40k`, `1.5M` or `64KiB`.

  Args:
    text: a number with or without k, M, G (thousands) or Ki, Mi (1024s); a
      B behind it changes nothing.

  Raises:
    ConfigError: it is none, or below one byte.
  """
  match = re.fullmatch(r"\s*(\d+\.?\d*|\.\d+)\s*([kmg]i?)?b?\s*", text.lower())
  unit = _UNITS.get((match[2] or "") if match else "?")
  if match is None or unit is None or float(match[1]) * unit < 1:
    raise ConfigError(
      f"{text!r} is no size in bytes: write 40000, 40k, 1.5M or 64KiB"
    )
  return math.floor(float(match[1]) * unit)


def check_max_pixels(limit: int | None) -> None:
  """Refuses a limit that nothing passes.

  Raises:
    ConfigError: it is below 1.
  """
  if limit is not None and limit < 1:
    raise ConfigError(f"--max-pixels is {limit}: at least 1")
