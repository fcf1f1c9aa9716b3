"""What a source of photos yields."""

from typing import Protocol, TypedDict, runtime_checkable

import numpy as np

from roijax.roi.choices import NO_CHOICES, Choices
from roijax.roi.spec import find_roi


class Photo(TypedDict):
  """One photo.

  Attributes:
    image: uint8 [H, W, 3], RGB.
    roi: float32 [H, W] in [0, 1], 1 in the region of interest; None when
      nobody annotated the photo, which says nothing about what it shows.
    name: the file's name, for reports.
  """

  image: np.ndarray
  roi: np.ndarray | None
  name: str


def with_region(
  photo: Photo, spec: str, choices: Choices = NO_CHOICES
) -> Photo:
  """The photo with the region that a spec finds in it, or with none.

  Args:
    photo: whatever region it has.
    spec: see `roi.spec.parse_roi`.
    choices: how to find it.

  Raises:
    RoijaxError: as `roi.spec.find_roi`.
  """
  image, name = photo["image"], photo["name"]
  roi = find_roi(spec, image.shape[:2], name, image, choices)
  return Photo(image=image, roi=roi, name=name)


@runtime_checkable
class Source(Protocol):
  """A finite sequence of photos that can be read in any order.

  `name` says which photos these are; with the length it identifies the source
  when training resumes. Sources are pickled to reader processes. A source may
  know more: `list_names()` and `read_name(index)`, see `sources`, what is
  annotated, and `folder`, where its photos lie.
  """

  name: str

  def __len__(self) -> int:
    """Returns the number of photos."""
    ...

  def __getitem__(self, index: int) -> Photo:
    """Reads the photo at `index`, which lies in [0, len)."""
    ...
