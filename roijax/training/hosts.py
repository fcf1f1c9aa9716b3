"""Several processes that train together: how they start and end.

One process is the usual case. Several are `jax.distributed`: each runs the
same program on its own devices and its own part of every batch. The first
one, the primary, writes the log, pictures and exported weights.

What they decide together is in `agreement`.
"""

import contextlib
import os
import re
import secrets
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from roijax.errors import ConfigError, RoijaxError
from roijax.training import lifeline

# Machines of a cluster may start minutes apart.
START_SECONDS = 300
# How long they may take to connect to the primary, once they have met.
REACH_SECONDS = 15
# How long the primary's end waits for others to say why they end too: when
# its coordination service is gone, JAX aborts them where they are.
GRACE_SECONDS = 3
ENVIRONMENT = (
  "JAX_COORDINATOR_ADDRESS",
  "JAX_NUM_PROCESSES",
  "JAX_PROCESS_ID",
)

LOSS = (
  "another process ended, or the network did; its last line says more, and the "
  "same commands go on from the newest checkpoint"
)

# Whether `start` has brought all processes together.
_joined = False
# What notices that one of them ends.
_lifeline: lifeline.Lifeline | None = None


def start(spec: str, timeout: float = START_SECONDS) -> None:
  """Joins the other processes; before any other use of JAX.

  Args:
    spec: "HOST:PORT,INDEX/COUNT", the same HOST:PORT for all, where process 0
      listens; or "auto", which asks the environment: JAX_COORDINATOR_ADDRESS,
      JAX_NUM_PROCESSES and JAX_PROCESS_ID, else what SLURM, Open MPI,
      Kubernetes or Cloud TPU set. Empty: there are no others.
    timeout: seconds to wait for all of them.

  Raises:
    RoijaxError: the spec is wrong, its port is taken, not all came, or they
      have unequal numbers of devices.
  """
  global _joined
  if not spec:
    return
  place = _parse(spec)
  if place.get("process_id") == 0:
    _check_port(place["coordinator_address"])
  jax.config.update("jax_cpu_collectives_implementation", "gloo")
  # It would take SIGTERM for itself, and end nothing.
  jax.config.update("jax_enable_preemption_service", False)
  caught = []

  def join() -> None:
    try:
      # JAX's own limit aborts the process; it must not be reached.
      jax.distributed.initialize(
        **place, initialization_timeout=int(timeout) + 600
      )
    except Exception as error:
      caught.append(error)

  thread = threading.Thread(target=join, daemon=True)
  thread.start()
  thread.join(timeout)
  if thread.is_alive():
    where = place.get("coordinator_address", "the coordinator")
    raise RoijaxError(
      f"--distributed={spec}: not all processes met at {where} within "
      f"{timeout:g} seconds: start each one, with the same address and count"
    )
  if caught and not place:
    reason = " ".join(str(caught[0]).split())[:200]
    raise ConfigError(
      f"--distributed=auto: the environment tells of no cluster ({reason}); "
      f"set {', '.join(ENVIRONMENT)}, or use HOST:PORT,INDEX/COUNT"
    ) from caught[0]
  if caught:
    raise caught[0]
  _joined = True
  _check_devices()
  with telling_of_loss():
    _tie(place.get("coordinator_address"))


def _parse(spec: str) -> dict[str, Any]:
  """The arguments of `jax.distributed.initialize`."""
  words = spec
  if spec == "auto":
    given = [os.environ.get(name, "") for name in ENVIRONMENT]
    if not all(given[1:]):
      return {}
    words = f"{given[0]},{given[2]}/{given[1]}"
  match = re.fullmatch(r"(\S+:\d+),(\d+)/(\d+)", words)
  if match is None and spec == "auto":
    told = ", ".join(
      f"{name}={os.environ.get(name, '')}" for name in ENVIRONMENT
    )
    raise ConfigError(
      f"--distributed=auto: {told} do not say HOST:PORT, COUNT and INDEX: "
      f"set all three"
    )
  if match is None:
    raise ConfigError(
      f"--distributed={words}: use auto, or HOST:PORT,INDEX/COUNT, for "
      f"example 10.0.0.1:8476,0/2"
    )
  index, count = int(match[2]), int(match[3])
  if index >= count:
    raise ConfigError(
      f"--distributed={words}: INDEX counts from 0 and stays below COUNT"
    )
  return {
    "coordinator_address": match[1],
    "process_id": index,
    "num_processes": count,
  }


def _check_devices() -> None:
  """JAX's collectives between processes know no other case."""
  counts = [
    len(jax.local_devices(process_index=index))
    for index in range(jax.process_count())
  ]
  if len(set(counts)) > 1:
    raise ConfigError(
      f"the processes have unequal numbers of devices "
      f"({', '.join(map(str, counts))}): let each see as many"
    )


def _check_port(address: str) -> None:
  """JAX crashes over a port that is taken."""
  port = int(address.rpartition(":")[2])
  try:
    lifeline.listen(port).close()
  except (OSError, OverflowError) as error:
    reason = getattr(error, "strerror", None) or error
    raise RoijaxError(
      f"--distributed: cannot listen at port {port}: {reason}; take another"
    ) from error


def _tie(address: str | None) -> None:
  """Connects every process to the primary, to notice the end of one.

  Args:
    address: the coordinator's HOST:PORT; the primary runs there.
  """
  global _lifeline
  others = jax.process_count() - 1
  if not others:
    return
  server = lifeline.listen() if is_primary() else None
  told = np.zeros(5, np.uint32)
  if server:
    words = np.frombuffer(secrets.token_bytes(16), np.uint32)
    told = np.asarray([server.getsockname()[1], *words], np.uint32)
  told = np.asarray(multihost_utils.broadcast_one_to_all(told), np.uint32)
  secret = told[1:].tobytes()
  if server:
    peers = lifeline.welcome(server, secret, others, REACH_SECONDS)
  else:
    host = (address or _find_coordinator()).rpartition(":")[0].strip("[]")
    # Longer: a process that gave up before the primary would seem lost.
    peer = lifeline.reach(host, int(told[0]), secret, 2 * REACH_SECONDS)
    peers = [peer] if peer else []
  if server and len(peers) < others:
    print(
      f"warning: {others - len(peers)} process(es) cannot connect to port "
      f"{told[0]} here: the end of one may be noticed minutes late",
      file=sys.stderr,
    )
  _lifeline = lifeline.Lifeline(peers, _end)


def _find_coordinator() -> str:
  """The coordinator that JAX found in a cluster's environment."""
  # JAX has no public name for it.
  from jax._src import distributed

  return getattr(distributed.global_state, "coordinator_address", None) or ""


def _end() -> None:
  print(f"error: {LOSS}", file=sys.stderr)
  leave(2)


def close() -> None:
  """Takes leave of the others, at the end of what is done together.

  All must come here, or within minutes JAX takes this for a failure. What one
  process does alone still works.
  """
  jax.distributed.shutdown()
  # After all have come: until then, any of them may still be lost.
  if _lifeline:
    _lifeline.close()


def leave(code: int) -> int:
  """Ends a process that was to be one of several; at once if it failed.

  An ordinary exit would wait for the others, and they perhaps for this one.

  Args:
    code: the exit code.

  Returns:
    The exit code, if it is 0.
  """
  if not code:
    return 0
  if _lifeline:
    _lifeline.rest()
  sys.stdout.flush()
  sys.stderr.flush()
  if _joined and jax.distributed.is_initialized() and is_primary():
    time.sleep(GRACE_SECONDS)
  os._exit(code)


@contextlib.contextmanager
def telling_of_loss() -> Iterator[None]:
  """Says in words that another process is gone; also a decorator.

  Raises:
    RoijaxError: in the place of what the collectives say of it.
  """
  try:
    yield
  except jax.errors.JaxRuntimeError as error:
    words = re.search("gloo|nccl|rccl|connection", str(error), re.IGNORECASE)
    if jax.process_count() == 1 or words is None:
      raise
    raise RoijaxError(LOSS) from error


def is_primary() -> bool:
  """Whether this process is the one that writes and prints."""
  return jax.process_index() == 0
