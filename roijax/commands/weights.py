"""`roijax weights`: what is in the box, and how to put more there."""

import json
import pathlib
from typing import Annotated

import typer

from roijax.commands import options
from roijax.errors import RoijaxError

app = typer.Typer(
  help="List weights, or ship a training run's.", rich_markup_mode=None
)

_EXPORT_EPILOG = """\b
From a training run to shipped weights:
  roijax eval --checkpoint=runs/small --data=photos/kodak --roi=center
  roijax weights export runs/small mine-1 --results runs/small/eval"""


@app.callback(invoke_without_command=True)
def list_weights(
  context: typer.Context, as_json: options.AsJson = False
) -> None:
  """Lists the weights that are known here; the default one is marked *.

  bpp: the rates that were measured; vs JPEG: BD-rate of weighted PSNR on the
  card's first photos. A name goes behind --checkpoint. `roijax weights export`
  ships a run's.
  """
  if context.invoked_subcommand is not None:
    return
  from roijax.weights import index

  rows = index.describe()
  if as_json:
    for row in rows:
      print(json.dumps(row._asdict(), ensure_ascii=False))
    return
  _print_table(rows)


@app.command(epilog=_EXPORT_EPILOG)
def export(
  run: Annotated[str, typer.Argument(metavar="RUN", hidden=True)],
  name: Annotated[str, typer.Argument(metavar="NAME", hidden=True)],
  results: Annotated[
    list[str],
    typer.Option(
      metavar="DIR",
      help="Where an evaluation of these weights lies (its results.json);"
      " several are told one below the other.",
    ),
  ],
  out: Annotated[
    pathlib.Path | None,
    typer.Option(
      "--output",
      "-o",
      metavar="DIR",
      help="The folder of the index; the package's own when absent.",
    ),
  ] = None,
  licence: Annotated[
    str, typer.Option(metavar="SPDX", help="Of the weights.")
  ] = "Apache-2.0",
  default: Annotated[
    bool,
    typer.Option("--default", help="Take these when none are named."),
  ] = False,
  without: Annotated[
    list[str] | None,
    typer.Option(
      metavar="NAME",
      help="An older entry whose file leaves the box to make room; entry and"
      " card stay. Several may be given.",
    ),
  ] = None,
  summary: Annotated[
    str, typer.Option(metavar="TEXT", help="One line for `roijax weights`.")
  ] = "",
  data: Annotated[
    str,
    typer.Option(
      metavar="TEXT",
      help="For the card: what the training photos are, under which licences.",
    ),
  ] = "",
  limits: Annotated[
    str,
    typer.Option(
      metavar="TEXT", help="For the card: what the weights are not good for."
    ),
  ] = "",
  trained_by: Annotated[
    str,
    typer.Option(
      "--command",
      metavar="TEXT",
      help="For the card: what trains again, where RUN does not tell.",
    ),
  ] = "",
) -> None:
  """Ships a training run's weights under a name that is theirs for ever.

  RUN is the run's folder, or a model.npz; NAME is made of lower-case words,
  digits and hyphens. Writes NAME.npz, its card NAME.md and the index.
  """
  from roijax.weights.card import Words
  from roijax.weights.export import export_weights
  from roijax.weights.shipped import FOLDER

  folder = out or FOLDER
  entry = export_weights(
    run,
    name,
    results=results,
    out=folder,
    licence=licence,
    default=default,
    without=without or (),
    summary=summary,
    words=Words(data, limits, trained_by),
  )
  print(
    f"{folder / f'{entry.name}.npz'}: {entry.size:,} bytes, fingerprint"
    f" {entry.fingerprint.hex()}"
  )
  print(f"card: {folder / f'{entry.name}.md'}")


@app.command()
def perceptual(
  vgg: Annotated[
    pathlib.Path | None, typer.Argument(metavar="VGG", hidden=True)
  ] = None,
  heads: Annotated[
    pathlib.Path | None, typer.Argument(metavar="HEADS", hidden=True)
  ] = None,
  out: Annotated[
    pathlib.Path,
    typer.Option("--output", "-o", metavar="FILE", help="What to write."),
  ] = pathlib.Path("perceptual.npz"),
) -> None:
  """Converts VGG-16 and LPIPS's heads, for training and measuring looks.

  VGG is torchvision's VGG-16, HEADS are the linear heads of LPIPS, both .npz or
  .safetensors. Without them, says where they are published.
  """
  from roijax.weights.perceptual import SOURCES, convert

  if vgg is None:
    print(SOURCES)
    return
  if heads is None:
    raise RoijaxError(
      "two files are needed: roijax weights perceptual VGG HEADS; without any,"
      " it says where they are"
    )
  made = convert(vgg, heads, out)
  print(f"{out}: fingerprint {made.fingerprint}")


def _print_table(rows) -> None:
  from rich import box
  from rich.console import Console
  from rich.table import Table

  table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
  table.add_column("name", no_wrap=True)
  table.add_column("fingerprint", no_wrap=True)
  table.add_column("MB", justify="right", no_wrap=True)
  table.add_column("bpp", no_wrap=True)
  table.add_column("vs JPEG", justify="right", no_wrap=True)
  table.add_column("what")
  for row in rows:
    rates, gain = row.rates_bpp, row.bd_rate_jpeg
    summary = row.summary if row.in_box else f"(not here) {row.summary}"
    table.add_row(
      row.name + (" *" if row.is_default else ""),
      row.fingerprint,
      f"{row.size / 1e6:.1f}",
      f"{rates[0]:.2f} to {rates[1]:.2f}" if rates else "-",
      "-" if gain is None else f"{gain:+.0f} %",
      summary,
    )
  console = Console(highlight=False)
  # A pipe or a log has no width of its own, and a cut table is no table.
  if not console.is_terminal:
    console.width = max(console.width, 100)
  console.print(table)
