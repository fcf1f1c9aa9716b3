"""`roijax` and `python -m roijax`: the command line, and a quick way out.

    import --> roijax.cli.run --> threads end, exit handlers --> _leave

When a command is done, Python takes apart the modules of JAX and Flax object by
object, which takes a third of a second and serves nobody. The handler that is
registered first runs last, so this stands in front of all other imports.

While modules are imported, hundreds of thousands of objects are made that all
stay; looking for garbage among them each time some hundred are new takes a
tenth of a second. A command looks for it when 100,000 are.
"""

import atexit
import contextlib
import gc
import os
import sys


def _leave(codes: list[int]) -> None:
  """Ends the process with its command's exit code, once there is one."""
  if not codes:
    return
  for stream in (sys.stdout, sys.stderr):
    # What could not be written has been told by then.
    with contextlib.suppress(OSError, ValueError):
      stream.flush()
  os._exit(codes[0])


def main() -> None:
  """Runs the command line of this process, and exits."""
  codes: list[int] = []
  gc.set_threshold(100_000)
  atexit.register(_leave, codes)
  from roijax import cli

  codes.append(cli.exit_code(lambda: cli.run(sys.argv[1:])))
  sys.exit(codes[0])


if __name__ == "__main__":
  main()
