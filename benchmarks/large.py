"""A large photo: seconds, memory, and whether seams show.

  python -m benchmarks.large --photos=FOLDER [--size=8000x6000] [--quality=3]

The photo is a patchwork of a folder's photos, enlarged to 1700x1275 each. It
is coded and decoded by fresh processes, whose peak memory is told. A seam
would show as a step in the error between the pixels on both sides of a border
of groups or windows: the mean square of that step, over borders, is compared
with the same over the borders of all other cells. `--keep=PNG` keeps what came
back, to be looked at.
"""

import argparse
import io
import json
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

import numpy as np
from PIL import Image

from roijax import tiling
from roijax.cli import exit_code
from roijax.coding import groups
from roijax.data.sources import open_source
from roijax.errors import ConfigError
from roijax.files import write_whole
from roijax.metrics.psnr import psnr

PATCH = (1700, 1275)


def make_patchwork(source, width: int, height: int) -> np.ndarray:
  """Photos side by side, uint8 [height, width, 3]."""
  out = Image.new("RGB", (width, height))
  number = 0
  for top in range(0, height, PATCH[1]):
    for left in range(0, width, PATCH[0]):
      photo = Image.fromarray(source[number % len(source)]["image"])
      if photo.width < photo.height:
        photo = photo.rotate(90, expand=True)
      out.paste(photo.resize(PATCH, Image.Resampling.LANCZOS), (left, top))
      number += 1
  return np.asarray(out)


def run_one(
  direction: str, folder: pathlib.Path, checkpoint: str | None, quality: float
) -> None:
  """One direction in this process; prints seconds and peak memory as JSON."""
  from roijax.codec import Codec

  codec = Codec.load(checkpoint, keep_programs=True)
  start, cpu_start = time.perf_counter(), time.process_time()
  if direction == "encode":
    image = np.load(folder / "photo.npy")
    data = codec.compress(image, quality=quality)
    (folder / "photo.roij").write_bytes(data)
  else:
    image = codec.decompress((folder / "photo.roij").read_bytes())
    np.save(folder / "back.npy", image)
  seconds = time.perf_counter() - start
  cpu = time.process_time() - cpu_start
  peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
  found = {"seconds": seconds, "cpu": cpu, "gib": peak}
  print(json.dumps({name: round(x, 2) for name, x in found.items()}))


def find_borders(side: int, halo: int) -> dict[str, np.ndarray]:
  """The pixels before which groups and windows begin, along one side."""
  by_group = {g.row for g in groups.split_groups(side, 1)} - {0}
  windows = tiling.split_windows(side, 1, halo)
  by_window = {w.core_rows.start for w in windows} - {0}
  return {
    "groups": np.array(sorted(by_group), int) * groups.CELL,
    "windows": np.array(sorted(by_window), int) * groups.CELL,
  }


def measure_seams(photo: np.ndarray, back: np.ndarray, halo: int) -> dict:
  """Mean squared steps of the error across borders, over those elsewhere."""
  sums: dict[str, list[float]] = {}
  for axis in (0, 1):
    borders = find_borders(photo.shape[axis], halo)
    # Cells have borders too, group or not: compare like with like.
    places = np.arange(groups.CELL, photo.shape[axis], groups.CELL)
    found = {}
    for place in places:
      pair = [slice(None)] * 3
      pair[axis] = slice(int(place) - 1, int(place) + 1)
      error = back[tuple(pair)].astype(np.float32) - photo[tuple(pair)]
      found[int(place)] = float(np.square(np.diff(error, axis=axis)).mean())
    for name, at in borders.items():
      sums.setdefault(name, []).extend(found[int(p)] for p in at)
    seams = {int(p) for at in borders.values() for p in at}
    others = [value for p, value in found.items() if p not in seams]
    sums.setdefault("elsewhere", []).extend(others)
  usual = float(np.mean(sums.pop("elsewhere")))
  return {name: float(np.mean(v)) / usual for name, v in sums.items() if v}


def _size(text: str) -> tuple[int, int]:
  try:
    width, height = map(int, text.split("x"))
  except ValueError as error:
    raise argparse.ArgumentTypeError(
      f"{text!r} is no size such as 8000x6000"
    ) from error
  return width, height


def main() -> None:
  """Reads the command line, measures, prints."""
  parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
  parser.add_argument("--photos", help="a folder of photos")
  parser.add_argument("--checkpoint", help="the default weights if absent")
  parser.add_argument("--size", type=_size, default="8000x6000")
  parser.add_argument("--quality", type=float, default=3.0)
  parser.add_argument("--keep", type=pathlib.Path, metavar="PNG")
  parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
  options = parser.parse_args()
  if options.one:
    direction, folder = options.one
    run_one(
      direction, pathlib.Path(folder), options.checkpoint, options.quality
    )
    return
  if not options.photos:
    raise ConfigError("--photos is missing: name a folder of photos")
  width, height = options.size
  source = open_source(options.photos)
  with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    photo = make_patchwork(source, width, height)
    np.save(folder / "photo.npy", photo)
    for direction in ("encode", "decode"):
      command = [sys.executable, "-m", "benchmarks.large", "--one", direction]
      command += [name, f"--quality={options.quality}"]
      if options.checkpoint:
        command += [f"--checkpoint={options.checkpoint}"]
      done = subprocess.run(
        command,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
      )
      found = json.loads(done.stdout)
      print(
        f"{direction}: {found['seconds']} s, {found['cpu']} s of CPU, "
        f"peak {found['gib']} GiB"
      )
    size = (folder / "photo.roij").stat().st_size
    back = np.load(folder / "back.npy")
    print(
      f"{size:,} bytes, {8 * size / (width * height):.3f} bpp,"
      f" {psnr(photo, back):.2f} dB"
    )
    if options.keep:
      stream = io.BytesIO()
      Image.fromarray(back).save(stream, "PNG")
      write_whole(options.keep, stream.getvalue())
    from roijax.codec import Codec

    halo = Codec.load(options.checkpoint).model.halo
    for what, ratio in measure_seams(photo, back, halo).items():
      print(f"steps of the error at borders of {what}: {ratio:.3f} of usual")


if __name__ == "__main__":
  sys.exit(exit_code(main))
