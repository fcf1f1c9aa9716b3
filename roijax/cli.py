"""The `roijax` command; what it does lies in `roijax.commands`.

JAX and the codec are imported by what needs them, so that a misspelled path is
told at once and `roijax --help` and `roijax info --brief` never load JAX.
"""

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Annotated, cast

import typer

import roijax
from roijax.commands import (
  compress,
  decompress,
  evaluate,
  info,
  options,
  plot,
  roi,
  streams,
  weights,
)
from roijax.errors import RoijaxError

# Public in every typer, whether it brings its own click or imports one.
_USAGE_ERROR = cast(type[Exception], typer.BadParameter.__base__)

app = typer.Typer(
  name="roijax",
  help="Compress photos whose regions matter unequally.",
  epilog="""\b
Examples:
  roijax compress photo.jpg --roi face
  roijax info photo.roij
  roijax decompress photo.roij""",
  add_completion=False,
  rich_markup_mode=None,
  pretty_exceptions_enable=False,
)
app.command(cls=options.RegionCommand, epilog=compress.EPILOG)(
  compress.compress
)
app.command(epilog=decompress.EPILOG)(decompress.decompress)
app.command(cls=options.RegionCommand, epilog=info.EPILOG)(info.info)
app.command(cls=options.RegionCommand, epilog=roi.EPILOG)(roi.roi)
app.command("eval", epilog=evaluate.EPILOG)(evaluate.evaluate)
app.add_typer(plot.app, name="plot")
app.add_typer(weights.app, name="weights")


def _print_version(wanted: bool) -> None:
  if wanted:
    print(f"roijax {roijax.__version__}")
    raise typer.Exit


@app.callback()
def _root(
  version: Annotated[
    bool,
    typer.Option(
      "--version",
      callback=_print_version,
      is_eager=True,
      help="Print the version and exit.",
    ),
  ] = False,
) -> None:
  pass


def exit_code(call: Callable[[], object]) -> int:
  """Runs a command and turns its errors into one line and an exit code.

  A `RoijaxError` or a misuse of the command line prints `error: ...` on the
  standard error and gives 2, an interrupt gives 130 in silence, a reader of
  the output that has gone gives 1 in silence, anything unexpected gives 1 and
  its line. With `ROIJAX_DEBUG=1` in the environment the traceback is printed
  as well.

  Args:
    call: what to run; what it returns is its exit code if that is an int.

  Returns:
    The exit code.
  """
  try:
    result = call()
    sys.stdout.flush()
    return result if isinstance(result, int) else 0
  except typer.Exit as error:
    return error.exit_code
  except (KeyboardInterrupt, typer.Abort):
    return 130
  except BrokenPipeError:
    streams.drop_output()
    return 1
  except (RoijaxError, _USAGE_ERROR) as error:
    failure, code, line = error, 2, _one_line(error)
  except OSError as error:
    # A full disk behind the standard output, a folder that has gone.
    place = f"{error.filename}: " if error.filename else ""
    line = place + (error.strerror or _one_line(error))
    failure, code = error, 2
  except Exception as error:
    reason = f"{type(error).__name__}: {_one_line(error)}"
    failure, code = error, 1
    line = f"{reason} (unexpected; ROIJAX_DEBUG=1 shows where)"
  if os.environ.get("ROIJAX_DEBUG"):
    traceback.print_exception(failure)
  print(f"error: {line}", file=sys.stderr)
  return code


def run(arguments: Sequence[str]) -> object:
  """Runs the command line; what a command returns is its exit code.

  Args:
    arguments: without the program's name.

  Raises:
    RoijaxError: or a usage error: what `exit_code` makes a line of.
  """
  given = list(arguments) or ["--help"]
  return app(given, prog_name="roijax", standalone_mode=False)


def main(arguments: Sequence[str] | None = None) -> None:
  """Runs the command line and exits.

  Args:
    arguments: without the program's name; those of the process by default.
  """
  given = sys.argv[1:] if arguments is None else arguments
  sys.exit(exit_code(lambda: run(given)))


def _one_line(error: BaseException) -> str:
  format_message = getattr(error, "format_message", None)
  text = format_message() if format_message else str(error)
  return " ".join(text.split())
