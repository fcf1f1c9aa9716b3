"""`roijax plot`: pictures of what was measured."""

import pathlib
from typing import Annotated

import typer

from roijax.commands import attention, compare, options
from roijax.errors import RoijaxError

app = typer.Typer(
  help="Draw what was measured, as PNG; codecs side by side also as HTML.",
  rich_markup_mode=None,
)
app.command(cls=options.RegionCommand, epilog=compare.EPILOG)(compare.compare)
app.command(cls=options.RegionCommand, epilog=attention.EPILOG)(
  attention.attention
)


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
