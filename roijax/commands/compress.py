"""`roijax compress`: photos to `.roij` files."""

import pathlib
from typing import Annotated

import typer

from roijax import efforts
from roijax.commands import batch, inputs, options
from roijax.errors import ConfigError

EPILOG = """\b
Examples:
  roijax compress photo.jpg
  roijax compress photo.jpg -o small.roij --roi face --target-size 40k
  roijax compress photos 'more/*.png' -o archive --jobs 4 --quality 4
  curl -s URL | roijax compress - > photo.roij"""

# Pictures that are not even read: no names for what is made.
_OTHERS = (
  *(".apng", ".bpg", ".cr2", ".cr3", ".dng", ".eps", ".exr", ".heic", ".heif"),
  *(".ico", ".j2c", ".jpe", ".jpx", ".jxl", ".jxr", ".nef", ".pdf", ".raw"),
  *(".sgi", ".svg", ".tga"),
)


def compress(
  photos: Annotated[
    list[str],
    typer.Argument(metavar="IN", hidden=True),
  ],
  output: options.Output = None,
  roi: options.Rois = None,
  feather: options.Feather = 0,
  dilate: options.Dilate = 0,
  roi_threshold: options.RoiThreshold = None,
  text_model: options.TextModel = None,
  annotations: options.Annotations = None,
  preview: Annotated[
    pathlib.Path | None,
    typer.Option(
      metavar="PNG",
      help="Draw what the region took, of one photo, and the maps of text:,"
      " sim:, saliency: and auto; at most 2048 pixels on the long side.",
    ),
  ] = None,
  quality: Annotated[
    float | None,
    typer.Option(
      metavar="Q",
      help="From 0 to the weights' highest; the middle when absent.",
    ),
  ] = None,
  background: options.Background = None,
  effort: options.Effort = 0,
  target_bpp: Annotated[
    float | None,
    typer.Option(
      metavar="BPP", help="The finest quality within so many bits a pixel."
    ),
  ] = None,
  target_size: Annotated[
    str | None,
    typer.Option(
      metavar="BYTES", help="The same for a file's size: 40000, 40k, 1.5M."
    ),
  ] = None,
  checkpoint: options.Checkpoint = None,
  keep_mask: Annotated[
    bool,
    typer.Option(
      "--keep-mask", help="Keep the region in the file, for `roijax info`."
    ),
  ] = False,
  strip: Annotated[
    bool,
    typer.Option("--strip", help="Drop colour profile and Exif."),
  ] = False,
  max_pixels: options.MaxPixels = None,
  overwrite: options.Overwrite = False,
  jobs: options.Jobs = 1,
  as_json: options.AsJson = False,
) -> int:
  """Writes photos as .roij files, by default beside them.

  IN is a photo, a folder (with all photos below), a pattern in quotes, or -
  for the standard input. Prints the file's size, its bits per pixel, and the
  bits spent inside and outside the region; of several photos, the totals.
  """
  from roijax.commands import encode
  from roijax.weights import index

  limit = _read_limit(quality, target_bpp, target_size)
  level = options.background_level(background)
  efforts.count_steps(effort)
  _check(roi, feather, dilate, preview, keep_mask)
  choices = options.make_choices(roi, roi_threshold, text_model, annotations)
  options.check_max_pixels(max_pixels)
  kind = _kind()
  found = inputs.find_inputs(photos, kind)
  plan = inputs.plan_outputs(found, output, kind, overwrite=overwrite)
  if preview is not None:
    _check_preview(preview, plan, overwrite)
  batch.check_output(plan, as_json=as_json)
  work = encode.Encode(
    checkpoint=index.find(checkpoint),
    rois=tuple(roi or ()),
    choices=choices,
    feather=feather,
    dilate=dilate,
    preview=preview,
    quality=quality,
    background=level,
    effort=effort,
    limit=limit,
    keep_mask=keep_mask,
    strip=strip,
    max_pixels=max_pixels,
    bar=not plan.many,
  )
  return batch.carry_out(
    work, plan, jobs=jobs, as_json=as_json, describe=encode.describe
  )


def _kind() -> inputs.Kind:
  photos = inputs.photo_suffixes()
  foreign = photos + _OTHERS
  return inputs.Kind("photo", photos, ".roij", (".roij", *foreign), foreign)


def _read_limit(quality, target_bpp, target_size):
  """The limit that one of the options sets, or None."""
  from roijax.commands.encode import Limit

  given = {
    "--quality": quality,
    "--target-bpp": target_bpp,
    "--target-size": target_size,
  }
  chosen = [name for name, value in given.items() if value is not None]
  if len(chosen) > 1:
    raise ConfigError(f"{' and '.join(chosen)} exclude each other: give one")
  if target_size is not None:
    return Limit(options.parse_bytes(target_size), False)
  if target_bpp is None:
    return None
  if not 0 < target_bpp < float("inf"):
    raise ConfigError(f"--target-bpp is {target_bpp:g}: it must be above 0")
  return Limit(target_bpp, True)


def _check_preview(preview: pathlib.Path, plan, overwrite: bool) -> None:
  """Refuses a preview of many, and one that would destroy something."""
  if plan.many:
    raise ConfigError("--preview draws one photo: give one")
  if preview.suffix.lower() != ".png":
    raise ConfigError(f"--preview {preview}: end it in .png")
  (job,) = plan.jobs
  taken = [path.resolve() for path in job if path is not None]
  if preview.resolve() in taken:
    raise ConfigError(f"--preview {preview} is the input or output itself")
  if preview.exists() and not overwrite:
    raise ConfigError(f"--preview {preview} exists: --overwrite replaces it")


def _check(roi, feather, dilate, preview, keep_mask) -> None:
  """Refuses what cannot be meant, before any work."""
  if keep_mask and (not roi or {"all", "none"} & set(roi)):
    raise ConfigError("--keep-mask keeps a region: give one with --roi")
  without = [
    name
    for name, value in {
      "--feather": feather,
      "--dilate": dilate,
      "--preview": preview,
    }.items()
    if value
  ]
  if without and not roi:
    raise ConfigError(f"{without[0]} needs a region: give --roi")
