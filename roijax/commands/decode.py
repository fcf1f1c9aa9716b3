"""One `.roij` file to one picture."""

import dataclasses
import pathlib
import time

from roijax import boxed
from roijax.commands import engine
from roijax.commands.batch import Record
from roijax.commands.inputs import Job
from roijax.commands.progress import show_share
from roijax.commands.streams import naming, read_input, write_output


@dataclasses.dataclass(frozen=True)
class Decode:
  """What is done to a file; can be sent to another process.

  Attributes:
    checkpoint: the weights; None for those that the file names.
    suffix: the format to write, None for what the target's name says.
    strip: whether to leave out colour profile and Exif.
    max_pixels: None for the default limit.
    bar: whether a large photo gets a bar of its own.
  """

  checkpoint: pathlib.Path | None
  suffix: str | None
  strip: bool
  max_pixels: int | None
  bar: bool

  def __call__(self, job: Job) -> Record:
    """Decompresses one file.

    Raises:
      RoijaxError: it cannot be read, decoded or written.
    """
    from roijax.coding import container
    from roijax.data.picture import encode_picture, list_losses

    start = time.monotonic()
    data = read_input(job)
    # A damaged file is told before JAX is loaded.
    with naming(job.name):
      content = container.read(data)
      codec = engine.codec_for(content.header.fingerprint, self.checkpoint)
      settings = {}
      if self.max_pixels is not None:
        settings["max_pixels"] = self.max_pixels
      pixels = content.header.width * content.header.height
      with show_share(pixels if self.bar else 0) as progress:
        image = codec.decompress(data, progress=progress, **settings)
      picture = boxed.restore_picture(image, content, strip=self.strip)
    suffix = self.suffix or _suffix(job)
    made = encode_picture(picture, suffix, name=_name_target(job))
    write_output(job, made)
    return {
      "input": job.name,
      "output": _name_target(job),
      "bytes": len(made),
      "width": content.header.width,
      "height": content.header.height,
      "weights": content.header.fingerprint.hex(),
      "notes": list(list_losses(picture, suffix)),
      "seconds": round(time.monotonic() - start, 3),
    }


def _name_target(job: Job) -> str:
  return "-" if job.target is None else str(job.target)


def _suffix(job: Job) -> str:
  return job.target.suffix if job.target and job.target.suffix else ".png"


def describe(record: Record) -> list[str]:
  """What to tell of one file."""
  size = f"{record['width']}x{record['height']}"
  lines = [f"{record['output']}: {size} pixels"]
  return lines + [f"note: {note}" for note in record["notes"]]
