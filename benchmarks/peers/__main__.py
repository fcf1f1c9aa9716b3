r"""What the systems cost, beside each other and beside CompressAI's.

  python -m benchmarks.peers --torch_python=ENV/bin/python
  python -m benchmarks.peers --ours=configs/swin.py --profile
  python -m benchmarks.peers --ours=configs/tlic.py:small --tasks=step \
    --stages=first,second,blind --batch=4 --crop=128

ENV is an environment of its own, so that neither side's packages bind the
other's: `python -m venv ENV; ENV/bin/pip install compressai`.

One photo of 768x512, and training steps on random crops; weights are random
(a fresh start's, where the codec needs some sense in them), so bytes say
nothing here and seconds are somewhat high. `forward` is one pass through
everything, with the likelihoods; `encode` and `decode` make and read real
files; `step` is loss, gradient and optimizer for `--batch` crops. Each figure
is the median of warm calls by the clock: leave the machine alone. PyTorch
runs in its own layout and in `channels_last`, on as many threads as cores.

A second stage (`--stages`, of `configs/tlic.py`) trains a discriminator too,
and looks at photos with VGG-16 of random weights; a blind one does without
those terms.

With --profile: where a step's busy seconds go, by module, forward and
backward, from JAX's profiler; the three largest first.
"""

import argparse
import itertools
import json
import os
import pathlib
import subprocess
import sys
import tempfile

from roijax.cli import exit_code

ROOT = pathlib.Path(__file__).resolve().parents[2]
OURS = (
  "configs/swin.py:small",
  "configs/swin.py",
  "configs/ggm.py:small",
  "configs/ggm.py",
)
TASKS = ("code", "step")
THEIRS = ("bmshj2018-hyperprior", "mbt2018-mean")
LAYOUTS = ("default", "channels_last")
STAGES = ("first", "second", "blind")
FIGURES = ("forward_s", "encode_s", "decode_s", "step_s")


def run_worker(
  python: str, module: str, case: dict, folder: pathlib.Path, limit: float
) -> dict:
  """Measures a case in a fresh process.

  Args:
    python: the interpreter.
    module: of this package.
    case: its arguments.
    folder: of this run; holds what was compiled.
    limit: seconds after which it is given up.

  Returns:
    What it found, or {"failed": why}.
  """
  environment = {
    **os.environ,
    "JAX_COMPILATION_CACHE_DIR": str(folder / "cache"),
    "PYTHONPATH": str(ROOT),
  }
  command = [python, "-m", f"benchmarks.peers.{module}", json.dumps(case)]
  try:
    done = subprocess.run(
      command,
      env=environment,
      cwd=ROOT,
      capture_output=True,
      text=True,
      timeout=limit,
    )
  except subprocess.TimeoutExpired:
    return {"failed": f"not done after {limit:.0f} s"}
  except OSError as error:
    return {"failed": f"{python}: {error.strerror}"}
  if done.returncode == 0:
    return json.loads(done.stdout.splitlines()[-1])
  if done.returncode == -9:
    return {"failed": "out of memory"}
  lines = done.stderr.strip().splitlines() or [f"exit {done.returncode}"]
  return {"failed": lines[-1]}


def list_cases(settings) -> list[tuple[str, str, dict]]:
  """Interpreter, module and arguments of every row."""
  shared = {
    "batch": settings.batch,
    "crop": settings.crop,
    "repeats": settings.repeats,
    "seconds": settings.seconds,
  }
  cases = []
  for config, stage in itertools.product(settings.ours, settings.stages):
    case = {"model": config, "roi": settings.roi, "stage": stage, **shared}
    cases.append((sys.executable, "ours", case))
  for name in settings.theirs if settings.torch_python else ():
    for layout in LAYOUTS:
      case = {"model": name, "layout": layout, **shared}
      case["quality"] = settings.quality
      cases.append((settings.torch_python, "theirs", case))
  return cases


def measure(settings, folder: pathlib.Path, say) -> list[dict]:
  """Measures every row: coding and training, each in its own process."""
  from benchmarks.codec import write_photo

  photo = folder / "photo.png"
  write_photo(photo)
  rows = []
  for python, module, case in list_cases(settings):
    row = dict(case)
    for task in settings.tasks:
      arguments = {**case, "task": task, "photo": str(photo)}
      row |= run_worker(python, module, arguments, folder, settings.limit)
      if "failed" in row:
        row[f"{task}_failed"] = row.pop("failed")
    rows.append(row)
    say(describe(row))
  return rows


def describe(row: dict) -> str:
  """A row of the table; what failed stands behind it."""
  name = row["model"].removeprefix("configs/").replace(".py", "")
  if row.get("layout") == "channels_last":
    name += ", channels_last"
  if row.get("stage", "first") != "first":
    name += f", {row['stage']} stage"

  def cell(key, scale, form):
    return format(row[key] / scale, form) if row.get(key) else "-"

  cells = [cell("parameters", 1e6, ".2f"), cell("macs", 1e9, ".1f")]
  cells += [cell(key, 1, ".3f") for key in FIGURES]
  cells += [cell("step_peak_mib", 1, ",.0f")]
  text = f"{name:36}" + "".join(f"{x:>10}" for x in cells)
  failed = [f"{k}: {v}" for k, v in row.items() if k.endswith("_failed")]
  return "\n".join([text, *(f"    {line}" for line in failed)])


def print_profile(model: str, found: dict) -> None:
  """Prints where a step's seconds go, the largest first."""
  if "failed" in found:
    print(f"{model}: {found['failed']}")
    return
  total = sum(sum(pair) for pair in found["parts"].values())
  print(
    f"{model}: {found['step_s']:.2f} s a step, {total:.2f} s busy;"
    " the three largest costs:"
  )
  print(f"  {'':32}{'forward':>10}{'backward':>10}{'share':>8}")
  ranked = sorted(found["parts"].items(), key=lambda item: -sum(item[1]))
  for place, (name, (forward, backward)) in enumerate(ranked[:12]):
    mark = f"{place + 1}." if place < 3 else ""
    share = (forward + backward) / total
    print(f"  {mark:3}{name:29}{forward:10.3f}{backward:10.3f}{share:8.1%}")


def parse_settings() -> argparse.Namespace:
  """Reads the command line."""

  def words(text):
    return [word for word in text.split(",") if word]

  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  add = parser.add_argument
  add("--ours", type=words, default=list(OURS), help="FILE:VARIANT,...")
  add("--theirs", type=words, default=list(THEIRS), help="of CompressAI's zoo")
  add("--torch_python", default="", help="that has CompressAI; none: ours only")
  add("--quality", type=int, default=1, help="of CompressAI's, for the width")
  add("--roi", default="none", help="of our files; two decoders run where some")
  add("--tasks", type=words, default=list(TASKS), help=",".join(TASKS))
  add("--stages", type=words, default=["first"], help=",".join(STAGES))
  add("--batch", type=int, default=8)
  add("--crop", type=int, default=256)
  add("--repeats", type=int, default=9, help="timed calls")
  add("--seconds", type=float, default=60, help="after which 3 calls do")
  add("--limit", type=float, default=3600, help="seconds for one process")
  add("--profile", action="store_true", help="where our steps' time goes")
  add("--out", type=pathlib.Path, default=ROOT / "runs/benchmarks/peers.json")
  settings = parser.parse_args()
  for name, known in (("stages", STAGES), ("tasks", TASKS)):
    unknown = {*getattr(settings, name)} - {*known}
    if unknown:
      parser.error(
        f"--{name}: there are {', '.join(known)}, not {unknown.pop()}"
      )
  return settings


def main() -> None:
  """Measures, prints and writes."""
  from roijax.files import write_whole

  settings = parse_settings()
  with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    if settings.profile:
      rows = []
      for model in settings.ours:
        case = {"model": model, "batch": settings.batch, "task": "profile"}
        case |= {"crop": settings.crop, "photo": "", "repeats": 3}
        case["seconds"] = settings.seconds
        rows.append(
          run_worker(sys.executable, "ours", case, folder, settings.limit)
        )
        print_profile(model, rows[-1])
    else:
      heads = ("M param.", "GMAC", *(x.removesuffix("_s") for x in FIGURES))
      print(f"{'':36}" + "".join(f"{x:>10}" for x in (*heads, "step MiB")))
      rows = measure(settings, folder, lambda text: print(text, flush=True))
  write_whole(settings.out, json.dumps(rows, indent=2).encode())
  print(f"figures: {settings.out}")


if __name__ == "__main__":
  sys.exit(exit_code(main))
