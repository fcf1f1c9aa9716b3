"""Feeds damaged files to the decoder and to what reads its boxes.

  python -m benchmarks.fuzz --minutes=5 [--cases=10000] [--seed=0]

Every case is one of the golden files with random and structured damage:
flipped bits, bytes overwritten, cut out, put in, numbers of the header made
extreme, streams swapped, the file cut short or spliced with another. Half of
them get a right checksum again, so that parser, list of close calls, boxes
and range coder are reached. What may happen is a `RoijaxError` of one line, or
a picture of the size that the file says. All else (another exception, more
seconds or memory than allowed) is a finding: the file is kept and the exit
code is 1.
"""

import argparse
import collections
import dataclasses
import pathlib
import re
import resource
import signal
import sys
import time
import traceback
import zlib

import numpy as np

from roijax.boxed import restore_picture
from roijax.cli import exit_code
from roijax.codec import Codec
from roijax.coding import container
from roijax.coding.cursor import put_varint
from roijax.data.picture import encode_picture
from roijax.errors import RoijaxError

GOLDEN = pathlib.Path(__file__).resolve().parents[1] / "tests" / "golden"
SECONDS = 60
"""For one case: compiling a canvas that was not used yet counts."""
GIBIBYTES = 6
MAX_PIXELS = 1 << 24

EXTREMES = (
  0,
  1,
  2,
  127,
  128,
  255,
  16383,
  16384,
  65535,
  65536,
  2**28,
  2**35 - 1,
)


class TimeUp(Exception):
  """A case took too long."""


def read_files(fingerprint: bytes) -> list[bytes]:
  """The golden files of the weights with this fingerprint."""
  found = [path.read_bytes() for path in sorted(GOLDEN.glob("*.roij"))]
  return [
    data
    for data in found
    if container.read(data).header.fingerprint == fingerprint
  ]


def _flip(data: bytearray, rng: np.random.Generator) -> None:
  for _ in range(int(rng.integers(1, 6))):
    data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))


def _overwrite(data: bytearray, rng: np.random.Generator) -> None:
  start = int(rng.integers(len(data)))
  size = int(rng.integers(1, 20))
  value = rng.choice([0, 255, -1])
  fill = rng.bytes(size) if value < 0 else bytes([value]) * size
  data[start : start + size] = fill


def _cut(data: bytearray, rng: np.random.Generator) -> None:
  start = int(rng.integers(len(data)))
  del data[start : start + int(rng.integers(1, 40))]


def _insert(data: bytearray, rng: np.random.Generator) -> None:
  start = int(rng.integers(len(data)))
  data[start:start] = rng.bytes(int(rng.integers(1, 40)))


def _shorten(data: bytearray, rng: np.random.Generator) -> None:
  del data[int(rng.integers(len(data))) :]


def _extreme_number(data: bytearray, rng: np.random.Generator) -> None:
  """Puts an extreme varint somewhere in the first bytes."""
  value = int(rng.choice(EXTREMES))
  coded = bytearray()
  put_varint(coded, value)
  start = int(rng.integers(min(40, len(data))))
  data[start : start + int(rng.integers(0, 4))] = coded


MUTATIONS = (_flip, _overwrite, _cut, _insert, _shorten, _extreme_number)


def mutate_bytes(data: bytes, rng: np.random.Generator) -> bytes:
  """Damages a file's bytes, one to three times."""
  body = bytearray(data[:-4])
  for _ in range(int(rng.integers(1, 4))):
    if len(body) > 1:
      MUTATIONS[rng.integers(len(MUTATIONS))](body, rng)
  if rng.random() < 0.5:
    return bytes(body) + zlib.crc32(body).to_bytes(4, "little")
  return bytes(body) + data[-4:]


def mutate_fields(data: bytes, rng: np.random.Generator) -> bytes:
  """Damages what a well-formed file says, under right checksums."""
  found = container.read(data)
  streams = [bytearray(stream) for stream in found.streams]
  boundary = list(found.boundary)
  header = found.header
  boxes = list(found.boxes)
  choice = rng.integers(6)
  if choice == 0 and streams[0]:
    _flip(streams[int(rng.integers(len(streams)))] or streams[0], rng)
  elif choice == 1:
    position = 0
    for _ in range(int(rng.integers(1, 30))):
      position += int(rng.integers(1, 4000))
      boundary.append((position, int(rng.integers(0, 1500))))
    boundary = sorted(dict(boundary).items())
  elif choice == 2:
    keep = int(rng.integers(0, len(streams[0]) // 4 + 1)) * 4
    streams[0] = streams[0][:keep] + rng.bytes(4 * int(rng.integers(0, 9)))
  elif choice == 3:
    header = dataclasses.replace(
      header,
      quality_code=int(rng.integers(0, 256)),
      background_code=int(rng.integers(1, 256)),
      grey=bool(rng.integers(2)),
    )
  elif choice == 4 and boxes:
    place = int(rng.integers(len(boxes)))
    content = bytearray(boxes[place].data or b"\0")
    MUTATIONS[rng.integers(len(MUTATIONS))](content, rng)
    boxes[place] = dataclasses.replace(boxes[place], data=bytes(content))
  else:
    crc = int(rng.integers(2**32))
    return container.write(dataclasses.replace(found, symbols_crc=crc))
  return container.write(
    container.Container(
      header,
      tuple(boundary),
      tuple(map(bytes, streams)),
      found.symbols_crc,
      tuple(boxes),
    )
  )


def run_case(codec: Codec, data: bytes) -> str:
  """Decodes a file as a command does; says what came of it."""
  try:
    image = codec.decompress(data, max_pixels=MAX_PIXELS)
    found = container.read(data)
    picture = restore_picture(image, found, strip=False)
    encode_picture(picture, ".png")
  except RoijaxError as error:
    if "\n" in str(error):
      raise AssertionError(f"an error of several lines: {error}") from error
    # Alike but for their numbers: one outcome.
    return re.sub(r"\b(0x|[0-9a-f,.x]*\d)[0-9a-f,.x]*", "N", str(error))[:70]
  assert image.shape[:2] == (found.header.height, found.header.width)
  return "a picture"


def _on_alarm(*_) -> None:
  raise TimeUp


def main() -> int:
  """Reads the command line, runs, reports; the exit code."""
  parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
  parser.add_argument("--minutes", type=float, default=5.0)
  parser.add_argument("--cases", type=int, default=0, help="0: until the time")
  parser.add_argument("--seed", type=int, default=0)
  parser.add_argument("--out", default="runs/fuzz", help="for what is found")
  options = parser.parse_args()
  out = pathlib.Path(options.out)
  codec = Codec.load(GOLDEN / "tiny-1.npz")
  files = read_files(codec.weights.fingerprint)
  for data in files:
    assert run_case(codec, data) == "a picture"
  limit = GIBIBYTES << 30
  resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
  signal.signal(signal.SIGALRM, _on_alarm)
  outcomes: collections.Counter[str] = collections.Counter()
  start, case, slowest, failures = time.monotonic(), 0, 0.0, 0
  while time.monotonic() - start < 60 * options.minutes:
    if options.cases and case >= options.cases:
      break
    # A case is made from its number alone, so that any can be repeated.
    rng = np.random.default_rng((options.seed, case))
    data = files[int(rng.integers(len(files)))]
    mutate = mutate_fields if rng.random() < 0.4 else mutate_bytes
    damaged = mutate(data, rng)
    began = time.monotonic()
    signal.alarm(SECONDS)
    try:
      outcomes[run_case(codec, damaged)] += 1
    except Exception:
      failures += 1
      out.mkdir(parents=True, exist_ok=True)
      (out / f"case_{options.seed}_{case}.roij").write_bytes(damaged)
      print(f"case {case}:\n{traceback.format_exc()}", file=sys.stderr)
    finally:
      signal.alarm(0)
    slowest = max(slowest, time.monotonic() - began)
    case += 1
  peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
  for outcome, count in outcomes.most_common():
    print(f"{count:8,}  {outcome}")
  print(
    f"{case:,} cases in {time.monotonic() - start:.0f} s, {failures} findings;"
    f" slowest {slowest:.1f} s, peak {peak:.2f} GiB"
  )
  return 1 if failures else 0


if __name__ == "__main__":
  sys.exit(exit_code(main))
