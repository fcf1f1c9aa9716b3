"""Seconds and memory of the process that asks; knows no framework."""

import ctypes
import gc
import pathlib
import resource
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

STATUS = pathlib.Path("/proc/self/status")
CLEAR = pathlib.Path("/proc/self/clear_refs")


class Seconds(NamedTuple):
  """Of the clock, and of all cores together."""

  wall: float
  cpu: float


def time_call(call: Callable[[], object]) -> Seconds:
  """Times one call."""
  wall, cpu = time.perf_counter(), time.process_time()
  call()
  return Seconds(time.perf_counter() - wall, time.process_time() - cpu)


def time_calls(
  call: Callable[[], object], repeats: int, seconds: float, warm_up: int = 2
) -> list[Seconds]:
  """Times `repeats` calls after others; only 3 once `seconds` have passed."""
  for _ in range(warm_up):
    call()
  found: list[Seconds] = []
  while len(found) < repeats:
    found.append(time_call(call))
    if len(found) >= 3 and sum(one.wall for one in found) > seconds:
      break
  return found


def median(found: list[Seconds]) -> Seconds:
  """The median of each clock."""
  return Seconds(
    *(statistics.median(values) for values in zip(*found, strict=True))
  )


def _read_mib(field: str) -> float | None:
  try:
    lines = STATUS.read_text().splitlines()
  except OSError:
    return None
  found = [line.split()[1] for line in lines if line.startswith(f"{field}:")]
  return float(found[0]) / 1024 if found else None


def resident_mib() -> float | None:
  """Memory that this process holds now; None where Linux does not tell."""
  return _read_mib("VmRSS")


def peak_mib() -> float:
  """The most that it held since `forget_peak`, or since it began."""
  found = _read_mib("VmHWM")
  if found is None:
    found = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
  return found


def forget_peak() -> bool:
  """Gives freed memory back and starts the peak anew; False where it cannot.

  Compiling holds gigabytes for a while, and would hide what steps need.
  """
  gc.collect()
  try:
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    CLEAR.write_text("5")
  except (OSError, AttributeError):
    return False
  return True


def limit_memory(gib: float) -> None:
  """Lets the process hold no more: it fails, and not its neighbours."""
  if gib:
    size = int(gib * 2**30)
    resource.setrlimit(resource.RLIMIT_DATA, (size, size))
