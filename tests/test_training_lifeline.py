"""How the end of one process is noticed by the others."""

import socket
import threading
import time

import pytest

from roijax.training import lifeline
from roijax.training.lifeline import Lifeline

SECRET = b"sixteen bytes..."
PATIENCE = 20


def connect(count=1):
  """The primary's connections, and the others' to it."""
  server = lifeline.listen()
  port = server.getsockname()[1]
  found = []
  reaching = threading.Thread(
    target=lambda: found.extend(
      lifeline.reach("localhost", port, SECRET, PATIENCE) for _ in range(count)
    )
  )
  reaching.start()
  peers = lifeline.welcome(server, SECRET, count, PATIENCE)
  reaching.join()
  assert len(peers) == count
  assert None not in found
  return peers, found


def hang_up(connection):
  """What the kernel does for a process that ends."""
  connection.shutdown(socket.SHUT_RDWR)
  connection.close()


def settle():
  """Waits until every lifeline's threads have ended."""
  end = time.monotonic() + PATIENCE
  while any("_watch" in thread.name for thread in threading.enumerate()):
    assert time.monotonic() < end
    time.sleep(0.01)


def test_an_end_without_leave_is_told_once():
  peers, others = connect(2)
  told = []
  Lifeline(peers, lambda: told.append("loss"), patience=0.1)
  for other in others:
    hang_up(other)
  settle()
  assert told == ["loss"]


def test_the_primary_tells_the_others():
  peers, (first, second) = connect(2)
  told = []
  Lifeline(peers, lambda: told.append("primary"), patience=0.1)
  Lifeline([second], lambda: told.append("second"), patience=0.1)
  hang_up(first)
  settle()
  assert sorted(told) == ["primary", "second"]


def test_who_takes_leave_is_not_lost():
  peers, others = connect()
  told = []
  one = Lifeline(peers, lambda: told.append("primary"), patience=0.1)
  other = Lifeline(others, lambda: told.append("other"), patience=0.1)
  other.close()
  one.close()
  settle()
  assert told == []


def test_who_ends_already_tells_nothing():
  peers, (other,) = connect()
  told = []
  one = Lifeline(peers, lambda: told.append("loss"), patience=0.5)
  hang_up(other)
  one.rest()
  settle()
  assert told == []


def test_strangers_are_not_welcome():
  server = lifeline.listen()
  port = server.getsockname()[1]
  answers = []

  def call():
    for secret in (b"another's secret", b"short"):
      answers.append(lifeline.reach("localhost", port, secret, 5))
    answers.append(lifeline.reach("localhost", port, SECRET, PATIENCE))

  calling = threading.Thread(target=call)
  calling.start()
  peers = lifeline.welcome(server, SECRET, 1, PATIENCE)
  calling.join()
  assert answers[:2] == [None, None]
  for connection in (*peers, answers[2]):
    connection.close()
  assert len(peers) == 1


@pytest.mark.parametrize("port", ["closed", "silent"])
def test_a_primary_that_does_not_answer_is_none(port):
  with lifeline.listen() as server:
    number = server.getsockname()[1]
    if port == "closed":
      server.close()
    assert lifeline.reach("localhost", number, SECRET, 0.2) is None


def test_those_who_do_not_come_in_time_are_not_waited_for():
  assert lifeline.welcome(lifeline.listen(), SECRET, 1, 0.05) == []
