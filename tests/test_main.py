"""`python -m roijax`: the command line, and the end of its process."""

import os
import subprocess
import sys

import pytest
from smoke_model import ROOT


def _run(*arguments, script=None):
  how = ("-m", "roijax") if script is None else ("-c", script)
  return subprocess.run(
    [sys.executable, *how, *arguments],
    cwd=ROOT,
    capture_output=True,
    text=True,
    check=False,
  )


def test_it_is_the_command_line():
  done = _run("--version")
  assert done.returncode == 0
  assert done.stdout.startswith("roijax ")


def test_errors_keep_their_code():
  done = _run("info", "no-such-file.roij")
  assert done.returncode == 2
  assert done.stderr == "error: no such file: no-such-file.roij\n"


def test_what_is_registered_later_still_runs():
  script = (
    "import atexit, sys\n"
    "from roijax.__main__ import main\n"
    "sys.argv[1:] = ['--version']\n"
    "register = atexit.register\n"
    "def also(call, *rest):\n"
    "  atexit.register = register\n"
    "  register(call, *rest)\n"
    "  register(print, 'later', end='')\n"
    "atexit.register = also\n"
    "main()\n"
  )
  done = _run(script=script)
  assert done.stdout.endswith("\nlater")
  assert done.returncode == 0


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_output_that_cannot_be_written_is_told():
  with open("/dev/full", "w") as full:
    done = subprocess.run(
      [sys.executable, "-m", "roijax", "--version"],
      cwd=ROOT,
      stdout=full,
      stderr=subprocess.PIPE,
      text=True,
      check=False,
    )
  assert done.returncode == 2
  assert done.stderr.startswith("error: ")
  assert done.stderr.count("\n") == 1
