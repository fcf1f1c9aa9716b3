"""`roijax plot attention`: where a Swin codec looks."""

import pathlib
from typing import Annotated

import typer

from roijax.commands import options
from roijax.errors import ConfigError

EPILOG = """\b
Examples:
  roijax plot attention photo.jpg --checkpoint=runs/swin
  roijax plot attention photo.jpg --checkpoint=runs/swin --roi face \\
    --at 120,80 --at 300,200 -o attention.png
  roijax plot attention photos/*.png --checkpoint=swin-small-2 -o maps"""


def attention(
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
  points = [options.parse_point(text) for text in at or []]
  choices = options.make_choices(roi, roi_threshold, text_model, annotations)
  weights = index.find(checkpoint)
  for photo in photos:
    height, width = read_picture(photo).image.shape[:2]
    options.check_points(points, height, width, photo.name)
  # Seconds of JAX: behind everything that can be wrong before.
  from roijax.commands import engine
  from roijax.evaluation import attention as looks
  from roijax.evaluation import attention_plot

  codec, distances = None, []
  for photo, path in zip(photos, outputs, strict=True):
    image = read_picture(photo).image
    height, width = image.shape[:2]
    region = None
    if roi:
      from roijax.roi.spec import unite

      region = unite(roi, (height, width), photo, image, choices)
    codec = codec or engine.load_codec(weights)
    pairs = looks.take_weights(codec, image, region)
    chosen = points or looks.choose_points(height, width, region)
    attention_plot.draw_attention(path, image, region, pairs, chosen)
    distances.append(looks.measure_pairs(pairs))
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
