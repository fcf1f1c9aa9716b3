"""The `roijax` command: compress, decompress, info, plot.

JAX and the codec are imported by the commands that need them, so that a
misspelled path is told at once and `roijax info` never loads JAX.
"""

import functools
import os
import pathlib
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Annotated, cast

import typer

import roijax
from roijax.errors import BitstreamError, RoijaxError

# Public in every typer, whether it brings its own click or imports one.
_USAGE_ERROR = cast(type[Exception], typer.BadParameter.__base__)

app = typer.Typer(
  name="roijax",
  help="Compress photos whose regions matter unequally.",
  add_completion=False,
  rich_markup_mode=None,
  pretty_exceptions_enable=False,
)

plots = typer.Typer(help="Draw what was measured, as PNG.")
app.add_typer(plots, name="plot")

Photo = Annotated[pathlib.Path, typer.Argument(metavar="IN", help="A photo.")]
File = Annotated[
  pathlib.Path, typer.Argument(metavar="IN", help="A .roij file.")
]
Output = Annotated[
  pathlib.Path, typer.Option("--output", "-o", help="The file to write.")
]
Checkpoint = Annotated[
  pathlib.Path,
  typer.Option(help="A folder that holds model.npz, or that file."),
]
Rois = Annotated[
  list[str] | None,
  typer.Option(
    "--roi",
    metavar="SPEC",
    help="The region of interest: a mask image, box:x,y,w,h,"
    " ellipse:cx,cy,rx,ry, polygon:x,y,..., coco:FILE.json#category, center,"
    " or none. Several are united.",
  ),
]
Quality = Annotated[
  float | None,
  typer.Option(help="From 0 to the checkpoint's highest; middle by default."),
]
Background = Annotated[
  float,
  typer.Option(
    help="Importance of what lies outside the region, above 0, at most 1."
  ),
]


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


@app.command()
def compress(
  photo: Photo,
  output: Output,
  checkpoint: Checkpoint,
  roi: Rois = None,
  quality: Quality = None,
  background: Background = 0.25,
) -> None:
  """Writes a photo as a .roij file."""
  import numpy as np

  from roijax.coding.container import quantize_background
  from roijax.data.images import read_image
  from roijax.files import write_whole
  from roijax.roi.spec import parse_roi

  _check_output(photo, output)
  # Before the seconds that loading and coding take.
  quantize_background(background)
  image = read_image(photo)
  size = image.shape[:2]
  maps = [parse_roi(spec, size, photo) for spec in roi or ()]
  united = functools.reduce(np.maximum, maps) if maps else None
  codec = _load_codec(checkpoint)
  settings = {"quality": quality, "background": background}
  share = 1.0 if united is None else float((united >= 0.5).mean())
  encoded = None
  # The account of the bits costs time; without two regions there is none.
  if 0 < share < 1:
    encoded = codec.compress_detailed(image, united, **settings)
  data = encoded.data if encoded else codec.compress(image, united, **settings)
  write_whole(output, data)
  bpp = 8 * len(data) / (size[0] * size[1])
  print(f"{output}: {len(data):,} bytes, {bpp:.4f} bpp")
  if encoded:
    _print_split(encoded, share)


@app.command()
def decompress(file: File, output: Output, checkpoint: Checkpoint) -> None:
  """Writes a .roij file as a photo (PNG, JPEG, ...)."""
  from roijax.coding import container
  from roijax.data.images import check_suffix, write_image

  _check_output(file, output)
  check_suffix(output)
  data = _read(file)
  # A damaged file is told before JAX is loaded.
  with _naming(file):
    container.read(data)
  codec = _load_codec(checkpoint)
  with _naming(file):
    image = codec.decompress(data)
  write_image(output, image)
  height, width = image.shape[:2]
  print(f"{output}: {width}x{height} pixels")


@app.command()
def info(file: File) -> None:
  """Prints what a .roij file says about itself."""
  from roijax.coding import container

  data = _read(file)
  with _naming(file):
    content = container.read(data)
  header = content.header
  pixels = header.width * header.height
  lines = {
    "file": file,
    "format version": container.VERSION,
    "weights": header.fingerprint.hex(),
    "size": f"{header.width}x{header.height} pixels",
    "quality": f"{header.quality:g} (code {header.quality_code})",
    "background level": (
      f"{header.background:.3f} (code {header.background_code})"
    ),
    "boundary entries": len(content.boundary),
    "bytes": f"{len(data):,} ({len(content.payload):,} coded,"
    f" {len(data) - len(content.payload)} header and checksums)",
    "rate": f"{8 * len(data) / pixels:.4f} bpp",
    "symbols checksum": f"{content.symbols_crc:08x}",
    "file checksum": data[-4:][::-1].hex() + " (correct)",
  }
  for name, value in lines.items():
    print(f"{name:<18}{value}")


@plots.callback(invoke_without_command=True)
def _plots(context: typer.Context) -> None:
  if context.invoked_subcommand is None:
    raise RoijaxError("name what to draw: roijax plot run DIR")


@plots.command("run")
def plot_run(
  folders: Annotated[
    list[pathlib.Path],
    typer.Argument(
      metavar="DIR...",
      help="The workdir of a training run, which may be going on; several are"
      " drawn over each other.",
    ),
  ],
  output: Annotated[
    pathlib.Path | None,
    typer.Option(
      "--output", "-o", help="The PNG to write; DIR/curves.png by default."
    ),
  ] = None,
) -> None:
  """Draws the curves of training: loss, rate, distortion, speed."""
  from roijax.evaluation.plot_run import read_run, write_curves

  if output is None and len(folders) > 1:
    raise RoijaxError("-o is needed to draw several runs: name the PNG")
  output = output or folders[0] / "curves.png"
  if output.suffix.lower() != ".png":
    raise RoijaxError(f"{output}: curves are drawn as PNG; end -o in .png")
  runs = [read_run(folder) for folder in folders]
  write_curves(output, runs)
  told = ", ".join(f"{run.name} ({run.extent})" for run in runs)
  print(f"{output}: {told}")


def exit_code(call: Callable[[], object]) -> int:
  """Runs a command and turns its errors into one line and an exit code.

  A `RoijaxError` or a misuse of the command line prints `error: ...` on the
  standard error and gives 2, an interrupt gives 130 in silence, anything
  unexpected gives 1. With `ROIJAX_DEBUG=1` in the environment the traceback is
  printed as well.

  Args:
    call: what to run; what it returns is its exit code if that is an int.

  Returns:
    The exit code.
  """
  try:
    result = call()
    return result if isinstance(result, int) else 0
  except typer.Exit as error:
    return error.exit_code
  except (KeyboardInterrupt, typer.Abort):
    return 130
  except (RoijaxError, _USAGE_ERROR) as error:
    failure, code, line = error, 2, _one_line(error)
  except Exception as error:
    reason = f"{type(error).__name__}: {_one_line(error)}"
    failure, code = error, 1
    line = f"{reason} (unexpected; ROIJAX_DEBUG=1 shows where)"
  if os.environ.get("ROIJAX_DEBUG"):
    traceback.print_exception(failure)
  print(f"error: {line}", file=sys.stderr)
  return code


def main(arguments: Sequence[str] | None = None) -> None:
  """Runs the command line and exits.

  Args:
    arguments: without the program's name; those of the process by default.
  """
  given = list(sys.argv[1:] if arguments is None else arguments)
  sys.exit(
    exit_code(
      lambda: app(
        given or ["--help"], prog_name="roijax", standalone_mode=False
      )
    )
  )


def _one_line(error: BaseException) -> str:
  format_message = getattr(error, "format_message", None)
  text = format_message() if format_message else str(error)
  return " ".join(text.split())


def _check_output(source: pathlib.Path, output: pathlib.Path) -> None:
  """Refuses, before any work, an output that would fail or destroy the input.

  Raises:
    RoijaxError: the output is a folder, or the input itself.
  """
  if output.is_dir():
    raise RoijaxError(
      f"{output} is a folder: name the file to write, for example"
      f" {output / source.stem}..."
    )
  if output.exists() and source.exists() and output.samefile(source):
    raise RoijaxError(f"{output} is the input itself: give -o another name")


def _read(path: pathlib.Path) -> bytes:
  try:
    return path.read_bytes()
  except FileNotFoundError as error:
    raise RoijaxError(f"no such file: {path}") from error
  except OSError as error:
    raise RoijaxError(f"cannot read {path}: {error.strerror}") from error


def _load_codec(checkpoint: pathlib.Path):
  if not checkpoint.exists():
    raise RoijaxError(
      f"no such checkpoint: {checkpoint}; --checkpoint takes the workdir of a"
      " training run, or a model.npz"
    )
  from roijax.codec import Codec

  return Codec.load(checkpoint, keep_programs=True)


class _naming:
  """Puts a file's name in front of what is wrong with its content."""

  def __init__(self, path: pathlib.Path):
    self.path = path

  def __enter__(self):
    return self

  def __exit__(self, kind, error, trace):
    if isinstance(error, BitstreamError):
      raise BitstreamError(f"{self.path}: {error}") from error


def _print_split(encoded, share: float) -> None:
  """Prints where the bits of the latents went."""
  inside, outside = encoded.bits_roi, encoded.bits_bg
  whole = max(inside + outside, 1e-9)
  print(
    f"inside the region ({share:.1%} of the photo): {inside / 8:,.0f} bytes"
    f" ({inside / whole:.1%}); outside: {outside / 8:,.0f} bytes"
    f" ({outside / whole:.1%})"
  )


if __name__ == "__main__":
  main()
