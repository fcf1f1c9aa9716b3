"""What networks are given of a photo: its size, its scale, its normalisation.

A JSON file beside the network says how, in the form that the model hub has
(`preprocessor_config.json`).
"""

import json
import pathlib
from typing import Any

import numpy as np
from PIL import Image

from roijax.errors import DataError

PEAK = "peak"
"""The `rescale_factor` that makes a photo's largest value 1."""

# Steps of other preprocessors, which would lose a part of the photo or add
# to it, so that the map would not be the photo's.
_REFUSED = {"do_resize": False, "do_center_crop": True, "do_pad": True}


class Preprocessor:
  """Makes a model's input of a photo.

  The photo is resized to one size, whatever its aspect, multiplied by
  `rescale_factor` and normalised: (value - mean) / std, channel by channel.

  Args:
    path: a `preprocessor_config.json`: `size` (a number for a square, or an
      object of `height` and `width`), `image_mean` and `image_std` (three
      numbers each; not needed where `do_normalize` is false), `resample`
      (Pillow's number of a filter; 2, bilinear, when absent) and
      `rescale_factor` (1/255 when absent, 1 where `do_rescale` is false;
      `PEAK` for one over the resized photo's largest value).
    fields: what to take in place of the file's content; `path` then only
      stands in errors.

  Attributes:
    size: height and width that the photo is resized to.

  Raises:
    DataError: the file is missing, not of this form, or asks for a crop.
  """

  def __init__(self, path: pathlib.Path, fields: dict[str, Any] | None = None):
    if fields is None:
      fields = read_object(path)
    for key, refused in _REFUSED.items():
      if fields.get(key) is refused:
        raise DataError(
          f"{path} says {key}: {json.dumps(refused)}, but the map must be the"
          " whole photo's: have it resized to `size`"
        )
    self.size = _read_size(fields.get("size"), path)
    self._filter = _read_filter(fields.get("resample", 2), path)
    factor = fields.get("rescale_factor", 1 / 255)
    if fields.get("do_rescale") is False:
      factor = 1
    self._factor = None
    if factor != PEAK:
      self._factor = _read_numbers("rescale_factor", factor, 1, path)
    mean, std = fields.get("image_mean"), fields.get("image_std")
    if fields.get("do_normalize") is False:
      mean, std = [0, 0, 0], [1, 1, 1]
    self._mean = _read_numbers("image_mean", mean, 3, path)
    self._std = _read_numbers("image_std", std, 3, path)
    if abs(self._std).min() < 1e-6:
      raise DataError(f"{path}: image_std divides, so it cannot be 0")

  def __call__(self, image: np.ndarray) -> np.ndarray:
    """Prepares a photo.

    Args:
      image: uint8 [H, W] or [H, W, 3], RGB.

    Returns:
      float32 [1, 3, h, w].
    """
    height, width = self.size
    photo = Image.fromarray(image).convert("RGB")
    resized = np.asarray(photo.resize((width, height), self._filter))
    factor = self._factor
    if factor is None:
      # A black photo has no peak: it stays black.
      factor = np.float32(1 / max(1, int(resized.max())))
    values = (resized * factor - self._mean) / self._std
    return np.ascontiguousarray(values.transpose(2, 0, 1)[None], np.float32)


def read_object(path: pathlib.Path) -> dict[str, Any]:
  """Reads a JSON file that holds an object.

  Raises:
    DataError: it cannot be read, or holds something else.
  """
  try:
    fields = json.loads(path.read_bytes())
  except OSError as error:
    raise DataError(f"cannot read {path}: {error.strerror}") from error
  except (ValueError, RecursionError) as error:
    raise DataError(f"{path} is not JSON: {error}") from error
  if not isinstance(fields, dict):
    raise DataError(f'{path} holds no object, such as {{"size": 320}}')
  return fields


def _read_size(size: Any, path: pathlib.Path) -> tuple[int, int]:
  both = size if isinstance(size, dict) else {"height": size, "width": size}
  sides: list[Any] = [both.get("height"), both.get("width")]
  if not all(_is_number(s) and s == int(s) and 1 <= s < 1 << 14 for s in sides):
    raise DataError(
      f"{path}: size is {json.dumps(size)}, but must be a number of pixels or"
      ' {"height": ..., "width": ...}'
    )
  return int(sides[0]), int(sides[1])


def _read_filter(number: Any, path: pathlib.Path) -> Image.Resampling:
  try:
    return Image.Resampling(number)
  except ValueError as error:
    raise DataError(
      f"{path}: resample is {json.dumps(number)}, but must be Pillow's number"
      " of a filter, such as 2 for bilinear"
    ) from error


def _read_numbers(
  key: str, value: Any, count: int, path: pathlib.Path
) -> np.ndarray:
  """float32 [3], the same thrice where there is one number."""
  numbers = value if isinstance(value, list) else [value]
  if len(numbers) != count or not all(map(_is_number, numbers)):
    what = f"{count} numbers" if count > 1 else "a number"
    raise DataError(f"{path}: {key} is {json.dumps(value)}, but must be {what}")
  return np.broadcast_to(np.asarray(numbers, np.float32), (3,))


def _is_number(value: Any) -> bool:
  return (
    isinstance(value, int | float)
    and not isinstance(value, bool)
    and abs(value) < 1e9
  )
