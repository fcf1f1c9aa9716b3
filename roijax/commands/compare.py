"""`roijax plot compare`: codecs side by side on a photo, at equal bytes."""

import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from roijax.commands import options
from roijax.errors import ConfigError

if TYPE_CHECKING:
  from roijax.data.photo import Photo
  from roijax.evaluation.sheet.coding import Target
  from roijax.evaluation.sheet.columns import Sheet
  from roijax.roi.choices import Choices

EPILOG = """\b
Examples:
  roijax plot compare photo.jpg --roi face
  roijax plot compare photo.jpg --checkpoint=runs/tlic \\
    --checkpoint=runs/tlic-2 --roi face --bpp 0.2 -o sheet.html
  roijax plot compare a.png b.png --roi center --anchors=uniform,jpeg,avif \\
    --at 120,80 --at 300,200 -o sheet.png"""


def compare(
  photos: Annotated[
    list[pathlib.Path],
    typer.Argument(metavar="PHOTO", hidden=True),
  ],
  checkpoint: Annotated[
    list[str] | None,
    typer.Option(
      metavar="NAME|PATH",
      help="Weights, as `roijax compress` takes them; a column each. The first"
      " says how many bytes all get.",
    ),
  ] = None,
  roi: options.Rois = None,
  roi_threshold: options.RoiThreshold = None,
  text_model: options.TextModel = None,
  annotations: options.Annotations = None,
  quality: Annotated[
    float | None,
    typer.Option(
      metavar="Q",
      help="Of the first weights, from 0 to their highest; the middle when"
      " absent.",
    ),
  ] = None,
  bpp: Annotated[
    float | None,
    typer.Option(
      metavar="BPP",
      help="In place of a quality: the bits a pixel that the first weights'"
      " file of each photo is to have.",
    ),
  ] = None,
  background: options.Background = None,
  anchors: Annotated[
    str,
    typer.Option(
      metavar="NAME,...",
      help="Other codecs at equal bytes: uniform (the first weights without a"
      " region), jpeg, webp, avif, and more, which a wrong name lists; '' for"
      " none.",
    ),
  ] = "jpeg",
  at: Annotated[
    list[str] | None,
    typer.Option(
      metavar="X,Y",
      help="The middle of a crop, in pixels from the upper left; a row each."
      " When absent: one crop in the region and one outside, where the photo"
      " has most detail.",
    ),
  ] = None,
  output: Annotated[
    pathlib.Path,
    typer.Option(
      "--output", "-o", metavar="PNG|HTML", help="The sheet to write."
    ),
  ] = pathlib.Path("compare.png"),
) -> None:
  """Draws codecs side by side at equal bytes.

  A sheet shows photos, where their bits are, and enlarged crops. Every codec
  makes a real file of every PHOTO, as near to the first weights' bytes as it
  gets, and what is drawn is decoded from it. A sheet that ends in .html is one
  page with all in it, on which two codecs can be laid over each other.
  """
  _check_output(output, photos)
  names = [name.strip() for name in anchors.split(",") if name.strip()]
  level = options.background_level(background)
  points = [options.parse_point(text) for text in at or []]
  choices = options.make_choices(roi, roi_threshold, text_model, annotations)
  from roijax.evaluation.sheet import coding

  target = _read_target(quality, bpp)
  coding.check_anchors(names)
  paths = _find_weights(checkpoint)
  found = [_read_photo(path, roi, choices, points) for path in photos]
  sheets = _measure(found, paths, names, level, target, points)
  subtitle = f"region: {' + '.join(roi)}" if roi else "without a region"
  if roi and level != 1:
    subtitle += f", background level {level:g}"
  if output.suffix.lower() == ".png":
    from roijax.evaluation.sheet.png import write_png as write
  else:
    from roijax.evaluation.sheet.html import write_html as write
  write(output, sheets, subtitle)
  for each in sheets:
    _print_figures(each)
  print(output)


def _check_output(output: pathlib.Path, photos: Sequence[pathlib.Path]) -> None:
  if output.suffix.lower() not in (".png", ".html"):
    raise ConfigError(f"{output}: a sheet is PNG or HTML; end -o in one")
  if output.is_dir():
    raise ConfigError(f"-o {output} is a folder: name a file")
  for photo in photos:
    if output.resolve() == photo.resolve():
      raise ConfigError(f"-o {output} is a photo itself: name another file")


def _read_target(quality: float | None, bpp: float | None) -> "Target":
  from roijax.evaluation.sheet.coding import Target

  if quality is not None and bpp is not None:
    raise ConfigError("--quality and --bpp exclude each other: give one")
  if bpp is not None and not 0 < bpp < float("inf"):
    raise ConfigError(f"--bpp is {bpp:g}: it must be above 0")
  return Target(quality, bpp)


def _find_weights(given: list[str] | None) -> dict[str, pathlib.Path]:
  """The weights' files by the names of their columns."""
  from roijax.weights import index
  from roijax.weights.archive import FILE_NAME

  given = given or [index.default().name]
  paths = [index.find(text) for text in given]
  # A run is called by its folder where that tells it from the others.
  short = [
    pathlib.PurePath(text.removesuffix(FILE_NAME)).name or text
    for text in given
  ]
  names = short if len(set(short)) == len(short) else given
  found: dict[str, pathlib.Path] = {}
  for name, path in zip(names, paths, strict=True):
    if path in found.values():
      raise ConfigError(f"--checkpoint {name} is given twice")
    found[name] = path
  return found


def _read_photo(
  path: pathlib.Path,
  roi: list[str] | None,
  choices: "Choices",
  points: list[tuple[int, int]],
) -> "Photo":
  """Reads a photo and finds its region; None where there is none."""
  import numpy as np

  from roijax.data.photo import Photo
  from roijax.data.picture import read_picture
  from roijax.evaluation.sheet.coding import check_photo

  image = read_picture(path).image
  if image.ndim == 2:
    # Other codecs take colour, and equal terms are the point.
    image = np.repeat(image[..., None], 3, axis=2)
  height, width = image.shape[:2]
  options.check_points(points, height, width, path.name)
  found = Photo(image=image, roi=None, name=path.name)
  check_photo(found)
  if roi:
    from roijax.roi.spec import find_all

    found["roi"] = find_all(roi, (height, width), path, image, choices)
  return found


def _measure(
  photos, paths, anchors, background: float, target: "Target", points
) -> list["Sheet"]:
  # Seconds of JAX: behind everything that can be wrong before.
  from roijax.commands import engine
  from roijax.commands.progress import count_files
  from roijax.evaluation import rate_distortion
  from roijax.evaluation.sheet import coding

  codecs = [(name, engine.load_codec(path)) for name, path in paths.items()]
  if target.quality is not None:
    rate_distortion.check_settings(
      codecs[0][1].max_quality, [target.quality], background, ()
    )
  contenders = coding.enter(codecs, anchors, background)
  with count_files(len(photos) * len(contenders)) as advance:
    return [
      coding.measure_sheet(photo, contenders, target, points, advance)
      for photo in photos
    ]


def _print_figures(sheet: "Sheet") -> None:
  print(f"{sheet.name}: {sheet.region_line}")
  width = max(len(column.title) for column in sheet.columns)
  for column in sheet.columns:
    print(f"  {column.title:<{width}}  {column.size_line}, {column.psnr_line}")
