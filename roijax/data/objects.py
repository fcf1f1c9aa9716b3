"""Samples for the predictor of regions: whole photos, and what is known there.

Where only some kinds of objects are annotated, what lies outside them is
unknown, not background: such pixels carry weight 0.
"""

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from roijax.data.augment import draw_sample
from roijax.data.photo import Photo, Source
from roijax.errors import ConfigError, DataError

ALL = "all"
# Crops take this share of a photo's area, at an aspect changed by up to this
# factor.
AREA = (0.4, 1.0)
ASPECT = 1.35
# Half of the photos change colour: brightness, contrast and saturation by up
# to this factor.
JITTER_SHARE = 0.5
JITTER = 1.3
GREY_SHARE = 0.05
BLUR_SHARE = 0.05
BLUR_RADIUS = (0.4, 1.2)


class ObjectPhoto(Photo):
  """A photo whose objects are annotated.

  Attributes:
    objects: what `roi` is, and never None.
    complete: whether every object is annotated.
  """

  objects: np.ndarray
  complete: bool


class ObjectSource:
  """A source's photos, with what is known of their backgrounds.

  Args:
    source: the photos; where it has no `read_annotated`, annotations count as
      complete.
    repeat: how often a photo that is annotated in full appears, against once
      for the others, which teach less. Above 1, all photos are looked at once.
    shrink: the long side in pixels to which photos are shrunk, and then kept in
      memory; 0: they are read anew each time, as they are.
  """

  def __init__(self, source: Source, repeat: int = 1, shrink: int = 0):
    if repeat < 1 or shrink < 0:
      raise ConfigError(
        f"config.data.repeat={repeat} must be 1 or more, config.data.shrink="
        f"{shrink} not negative"
      )
    self._source = source
    self._shrink = shrink
    self._kept: dict[int, ObjectPhoto] = {}
    self._order = list(range(len(source)))
    self.name = f"objects of {source.name}"
    if repeat > 1:
      complete = [index for index in self._order if self._is_complete(index)]
      self._order += (repeat - 1) * complete
      self.name += f", complete ones {repeat} times"
    if shrink:
      self.name += f", shrunk to {shrink} pixels"

  def __len__(self) -> int:
    """Returns the number of photos, repeated ones as often as they appear."""
    return len(self._order)

  def __getitem__(self, index: int) -> ObjectPhoto:
    """Reads one photo.

    Raises:
      DataError: it cannot be read, or nothing in it is annotated.
    """
    index = self._order[index]
    if index in self._kept:
      return self._kept[index]
    photo = self._source[index]
    roi = photo["roi"]
    if roi is None:
      raise DataError(f"{photo['name']} has no annotated objects to learn from")
    complete = self._is_complete(index)
    photo = ObjectPhoto(**photo, objects=roi, complete=complete)
    if self._shrink:
      photo = self._kept[index] = _shrink(photo, self._shrink)
    return photo

  def _is_complete(self, index: int) -> bool:
    read = getattr(self._source, "read_annotated", None)
    return read is None or read(index) == ALL


def make_sample(
  photo: ObjectPhoto, side: int, generator: np.random.Generator
) -> dict[str, np.ndarray]:
  """Makes one training sample.

  Args:
    photo: from an `ObjectSource`.
    side: of the square that it is resized to, in pixels.
    generator: the only source of randomness.

  Returns:
    `image`, float32 [side, side, 3] in [0, 1]; `roi` and `known`, float32
    [side, side, 1]: the region, and 1 where it is known whether a pixel
    belongs to it.
  """
  box = _draw_box(photo["image"].shape[:2], generator)
  image = Image.fromarray(photo["image"])
  image = image.resize(
    (side, side), Image.Resampling.BILINEAR, box=box, reducing_gap=2.0
  )
  roi = Image.fromarray(np.uint8(np.rint(255 * photo["objects"])))
  roi = roi.resize(
    (side, side), Image.Resampling.BILINEAR, box=box, reducing_gap=2.0
  )
  if generator.random() < 0.5:
    image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    roi = roi.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
  image = _change_colours(image, generator)
  target = _to_unit(roi)[..., None]
  known = np.ones_like(target) if photo["complete"] else target > 0.5
  return {
    "image": _to_unit(image),
    "roi": target,
    "known": known.astype(np.float32),
  }


def _shrink(photo: ObjectPhoto, side: int) -> ObjectPhoto:
  height, width = photo["objects"].shape
  factor = min(1.0, side / max(height, width))
  size = (max(1, round(width * factor)), max(1, round(height * factor)))
  image = Image.fromarray(photo["image"]).resize(size, Image.Resampling.BOX)
  roi = Image.fromarray(photo["objects"]).resize(size, Image.Resampling.BOX)
  objects = np.asarray(roi)
  return {
    **photo,
    "image": np.asarray(image),
    "roi": objects,
    "objects": objects,
  }


def _to_unit(image):
  return np.divide(np.asarray(image), np.float32(255), dtype=np.float32)


def make_joint_sample(
  photo: ObjectPhoto, crop: int, generator: np.random.Generator
) -> dict[str, np.ndarray]:
  """Makes a sample for a codec and a predictor that train together.

  Args:
    photo: from an `ObjectSource`.
    crop: side of the sample in pixels.
    generator: the only source of randomness.

  Returns:
    `image` and `roi` as `augment.augment` gives them; `own`, float32 [1, 1, 1],
    1 where the map is of the photo's objects and not a random one; `known`,
    float32 [crop, crop, 1], where it then is known what belongs to them.
  """
  sample, own = draw_sample(photo, crop, generator)
  known = np.full_like(sample["roi"], own)
  if not photo["complete"]:
    known *= sample["roi"] > 0.5
  return {**sample, "own": np.full((1, 1, 1), own, np.float32), "known": known}


def _draw_box(size, generator):
  """Chooses what to cut out: left, top, right, bottom."""
  height, width = size
  area = generator.uniform(*AREA)
  aspect = ASPECT ** generator.uniform(-1, 1)
  tall = min(np.sqrt(area * aspect), 1.0) * height
  wide = min(np.sqrt(area / aspect), 1.0) * width
  top = generator.uniform(0, height - tall)
  left = generator.uniform(0, width - wide)
  return left, top, min(left + wide, width), min(top + tall, height)


def _change_colours(image, generator):
  if generator.random() < JITTER_SHARE:
    for kind in (
      ImageEnhance.Brightness,
      ImageEnhance.Contrast,
      ImageEnhance.Color,
    ):
      image = kind(image).enhance(JITTER ** generator.uniform(-1, 1))
  if generator.random() < GREY_SHARE:
    image = image.convert("L").convert("RGB")
  if generator.random() < BLUR_SHARE:
    radius = generator.uniform(*BLUR_RADIUS)
    image = image.filter(ImageFilter.GaussianBlur(radius))
  return image
