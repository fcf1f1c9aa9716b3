"""How long a training step takes, where its time goes, and what it needs.

  python -m benchmarks.training --variants=small --batches=4,8,16
  python -m benchmarks.training --variants=small --batches=8 --devices=1,2
  python -m benchmarks.training --variants=small --batches=8 \\
    --data=coco_roi:train --data-dir=data_dir
  python -m benchmarks.training --variants=small,default --batches=2 \\
    --crops=128 --torch          (pip install torch)

On a GPU:

  python -m benchmarks.training --variants=default --batches=8,16,32,64 \\
    --dtypes=float32,bfloat16 --crops=256 --torch=eager,channels_last,compile

The step is that of `train()`: the program of `parallel.make_update` with the
variant's loss, optimizer and average, on random arrays of the right shapes.
Every case is a process of its own; one that fails is a row that says why.

Seconds a step: the median of warm steps, each waited for. `loop`: a step of
the training loop, one step ahead. FLOPs are XLA's count for the compiled step;
their share of the peak is the model's FLOP utilisation. The peak is the
device's published one (bfloat16, or TF32 for float32, dense), on a CPU that of
large float32 matrix products in the same process. `CPU s` are busy seconds of
all cores: where they are fewer than the step's, somebody else had the core.

Memory: `program` is XLA's plan for the step; `stepping` the peak of the device
or, on a CPU, of the process while it steps; `before` what the process held
when it had imported all; `process` its peak so far, compiling included.

Parts are programs of their own, forward with gradient, in busy seconds on a
CPU. They do not add up to the step exactly; their sum stands beside it.

With --torch the same network in PyTorch (`torch_twin.py`) is timed in the
same run, after its loss and gradients came out the same.
"""

import argparse
import functools
import importlib.util
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

from rich.console import Console

from roijax.cli import exit_code

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODES = ("eager", "channels_last", "compile")
# Dense TFLOP/s of tensor cores; the vendor's pages give twice as much, with
# sparsity: nvidia.com/en-us/data-center/h200 (H100: /h100; A100: /a100). JAX
# multiplies float32 in TF32 there: docs.jax.dev/en/latest/201/precision.html
PEAKS = {
  "H200": {"bfloat16": 989.4, "float32": 494.7},
  "H100": {"bfloat16": 989.4, "float32": 494.7},
  "A100": {"bfloat16": 312.0, "float32": 156.0},
}
# The reference of a twin: small, but z has more than one place, and the last
# stage is no whole number of Fourier windows.
REFERENCE = {"batch": 2, "crop": 192}
OUT_OF_MEMORY = ("RESOURCE_EXHAUSTED", "ut of memory", "bad_alloc", "bad_array")


def run_case(
  module: str, case: dict, *extra: str, folder: pathlib.Path, limit: float
) -> dict:
  """Measures a case in a fresh process.

  Args:
    module: what measures it.
    case: the fields of `case.Case`.
    *extra: further arguments.
    folder: of this run. Cases share what starts a model, compiled; every
      step is another program.
    limit: seconds after which it is given up.

  Returns:
    What it found, or {"failed": why}.
  """
  environment = {
    **os.environ,
    "JAX_COMPILATION_CACHE_DIR": str(folder / "cache"),
    "TORCHINDUCTOR_CACHE_DIR": str(folder / "inductor"),
    "PYTHONPATH": str(ROOT),
    "XLA_FLAGS": os.environ.get("XLA_FLAGS", "")
    + f" --xla_force_host_platform_device_count={case['devices']}",
  }
  command = [
    sys.executable,
    "-m",
    f"benchmarks.training.{module}",
    json.dumps(case),
  ]
  try:
    done = subprocess.run(
      [*command, *extra],
      env=environment,
      cwd=ROOT,
      capture_output=True,
      text=True,
      timeout=limit,
    )
  except subprocess.TimeoutExpired:
    return {"failed": f"not done after {limit:.0f} s"}
  if done.returncode == 0:
    return json.loads(done.stdout.splitlines()[-1])
  if done.returncode == -9 or any(x in done.stderr for x in OUT_OF_MEMORY):
    return {"failed": "out of memory"}
  lines = done.stderr.strip().splitlines() or [f"exit {done.returncode}"]
  # An exception's own line; advice may follow it.
  raised = [x for x in lines if re.match(r"[\w.]+(Error|Exception): ", x)]
  line = (raised or lines)[-1]
  return {"failed": line.removeprefix("roijax.errors.ConfigError: ")}


def peak_of(found: dict, dtype: str, given: float | None) -> float | None:
  """FLOP/s that the device could do at best; None where nothing is known."""
  if given:
    return given * 1e12
  if found.get("matmul_flops"):
    return found["matmul_flops"]
  for name, peaks in PEAKS.items():
    if name in found.get("device", ""):
      return peaks[dtype] * 1e12
  return None


def add_rates(row: dict, given: float | None) -> None:
  """Adds what follows from a row's seconds and FLOPs."""
  seconds, flops = row["step_s"], row.get("flops")
  row["images_s"] = row["batch"] / seconds
  row["peak_flops"] = peak_of(row, row["dtype"], given)
  if flops:
    row["flops_s"] = flops / seconds
    if row["peak_flops"]:
      # Virtual devices share one CPU.
      count = 1 if row.get("matmul_flops") else row["devices"]
      row["floor_s"] = flops / row["peak_flops"] / count
      row["utilisation"] = row["floor_s"] / seconds
  if "parts" in row:
    row["parts_sum_s"] = sum(row["parts"].values())


def list_cases(settings) -> list[dict]:
  """All combinations of the flags, in the order of the table."""
  from configs.ggm import get_config

  cases = []
  for variant in settings.variants:
    name = "" if variant == "default" else variant
    own = get_config(name).data.crop
    for crop in settings.crops or [own]:
      for dtype in settings.dtypes:
        for batch in settings.batches:
          for devices in settings.devices:
            cases.append(
              {
                "variant": name,
                "batch": batch,
                "crop": crop,
                "dtype": dtype,
                "devices": devices,
                "repeats": settings.repeats,
                "seconds": settings.seconds,
                "split": settings.parts,
                "data": settings.data,
                "data_dir": settings.data_dir,
                "workers": settings.workers,
                "memory_gib": settings.memory_gib,
              }
            )
  return cases


def run_cases(settings, folder: pathlib.Path, say) -> list[dict]:
  """Measures all cases, one after the other."""
  from benchmarks.training.report import describe, write_rows

  rows, references = [], {}
  run = functools.partial(run_case, folder=folder, limit=settings.limit)
  for case in list_cases(settings):
    modes = settings.torch if case["devices"] == 1 else []
    counted = {}
    for framework in ("jax", *modes):
      this = {**case, "framework": framework}
      if framework == "jax":
        found = run("case", this)
        # The twin does the same work on the same machine.
        names = ("flops", "matmul_flops")
        counted = {name: found.get(name) for name in names}
      else:
        key = (case["variant"], case["dtype"])
        if key not in references:
          path = str(folder / f"reference_{len(references)}.npz")
          made = run("case", {**case, **REFERENCE, "reference": path})
          references[key] = (path, made)
        path, made = references[key]
        found = made or run("torch_case", this, path)
      name = case["variant"] or "default"
      row = {**this, "variant": name, **counted, **found}
      if "failed" not in row:
        add_rates(row, settings.peak_tflops)
      rows.append(row)
      say(describe(row))
      write_rows(settings.out, rows)
  return rows


def parse_settings() -> argparse.Namespace:
  """Reads the command line."""

  def words(text):
    return [word for word in text.split(",") if word]

  def numbers(text):
    return [int(word) for word in words(text)]

  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  add = parser.add_argument
  add("--variants", type=words, default=["small"])
  add("--batches", type=numbers, default=[8])
  add("--crops", type=numbers, help="default: the variant's")
  add("--dtypes", type=words, default=["float32"])
  add("--devices", type=numbers, default=[1])
  add("--repeats", type=int, default=9, help="timed steps")
  add("--seconds", type=float, default=60, help="after which 3 steps do")
  add("--no-parts", dest="parts", action="store_false")
  add("--data", default="", help="a source, in place of random arrays")
  add("--data-dir", default="", help="where prepared datasets lie")
  add("--workers", type=int, default=0, help="reader processes")
  add("--torch", nargs="?", const="eager,channels_last", type=words, default=[])
  add("--peak-tflops", type=float, help="of the device, dense")
  add("--memory-gib", type=float, default=0, help="a process may hold")
  add("--limit", type=float, default=1800, help="seconds for one case")
  add("--out", type=pathlib.Path, default=ROOT / "runs/benchmarks/training")
  settings = parser.parse_args()
  from configs.ggm import VARIANTS

  for name, known in (
    ("torch", MODES),
    ("dtypes", ("float32", "bfloat16")),
    ("variants", ("default", *filter(None, VARIANTS))),
  ):
    for word in getattr(settings, name):
      if word not in known:
        parser.exit(2, f"--{name}: {word!r} is none of {', '.join(known)}\n")
  if settings.torch and importlib.util.find_spec("torch") is None:
    parser.exit(2, "--torch needs PyTorch: pip install torch\n")
  return settings


def main() -> None:
  """Measures, prints and writes."""
  from benchmarks.training.report import make_tables

  settings = parse_settings()
  console = Console(width=max(150, Console().width))
  with tempfile.TemporaryDirectory() as folder:
    rows = run_cases(settings, pathlib.Path(folder), console.print)
  for table in make_tables(rows):
    console.print(table)
  console.print(f"figures: {settings.out.with_suffix('.json')}, .csv")


if __name__ == "__main__":
  sys.exit(exit_code(main))
