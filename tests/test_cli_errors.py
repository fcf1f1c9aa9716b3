"""What goes wrong is one line on the standard error and an exit code."""

import errno
import os
import pathlib

import command_runner
import pytest
from command_runner import HEIGHT, WEIGHTS, WIDTH
from jpeg_codec import JpegCodec

from roijax.coding import container
from roijax.errors import CheckpointError


@pytest.fixture(name="roijax")
def _roijax(tmp_path, monkeypatch, capfdbinary):
  return command_runner.start(tmp_path, monkeypatch, capfdbinary)


def _compress(run, *more):
  return run("compress", "photo.png", "-o", "a.roij", "--overwrite", *more)


def _folder() -> list[str]:
  return sorted(os.listdir())


def _write_inputs():
  """Files that are wrong in one way each."""
  with open("photo.png", "rb") as file:
    data = file.read()
  with open("half.png", "wb") as file:
    file.write(data[: len(data) // 2])
  with open("text.png", "w") as file:
    file.write("not a photo")
  os.mkdir("empty")


OUT = ("-o", "x.roij")


@pytest.mark.parametrize(
  ("arguments", "words"),
  [
    (["compres"], "No such command 'compres'"),
    (["info"], "Missing argument"),
    (["info", "nothing.roij"], "no such file: nothing.roij"),
    (["info", "weights"], "no file below weights"),
    (["info", "photo.png"], "photo.png: this is no .roij file"),
    (["info", "--brief", "--roi", "center", "photo.png"], "--brief"),
    (["compress"], "Missing argument"),
    (["compress", "photo.png", "--qualty=3"], "--qualty"),
    (["compress", "photo.png", "-o", ""], "-o is empty"),
    (["compress", ""], "an empty name"),
    (["compress", "no.png"], "no such photo: no.png"),
    (["compress", "no*.png"], "nothing matches 'no*.png'"),
    (["compress", "empty"], "no photo below empty"),
    (["compress", "-", "photo.png"], "cannot have company"),
    (["compress", "half.png"], "half.png"),
    (["compress", "text.png"], "text.png"),
    (["compress", "photo.png", "-o", "photo.png"], "is an input itself"),
    (["compress", "photo.png", "-o", "./photo.png"], "is an input itself"),
    (["compress", "photo.png", "-o", "text.png/x"], "cannot write"),
    (["compress", "photo.png", *OUT, "--checkpoint", "./no"], "no checkpoint"),
    (["compress", "photo.png", *OUT, "--quality", "6.1"], "is outside 0 to 6"),
    (["compress", "photo.png", *OUT, "--quality", "nan"], "is outside 0 to 6"),
    (
      ["compress", "photo.png", *OUT, "--quality", "high"],
      "Invalid value for '--quality'",
    ),
    (["compress", "photo.png", *OUT, "--background", "0"], "background is 0"),
    (["compress", "photo.png", *OUT, "--background", "1.5"], "is 1.5; it must"),
    (["compress", "photo.png", *OUT, "--jobs", "0"], "--jobs is 0"),
    (["compress", "photo.png", *OUT, "--max-pixels", "0"], "--max-pixels is 0"),
    (["compress", "photo.png", *OUT, "--max-pixels", "9"], "--max-pixels"),
    (
      ["compress", "photo.png", *OUT, "--target-size", "4x"],
      "no size in bytes",
    ),
    (["compress", "photo.png", *OUT, "--target-size", "0"], "no size in bytes"),
    (
      ["compress", "photo.png", *OUT, "--target-size", "9" * 400],
      "no size in bytes",
    ),
    (["compress", "photo.png", *OUT, "--target-bpp", "0"], "--target-bpp is 0"),
    (["compress", "photo.png", *OUT, "--target-bpp", "nan"], "--target-bpp"),
    (
      ["compress", "photo.png", *OUT, "--target-bpp", "1", "--quality", "1"],
      "--quality and --target-bpp exclude each other",
    ),
    (["compress", "photo.png", "-o", "-", "--json"], "--json and the file"),
    (["compress", "photo.png", "-o", "x.png"], "end it in .roij"),
    (["compress", "photo.png", "-o", "text.png"], "end it in .roij"),
    (["compress", "photo.png", "-o", "x.HEIC"], "cannot end in .HEIC"),
    (["compress", "photo.png", "-o", "empty/x.jxl"], "end it in .roij"),
    (["compress", "*.png", "-o", "x.jpg"], "looks like a file"),
    (["compress", "photo.png", *OUT, "--keep-mask"], "keeps a region: give"),
    (
      ["compress", "photo.png", *OUT, "--keep-mask", "--roi", "none"],
      "--keep-mask keeps a region: give one with --roi",
    ),
    (
      ["compress", "photo.png", *OUT, "--keep-mask", "--roi", "all"],
      "--keep-mask keeps a region: give one with --roi",
    ),
    (["compress", "photo.png", *OUT, "--preview", "p.png"], "needs a region"),
    (["compress", "photo.png", *OUT, "--feather", "3"], "needs a region"),
    (["decompress", "photo.png", "-o", "x.png"], "no .roij file"),
    (["decompress", "no.roij", "-o", "x.png"], "no such file: no.roij"),
    (["decompress", "photo.png", "-o", "x.xyz"], "x.xyz"),
    (["decompress", "photo.png", "--format", "doc"], "--format doc"),
    (
      ["decompress", "photo.png", "-o", "x.png", "--format", "jpg"],
      "disagree",
    ),
    (["plot"], "name what to draw"),
    (["eval"], "Missing option '--data'"),
    (["eval", "--dta=x"], "No such option: --dta"),
    (["eval", "--data=x", "--qualities=a"], "is not a list of numbers"),
    (["eval", "--data=/no/such", "--checkpoint=./x"], "no folder of photos"),
    (["weights", "exprt"], "Did you mean 'export'"),
    (["weights", "export", "run", "No Name", "--results=x"], "is no name"),
  ],
)
def test_what_is_wrong_is_one_line_and_nothing_is_written(
  roijax, arguments, words
):
  _write_inputs()
  before = _folder()
  code, out, err = roijax(*arguments)
  assert (code, out) == (2, "")
  assert err.startswith("error: ")
  assert err.count("\n") == 1
  assert words in err
  assert _folder() == before


def test_files_of_other_weights_are_told_by_fingerprint(roijax):
  _compress(roijax)
  content = container.read(pathlib.Path("a.roij").read_bytes())
  other = container.Header(b"8 bytes!", WIDTH, HEIGHT, 96, 64)
  data = container.write(
    container.Container(other, (), content.streams, content.symbols_crc)
  )
  pathlib.Path("b.roij").write_bytes(data)
  code, _, err = roijax("decompress", "b.roij")
  assert code == 2
  assert err.startswith(f"error: b.roij: made with weights {b'8 bytes!'.hex()}")
  assert roijax("decompress", "b.roij", "--checkpoint", WEIGHTS)[0] == 0


def test_a_cut_file_is_told_by_name_and_leaves_no_photo(roijax):
  _compress(roijax)
  with open("a.roij", "rb") as file:
    data = file.read()
  with open("cut.roij", "wb") as file:
    file.write(data[:-9])
  before = _folder()
  code, _, err = roijax("decompress", "cut.roij", "-o", "x.png")
  assert code == 2
  assert err.startswith("error: cut.roij: ")
  assert "truncated" in err
  assert _folder() == before


@pytest.mark.parametrize("cause", [errno.ENOSPC, errno.EACCES])
def test_a_full_disk_or_missing_permission_keeps_the_old_file(
  roijax, monkeypatch, cause
):
  pathlib.Path("a.roij").write_text("old")
  before = _folder()

  def fail(*_):
    raise OSError(cause, os.strerror(cause))

  monkeypatch.setattr(os, "fsync", fail)
  code, _, err = _compress(roijax)
  assert code == 2
  assert err == f"error: cannot write a.roij: {os.strerror(cause)}\n"
  assert _folder() == before
  assert pathlib.Path("a.roij").read_text() == "old"


def test_checkpoint_errors_are_the_user_s(roijax, monkeypatch):
  def fail(path, *, keep_programs):
    raise CheckpointError(f"{path} holds\nno weights")

  monkeypatch.setattr(JpegCodec, "load", fail)
  code, _, err = _compress(roijax, "--checkpoint", WEIGHTS)
  assert (code, err) == (2, f"error: {WEIGHTS} holds no weights\n")


def test_the_unexpected_is_one_line_and_the_traceback_on_demand(
  roijax, monkeypatch
):
  def fail(path, *, keep_programs):
    raise IndexError("list index out of range")

  monkeypatch.setattr(JpegCodec, "load", fail)
  code, _, err = _compress(roijax)
  assert code == 1
  assert err.count("\n") == 1
  assert "IndexError: list index out of range" in err
  assert "ROIJAX_DEBUG=1" in err
  monkeypatch.setenv("ROIJAX_DEBUG", "1")
  code, _, err = _compress(roijax)
  assert code == 1
  assert "Traceback" in err


def test_an_interrupt_has_its_own_exit_code(roijax, monkeypatch):
  def fail(path, *, keep_programs):
    raise KeyboardInterrupt

  monkeypatch.setattr(JpegCodec, "load", fail)
  code, _, err = _compress(roijax)
  assert (code, err) == (130, "")
