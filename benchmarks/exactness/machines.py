"""(a) Every machine encodes, every machine decodes what all encoded.

A machine is a process whose programs are compiled for an instruction set, or
for a number of threads. Where an encoder's transforms round otherwise its
file differs; the claim is that each file decodes everywhere to the symbols
that were written, which its checksum of symbols decides.
"""

import dataclasses
import json
import os
import pathlib
import platform
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]


@dataclasses.dataclass(frozen=True)
class Machine:
  """How a process is to compute.

  Attributes:
    name: for tables.
    flags: XLA's.
    threads: of XLA's pool; its own choice where 0.
  """

  name: str
  flags: str = ""
  threads: int = 0

  @property
  def environment(self) -> dict[str, str]:
    """The environment of its process; nothing compiled is kept."""
    extra = {
      "XLA_FLAGS": self.flags,
      "JAX_ENABLE_COMPILATION_CACHE": "false",
      "JAX_PLATFORMS": "cpu",
      "PYTHONPATH": str(ROOT),
    }
    if self.threads:
      extra["NPROC"] = str(self.threads)
    return {**os.environ, **extra}


SETS = ("SSE4_2", "AVX2", "AVX512")
HERE = Machine("as it is")
ONE_THREAD = Machine(
  "one thread", "--xla_cpu_multi_thread_eigen=false", threads=1
)


def list_machines() -> list[Machine]:
  """The machines that can be had here."""
  found = [HERE, ONE_THREAD, Machine("8 threads", threads=8)]
  if platform.machine() in ("x86_64", "AMD64"):
    found += [Machine(x, f"--xla_cpu_max_isa={x}") for x in SETS]
  return found


def run_jobs(machine: Machine, jobs: Sequence[tuple[str, Sequence[Any]]]):
  """Runs jobs of `worker` on a machine, one after the other."""
  with tempfile.TemporaryDirectory() as folder:
    task = pathlib.Path(folder) / "task.json"
    content = {"one_core": machine.threads == 1, "jobs": jobs}
    task.write_text(json.dumps(content, default=str))
    subprocess.run(
      [sys.executable, "-m", "benchmarks.exactness.worker", str(task)],
      cwd=ROOT,
      env=machine.environment,
      check=True,
    )


def cross(
  checkpoint: str, photo: str, machines: Sequence[Machine]
) -> dict[str, Any]:
  """Encodes a photo on every machine, decodes every file on every machine.

  Returns:
    How many pairs decoded to the symbols that were written, how many
    different files there were, what was raised, and the largest difference
    of pixels between two decoders of one file.
  """
  with tempfile.TemporaryDirectory() as folder:
    place = pathlib.Path(folder)
    files = [place / f"{i}.roij" for i in range(len(machines))]
    for machine, file in zip(machines, files, strict=True):
      run_jobs(machine, [("encode", (checkpoint, photo, file))])
    for i, machine in enumerate(machines):
      outs = {str(x): f"{place}/{x.stem}_on_{i}.npy" for x in files}
      run_jobs(machine, [("decode", (checkpoint, outs))])
    decoded, errors, largest, off = 0, [], 0, 0.0
    for file in files:
      pictures = []
      for i, machine in enumerate(machines):
        found = np.load(place / f"{file.stem}_on_{i}.npy")
        if found.ndim == 0:
          errors.append(f"{machine.name}: {found}")
        else:
          pictures.append(found.astype(int))
      decoded += len(pictures)
      for one in pictures:
        apart = np.abs(one - pictures[0])
        largest = max(largest, int(apart.max()))
        off = max(off, float(np.mean(apart > 0)))
    return {
      "machines": [machine.name for machine in machines],
      "pairs": len(machines) ** 2,
      "decoded": decoded,
      "errors": errors,
      "different_files": len({file.read_bytes() for file in files}),
      "bytes": [file.stat().st_size for file in files],
      "largest_pixel_difference": largest,
      "largest_share_of_pixels": off,
    }
