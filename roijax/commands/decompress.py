"""`roijax decompress`: `.roij` files to pictures."""

from typing import Annotated

import typer

from roijax.commands import batch, inputs, options
from roijax.errors import ConfigError, RoijaxError

_FORMATS = ("png", "jpg", "webp", "tif", "avif", "jp2", "bmp", "ppm")

EPILOG = """\b
Examples:
  roijax decompress photo.roij
  roijax decompress photo.roij -o photo.jpg
  roijax decompress archive -o photos --format jpg --jobs 4
  roijax decompress - -o - < photo.roij > photo.png"""


def decompress(
  files: Annotated[
    list[str],
    typer.Argument(metavar="IN", hidden=True),
  ],
  output: options.Output = None,
  form: Annotated[
    str | None,
    typer.Option(
      "--format",
      metavar="NAME",
      help=f"One of {', '.join(_FORMATS)}; png, or what OUT ends in, when"
      " absent.",
    ),
  ] = None,
  checkpoint: options.DecoderCheckpoint = None,
  strip: Annotated[
    bool,
    typer.Option("--strip", help="Leave out colour profile and Exif."),
  ] = False,
  max_pixels: options.MaxPixels = None,
  overwrite: options.Overwrite = False,
  jobs: options.Jobs = 1,
  as_json: options.AsJson = False,
) -> int:
  """Writes .roij files as pictures, by default as PNG beside them.

  IN is a .roij file, a folder (with all files below), a pattern in quotes, or
  - for the standard input. A file names the weights that made it; they are
  taken where they are at hand.
  """
  from roijax.commands import decode
  from roijax.data.images import SUFFIXES, check_suffix
  from roijax.weights import index

  options.check_max_pixels(max_pixels)
  if form is not None and f".{form}" not in SUFFIXES:
    raise ConfigError(f"--format {form}: choose {', '.join(_FORMATS)}")
  kind = inputs.Kind("file", (".roij",), f".{form or 'png'}", SUFFIXES)
  found = inputs.find_inputs(files, kind)
  plan = inputs.plan_outputs(found, output, kind, overwrite=overwrite)
  suffix = None if form is None else f".{form}"
  (target,) = [job.target for job in plan.jobs][:1] or (None,)
  if target is not None and not inputs.is_device(target):
    check_suffix(target)
    if suffix and target.suffix.lower() != suffix and not found.many:
      raise RoijaxError(
        f"-o {target} and --format {form} disagree: leave one out"
      )
  batch.check_output(plan, as_json=as_json)
  work = decode.Decode(
    checkpoint=None if checkpoint is None else index.find(checkpoint),
    suffix=suffix,
    strip=strip,
    max_pixels=max_pixels,
    bar=not plan.many,
  )
  return batch.carry_out(
    work, plan, jobs=jobs, as_json=as_json, describe=decode.describe
  )
