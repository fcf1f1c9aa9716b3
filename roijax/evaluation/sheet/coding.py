"""Codes a photo by several codecs at equal bytes.

photo, region --first contender--> file, its bytes are the budget
              --the others-------> files nearest to the budget
file --decoded--> pixels, PSNR; --coding tables--> where its bits are
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from roijax.coding import container
from roijax.data.photo import Photo
from roijax.errors import ConfigError, DataError
from roijax.evaluation import bits_map, rate_distortion
from roijax.evaluation.machine import equal_bytes
from roijax.evaluation.machine.equal_bytes import Entrant
from roijax.evaluation.rivals import RIVALS
from roijax.evaluation.sheet import crops
from roijax.evaluation.sheet.columns import Column, Sheet
from roijax.evaluation.summary import MATCH_TOLERANCE
from roijax.metrics import psnr
from roijax.roi.preview import draw_preview

# Larger photos make pages that no browser likes.
MAX_PIXELS = 1 << 24
ANCHORS = (rate_distortion.UNIFORM, *RIVALS)


class Contender(NamedTuple):
  """A codec that gets a column.

  Attributes:
    title: what the column is called.
    entrant: how it codes.
    codec: learned weights that can tell where bits are; None of others.
  """

  title: str
  entrant: Entrant
  codec: Any = None


@dataclasses.dataclass(frozen=True)
class Target:
  """How large the first contender's file is to be.

  Attributes:
    quality: of the first contender; None for its middle.
    bpp: bits a pixel that it is to come nearest to, in place of a quality.
  """

  quality: float | None = None
  bpp: float | None = None


def check_anchors(names: Sequence[str]) -> None:
  """Refuses anchors that do not exist or cannot run here.

  Raises:
    ConfigError: there is none of a name.
    RoijaxError: what one needs is not installed.
  """
  for name in names:
    if name not in ANCHORS:
      raise ConfigError(f"no anchor {name!r}: choose from {', '.join(ANCHORS)}")
    if name in RIVALS:
      RIVALS[name].check()


def enter(
  codecs: Sequence[tuple[str, Any]], anchors: Sequence[str], background: float
) -> list[Contender]:
  """Makes the columns of a sheet.

  Args:
    codecs: names, and loaded `roijax.codec.Codec`s; one at least.
    anchors: from `ANCHORS`; `uniform` is the first codec without a region.
    background: the importance of what lies outside the region.

  Raises:
    RoijaxError: see `check_anchors`.
  """
  entrants = [
    equal_bytes.enter_checkpoint(name, codec, background, "")
    for name, codec in codecs
  ]
  contenders = [
    Contender(name, entrant, codec)
    for (name, codec), (entrant, _) in zip(codecs, entrants, strict=True)
  ]
  check_anchors(anchors)
  for name in anchors:
    if name == rate_distortion.UNIFORM:
      blind = entrants[0][1]
      contenders.append(Contender(blind.name, blind, codecs[0][1]))
    else:
      rival = equal_bytes.enter_rival(name)
      contenders.append(Contender(RIVALS[name].title, rival))
  return contenders


def check_photo(photo: Photo) -> None:
  """Refuses a photo that no sheet can be made of, before it is coded.

  Raises:
    DataError: it is too small for crops, or too large.
  """
  height, width = photo["image"].shape[:2]
  if height * width > MAX_PIXELS:
    raise DataError(
      f"{photo['name']}: {width}x{height} pixels are too many for a sheet:"
      f" scale the photo to {MAX_PIXELS >> 20} megapixels at most"
    )
  try:
    crops.check_size(height, width)
  except DataError as error:
    raise DataError(f"{photo['name']}: {error}") from error


def measure_sheet(
  photo: Photo,
  contenders: Sequence[Contender],
  target: Target,
  points: Sequence[tuple[int, int]] = (),
  progress: Callable[[], None] = lambda: None,
) -> Sheet:
  """Codes a photo by every contender, decodes the files, and measures.

  Args:
    photo: as `evaluate` takes them; a map that is zero everywhere, or None,
      codes without a region.
    contenders: from `enter`.
    target: the size of the first one's file, to which all others come as near
      as they can.
    points: middles of the crops; chosen when there are none.
    progress: called after each contender.

  Raises:
    ConfigError: the first contender cannot meet the target.
    DataError: see `check_photo`.
  """
  image, roi = photo["image"], photo["roi"]
  check_photo(photo)
  if roi is not None and not roi.any():
    photo = Photo(image=image, roi=None, name=photo["name"])
  mask = None if roi is None else psnr.region(roi)
  if mask is not None and (mask.all() or not mask.any()):
    mask = None
  columns: list[Column] = []
  for contender in contenders:
    if columns:
      data = _code(contender, photo, len(columns[0].data))
    else:
      data = _code_first(contender, photo, target)
    first = columns[0].data if columns else data
    columns.append(_measure(contender, photo, mask, data, len(first)))
    progress()
  shown = photo["roi"]
  if shown is None:
    shown = np.ones(image.shape[:2], np.float32)
  return Sheet(
    photo["name"],
    image,
    mask,
    draw_preview(image, shown),
    columns,
    crops.choose_crops(image, mask, points),
  )


def _code_first(contender: Contender, photo: Photo, target: Target) -> bytes:
  """The file that sets the budget."""
  entrant = contender.entrant
  image, roi = photo["image"], photo["roi"]
  if target.bpp is None:
    quality = target.quality
    if quality is None:
      quality = contender.codec.max_quality / 2
    return entrant.encode(image, roi, quality)
  pixels = image.shape[0] * image.shape[1]
  budget = max(1, round(target.bpp * pixels / 8))
  data = _code(contender, photo, budget)
  if abs(len(data) / budget - 1) > MATCH_TOLERANCE:
    least, most = (
      8 * len(entrant.encode(image, roi, entrant.settings[i])) / pixels
      for i in (0, -1)
    )
    raise ConfigError(
      f"--bpp {target.bpp:g} is out of reach: {contender.title} codes"
      f" {photo['name']} at {least:.3f} to {most:.3f} bpp, and no nearer than"
      f" {8 * len(data) / pixels:.3f}"
    )
  return data


def _code(contender: Contender, photo: Photo, budget: int) -> bytes:
  """The file nearest to a budget."""
  entrant = contender.entrant
  return equal_bytes.find_nearest(
    lambda index: entrant.encode(
      photo["image"], photo["roi"], entrant.settings[index]
    ),
    len(entrant.settings),
    budget,
  )


def _measure(
  contender: Contender, photo: Photo, mask, data: bytes, budget: int
) -> Column:
  image = photo["image"]
  height, width = image.shape[:2]
  x_hat = contender.entrant.decode(data)
  quality = density = None
  if contender.codec is not None:
    quality = container.read(data).header.quality
    cells = contender.codec.measure_cells(data)
    density = bits_map.bits_per_pixel(cells, height, width)
  region = None if mask is None else mask.astype(np.float32)
  return Column(
    contender.title,
    data,
    x_hat,
    8 * len(data) / (height * width),
    len(data) / budget - 1,
    quality,
    rate_distortion.measure(image, x_hat, region),
    density,
  )
