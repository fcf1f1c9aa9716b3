"""`roijax roi`: photos to maps of what matters in them."""

import pathlib
from typing import TYPE_CHECKING, Annotated

import typer

from roijax.commands import batch, inputs, options
from roijax.errors import ConfigError

if TYPE_CHECKING:
  from roijax.roi.choices import Choices

EPILOG = """\b
Examples:
  roijax roi photo.jpg -o map.png --roi auto
  roijax roi photos -o maps --roi saliency:u2net.onnx --jobs 4
  roijax roi photos -o masks --roi "text:a dog" --mask --roi-threshold 0.3"""

_MADE = ".png"


def roi(
  photos: Annotated[
    list[str],
    typer.Argument(metavar="IN", hidden=True),
  ],
  output: Annotated[
    str | None,
    typer.Option(
      "--output",
      "-o",
      metavar="MAPS",
      help="A folder (made when missing), of one photo a PNG too, or - for the"
      " standard output.",
    ),
  ] = None,
  specs: options.Rois = None,
  mask: Annotated[
    bool,
    typer.Option(
      "--mask",
      help="Cut the maps of text:, sim:, saliency: and auto at their"
      " thresholds.",
    ),
  ] = False,
  roi_threshold: options.RoiThreshold = None,
  text_model: options.TextModel = None,
  annotations: options.Annotations = None,
  max_pixels: options.MaxPixels = None,
  overwrite: options.Overwrite = False,
  jobs: options.Jobs = 1,
  as_json: options.AsJson = False,
) -> int:
  """Writes what --roi finds in photos, as grey PNGs of their names and sizes.

  IN is a photo, a folder (with all photos below), a pattern in quotes, or -
  for the standard input. A map's 0 to 255 is 0 to 1: as soft as what text:,
  sim:, saliency: and auto measure, and a mask where there is nothing soft.
  Where nothing is found it is black. --roi sim:MAP.png reads them, and so does
  training (config.data.masks=maps).
  """
  from roijax.commands import mark
  from roijax.roi.spec import open_networks

  if not output:
    raise ConfigError(
      "-o is needed: a folder for the maps, or of one photo a name in .png"
    )
  choices = options.make_choices(specs, roi_threshold, text_model, annotations)
  _check(specs, mask, choices)
  options.check_max_pixels(max_pixels)
  kind = inputs.Kind("photo", inputs.photo_suffixes(), _MADE, (_MADE,))
  found = inputs.find_inputs(photos, kind)
  _check_place(photos, output)
  plan = inputs.plan_outputs(found, output, kind, overwrite=overwrite)
  _check_name(plan)
  batch.check_output(plan, as_json=as_json)
  if plan.jobs:
    open_networks(specs or (), choices)
  work = mark.Mark(tuple(specs or ()), choices, mask, max_pixels)
  return batch.carry_out(
    work, plan, jobs=jobs, as_json=as_json, describe=mark.describe
  )


def _check(specs: list[str] | None, mask: bool, choices: "Choices") -> None:
  """Refuses what would make no map, or would be of no use."""
  if not specs:
    raise ConfigError("--roi says what to look for: give one, such as auto")
  if "none" in specs:
    raise ConfigError("--roi none looks for nothing: there is no map of it")
  cuts = [spec for spec in specs if spec.startswith("auto:")]
  if choices.threshold is not None:
    cuts.append("--roi-threshold")
  if cuts and not mask:
    raise ConfigError(
      f"{cuts[0]} says where to cut a map, but maps stay soft without --mask:"
      " add it, or say no threshold"
    )


def _check_place(photos: list[str], output: str) -> None:
  """Refuses maps among the photos, for which they would be taken next time.

  A shell's or our own pattern is no matter: it says which files it means.
  """
  if output == inputs.STREAM:
    return
  place = pathlib.Path(output).resolve()
  for argument in photos:
    folder = pathlib.Path(argument)
    if folder.is_dir() and place.is_relative_to(folder.resolve()):
      raise ConfigError(
        f"-o {output} lies in the photos' own folder {argument}, where maps"
        " would be taken for photos: name a folder elsewhere"
      )


def _check_name(plan: inputs.Plan) -> None:
  """Refuses one map under a name that says another format, or none."""
  (target,) = [job.target for job in plan.jobs][:1] or (None,)
  if plan.many or target is None or inputs.is_device(target):
    return
  if target.suffix.lower() != _MADE:
    raise ConfigError(
      f"-o {target}: a map is a PNG: end its name in .png, or that of a folder"
      " in /"
    )
