"""How long coding takes: encode and decode, warm and as a cold command.

  python -m benchmarks.codec --variants=small
  python -m benchmarks.codec --checkpoint=runs/small --out=codec.json

One photo of 768x512, no region, the middle quality. Without a checkpoint the
weights are a variant's fresh start, whose files are larger than trained ones.
Each process is fresh: `warm` codes again and again; `command` is
`roijax compress` and `decompress` when their programs have been compiled
before. The split of a command is that of its own seconds.
"""

import argparse
import collections
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
SIZE = (768, 512)
REPEATS = 9
COMMANDS = 3
CROPS = 64
# Method of `Programs`, or of the coder: the part of the split it counts to.
PARTS = {
  "transform": "transforms",
  "hyper_analyse": "transforms",
  "synthesise": "transforms",
  "hyper_synthesise": "entropy networks",
  "tables_at": "entropy networks",
  "encode": "range coder",
  "decode": "range coder",
}
_PROGRAMS = [name for name in PARTS if name not in ("encode", "decode")]
SPLIT = ("import", "load", "transforms", "entropy networks", "range coder")


class Stopwatch:
  """Seconds by part, of methods that it wraps."""

  def __init__(self):
    """Starts at zero."""
    self.seconds = collections.Counter()

  def wrap(self, owner: type, method: str) -> None:
    """Counts every call of a method from now on."""
    inner = getattr(owner, method)

    def timed(*arguments):
      start = time.perf_counter()
      result = inner(*arguments)
      self.seconds[PARTS[method]] += time.perf_counter() - start
      return result

    setattr(owner, method, timed)

  def time(self, part: str, call):
    """Runs a call; counts its seconds."""
    start = time.perf_counter()
    result = call()
    self.seconds[part] += time.perf_counter() - start
    return result

  def take(self) -> dict[str, float]:
    """The seconds so far; starts again at zero."""
    seconds, self.seconds = dict(self.seconds), collections.Counter()
    return seconds


def measure(checkpoint: str, photo: str, repeats: int, directions: str) -> dict:
  """Codes in this process, which is to be a fresh one.

  Args:
    checkpoint: holds model.npz.
    photo: to encode; or with directions "d" the file to decode.
    repeats: calls after the first.
    directions: "e" to encode, "d" to decode, "ed" for both.

  Returns:
    For each direction the seconds of the first call and of the later ones,
    each with its split; seconds of import and load; peak memory in MiB.
  """
  watch = Stopwatch()
  watch.time("import", lambda: __import__("roijax.codec"))
  from roijax.codec import Codec
  from roijax.coding import coder
  from roijax.data.images import read_image
  from roijax.programs import Programs

  for owner, methods in (
    (Programs, _PROGRAMS),
    (coder.Encoder, ("encode",)),
    (coder.Decoder, ("decode",)),
  ):
    for method in methods:
      watch.wrap(owner, method)
  codec = watch.time("load", lambda: Codec.load(checkpoint, keep_programs=True))
  results = {"start": watch.take()}
  data = pathlib.Path(photo).read_bytes() if directions == "d" else b""
  for direction in directions:
    if direction == "e":
      image = read_image(photo)
    calls = []
    for _ in range(1 + repeats):
      start = time.perf_counter()
      if direction == "e":
        data = codec.compress(image)
      else:
        codec.decompress(data)
      calls.append((time.perf_counter() - start, watch.take()))
    results[direction] = calls
  results["bytes"] = len(data)
  results["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
  return results


def _in_fresh_process(environment, *arguments) -> dict:
  done = subprocess.run(
    [sys.executable, __file__, "--measure", *map(str, arguments)],
    env=environment,
    stdout=subprocess.PIPE,
    text=True,
    check=True,
  )
  return json.loads(done.stdout.splitlines()[-1])


def _time_command(environment, *arguments) -> float:
  start = time.perf_counter()
  subprocess.run(
    [sys.executable, "-m", "roijax", *map(str, arguments)],
    env=environment,
    stdout=subprocess.DEVNULL,
    check=True,
  )
  return time.perf_counter() - start


def _with_split(seconds: float, split: dict) -> dict:
  return {"seconds": seconds, **{name: split.get(name) for name in SPLIT}}


def run_one(checkpoint: pathlib.Path, folder: pathlib.Path) -> dict:
  """All figures of one set of weights.

  Args:
    checkpoint: holds model.npz.
    folder: for the photo, the file and the compilation cache.
  """
  environment = {
    **os.environ,
    "PYTHONPATH": str(ROOT),
    "XDG_CACHE_HOME": str(folder / "cache"),
  }
  photo, file, back = (folder / name for name in ("a.png", "a.roij", "b.png"))
  weights = ("--checkpoint", checkpoint)
  # Compiles: nothing was in the cache.
  fresh = _in_fresh_process(environment, checkpoint, photo, REPEATS, "ed")
  commands = {
    "e": ("compress", photo, "-o", file, "--overwrite", *weights),
    "d": ("decompress", file, "-o", back, "--overwrite", *weights),
  }
  rows = {}
  for direction, name in (("e", "encode"), ("d", "decode")):
    source = photo if direction == "e" else file
    _time_command(environment, *commands[direction])
    cold = [
      _time_command(environment, *commands[direction]) for _ in range(COMMANDS)
    ]
    split = _in_fresh_process(environment, checkpoint, source, 0, direction)
    (first, first_split), *later = fresh[direction]
    middle = sorted(later, key=lambda call: call[0])[len(later) // 2]
    rows[f"{name}, first call"] = _with_split(first, first_split)
    rows[f"{name}, later calls"] = _with_split(*middle)
    rows[f"{name}, command"] = _with_split(
      statistics.median(cold), {**split["start"], **split[direction][0][1]}
    )
  return {"bytes": fresh["bytes"], "peak_mib": fresh["peak"], "rows": rows}


def write_fresh_weights(folder: pathlib.Path, config_file, variant) -> None:
  """Exports a variant's start, fitted to crops of the bundled photos."""
  import importlib.util

  import jax
  import numpy as np

  from roijax.data.pipeline import make_train_iterator
  from roijax.data.sample import SampleSource
  from roijax.models.registry import build_model
  from roijax.training.export import export_model
  from roijax.training.objective import init_model

  spec = importlib.util.spec_from_file_location("config", config_file)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  config = module.get_config(variant)
  batch = next(
    make_train_iterator(
      SampleSource("train"), crop=config.data.crop, batch_size=CROPS, seed=0
    )
  )
  model = build_model(config.system, config.model)
  params, _ = init_model(model, config, jax.random.key(0), batch)
  export_model(folder, config, jax.tree.map(np.asarray, params))


def write_photo(path: pathlib.Path) -> None:
  """The bundled photo that nothing trains on, at 768x512."""
  from PIL import Image

  from roijax.data.sample import SampleSource

  photo = Image.fromarray(SampleSource("val")[0]["image"])
  photo.resize(SIZE, Image.Resampling.LANCZOS).save(path)


def print_table(name: str, found: dict) -> None:
  """Prints one set of weights' figures, seconds."""
  print(
    f"{name}: {SIZE[0]}x{SIZE[1]}, {found['bytes']:,} bytes, "
    f"peak {found['peak_mib']:,.0f} MiB"
  )
  columns = ("seconds", *SPLIT)
  print(f"{'':24}" + "".join(f"{column:>17}" for column in columns))
  for row, values in found["rows"].items():
    cells = (values[column] for column in columns)
    print(
      f"{row:24}"
      + "".join(f"{x:17.3f}" if x is not None else " " * 17 for x in cells)
    )


def main() -> None:
  """Measures every variant and prints the table."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("--config", default=ROOT / "configs" / "ggm.py")
  parser.add_argument("--variants", default="small", help="joined by commas")
  parser.add_argument("--checkpoint", help="weights in place of variants")
  parser.add_argument("--out", help="a JSON file for the figures")
  parser.add_argument("--measure", nargs=4, help=argparse.SUPPRESS)
  settings = parser.parse_args()
  if settings.measure:
    checkpoint, photo, repeats, directions = settings.measure
    print(json.dumps(measure(checkpoint, photo, int(repeats), directions)))
    return
  results = {}
  names = [settings.checkpoint] if settings.checkpoint else None
  for name in names or settings.variants.split(","):
    with tempfile.TemporaryDirectory() as folder:
      folder = pathlib.Path(folder)
      checkpoint = folder
      write_photo(folder / "a.png")
      if settings.checkpoint:
        from roijax.weights import index

        checkpoint = index.find(settings.checkpoint).resolve()
      else:
        write_fresh_weights(folder, settings.config, name)
      results[name] = run_one(checkpoint, folder)
    print_table(name, results[name])
  if settings.out:
    from roijax.files import write_whole

    write_whole(settings.out, json.dumps(results, indent=2).encode())


if __name__ == "__main__":
  # The repository's own package, installed or not.
  sys.path.insert(0, str(ROOT))
  from roijax.cli import exit_code

  sys.exit(exit_code(main))
