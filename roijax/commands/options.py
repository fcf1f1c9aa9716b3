"""Options that several commands have in common."""

import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from roijax.errors import ConfigError

if TYPE_CHECKING:
  from roijax.roi.choices import Choices

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}
_UNITS |= {"ki": 2**10, "mi": 2**20, "gi": 2**30}

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
    "--json", help="Print JSON instead: an object; of several, one a line."
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
  float | None,
  typer.Option(
    metavar="LEVEL",
    help="How much what lies outside the region matters, above 0, at most 1;"
    " 0.25 when absent.",
  ),
]
Effort = Annotated[
  int,
  typer.Option(
    metavar="N",
    help="0 to 3: how long the encoder looks for a better file, from no time"
    " to minutes; decoders take no longer.",
    show_default=True,
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
RoiThreshold = Annotated[
  float | None,
  typer.Option(
    "--roi-threshold",
    metavar="T",
    help="Where to cut text:, sim:, saliency: and auto, between 0 and 1. When"
    " absent: 0.85, of CLIPSeg 0.4, of saliency: 0.5, of auto 0.3.",
  ),
]
TextModel = Annotated[
  str | None,
  typer.Option(
    "--text-model",
    metavar="DIR|NAME",
    help="The segmenter of text: (docs/text.md), a folder or a name in the"
    " model hub's cache.",
  ),
]
Annotations = Annotated[
  str | None,
  typer.Option(
    metavar="JSON",
    help="A COCO file: text: then names one of its categories, and no segmenter"
    " is asked.",
  ),
]
MaxPixels = Annotated[
  int | None,
  typer.Option(
    metavar="N", help="Refuse pictures of more pixels, for memory's sake."
  ),
]


class RegionCommand(TyperCommand):
  """A command whose help ends in the spellings of a region."""

  def format_epilog(self, ctx: Any, formatter: Any) -> None:
    """Writes them before the examples."""
    # Loads NumPy and Pillow, which only a reader of the help should wait for.
    from roijax.roi.spec import SPELLINGS

    width = max(map(len, SPELLINGS))
    lines = [f"  {text:<{width}}  {SPELLINGS[text]}" for text in SPELLINGS]
    formatter.write_paragraph()
    with formatter.indentation():
      formatter.write_text("\n".join(["\b", "SPEC is one of", *lines]))
    super().format_epilog(ctx, formatter)


def make_choices(
  rois: Sequence[str] | None,
  threshold: float | None,
  text_model: str | None,
  annotations: str | None,
) -> "Choices":
  """What was set beside `--roi`.

  Raises:
    DataError: it is out of range, or of no use to what is given.
  """
  from roijax.roi.choices import Choices

  choices = Choices(threshold, text_model, annotations)
  choices.check(rois or ())
  return choices


def background_level(given: float | None) -> float:
  """The level that is meant: the one that was given, else the default.

  Raises:
    ConfigError: it is out of range.
  """
  from roijax.coding import container

  level = container.DEFAULT_BACKGROUND if given is None else given
  container.quantize_background(level)
  return level


def parse_bytes(text: str) -> int:
  """Reads a size in bytes such as `40000`, `40k`, `1.5M` or `64KiB`.

  Args:
    text: a number with or without k, M, G (thousands) or Ki, Mi (1024s); a
      B behind it changes nothing.

  Raises:
    ConfigError: it is none, or below one byte.
  """
  match = re.fullmatch(r"\s*(\d+\.?\d*|\.\d+)\s*([kmg]i?)?b?\s*", text.lower())
  size = float(match[1]) * _UNITS[match[2] or ""] if match else 0
  if not 1 <= size < math.inf:
    raise ConfigError(
      f"{text!r} is no size in bytes: write 40000, 40k, 1.5M or 64KiB"
    )
  return math.floor(size)


def parse_point(text: str) -> tuple[int, int]:
  """Reads a place in a photo, x,y in pixels from the upper left.

  Raises:
    ConfigError: it is none.
  """
  found = re.fullmatch(r"\s*(\d{1,9})\s*,\s*(\d{1,9})\s*", text)
  if not found:
    raise ConfigError(f"--at: {text!r} is no point: write x,y in pixels")
  return int(found[1]), int(found[2])


def check_points(
  points: Sequence[tuple[int, int]],
  height: int,
  width: int,
  photo: str = "the photo",
) -> None:
  """Refuses places that a photo does not have.

  Args:
    points: x and y of each.
    height: of the photo.
    width: likewise.
    photo: what to call it.

  Raises:
    ConfigError: one lies outside.
  """
  for x, y in points:
    if x >= width or y >= height:
      raise ConfigError(f"--at {x},{y} lies outside {photo}, {width}x{height}")


def check_max_pixels(limit: int | None) -> None:
  """Refuses a limit that nothing passes.

  Raises:
    ConfigError: it is below 1.
  """
  if limit is not None and limit < 1:
    raise ConfigError(f"--max-pixels is {limit}: at least 1")
