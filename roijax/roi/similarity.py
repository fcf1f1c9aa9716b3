"""Soft maps that a threshold cuts into a region: measured, or from a file.

The text-controlled mask of Jin et al. (arXiv 2507.00373, section on mask
acquisition) is M = 1 where the similarity p of phrase and pixel is above tau,
with tau = 0.85. Here a pixel that reaches tau is inside, as with `auto`.
"""

import dataclasses
import math

import numpy as np
from PIL import Image

from roijax.errors import DataError, NothingFoundError
from roijax.roi import file

SPECK = 0.05
"""Pieces smaller than this share of the largest one are specks."""
TAU = 0.85
"""The paper's threshold, for cosines of embeddings and for files."""


@dataclasses.dataclass(frozen=True)
class Similarity:
  """A map that is cut at a threshold.

  Attributes:
    values: float32 [H, W] in [0, 1].
    threshold: pixels that reach it are inside.
    spec: what measured it, for pictures.
    sought: what it looks for, for errors.
    place: where, likewise.
    quantity: what `values` are, likewise.
    lower: what a user writes for a lower threshold, up to the number.
    tidy: whether holes are filled and specks dropped.
  """

  values: np.ndarray
  threshold: float
  spec: str
  sought: str
  place: str
  quantity: str = "similarity"
  lower: str = "--roi-threshold "
  tidy: bool = False

  def cut(self) -> np.ndarray:
    """Marks what reaches the threshold.

    Returns:
      float32 [H, W] of zeros and ones.

    Raises:
      NothingFoundError: nothing does; the line names the highest value.
    """
    inside = self.values >= self.threshold
    if not inside.any():
      raise NothingFoundError(self._explain(float(self.values.max())))
    inside = tidy_mask(inside) if self.tidy else inside
    return inside.astype(np.float32)

  def _explain(self, highest: float) -> str:
    # Rounded down: the number has to work as a threshold.
    within = math.floor(100 * highest) / 100
    lower = f"a lower threshold, {self.lower}{within:g}, or " if within else ""
    told = math.floor(10000 * highest) / 10000
    return (
      f"no {self.sought} found in {self.place}: the highest {self.quantity} is"
      f" {told:g}, below {self.threshold:g}; give {lower}the region yourself,"
      " for example --roi box:x,y,w,h, or --roi none"
    )


def tidy_mask(inside: np.ndarray) -> np.ndarray:
  """Fills the holes of a bool mask [H, W], and drops its specks."""
  # Not at the top: it takes longer to load than most commands to run.
  from scipy import ndimage

  outside, count = _pieces(ndimage.label(~inside))
  # What is outside and touches no edge is a hole. (`binary_fill_holes` takes
  # four times as long on a large photo.)
  reached = np.zeros(count + 1, bool)
  for edge in (outside[0], outside[-1], outside[:, 0], outside[:, -1]):
    reached[edge] = True
  reached[0] = False
  filled = ~reached[outside]
  pieces, count = _pieces(ndimage.label(filled))
  if count < 2:
    return filled
  areas = np.bincount(pieces.ravel())
  # Piece 0 is what lies outside.
  kept = areas >= SPECK * areas[1:].max()
  kept[0] = False
  return kept[pieces]


def _pieces(labelled) -> tuple[np.ndarray, int]:
  """What `ndimage.label` gives, for type checkers."""
  return labelled


def read(path: str, size: tuple[int, int], threshold: float) -> Similarity:
  """Reads a map that some other program measured.

  Args:
    path: an image whose grey, 0 to 255, is a similarity of 0 to 1; what
      `roijax.roi.file.read_map` refuses is refused. Or NumPy's `.npy`: uint8
      likewise, or cosines, floats in [-1, 1] of which the negative count as 0.
    size: the photo's height and width, to which it is resized before the cut.
    threshold: see `Similarity`.

  Raises:
    DataError: it cannot be read, or is no such image.
  """
  if path.lower().endswith(".npy"):
    values = _read_array(path, size)
  else:
    values = file.read_map(path, size, "similarity map")
  return Similarity(values, threshold, f"sim:{path}", "region", path)


def _read_array(path: str, size: tuple[int, int]) -> np.ndarray:
  name = f"similarity map {path}"
  try:
    values = np.load(path, allow_pickle=False)
  except FileNotFoundError as error:
    raise DataError(f"no such similarity map: {path}") from error
  except (OSError, ValueError, EOFError) as error:
    raise DataError(f"{path} is no array that NumPy can read") from error
  known = values.dtype == np.uint8 or values.dtype.kind == "f"
  if not known or values.ndim != 2 or not values.size:
    raise DataError(
      f"the {name} is {values.dtype} of shape {values.shape}; it must be uint8"
      " or floats [height, width]"
    )
  values = values.astype(np.float32) / (255 if values.dtype == np.uint8 else 1)
  # As float32, cosines may pass 1 by rounding.
  if not np.abs(values).max() <= 1 + 1e-3:
    raise DataError(f"the {name} has values outside -1 to 1, or not numbers")
  file.check_aspect(values.shape[::-1], name, size)
  return resize(np.clip(values, 0, 1), size)


def resize(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
  """Brings a map in [0, 1] to a photo's size, bilinearly.

  Args:
    values: float32 [h, w].
    size: the photo's height and width; a smaller one is averaged over the
      widened triangle, as Pillow does.
  """
  height, width = size
  resized = Image.fromarray(values).resize(
    (width, height), Image.Resampling.BILINEAR
  )
  return np.clip(np.asarray(resized), 0, 1)
