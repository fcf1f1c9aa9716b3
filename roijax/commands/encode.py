"""One photo to one `.roij` file."""

import dataclasses
import math
import pathlib
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from roijax import boxed
from roijax.commands import engine
from roijax.commands.batch import Record
from roijax.commands.inputs import Job
from roijax.commands.progress import show_share
from roijax.commands.streams import read_picture, write_output
from roijax.errors import ConfigError

if TYPE_CHECKING:
  from roijax.codec import Codec, Encoded
  from roijax.data.picture import Picture
  from roijax.roi.choices import Choices


class _Extra(NamedTuple):
  """What boxes hold, and how to go without."""

  kinds: tuple[str, ...]
  what: str
  advice: str


_EXTRAS = (
  _Extra(("icc", "exif"), "colour profile and Exif", "--strip drops them"),
  _Extra(("alpha",), "transparency", "an opaque photo has none"),
  _Extra(("mask",), "the region", "leave --keep-mask out"),
)


@dataclasses.dataclass(frozen=True)
class Limit:
  """The most that a file may take.

  Attributes:
    amount: how much.
    per_pixel: whether it is bits a pixel, not bytes in all.
  """

  amount: float
  per_pixel: bool

  def bytes_for(self, image: np.ndarray) -> int:
    """The limit for a photo, in bytes."""
    if not self.per_pixel:
      return int(self.amount)
    return math.floor(self.amount * image.shape[0] * image.shape[1] / 8)


@dataclasses.dataclass(frozen=True)
class Encode:
  """What is done to a photo; can be sent to another process.

  Attributes:
    checkpoint: the weights.
    rois: specs, united; none is an ordinary file.
    choices: what they go by.
    feather: pixels over which the region's edge is softened.
    dilate: pixels by which it grows.
    preview: where to draw what the region took.
    quality: None for the weights' middle.
    background: importance of what lies outside the region.
    effort: how long to look for a better file.
    limit: the size to stay within, in place of a quality.
    keep_mask: whether the file keeps the region.
    strip: whether to drop colour profile and Exif.
    max_pixels: None for the default limit.
    bar: whether a large photo gets a bar of its own.
  """

  checkpoint: pathlib.Path
  rois: tuple[str, ...]
  choices: "Choices"
  feather: float
  dilate: float
  preview: pathlib.Path | None
  quality: float | None
  background: float
  effort: int
  limit: Limit | None
  keep_mask: bool
  strip: bool
  max_pixels: int | None
  bar: bool

  def __call__(self, job: Job) -> Record:
    """Compresses one photo.

    Raises:
      RoijaxError: it cannot be read, coded or written.
    """
    start = time.monotonic()
    picture = read_picture(job, self.max_pixels)
    roi = self._region(picture, job)
    codec = engine.load_codec(self.checkpoint)
    mask = roi if self.keep_mask else None
    boxes = boxed.make_boxes(picture, mask, strip=self.strip)
    pixels = math.prod(picture.image.shape[:2])
    with show_share(pixels if self.bar else 0) as progress:
      encoded, remarks = self._encode(
        codec, picture.image, roi, boxes, progress
      )
    write_output(job, encoded.data)
    header = encoded.header
    return {
      "input": job.name,
      "output": "-" if job.target is None else str(job.target),
      "bytes": len(encoded.data),
      "bpp": round(8 * len(encoded.data) / pixels, 6),
      "width": header.width,
      "height": header.height,
      "grey": header.grey,
      "quality": header.quality,
      "background": header.background,
      "weights": header.fingerprint.hex(),
      "roi": None if roi is None else _tell_split(encoded, roi),
      "notes": [*picture.notes, *remarks],
      "seconds": round(time.monotonic() - start, 3),
    }

  def _region(self, picture: "Picture", job: Job) -> np.ndarray | None:
    """The united map; None without one."""
    if not self.rois:
      return None
    from roijax.roi.spec import unite_detailed

    region = unite_detailed(
      self.rois,
      picture.image.shape[:2],
      job.source,
      picture.image,
      self.choices,
      dilate=self.dilate,
      feather=self.feather,
    )
    if self.preview is not None:
      from roijax.data.images import write_image
      from roijax.roi.preview import draw_preview

      write_image(self.preview, draw_preview(picture.image, *region))
    return region.roi

  def _encode(
    self, codec: "Codec", image: np.ndarray, roi, boxes: Sequence, progress
  ) -> tuple["Encoded", list[str]]:
    """The file, and what there is to say about its size."""

    def encode(quality: float | None, effort: int) -> "Encoded":
      return codec.compress_detailed(
        image,
        roi,
        quality=quality,
        background=self.background,
        effort=effort,
        boxes=boxes,
        progress=progress,
      )

    if self.limit is None:
      return encode(self.quality, self.effort), []
    budget = self.limit.bytes_for(image)
    return fit(encode, codec.max_quality, budget, self.effort)


def fit(
  encode: Any, max_quality: float, budget: int, effort: int = 0
) -> tuple["Encoded", list[str]]:
  """The largest file that stays within a budget, by bisection over quality.

  An effort is made where it counts: within a whole quality of what fits
  without it.

  Args:
    encode: quality, effort -> `Encoded`.
    max_quality: qualities run from 0 to this.
    budget: bytes.
    effort: of the file.

  Returns:
    The file, and a remark where the budget could not be used up.

  Raises:
    ConfigError: even the smallest file is larger.
  """
  from roijax.coding.container import QUALITY_STEPS
  from roijax.evaluation.search import largest_within

  # What was coded can be large: only the best is kept.
  best: tuple[int, Encoded] | None = None

  def make_attempt(level: int):
    def attempt(code: int) -> bytes:
      nonlocal best
      encoded = encode(code / QUALITY_STEPS, level)
      fits = len(encoded.data) <= budget
      if fits and (best is None or code > best[0]):
        best = code, encoded
      return encoded.data

    return attempt

  codes = range(math.floor(max_quality * QUALITY_STEPS) + 1)
  place, data = largest_within(make_attempt(0), codes, budget)
  plain = best
  if effort:
    best = None
    near = codes[max(place - QUALITY_STEPS, 0) : place + QUALITY_STEPS + 1]
    _, data = largest_within(make_attempt(effort), near, budget)
  remarks = []
  if best is None and plain is not None:
    best = plain
    remarks.append("made without an effort: files with one exceed the target")
  if best is None:
    raise ConfigError(
      f"out of reach: the smallest file takes {len(data):,} bytes, more than"
      f" the {budget:,} asked for; {_advise(data, budget)}"
    )
  if best[0] == codes[-1]:
    remarks.append("the target was not used up: this is the finest quality")
  return best[1], remarks


def _advise(data: bytes, budget: int) -> str:
  """What would make a file smaller: its boxes gone, or fewer symbols."""
  from roijax.coding import container

  sizes = {box.kind: box.size or 0 for box in container.read(data).boxes}
  boxed = sum(sizes.values())
  if boxed < min(len(data) / 2, len(data) - budget):
    return (
      "fewer pixels make smaller files, and so does a region (--roi) before a"
      " --background of less"
    )
  told = []
  for extra in _EXTRAS:
    size = sum(sizes.get(kind, 0) for kind in extra.kinds)
    if size:
      told.append(f"{size:,} of them are {extra.what} ({extra.advice})")
  return ", ".join(told)


def describe(record: Record) -> list[str]:
  """What to tell of one photo."""
  lines = [
    f"{record['output']}: {record['bytes']:,} bytes, {record['bpp']:.4f} bpp"
  ]
  if record["roi"]:
    lines.append(describe_split(record["roi"]))
  return lines + [f"note: {note}" for note in record["notes"]]


def describe_split(split: Record) -> str:
  """Where the bits of the latents went, in a line."""
  inside, outside = split["bits_inside"], split["bits_outside"]
  whole = max(inside + outside, 1e-9)
  return (
    f"inside the region ({split['share']:.1%} of the photo):"
    f" {inside / 8:,.0f} bytes ({inside / whole:.1%}); outside:"
    f" {outside / 8:,.0f} bytes ({outside / whole:.1%})"
  )


def tell_split(bits: tuple[float, float], roi: np.ndarray) -> Record | None:
  """The record of a split; None where there is nothing on one side."""
  share = float(roi.mean())
  if not 0 < share < 1:
    return None
  inside, outside = bits
  return {
    "share": round(share, 6),
    "bits_inside": round(inside, 1),
    "bits_outside": round(outside, 1),
  }


def _tell_split(encoded: "Encoded", roi: np.ndarray) -> Record | None:
  return tell_split((encoded.bits_roi, encoded.bits_bg), roi)
