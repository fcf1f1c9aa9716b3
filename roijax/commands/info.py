"""`roijax info`: what a `.roij` file says about itself."""

import json
import pathlib
import sys
from typing import Annotated

import typer

from roijax.commands import batch, inputs, options
from roijax.errors import ConfigError

EPILOG = """\b
Examples:
  roijax info photo.roij
  roijax info photo.roij --roi face
  roijax info --brief --json archive"""


def info(
  files: Annotated[
    list[str],
    typer.Argument(metavar="IN", hidden=True),
  ],
  roi: options.Rois = None,
  roi_threshold: options.RoiThreshold = None,
  text_model: options.TextModel = None,
  annotations: options.Annotations = None,
  bits_map: Annotated[
    pathlib.Path | None,
    typer.Option(
      metavar="PNG", help="Also draw where the bits are; of one file."
    ),
  ] = None,
  brief: Annotated[
    bool,
    typer.Option(
      "--brief", help="Only what the file says; decode nothing. Quick."
    ),
  ] = False,
  checkpoint: options.DecoderCheckpoint = None,
  max_pixels: options.MaxPixels = None,
  as_json: options.AsJson = False,
) -> int:
  """Prints every field of .roij files, and where their bits went.

  IN is a .roij file, a folder (with all files below), a pattern in quotes, or
  - for the standard input. docs/format.md says what the fields are.

  Bits inside and outside the region are told where the file keeps its region
  (compress --keep-mask) or --roi gives one; else, or where it is the whole
  photo, a map of the bits is drawn.
  """
  from roijax.commands import examine
  from roijax.weights import index

  options.check_max_pixels(max_pixels)
  if brief and (roi or bits_map):
    given = "--roi" if roi else "--bits-map"
    raise ConfigError(f"--brief decodes nothing, {given} has to: give one")
  if bits_map and bits_map.suffix.lower() != ".png":
    raise ConfigError(f"--bits-map {bits_map}: end it in .png")
  choices = options.make_choices(roi, roi_threshold, text_model, annotations)
  kind = inputs.Kind("file", (".roij",), "", ())
  found = inputs.find_inputs(files, kind)
  if bits_map and found.many:
    raise ConfigError("--bits-map draws one file: give one")
  work = examine.Examine(
    checkpoint=None if checkpoint is None else index.find(checkpoint),
    rois=tuple(roi or ()),
    choices=choices,
    bits_map=bits_map,
    brief=brief,
    max_pixels=max_pixels,
  )
  failures = []
  for number, path in enumerate(found.paths):
    job = inputs.Job(path, None)
    if not found.many:
      _tell(work(job), as_json)
      continue
    outcome = batch.attempt(work, job)
    if outcome.record is None:
      failures.append(outcome.failure)
      if as_json:
        print(json.dumps({"input": job.name, "error": outcome.failure}))
      continue
    if number and not as_json:
      print()
    _tell(outcome.record, as_json)
  batch.print_failures(failures, sys.stderr)
  return 2 if failures else 0


def _tell(record: batch.Record, as_json: bool) -> None:
  from roijax.commands import examine

  if as_json:
    density = record.pop("density", None)
    if density is not None:
      record["bits_per_pixel"] = [
        [round(float(x), 4) for x in row] for row in density
      ]
    print(json.dumps(record, ensure_ascii=False))
  else:
    examine.print_record(record)
