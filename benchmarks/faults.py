r"""Does a run that is killed again and again repeat one that was not?

  python -m benchmarks.faults --kills=20 --seed=0

trains `configs/ggm.py:smoke` with `train.py` twice into a temporary folder:
once undisturbed, once killed with SIGKILL at random moments (during the start
and compilation, between and within steps, while a checkpoint is written) and
started again by the same command. It prints where each kill fell, and SAME if
every row of `metrics.jsonl` but for its clocks, and every array of the final
`model.npz`, are equal bit for bit; else the first difference. Exit code 0 or 1.
`--set` sets other keys of the config, for a second stage:

  --config=configs/tlic.py:smoke --set=adversarial.enabled=True \
  --set=perceptual.weights=random --set=train.start_from=runs/one

Each run compiles for itself, so that compiling is interrupted too. Takes some
minutes; `--keep` leaves the runs for a closer look.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from roijax.cli import exit_code

ROOT = pathlib.Path(__file__).resolve().parent.parent
# What a row says of the clock.
CLOCKS = ("seconds", "images_per_second")
PHASES = ("start", "steps", "saving")
POLL = 0.005
# A kill comes up to so long after what it waits for: about a step, or a save,
# of the smoke model.
PAUSE = 0.2


@dataclasses.dataclass
class Kill:
  """One kill: when it came, what it hit, and what was left."""

  seconds: float
  where: str
  checkpoint: int | None
  resumed: str = ""


class Attempt:
  """One start of `train.py`, its output in a file of its own."""

  def __init__(self, workdir: pathlib.Path, log: pathlib.Path, options):
    self.workdir, self.log = workdir, log
    # What an earlier kill left behind is not this one's.
    self._before = self._unfinished()
    self._first = self.newest_checkpoint()
    command = [
      *(sys.executable, str(ROOT / "train.py")),
      f"--config={options.config}",
      f"--workdir={workdir}",
      f"--config.train.steps={options.steps}",
      f"--config.train.checkpoint_every={options.checkpoint_every}",
      f"--config.train.observe_every={5 * options.checkpoint_every}",
      "--config.train.log_every=1",
      "--config.eval.data=",
      *(f"--config.{change}" for change in options.set),
    ]
    cache = workdir.with_name(f"{workdir.name}-cache")
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    self.started = time.monotonic()
    with log.open("wb") as file:
      self.process = subprocess.Popen(
        command,
        cwd=ROOT,
        env={
          **os.environ,
          "XDG_CACHE_HOME": str(cache),
          "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        },
        stdout=file,
        stderr=subprocess.STDOUT,
        # Reader processes go down with it.
        start_new_session=True,
      )

  @property
  def running(self) -> bool:
    """Whether it has not ended by itself."""
    return self.process.poll() is None

  @property
  def seconds(self) -> float:
    """Since its start."""
    return time.monotonic() - self.started

  @property
  def step(self) -> int:
    """The last step that it told of; 0 before."""
    found = re.findall(r"^step +(\d+)/", self._read(), re.MULTILINE)
    return int(found[-1]) if found else 0

  @property
  def resumed(self) -> str:
    """What it said of where it began."""
    found = re.search(r"^going on from (step \d+)", self._read(), re.MULTILINE)
    return found[1] if found else ""

  @property
  def saving(self) -> bool:
    """Whether a checkpoint or a weights file lies half written."""
    return bool(self._unfinished() - self._before)

  def newest_checkpoint(self) -> int | None:
    """The step of the last checkpoint that Orbax completed."""
    steps = (path.name for path in self.workdir.glob("checkpoints/*"))
    return max((int(step) for step in steps if step.isdigit()), default=None)

  def kill(self) -> Kill:
    """Kills it, and sees what it was doing."""
    os.killpg(self.process.pid, signal.SIGKILL)
    self.process.wait()
    seconds, step, checkpoint = (
      self.seconds,
      self.step,
      self.newest_checkpoint(),
    )
    if self.saving:
      (name, *_) = sorted(self._unfinished() - self._before)
      what = name.strip(".").split(".")[0]
      what = f"checkpoint {what}" if what.isdigit() else what
      where = f"after step {step}, writing {what}"
    elif step:
      where = f"after step {step}"
    elif checkpoint is not None and checkpoint != self._first:
      where = f"after step {checkpoint}"
    else:
      where = "before the first step"
    return Kill(seconds, where, checkpoint)

  def _unfinished(self) -> set[str]:
    names = {path.name for path in self.workdir.glob("checkpoints/*tmp*")}
    for pattern in (".model.npz.*", "checkpoints/*/.checksums.json.*"):
      names |= {path.name for path in self.workdir.glob(pattern)}
    return names

  def _read(self) -> str:
    return self.log.read_text(errors="replace")


def wait(attempt: Attempt, phase: str, generator, startup: float, every: int):
  """Waits for a random moment of a phase, or for the end of the run."""

  def wait_until(is_reached):
    while attempt.running and not is_reached():
      time.sleep(POLL)

  if phase == "start":
    moment = generator.uniform(0, startup)
    wait_until(lambda: attempt.seconds >= moment)
    return
  if phase == "steps":
    wait_until(lambda: attempt.step)
    last = attempt.step + int(generator.integers(0, 2 * every))
    wait_until(lambda: attempt.step >= last)
  else:
    # Each save writes a checkpoint, its checksums and model.npz.
    for _ in range(int(generator.integers(0, 6))):
      wait_until(lambda: attempt.saving)
      wait_until(lambda: not attempt.saving)
    wait_until(lambda: attempt.saving)
  moment = attempt.seconds + generator.uniform(0, PAUSE)
  wait_until(lambda: attempt.seconds >= moment)


def finish(attempt: Attempt, told) -> float:
  """Waits for the end; returns the seconds to the first step.

  Raises:
    SystemExit: the run failed.
  """
  startup = 0.0
  while attempt.running:
    if attempt.step and not startup:
      startup = attempt.seconds
    told(attempt.step)
    time.sleep(0.1)
  if attempt.process.returncode:
    last = attempt.log.read_text(errors="replace").splitlines()[-5:]
    raise SystemExit(
      f"{attempt.workdir.name} run: exit code {attempt.process.returncode}: "
      + "\n".join(last)
    )
  told(attempt.step)
  return startup


def run_killed(folder, options, startup, progress) -> list[Kill]:
  """Starts, kills and starts again; then lets the run come to its end."""
  generator = np.random.default_rng(options.seed)
  phases = np.resize(PHASES, options.kills)
  # The first start is the one that compiles.
  generator.shuffle(phases[1:])
  task = progress.add_task("kills", total=options.kills)
  kills = []
  for number, phase in enumerate(phases):
    log = folder / f"killed-{number + 1}.log"
    attempt = Attempt(folder / "killed", log, options)
    wait(attempt, phase, generator, startup, options.checkpoint_every)
    if not attempt.running:
      # It failed, which `finish` tells, or it was done before the last kill.
      finish(attempt, lambda step: None)
      progress.console.print("the run is over: take more --steps")
      return kills
    kills.append(attempt.kill())
    if number:
      kills[-2].resumed = attempt.resumed
    if attempt.step:
      startup = min(startup, attempt.seconds)
    progress.console.print(
      f"kill {number + 1}: {kills[-1].seconds:.1f} s, {kills[-1].where}"
    )
    progress.advance(task)
  attempt = Attempt(folder / "killed", folder / "killed-last.log", options)
  task = progress.add_task("to the end", total=options.steps)
  finish(attempt, lambda step: progress.update(task, completed=step))
  if kills:
    kills[-1].resumed = attempt.resumed
  return kills


def compare(one: pathlib.Path, other: pathlib.Path) -> str:
  """The first difference between two runs; empty when there is none."""
  rows = []
  for workdir in (one, other):
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    rows.append([json.loads(line) for line in lines])
  for place, (row, its) in enumerate(zip(*rows, strict=False)):
    for key in sorted({*row, *its} - {*CLOCKS}):
      # As text: NaN, which a row writes as null, would not equal itself.
      if json.dumps(row.get(key)) != json.dumps(its.get(key)):
        return (
          f"row {place + 1}, step {row['step']}: {key} is {row.get(key)} "
          f"undisturbed and {its.get(key)} killed"
        )
  if len(rows[0]) != len(rows[1]):
    return f"{len(rows[0])} rows undisturbed, {len(rows[1])} killed"
  with np.load(one / "model.npz") as a, np.load(other / "model.npz") as b:
    if sorted(a.files) != sorted(b.files):
      return "model.npz holds other arrays"
    for name in a.files:
      x, y = a[name], b[name]
      if x.dtype != y.dtype or x.shape != y.shape:
        return f"model.npz: {name} is another kind of array"
      if x.tobytes() != y.tobytes():
        return f"model.npz: {name} differs"
  return ""


def print_kills(kills: list[Kill]) -> None:
  """Prints where each kill fell and what came of it."""
  table = Table("kill", "seconds", "where", "newest checkpoint", "went on from")
  for number, kill in enumerate(kills):
    again = "killed again first" if kill.checkpoint else "the start"
    table.add_row(
      str(number + 1),
      f"{kill.seconds:.1f}",
      kill.where,
      "none" if kill.checkpoint is None else f"step {kill.checkpoint}",
      kill.resumed or again,
    )
  Console(width=110).print(table)


def main() -> int:
  """Runs both, compares, and says whether they are the same."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--kills", type=int, default=20)
  parser.add_argument("--seed", type=int, default=0)
  parser.add_argument("--config", default="configs/ggm.py:smoke")
  parser.add_argument("--checkpoint_every", type=int, default=3)
  # Most kills come before the third save: steps are left for the last one.
  parser.add_argument("--steps", type=int, default=None)
  parser.add_argument(
    "--set",
    action="append",
    default=[],
    metavar="KEY=VALUE",
    help="of the config, for example train.start_from=runs/one",
  )
  parser.add_argument("--keep", action="store_true")
  options = parser.parse_args()
  if options.steps is None:
    options.steps = 3 * options.checkpoint_every * (options.kills + 1)
  folder = pathlib.Path(tempfile.mkdtemp(prefix="roijax-faults-"))
  try:
    with Progress(transient=True) as progress:
      task = progress.add_task("undisturbed", total=options.steps)
      attempt = Attempt(folder / "undisturbed", folder / "log", options)
      startup = finish(
        attempt, lambda step: progress.update(task, completed=step)
      )
      kills = run_killed(folder, options, startup, progress)
    print_kills(kills)
    difference = compare(folder / "undisturbed", folder / "killed")
    damaged = list((folder / "killed" / "checkpoints").glob("*.damaged*"))
    print(
      f"{len(kills)} kills in {options.steps} steps; {len(damaged)} "
      f"checkpoints were passed over as damaged"
    )
    print(f"DIFFERENT: {difference}" if difference else "SAME")
    return 1 if difference or len(kills) < options.kills else 0
  finally:
    if options.keep:
      print(f"kept: {folder}")
    else:
      shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
  sys.exit(exit_code(main))
