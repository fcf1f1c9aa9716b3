"""`roijax eval`: what a checkpoint is worth on photos, with real files."""

from typing import Annotated

import typer

from roijax.commands import options
from roijax.errors import ConfigError

EPILOG = """\b
Examples:
  roijax eval --data=photos/kodak --roi=center
  roijax eval --checkpoint=runs/small --data=coco_roi:val \\
    --data_dir=data_dir --limit=100 --anchors=uniform,jpeg,avif

Writes results.json, results.csv (one line a photo, codec and quality) and
rd.png to --out, and prints the means."""


def evaluate(
  data: Annotated[
    str,
    typer.Option(
      metavar="PHOTOS",
      help="A folder of photos, coco_roi:SPLIT or sample:SPLIT; joined by +.",
      show_default=False,
    ),
  ],
  checkpoint: options.Checkpoint = None,
  data_dir: Annotated[
    str | None,
    typer.Option(
      "--data_dir",
      "--data-dir",
      metavar="DIR",
      help="Where prepared datasets lie.",
    ),
  ] = None,
  roi: Annotated[
    str | None,
    typer.Option(
      metavar="SPEC",
      help="One region for every photo (see `roijax compress --help`) in place"
      " of the data's own; none: code without regions, measure in the data's"
      " own.",
    ),
  ] = None,
  qualities: Annotated[
    str | None,
    typer.Option(
      metavar="Q,Q,...", help="Four over the weights' range when absent."
    ),
  ] = None,
  background: options.Background = None,
  limit: Annotated[
    int | None, typer.Option(metavar="N", help="Only the first N photos.")
  ] = None,
  anchors: Annotated[
    str,
    typer.Option(
      metavar="NAME,...",
      help="Rivals at equal bytes: uniform (these weights without a region),"
      " jpeg, webp, jpeg2000, avif, and more, which a wrong name lists.",
    ),
  ] = "",
  detailed: Annotated[
    bool,
    typer.Option(
      "--detailed",
      help="Also record the bits that tables and likelihood foretell.",
    ),
  ] = False,
  out: Annotated[
    str | None,
    typer.Option(
      metavar="DIR", help="For results; CHECKPOINT/eval, else runs/NAME/eval."
    ),
  ] = None,
) -> None:
  """Measures weights on photos: rates of real files, PSNR, rivals."""
  from roijax.evaluation import report
  from roijax.evaluation.run import Settings, evaluate_checkpoint
  from roijax.weights import index

  numbers = None if qualities is None else _numbers(qualities)
  settings = Settings(
    data=data,
    data_dir=data_dir,
    roi=roi,
    qualities=numbers,
    background=options.background_level(background),
    limit=limit,
    anchors=[name.strip() for name in anchors.split(",") if name.strip()],
    detailed=detailed,
  )
  evaluation = evaluate_checkpoint(
    checkpoint or index.default().name, settings, out
  )
  report.print_report(evaluation.points, evaluation.differences)
  print(f"results: {evaluation.folder}/results.json, results.csv, rd.png")


def _numbers(text: str) -> list[float]:
  try:
    return [float(number) for number in text.split(",")]
  except ValueError as error:
    raise ConfigError(
      f"--qualities: {text!r} is not a list of numbers such as 0,2,4"
    ) from error
