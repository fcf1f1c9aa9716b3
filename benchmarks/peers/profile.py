"""Where a training step's busy seconds go, by module.

JAX's profiler tells how long each operation of the compiled step ran; the
program's text tells which modules it came from.
"""

import collections
import pathlib
import re
import tempfile
import time
from collections.abc import Iterator

import jax

from roijax.models.size import find_module

DEPTH = 2
# These hold other operations, which are counted themselves.
_HOLDERS = ("while", "conditional", "call")
_OPERATION = re.compile(
  r"\s*(?:ROOT )?%?([\w.\-]+) = (?:\(.*?\)|\S+) ([\w\-]+)\("
)
_OPERAND = re.compile(r"%([\w.\-]+)")
_ORIGIN = re.compile(r'op_name="([^"]*)"')
_CALLED = re.compile(r"(?:calls|to_apply)=%?([\w.\-]+)")
_COMPUTATION = re.compile(r"(?:ENTRY )?%?([\w.\-]+) .*\{$")


def profile_step(step, compiled, params: dict, repeats: int) -> dict:
  """Profiles a training step.

  Args:
    step: runs one, and waits for it.
    compiled: its program.
    params: the model's parameters, for the modules' names.
    repeats: how many steps to take the mean of.

  Returns:
    Seconds of a step by the clock, and {module: [forward, backward]}; what
    belongs to no module stands under its own name.
  """
  origins = read_origins(compiled.as_text())
  step()
  with tempfile.TemporaryDirectory() as folder:
    with jax.profiler.trace(folder):
      start = time.perf_counter()
      for _ in range(repeats):
        step()
      seconds = (time.perf_counter() - start) / repeats
    events = list(_read_events(pathlib.Path(folder)))
  parts = collections.defaultdict(lambda: [0.0, 0.0])
  for name, spent in events:
    if name in origins:
      part, backward = _place(origins[name], params)
      parts[part][backward] += spent / repeats
  return {"step_s": seconds, "parts": dict(parts)}


def read_origins(text: str) -> dict[str, str]:
  """Where each operation of a compiled program comes from.

  Args:
    text: the program as XLA writes it.

  Returns:
    The names that JAX gave, by operation; a fusion without any takes the
    first inside it, and what then has none (XLA drops the names of weights'
    gradients) that of its operands, of the gradient among them before others.
    Operations that hold others are left out.
  """
  origins, insides, called, operands = {}, {}, {}, {}
  holders, inside = set(), ""
  for line in text.splitlines():
    begun = _COMPUTATION.match(line)
    found = _OPERATION.match(line)
    if begun and not found:
      inside = begun[1]
    if not found:
      continue
    name, kind = found.groups()
    if kind in _HOLDERS:
      holders.add(name)
      continue
    origin, calls = _ORIGIN.search(line), _CALLED.search(line)
    origins[name] = origin[1] if origin else ""
    operands[name] = _OPERAND.findall(line[found.end() :])
    if calls:
      called[name] = calls[1]
    if origin:
      insides.setdefault(inside, origin[1])
  for name, computation in called.items():
    origins[name] = origins[name] or insides.get(computation, "")
  # Programs are written in order: operands stand before their users.
  for name, at in origins.items():
    if not at:
      found = [origins.get(operand, "") for operand in operands[name]]
      found.sort(key=lambda at: ("transpose(" not in at, not at))
      origins[name] = found[0] if found else ""
  return {name: at for name, at in origins.items() if name not in holders}


def _read_events(folder: pathlib.Path) -> Iterator[tuple[str, float]]:
  """Operations that ran, and their seconds."""
  (file,) = folder.rglob("*.xplane.pb")
  planes = list(jax.profiler.ProfileData.from_file(str(file)).planes)
  on_device = [plane for plane in planes if plane.name.startswith("/device:")]
  for plane in on_device or planes:
    for line in plane.lines:
      for event in line.events:
        # A GPU's events are kernels, and say which operation started them.
        name = dict(event.stats).get("hlo_op", event.name)
        yield str(name), event.duration_ns / 1e9


def _place(origin: str, params: dict) -> tuple[str, bool]:
  names = tuple(origin.split("/"))
  path = find_module(params, names)[:DEPTH]
  backward = "transpose(" in origin
  if path:
    return "/".join(path), backward
  if "jvp(" in origin:
    return "loss and flow", backward
  return "optimizer, average" if origin else "unnamed", backward
