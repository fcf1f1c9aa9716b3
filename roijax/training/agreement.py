"""What processes that train together do and decide as one.

What hangs on one process's clock, disk or signals is decided together.
Otherwise one would save while another steps, and both would wait for ever.
One process alone does the plain thing here, and no collective.
"""

import dataclasses
import json
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils

from roijax import errors
from roijax.errors import ConfigError, RoijaxError
from roijax.training import hosts
from roijax.training.run_config import describe_difference

T = TypeVar("T")

# Processes may read the data from other places, in other ways.
OWN_KEYS = ("config.data.data_dir", "config.data.workers")


def gather(text: str) -> list[str]:
  """Gives every process the text of each."""
  if jax.process_count() == 1:
    return [text]
  data = np.frombuffer(text.encode(), np.uint8)
  sizes = multihost_utils.process_allgather(np.asarray(len(data), np.int32))
  padded = np.zeros(max(1, *sizes), np.uint8)
  padded[: len(data)] = data
  rows = multihost_utils.process_allgather(padded)
  return [
    row[:size].tobytes().decode() for row, size in zip(rows, sizes, strict=True)
  ]


def on_primary(call: Callable[[], Any]) -> Any:
  """Runs `call` on the primary; its outcome is that of every process.

  Args:
    call: what it returns must be JSON-able.

  Raises:
    RoijaxError: `call` did, on the primary.
  """
  if jax.process_count() == 1:
    return call()
  outcome, caught = {}, None
  if hosts.is_primary():
    try:
      outcome["result"] = call()
    except RoijaxError as error:
      caught = error
      outcome = {"kind": type(error).__name__, "line": str(error)}
  outcome = json.loads(gather(json.dumps(outcome))[0])
  if caught is not None:
    raise caught
  if "line" in outcome:
    raise getattr(errors, outcome["kind"], RoijaxError)(outcome["line"])
  return outcome["result"]


def on_all(call: Callable[[], T]) -> T:
  """Runs `call` on every process; if it fails on one, it fails on all.

  Raises:
    RoijaxError: `call` did, here or elsewhere.
  """
  if jax.process_count() == 1:
    return call()
  result = caught = None
  try:
    result = call()
  except RoijaxError as error:
    caught = error
  lines = gather(str(caught or ""))
  if caught is not None:
    raise caught
  for index, line in enumerate(lines):
    if line:
      raise RoijaxError(f"process {index}: {line}")
  return result  # pyright: ignore[reportReturnType]


def check_same(name: str, value: Mapping[str, Any]) -> None:
  """Makes sure that all processes run the same.

  Args:
    name: what it is: "config".
    value: nested and JSON-able.

  Raises:
    ConfigError: they do not; the line, the same everywhere, names the keys.
  """
  texts = gather(json.dumps(value))
  first = {name: json.loads(texts[0])}
  for index, text in enumerate(texts):
    difference = describe_difference(
      first,
      {name: json.loads(text)},
      free=OWN_KEYS,
      places=("in process 0", f"in process {index}"),
    )
    if difference:
      raise ConfigError(
        f"the processes of this run must agree, but {difference}"
      )


def broadcast(tree: Any) -> Any:
  """Gives every process the primary's arrays.

  Processors of two makes may differ in the last bit of a random start.
  """
  if jax.process_count() == 1:
    return tree
  return jax.tree.map(_broadcast, tree)


def _broadcast(leaf: Any) -> Any:
  if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
    numbers = _broadcast(jax.random.key_data(leaf))
    return jax.random.wrap_key_data(numbers, impl=jax.random.key_impl(leaf))
  return multihost_utils.broadcast_one_to_all(np.asarray(leaf))


def join_batches(batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
  """Puts the processes' parts of a batch together, in order, for each."""
  if jax.process_count() == 1:
    return dict(batch)
  return multihost_utils.process_allgather(dict(batch), tiled=True)


@dataclasses.dataclass(frozen=True)
class Verdict:
  """What is to be done after a step.

  Attributes:
    late: the run's time is over.
    due: it is time for a checkpoint.
    signum: the signal that tells it to stop, or 0.
  """

  late: bool = False
  due: bool = False
  signum: int = 0


class Agreement:
  """Makes one verdict of those of all processes.

  One process hears itself after every step. Several ask each other about once
  a second, at steps that all of them know beforehand: a question costs some
  milliseconds, in which no device computes.
  """

  def __init__(self, period: float = 1.0):
    """Starts with a question after every step.

    Args:
      period: seconds from one question to the next.
    """
    self._period = period
    self._every = 1
    self._asked: tuple[int, float] | None = None

  def reach(self, step: int, own: Verdict, now: bool = False) -> Verdict:
    """Asks the others, if it is time to.

    Args:
      step: the latest step.
      own: this process's verdict. All signals count; of clocks, only the
        primary's.
      now: ask in any case; all processes must.

    Returns:
      The verdict of all; nothing is to be done if none was asked for.
    """
    if jax.process_count() == 1:
      return own
    if self._asked and step < self._asked[0] + self._every and not now:
      return Verdict()
    row = [own.late, own.due, own.signum, self._wish(step)]
    rows = multihost_utils.process_allgather(np.asarray(row, np.int32))
    self._every = int(rows[0, 3])
    self._asked = (step, time.monotonic())
    return Verdict(bool(rows[0, 0]), bool(rows[0, 1]), int(rows[:, 2].max()))

  def _wish(self, step: int) -> int:
    """Steps to the next question, as this process measures them."""
    if self._asked is None or step == self._asked[0]:
      return 1
    since, moment = self._asked
    pace = (time.monotonic() - moment) / (step - since)
    # Twice as many at most: a first, quick step must not silence them.
    return max(1, min(2 * self._every, round(self._period / max(pace, 1e-6))))
