"""Several processes that work through a list, and survive its bad entries.

Each worker is a fresh interpreter (JAX does not live through a fork) that
takes one job at a time through a pipe of its own. One that dies, killed for
its memory say, costs its job alone: another takes its place. When the parent
is interrupted or dies, none stays behind.
"""

import contextlib
import multiprocessing
import signal
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any, NamedTuple

_SECONDS_TO_LEAVE = 5.0

Attempt = Callable[[Callable, Any], Any]


class _Worker(NamedTuple):
  process: Any
  pipe: Connection


def run_jobs(
  attempt: Attempt, work: Callable, jobs: Sequence, processes: int
) -> Generator[tuple[Any, Any], None, None]:
  """Yields (job, `attempt(work, job)`) as each comes to its end.

  Args:
    attempt: a module's function that calls `work` on a job and raises nothing.
    work: can be pickled; each process gets one copy and keeps it.
    jobs: can be pickled too.
    processes: how many; never more than there are jobs.

  Yields:
    A job and its result; None where the process died over it.
  """
  waiting = list(reversed(jobs))
  context = multiprocessing.get_context("spawn")
  busy: dict[Connection, tuple[_Worker, Any]] = {}
  idle: list[_Worker] = []
  try:
    for _ in range(min(processes, len(jobs))):
      idle.append(_start(context, attempt, work))
    while waiting or busy:
      while waiting and (idle or len(busy) < processes):
        worker = idle.pop() if idle else _start(context, attempt, work)
        job = waiting.pop()
        busy[worker.pipe] = worker, job
        with contextlib.suppress(OSError):  # Dead already: told below.
          worker.pipe.send(job)
      for pipe in wait(list(busy)):
        worker, job = busy.pop(pipe)  # pyright: ignore[reportArgumentType]
        try:
          result = worker.pipe.recv()
          idle.append(worker)
        except (EOFError, OSError):
          _stop(worker)
          result = None
        yield job, result
  finally:
    workers = idle + [worker for worker, _ in busy.values()]
    for worker in workers:
      worker.process.terminate()
    for worker in workers:
      _stop(worker)


def _start(context, attempt, work) -> _Worker:
  ours, theirs = context.Pipe()
  process = context.Process(
    target=_serve, args=(theirs, attempt, work), daemon=True
  )
  with _ignored_interrupts():
    process.start()
  theirs.close()
  return _Worker(process, ours)


def _stop(worker: _Worker) -> None:
  worker.pipe.close()
  worker.process.terminate()
  worker.process.join(_SECONDS_TO_LEAVE)
  if worker.process.is_alive():
    worker.process.kill()
    worker.process.join()
  worker.process.close()


@contextlib.contextmanager
def _ignored_interrupts() -> Iterator[None]:
  """What is started here never sees Ctrl-C: its parent stops it.

  Only what is ignored when a program starts is ignored before its first line.
  """
  if threading.current_thread() is not threading.main_thread():
    yield
    return
  former = signal.signal(signal.SIGINT, signal.SIG_IGN)
  try:
    yield
  finally:
    signal.signal(signal.SIGINT, former)


def _serve(pipe: Connection, attempt: Attempt, work: Callable) -> None:
  """A worker's life: takes jobs until the parent hangs up."""
  signal.signal(signal.SIGINT, signal.SIG_IGN)
  with contextlib.suppress(EOFError, OSError):
    while True:
      pipe.send(attempt(work, pipe.recv()))
