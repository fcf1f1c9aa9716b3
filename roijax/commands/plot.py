"""`roijax plot`: pictures of what was measured."""

import pathlib
import re
from typing import TYPE_CHECKING, Annotated

import typer

from roijax.commands import options
from roijax.errors import ConfigError, RoijaxError

if TYPE_CHECKING:
  import numpy as np

app = typer.Typer(help="Draw what was measured, as PNG.", rich_markup_mode=None)

ATTENTION_EPILOG = """\b
Examples:
  roijax plot attention photo.jpg --checkpoint=runs/swin
  roijax plot attention photo.jpg --checkpoint=runs/swin --roi face \\
    --at 120,80 --at 300,200 -o attention.png
  roijax plot attention photos/*.png --checkpoint=swin-small-2 -o maps"""


@app.callback(invoke_without_command=True)
def _root(context: typer.Context) -> None:
  if context.invoked_subcommand is None:
    raise RoijaxError(
      "name what to draw: roijax plot run DIR, or roijax plot attention PHOTO"
    )


@app.command("run")
def plot_run(
  folders: Annotated[
    list[pathlib.Path],
    typer.Argument(metavar="DIR", hidden=True),
  ],
  output: Annotated[
    pathlib.Path | None,
    typer.Option(
      "--output",
      "-o",
      metavar="PNG",
      help="The PNG to write; DIR/curves.png when absent.",
    ),
  ] = None,
) -> None:
  """Draws the curves of training: loss, rate, distortion, speed.

  DIR is the workdir of a training run, which may be going on; several are
  drawn over each other.
  """
  from roijax.evaluation.plot_run import read_run, write_curves

  if output is None and len(folders) > 1:
    raise RoijaxError("-o is needed to draw several runs: name the PNG")
  output = output or folders[0] / "curves.png"
  if output.suffix.lower() != ".png":
    raise RoijaxError(f"{output}: curves are drawn as PNG; end -o in .png")
  runs = [read_run(folder) for folder in folders]
  write_curves(output, runs)
  told = ", ".join(f"{run.name} ({run.extent})" for run in runs)
  print(f"{output}: {told}")


@app.command("attention", cls=options.RegionCommand, epilog=ATTENTION_EPILOG)
def plot_attention(
  photos: Annotated[
    list[pathlib.Path],
    typer.Argument(metavar="PHOTO", hidden=True),
  ],
  checkpoint: options.Checkpoint = None,
  roi: options.Rois = None,
  roi_threshold: options.RoiThreshold = None,
  text_model: options.TextModel = None,
  annotations: options.Annotations = None,
  at: Annotated[
    list[str] | None,
    typer.Option(
      metavar="X,Y",
      help="A point to look from, in pixels from the upper left; several are"
      " drawn in rows. When absent: one in the region and one outside.",
    ),
  ] = None,
  output: Annotated[
    pathlib.Path | None,
    typer.Option(
      "--output",
      "-o",
      metavar="PNG",
      help="The PNG to write, by default attention.png; of several photos the"
      " folder for a PNG each, by default attention.",
    ),
  ] = None,
) -> None:
  """Draws where a Swin model's encoder and decoder look, at chosen points.

  For each point and each pair of Swin blocks: what the pair brings to the
  point from its surroundings. Prints how far each pair looks in the mean; of
  several photos, the mean over them.
  """
  from roijax.data.picture import read_picture
  from roijax.weights import index

  outputs = _name_maps(photos, output)
  points = [_parse_point(text) for text in at or []]
  choices = options.make_choices(roi, roi_threshold, text_model, annotations)
  weights = index.find(checkpoint)
  for photo in photos:
    _check_points(points, read_picture(photo).image)
  # Seconds of JAX: behind everything that can be wrong before.
  from roijax.commands import engine
  from roijax.evaluation import attention, attention_plot

  codec, distances = None, []
  for photo, path in zip(photos, outputs, strict=True):
    image = read_picture(photo).image
    height, width = image.shape[:2]
    region = None
    if roi:
      from roijax.roi.spec import unite

      region = unite(roi, (height, width), photo, image, choices)
    codec = codec or engine.load_codec(weights)
    pairs = attention.take_weights(codec, image, region)
    chosen = points or attention.choose_points(height, width, region)
    attention_plot.draw_attention(path, image, region, pairs, chosen)
    distances.append(attention.measure_pairs(pairs))
    print(f"{path}: from {', '.join(f'{x},{y}' for x, y in chosen)}")
  print(attention_plot.tabulate(distances))


def _name_maps(
  photos: list[pathlib.Path], output: pathlib.Path | None
) -> list[pathlib.Path]:
  """The PNG for each photo."""
  if len(photos) == 1:
    paths = [output or pathlib.Path("attention.png")]
    if paths[0].suffix.lower() != ".png":
      raise ConfigError(f"{output}: attention is drawn as PNG; end -o in .png")
  else:
    folder = output or pathlib.Path("attention")
    if folder.suffix.lower() == ".png":
      raise ConfigError(f"{folder}: several photos need a folder: name it -o")
    paths = [folder / f"{photo.stem}.png" for photo in photos]
  if len(set(paths)) < len(paths):
    twice = next(path for path in paths if paths.count(path) > 1)
    raise ConfigError(f"two photos would be drawn to {twice}: rename one")
  ours = {photo.resolve() for photo in photos}
  for path in paths:
    if path.resolve() in ours:
      raise ConfigError(f"{path} is a photo: give another place with -o")
  return paths


def _check_points(points: list[tuple[int, int]], image: "np.ndarray") -> None:
  height, width = image.shape[:2]
  for x, y in points:
    if x >= width or y >= height:
      raise ConfigError(
        f"--at {x},{y} lies outside the photo, {width}x{height}"
      )


def _parse_point(text: str) -> tuple[int, int]:
  found = re.fullmatch(r"\s*(\d{1,9})\s*,\s*(\d{1,9})\s*", text)
  if not found:
    raise ConfigError(f"--at: {text!r} is no point: write x,y in pixels")
  return int(found[1]), int(found[2])
