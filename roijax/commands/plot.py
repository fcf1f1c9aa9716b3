"""`roijax plot`: pictures of what was measured."""

import pathlib
from typing import Annotated

import typer

from roijax.commands import compare, options
from roijax.errors import ConfigError, RoijaxError

app = typer.Typer(
  help="Draw what was measured, as PNG; codecs side by side also as HTML.",
  rich_markup_mode=None,
)
app.command(cls=options.RegionCommand, epilog=compare.EPILOG)(compare.compare)

ATTENTION_EPILOG = """\b
Examples:
  roijax plot attention photo.jpg --checkpoint=runs/swin
  roijax plot attention photo.jpg --checkpoint=runs/swin --roi face \\
    --at 120,80 --at 300,200 -o attention.png"""


@app.callback(invoke_without_command=True)
def _root(context: typer.Context) -> None:
  if context.invoked_subcommand is None:
    raise RoijaxError(
      "name what to draw: roijax plot run DIR, roijax plot compare PHOTO or"
      " roijax plot attention PHOTO"
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
  photo: Annotated[
    pathlib.Path,
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
    pathlib.Path,
    typer.Option("--output", "-o", metavar="PNG", help="The PNG to write."),
  ] = pathlib.Path("attention.png"),
) -> None:
  """Draws where a Swin model's encoder and decoder look, at chosen points.

  For each point and each pair of Swin blocks: what the pair brings to the
  point from its surroundings. Prints how far each pair looks in the mean.
  """
  from roijax.data.picture import read_picture
  from roijax.weights import index

  if output.suffix.lower() != ".png":
    raise ConfigError(f"{output}: attention is drawn as PNG; end -o in .png")
  points = [options.parse_point(text) for text in at or []]
  choices = options.make_choices(roi, roi_threshold, text_model, annotations)
  weights = index.find(checkpoint)
  image = read_picture(photo).image
  height, width = image.shape[:2]
  options.check_points(points, height, width)
  region = None
  if roi:
    from roijax.roi.spec import unite

    region = unite(roi, (height, width), photo, image, choices)
  # Seconds of JAX: behind everything that can be wrong before.
  from roijax.commands import engine
  from roijax.evaluation import attention, attention_plot

  pairs = attention.take_weights(engine.load_codec(weights), image, region)
  points = points or attention.choose_points(height, width, region)
  attention_plot.draw_attention(output, image, region, pairs, points)
  print(attention_plot.tabulate(pairs))
  told = ", ".join(f"{x},{y}" for x, y in points)
  print(f"{output}: from {told}")
