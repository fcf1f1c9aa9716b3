"""One photo to the map of what matters in it."""

import dataclasses
import io
import time
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from roijax.commands.batch import Record
from roijax.commands.inputs import Job
from roijax.commands.streams import read_picture, write_output

if TYPE_CHECKING:
  from roijax.roi.choices import Choices

# The least grey that counts. A map of 0 and 1 alone is one that was meant to
# be 0 and 255 (`roi.file` refuses it), and 1/255 is nothing that was found.
LEAST = 2
NOTHING = "nothing was found: the map is black"


@dataclasses.dataclass(frozen=True)
class Mark:
  """What is done to a photo; can be sent to another process.

  Attributes:
    rois: specs, united.
    choices: what they go by.
    mask: whether soft maps are cut.
    max_pixels: None for the default limit.
  """

  rois: tuple[str, ...]
  choices: "Choices"
  mask: bool
  max_pixels: int | None

  def __call__(self, job: Job) -> Record:
    """Writes one photo's map.

    Raises:
      RoijaxError: it cannot be read, looked at or written.
    """
    from roijax.roi.spec import find_all

    start = time.monotonic()
    picture = read_picture(job, self.max_pixels)
    image = picture.image
    height, width = image.shape[:2]
    found = find_all(
      self.rois,
      (height, width),
      job.source,
      image,
      self.choices,
      cut=self.mask,
    )
    levels = np.rint(255 * found).astype(np.uint8)
    black = int(levels.max()) < LEAST
    if black:
      levels[:] = 0
    buffer = io.BytesIO()
    Image.fromarray(levels).save(buffer, "PNG")
    data = buffer.getvalue()
    write_output(job, data)
    return {
      "input": job.name,
      "output": "-" if job.target is None else str(job.target),
      "bytes": len(data),
      "width": width,
      "height": height,
      "found": not black,
      "mean": round(float(levels.mean()) / 255, 6),
      "largest": round(int(levels.max()) / 255, 6),
      "notes": [*picture.notes, *([NOTHING] if black else [])],
      "seconds": round(time.monotonic() - start, 3),
    }


def describe(record: Record) -> list[str]:
  """What to tell of one map."""
  line = (
    f"{record['output']}: {record['width']}x{record['height']} pixels, mean"
    f" {record['mean']:.3f}, largest {record['largest']:.3f}"
  )
  return [line] + [f"note: {note}" for note in record["notes"]]
