r"""Connections by which processes that train together notice the end of one.

    process 1 ---\
    process 2 ----+--- process 0, the primary
    process 3 ---/

Collectives tell of it late or never. Until the devices of all are linked, in
the first step, Gloo waits half a minute for a process that is gone, and begins
to when this one has compiled; NCCL may wait for ever; and JAX, 50 to 100
seconds after the last sign of life, aborts all where they are. The kernel
closes the connections of a process that ends, whatever it was at, and never
those of one that is only slow.
"""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Sequence

# A machine or network that is gone closes nothing; probes find it, in 20 s.
PROBES = {"TCP_KEEPIDLE": 5, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
# How long the main thread may take to say it, or something better, itself.
PATIENCE_SECONDS = 8
# What one end says: it knows the other's secret; it leaves as it should.
WELCOME, BYE, LOST = b"w", b"b", b"l"


def listen(port: int = 0) -> socket.socket:
  """Opens a port of every interface.

  Args:
    port: 0: any that is free.

  Raises:
    OSError: it is taken, or not allowed.
    OverflowError: there is no such port.
  """
  both = socket.has_dualstack_ipv6()
  family = socket.AF_INET6 if both else socket.AF_INET
  return socket.create_server(("", port), family=family, dualstack_ipv6=both)


def welcome(
  server: socket.socket, secret: bytes, count: int, timeout: float
) -> list[socket.socket]:
  """Takes the connections of the other processes, and of nobody else.

  Args:
    server: from `listen`; it is closed.
    secret: what each begins with.
    count: how many there are.
    timeout: seconds to wait for them.

  Returns:
    Those that came in time.
  """
  peers = []
  end = time.monotonic() + timeout
  with server, contextlib.suppress(OSError):
    while len(peers) < count:
      server.settimeout(max(0.01, end - time.monotonic()))
      peer = server.accept()[0]
      peer.settimeout(1)
      with contextlib.suppress(OSError), peer.makefile("rb") as file:
        if file.read(len(secret)) == secret:
          peer.sendall(WELCOME)
          peers.append(peer)
          continue
      peer.close()
  return peers


def reach(
  host: str, port: int, secret: bytes, timeout: float
) -> socket.socket | None:
  """Connects to the primary.

  Args:
    host: where it runs.
    port: where it listens.
    secret: what it knows this process by.
    timeout: seconds to wait for it.

  Returns:
    The connection, or None if there is none.
  """
  try:
    peer = socket.create_connection((host, port), timeout)
  except OSError:
    return None
  with contextlib.suppress(OSError):
    peer.sendall(secret)
    if peer.recv(1) == WELCOME:
      return peer
  peer.close()
  return None


class Lifeline:
  """Watches the connections to other processes, each in a thread."""

  def __init__(
    self,
    peers: Sequence[socket.socket],
    on_loss: Callable[[], object],
    patience: float = PATIENCE_SECONDS,
  ):
    """Starts to watch.

    Args:
      peers: the primary's connections, or the one to the primary.
      on_loss: called, once and in a thread, when a process has ended without
        leave, unless this one says or does so first.
      patience: seconds that it has for that.
    """
    self._peers = list(peers)
    self._on_loss = on_loss
    self._patience = patience
    self._over = threading.Event()
    self._noticed = threading.Lock()
    for peer in self._peers:
      peer.settimeout(None)
      peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
      for name, value in PROBES.items():
        if hasattr(socket, name):
          peer.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
      threading.Thread(target=self._watch, args=(peer,), daemon=True).start()

  def rest(self) -> None:
    """Watches no more; to the others, this process's end will be a loss."""
    self._over.set()

  def close(self) -> None:
    """Watches no more, and takes leave of the others."""
    self._over.set()
    for peer in self._peers:
      with contextlib.suppress(OSError):
        peer.sendall(BYE)
        peer.shutdown(socket.SHUT_WR)

  def _watch(self, peer: socket.socket) -> None:
    with peer:
      word = b""
      with contextlib.suppress(OSError):
        word = peer.recv(1)
    if word == BYE or not self._noticed.acquire(blocking=False):
      return
    # The primary alone hears of each; it tells the others.
    for other in self._peers:
      with contextlib.suppress(OSError):
        other.sendall(LOST)
    if not self._over.wait(self._patience):
      self._on_loss()
