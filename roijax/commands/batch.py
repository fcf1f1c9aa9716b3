"""Runs a command over one file, or over many with a bar and a summary."""

import contextlib
import dataclasses
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Generator, Sequence
from typing import IO, Any

from roijax.commands import crew
from roijax.commands.inputs import Job, Plan
from roijax.commands.progress import count_files
from roijax.errors import RoijaxError

Record = dict[str, Any]
Work = Callable[[Job], Record]

_TOLD = 20


@dataclasses.dataclass(frozen=True)
class Outcome:
  """What became of one file.

  Attributes:
    record: what there is to tell, None where it failed.
    failure: what was wrong, in one line.
  """

  record: Record | None
  failure: str = ""


def carry_out(
  work: Work,
  plan: Plan,
  *,
  jobs: int,
  as_json: bool,
  describe: Callable[[Record], Sequence[str]],
) -> int:
  """Works through a plan and tells what came of it.

  One file alone raises what goes wrong with it. In a batch one bad file does
  not stop the others: it is told at the end.

  Args:
    work: what is done to one file; with several processes it is pickled.
    plan: from `inputs.plan_outputs`.
    jobs: how many processes.
    as_json: print records as JSON, one a line, in place of words.
    describe: a record in lines for people.

  Returns:
    The exit code.
  """
  if jobs < 1:
    raise RoijaxError(f"--jobs is {jobs}: at least 1")
  if plan.many:
    return _carry_out_many(work, plan, jobs, as_json)
  (job,) = plan.jobs
  record = work(job)
  if as_json:
    print(json.dumps(record, ensure_ascii=False))
    return 0
  # Where the file itself goes to the standard output, words must not.
  out = sys.stderr if job.target is None else sys.stdout
  for line in describe(record):
    print(line, file=out)
  return 0


def check_output(plan: Plan, *, as_json: bool) -> None:
  """Refuses what the standard output cannot hold.

  Raises:
    RoijaxError: a file goes there, and so would JSON, or it is a terminal.
  """
  if plan.many or plan.jobs[0].target is not None:
    return
  if as_json:
    raise RoijaxError(
      "--json and the file both want the standard output: name a file with -o"
    )
  if sys.stdout.isatty():
    raise RoijaxError(
      "the standard output is a terminal: redirect it, or name a file with -o"
    )


def attempt(work: Work, job: Job) -> Outcome:
  """Does one file's work and turns whatever goes wrong into a line."""
  try:
    return Outcome(work(job))
  except RoijaxError as error:
    failure, line = error, " ".join(str(error).split())
  except MemoryError as error:
    failure, line = error, "out of memory; --jobs 1 needs the least"
  except Exception as error:
    reason = " ".join(str(error).split())
    failure = error
    line = (
      f"{type(error).__name__}: {reason} (unexpected; ROIJAX_DEBUG=1 shows"
      " where)"
    )
  if os.environ.get("ROIJAX_DEBUG"):
    traceback.print_exception(failure)
  if job.name not in line:
    line = f"{job.name}: {line}"
  return Outcome(None, line)


def _carry_out_many(work: Work, plan: Plan, jobs: int, as_json: bool) -> int:
  start = time.monotonic()
  records: list[Record] = []
  failures: list[str] = []

  def tell(record: Record) -> None:
    if as_json:
      print(json.dumps(record, ensure_ascii=False), flush=True)

  for job in plan.skipped:
    tell({"input": job.name, "output": str(job.target), "skipped": True})
  outcomes = _outcomes(work, plan.jobs, jobs)
  with contextlib.closing(outcomes), count_files(len(plan.jobs)) as advance:
    for job, outcome in outcomes:
      if outcome.record is not None:
        records.append(outcome.record)
        tell(outcome.record)
      else:
        failures.append(outcome.failure)
        tell({"input": job.name, "error": outcome.failure})
      advance()
  if not as_json:
    seconds = time.monotonic() - start
    _print_summary(records, len(failures), len(plan.skipped), seconds)
  print_failures(failures, sys.stderr)
  return 2 if failures else 0


def _outcomes(
  work: Work, jobs: Sequence[Job], processes: int
) -> Generator[tuple[Job, Outcome], None, None]:
  """Each job with what became of it, in the order in which they end."""
  if processes == 1:
    for job in jobs:
      yield job, attempt(work, job)
    return
  died = "its process died, perhaps out of memory; --jobs 1 needs the least"
  results = crew.run_jobs(attempt, work, jobs, processes)
  with contextlib.closing(results):
    for job, outcome in results:
      yield job, outcome or Outcome(None, f"{job.name}: {died}")


def print_failures(failures: Sequence[str], file: IO[str]) -> None:
  """Prints what went wrong with files of a batch, at its end."""
  for line in failures[:_TOLD]:
    print(f"error: {line}", file=file)
  if len(failures) > _TOLD:
    print(f"error: and {len(failures) - _TOLD} more", file=file)


def _print_summary(
  records: Sequence[Record], failed: int, skipped: int, seconds: float
) -> None:
  """A table of totals, and each remark with how many files it is about."""
  from rich import box
  from rich.console import Console
  from rich.table import Table

  total = sum(record["bytes"] for record in records)
  cells = {"photos": f"{len(records):,}", "bytes": f"{total:,}"}
  if any("bpp" in record for record in records):
    pixels = sum(record["width"] * record["height"] for record in records)
    cells["bpp"] = f"{8 * total / pixels:.4f}"
  splits = [record["roi"] for record in records if record.get("roi")]
  if splits:
    inside = sum(split["bits_inside"] for split in splits)
    whole = inside + sum(split["bits_outside"] for split in splits)
    cells["in regions"] = f"{inside / max(whole, 1e-9):.1%}"
  cells |= {
    "seconds": f"{seconds:.1f}",
    "there already": f"{skipped:,}",
    "failed": f"{failed:,}",
  }
  table = Table(box=box.SIMPLE_HEAD, padding=(0, 2, 0, 0), show_edge=False)
  for name in cells:
    table.add_column(name, justify="right", no_wrap=True)
  table.add_row(*cells.values())
  Console(highlight=False).print(table)
  remarks: dict[str, int] = {}
  for record in records:
    for note in record["notes"]:
      remarks[note] = remarks.get(note, 0) + 1
  for note, count in remarks.items():
    print(f"{count} of {len(records)}: {note}")
  if skipped:
    print(f"{skipped} left as they are: --overwrite makes them anew")
