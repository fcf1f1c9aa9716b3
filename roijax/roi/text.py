"""What a phrase names in a photo, or in the photo's annotations.

photo, phrase --segmenter--> similarity --resize--> map --cut--> region
file name, phrase --category of the annotations--> region
"""

import functools
import os
from typing import TYPE_CHECKING

import numpy as np

from roijax.errors import DataError
from roijax.roi import categories, coco, similarity, text_models
from roijax.roi.choices import Choices

if TYPE_CHECKING:
  from roijax.roi.segmenter import Segmenter


def measure(
  image: np.ndarray, name: str, phrase: str, choices: Choices
) -> similarity.Similarity:
  """Measures how much each pixel is like a phrase, by a segmenter.

  Args:
    image: uint8 [H, W] or [H, W, 3], RGB.
    name: what to call the photo in errors.
    phrase: such as "a dog".
    choices: which segmenter, and where to cut; the segmenter's own threshold
      when nothing is said.

  Raises:
    DataError: the phrase is empty or no text; the segmenter is not at hand, or
      its files are unfit.
    RoijaxError: the network does not run.
  """
  phrase = _check_phrase(phrase)
  segmenter = load(choices)
  height, width = image.shape[:2]
  values = similarity.resize(segmenter(image, phrase), (height, width))
  threshold = choices.threshold
  return similarity.Similarity(
    values=values,
    threshold=segmenter.threshold if threshold is None else threshold,
    spec=f"text:{phrase}",
    sought=repr(phrase),
    place=name,
  )


def load(choices: Choices) -> "Segmenter":
  """Opens the segmenter, and keeps it for the next photo.

  Args:
    choices: which one.

  Raises:
    RoijaxError: it is not at hand, or unfit.
  """
  return _load(text_models.find_model(choices.text_model))


def mark(
  phrase: str,
  annotations: str,
  size: tuple[int, int],
  image_path: str | os.PathLike | None,
) -> np.ndarray:
  """Marks a photo's annotated objects of the category that a phrase names.

  Args:
    phrase: a category's name, with or without an article, in the plural, or
      another word for it; see `categories.find_category`.
    annotations: a COCO annotations file.
    size: the photo's height and width.
    image_path: the photo; its file name finds its entry.

  Returns:
    float32 [H, W] of zeros and ones.

  Raises:
    NothingFoundError: the photo has no such object.
    DataError: the phrase names no category (the line says the nearest), or as
      `coco.mark`.
  """
  phrase = _check_phrase(phrase)
  names = list(coco.read_once(annotations).categories.values())
  category = categories.find_category(phrase, names)
  if category is None:
    nearest = ", ".join(map(repr, categories.list_nearest(phrase, names)))
    raise DataError(
      f"{annotations} has no category {phrase!r}: the nearest of its"
      f" {len(names)} are {nearest or 'none'}; without --annotations a"
      " segmenter looks for the phrase"
    )
  return coco.mark(annotations, category, size, image_path)


def _check_phrase(phrase: str) -> str:
  phrase = " ".join(phrase.split())
  try:
    phrase.encode()
  except UnicodeEncodeError as error:
    raise DataError(f"text:{phrase!r} is no text in UTF-8") from error
  if not phrase:
    raise DataError(
      'an empty phrase names nothing: write --roi "text:a dog", for example'
    )
  return phrase


@functools.lru_cache(maxsize=2)
def _load(place: text_models.Place) -> "Segmenter":
  from roijax.roi.segmenter import load_segmenter

  return load_segmenter(place)
