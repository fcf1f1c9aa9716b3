"""One machine's share of the work, in a process of its own.

    python -m benchmarks.exactness.worker JOBS.json

`machines` starts it: XLA reads its flags once a process.
"""

import json
import os
import pathlib
import sys

import numpy as np


def encode(checkpoint: str, photo: str, out: str) -> None:
  """Writes the file of a photo at the middle quality."""
  from roijax.codec import Codec
  from roijax.data.images import read_image

  data = Codec.load(checkpoint).compress(read_image(photo))
  pathlib.Path(out).write_bytes(data)


def decode(checkpoint: str, files: dict[str, str]) -> None:
  """Decodes files; what each decodes to goes to the path beside it.

  An array of pixels, or a text where decoding raised.
  """
  from roijax.codec import Codec
  from roijax.errors import BitstreamError

  codec = Codec.load(checkpoint)
  for file, out in files.items():
    try:
      found = codec.decompress(pathlib.Path(file).read_bytes())
    except BitstreamError as error:
      found = np.array(str(error))
    np.save(out, found)


def observe(checkpoint: str, files: dict[str, str]) -> None:
  """Notes what the entropy networks predict for files' symbols.

  In float64 and in float32, as arrays `float64/mean` [latents] and so on,
  pass after pass, in an npz beside each file; `passes` says which is whose.
  """
  from benchmarks.exactness import probes
  from roijax.codec import Codec

  codec = Codec.load(checkpoint)
  pair = {x: probes.Probe(codec, x) for x in ("float64", "float32")}
  for file, out in files.items():
    symbols = probes.read_symbols(codec, pathlib.Path(file).read_bytes())
    arrays, sizes = {}, []
    for precision, probe in pair.items():
      notes = probes.replay(codec, probe, symbols)
      sizes = [note.mean.size for note in notes]
      for field in probes.Note._fields:
        flat = [getattr(note, field).ravel() for note in notes]
        arrays[f"{precision}/{field}"] = np.concatenate(flat)
    np.savez(out, passes=np.repeat(np.arange(len(sizes)), sizes), **arrays)


JOBS = {"encode": encode, "decode": decode, "observe": observe}


def main(path: str) -> None:
  """Runs the jobs of a file: a list of [name, arguments]."""
  task = json.loads(pathlib.Path(path).read_text())
  if task["one_core"] and hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
  for name, arguments in task["jobs"]:
    JOBS[name](*arguments)


if __name__ == "__main__":
  main(sys.argv[1])
