"""What one `.roij` file says about itself, and where its bits are."""

import dataclasses
import pathlib
from typing import TYPE_CHECKING

import numpy as np

from roijax import boxed
from roijax.commands import engine
from roijax.commands.batch import Record
from roijax.commands.encode import describe_split, tell_split
from roijax.commands.inputs import Job
from roijax.commands.streams import naming, read_input
from roijax.errors import RoijaxError
from roijax.evaluation import bits_map
from roijax.files import write_whole

if TYPE_CHECKING:
  from roijax.codec import Codec
  from roijax.coding.container import Container
  from roijax.roi.choices import Choices


@dataclasses.dataclass(frozen=True)
class Examine:
  """What is looked at in a file.

  Attributes:
    checkpoint: the weights; None for those that the file names.
    rois: specs, united; none for the region that the file keeps.
    choices: what they go by.
    bits_map: where to draw the map of bits.
    brief: decode nothing.
    max_pixels: None for the default limit.
  """

  checkpoint: pathlib.Path | None
  rois: tuple[str, ...]
  choices: "Choices"
  bits_map: pathlib.Path | None
  brief: bool
  max_pixels: int | None

  def __call__(self, job: Job) -> Record:
    """Examines one file.

    Raises:
      RoijaxError: it cannot be read, or its bits were asked for and cannot
        be told.
    """
    from roijax.coding import container

    data = read_input(job)
    with naming(job.name):
      content = container.read(data)
      record = _fields(job, data, content)
      if not self.brief:
        record |= self._bits(job, data, content)
    return record

  def _bits(self, job: Job, data: bytes, content: "Container") -> Record:
    """Where the bits are; a remark where the weights are not at hand."""
    header = content.header
    try:
      codec = engine.codec_for(header.fingerprint, self.checkpoint)
    except RoijaxError as error:
      if self.rois or self.bits_map or self.checkpoint:
        raise
      return {"notes": [f"where the bits are cannot be told: {error}"]}
    cells = codec.measure_cells(data, **self._limits())
    size = header.height, header.width
    density = bits_map.bits_per_pixel(cells, *size)
    if self.bits_map is not None:
      write_whole(self.bits_map, bits_map.draw_png(density, *size))
    roi = self._region(job, data, content, codec)
    if roi is not None:
      split = tell_split(codec.split_bits(cells, roi), roi)
      # A region that is everything or nothing splits nothing.
      if split is not None:
        return {"roi": split}
    return {"density": density}

  def _region(
    self, job: Job, data: bytes, content: "Container", codec: "Codec"
  ) -> np.ndarray | None:
    """The map that was asked for, else the one that the file keeps."""
    size = content.header.height, content.header.width
    if self.rois:
      from roijax.roi.spec import needs_pixels, unite

      image = None
      # What is seen in the photo takes its pixels.
      if any(needs_pixels(spec, self.choices) for spec in self.rois):
        image = codec.decompress(data, progress=None, **self._limits())
      return unite(self.rois, size, job.source, image, self.choices)
    if content.box("mask") is None:
      return None
    return boxed.read_plane(content, "mask").astype(np.float32) / 255

  def _limits(self) -> dict[str, int]:
    return {} if self.max_pixels is None else {"max_pixels": self.max_pixels}


def _fields(job: Job, data: bytes, content: "Container") -> Record:
  """Every field of a file."""
  from roijax.coding import container

  header = content.header
  name, at_hand = engine.name_weights(header.fingerprint)
  boxes = {
    box.kind: {"bytes": len(box.data), "stored_bytes": box.size}
    for box in content.boxes
  }
  beside = sum(box.size or 0 for box in content.boxes)
  mask_bytes = None if content.mask is None else len(content.mask)
  return {
    "input": job.name,
    "bytes": len(data),
    "bpp": round(8 * len(data) / (header.width * header.height), 6),
    "format_version": container.VERSION,
    "weights": header.fingerprint.hex(),
    "weights_name": name,
    "weights_at_hand": at_hand,
    "width": header.width,
    "height": header.height,
    "grey": header.grey,
    "rounded": header.rounded,
    "quality": header.quality,
    "quality_code": header.quality_code,
    "background": round(header.background, 6),
    "background_code": header.background_code,
    "boundary_entries": len(content.boundary),
    "streams": [len(stream) for stream in content.streams],
    "mask_bytes": mask_bytes,
    "boxes": boxes,
    "overhead_bytes": (
      len(data) - content.coded_bytes - (mask_bytes or 0) - beside
    ),
    "symbols_checksum": f"{content.symbols_crc:08x}",
    "file_checksum": data[-4:][::-1].hex(),
    "notes": [],
  }


def print_record(record: Record) -> None:
  """Prints a record for people, the map of bits last."""
  for name, value in _lines(record).items():
    print(f"{name:<18}{value}")
  if record["mask_bytes"] is not None:
    share = 8 * record["mask_bytes"] / (record["width"] * record["height"])
    print(f"{'mask':<18}{record['mask_bytes']:,} bytes ({share:.4f} bpp)")
  for kind, box in record["boxes"].items():
    inflated = (
      f", {box['bytes']:,} inflated"
      if box["bytes"] > box["stored_bytes"]
      else ""
    )
    print(f"{f'box {kind}':<18}{box['stored_bytes']:,} bytes{inflated}")
  for note in record["notes"]:
    print(f"note: {note}")
  if record.get("roi"):
    print(describe_split(record["roi"]))
  if "density" in record:
    from rich.console import Console

    print()
    size = record["height"], record["width"]
    bits_map.print_map(record["density"], *size, Console())


def _lines(record: Record) -> dict[str, str]:
  streams = record["streams"]
  coded = sum(streams)
  weights = record["weights_name"] or "unknown here"
  if record["weights_name"] and not record["weights_at_hand"]:
    weights += ", not in this installation"
  return {
    "file": record["input"],
    "format version": f"{record['format_version']}",
    "weights": f"{record['weights']} ({weights})",
    "size": f"{record['width']}x{record['height']} pixels, "
    + ("grey" if record["grey"] else "RGB"),
    "quality": f"{record['quality']:g} (code {record['quality_code']})",
    "background level": (
      f"{record['background']:.3f} (code {record['background_code']})"
    ),
    "means": "on a grid" if record["rounded"] else "not rounded",
    "boundary list": f"{record['boundary_entries']} entries",
    "bytes": (
      f"{record['bytes']:,} ({coded:,} coded in {len(streams)}"
      f" stream{'s' if len(streams) > 1 else ''},"
      f" {record['overhead_bytes']} header and checksums)"
    ),
    "rate": f"{record['bpp']:.4f} bpp",
    "symbols checksum": record["symbols_checksum"],
    "file checksum": record["file_checksum"] + " (correct)",
  }
