"""(d) What exactness costs: bytes for the list, seconds for float64."""

import dataclasses
import statistics
import time
from collections.abc import Callable, Sequence

from benchmarks.exactness import probes
from roijax.codec import Codec
from roijax.coding import container
from roijax.data.photo import Source


@dataclasses.dataclass(frozen=True)
class List:
  """Close calls over many files.

  Attributes:
    files: how many.
    bytes: of all of them.
    listed: close calls in all.
    list_bytes: what they take.
    most: in one file.
  """

  files: int
  bytes: int
  listed: int
  list_bytes: int
  most: int


@dataclasses.dataclass(frozen=True)
class Seconds:
  """Medians for one photo, of runs by turns, compiled before.

  Attributes:
    float64: the entropy networks of a decoding as they are.
    float32: the same in float32.
    decode: a whole decoding, float64.
  """

  float64: float
  float32: float
  decode: float


def measure_list(
  codec: Codec, photos: Source, qualities: Sequence[float]
) -> List:
  """Encodes photos at several qualities; counts what is listed."""
  sizes, counts, spent = [], [], []
  for i in range(len(photos)):
    image = photos[i]["image"]
    for quality in qualities:
      data = codec.compress(image, quality=quality)
      found = container.read(data)
      bare = container.write(dataclasses.replace(found, boundary=()))
      sizes.append(len(data))
      counts.append(len(found.boundary))
      spent.append(len(data) - len(bare))
  return List(len(sizes), sum(sizes), sum(counts), sum(spent), max(counts))


def measure_seconds(codec: Codec, data: bytes, repeats: int = 7) -> Seconds:
  """Times a file's entropy networks in float64 and in float32, by turns."""
  symbols = probes.read_symbols(codec, data)
  runs: dict[str, Callable[[], object]] = {
    "decode": lambda: codec.decompress(data)
  }
  for precision in ("float64", "float32"):
    probe = probes.Probe(codec, precision, observe=False)
    runs[precision] = lambda probe=probe: probes.replay(codec, probe, symbols)
  seconds = {name: [] for name in runs}
  for _ in range(1 + repeats):
    for name, run in runs.items():
      start = time.perf_counter()
      run()
      seconds[name].append(time.perf_counter() - start)
  # The first of each compiles.
  return Seconds(**{k: statistics.median(v[1:]) for k, v in seconds.items()})
