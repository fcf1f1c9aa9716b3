"""The command line codes, decodes, and says in one line what is wrong."""

import errno
import os
import pathlib
import subprocess
import sys
import types

import numpy as np
import pytest
from jpeg_codec import JpegCodec
from PIL import Image

from roijax import cli
from roijax.coding import container
from roijax.errors import CheckpointError

WIDTH, HEIGHT = 60, 44


@pytest.fixture(name="roijax")
def _roijax(tmp_path, monkeypatch, capsys):
  """Runs the command in a folder with a photo and a stand-in checkpoint."""
  module = types.ModuleType("roijax.codec")
  module.Codec = JpegCodec
  monkeypatch.setitem(sys.modules, "roijax.codec", module)
  monkeypatch.chdir(tmp_path)
  rng = np.random.default_rng(0)
  pixels = rng.integers(0, 255, (HEIGHT // 4, WIDTH // 4, 3), np.uint8)
  Image.fromarray(pixels.repeat(4, 0).repeat(4, 1)).save("photo.png")
  (tmp_path / "weights").mkdir()

  def run(*arguments):
    with pytest.raises(SystemExit) as stop:
      cli.main([str(argument) for argument in arguments])
    streams = capsys.readouterr()
    return stop.value.code, streams.out, streams.err

  return run


def _compress(run, *more):
  return run(
    "compress", "photo.png", "-o", "a.roij", "--checkpoint", "weights", *more
  )


def _folder() -> list[str]:
  return sorted(os.listdir())


def test_a_photo_goes_to_a_file_and_back(roijax):
  code, out, err = _compress(roijax, "--quality", "6")
  assert (code, err) == (0, "")
  size = os.path.getsize("a.roij")
  assert out == (
    f"a.roij: {size:,} bytes, {8 * size / WIDTH / HEIGHT:.4f} bpp\n"
  )
  code, out, err = roijax(
    "decompress", "a.roij", "-o", "new/back.png", "--checkpoint", "weights"
  )
  assert (code, out, err) == (0, "new/back.png: 60x44 pixels\n", "")
  before, after = (
    np.asarray(Image.open(name), float)
    for name in ("photo.png", "new/back.png")
  )
  assert np.sqrt(np.mean((before - after) ** 2)) < 12


def test_regions_are_united_and_their_bits_told(roijax):
  code, out, _ = _compress(
    roijax, "--roi", "box:0,0,30,44", "--roi", "box:15,0,30,44"
  )
  assert code == 0
  inside, outside = out.splitlines()[1].split("; ")
  assert inside.startswith("inside the region (75.0% of the photo): ")
  assert inside.endswith("bytes (75.0%)")
  assert outside.endswith("(25.0%)")


@pytest.mark.parametrize("spec", ["all", "none"])
def test_a_region_without_contrast_is_an_ordinary_file(roijax, spec):
  _compress(roijax)
  plain = pathlib.Path("a.roij").read_bytes()
  _, out, _ = _compress(roijax, "--roi", spec)
  assert pathlib.Path("a.roij").read_bytes() == plain
  assert len(out.splitlines()) == 1


def test_info_tells_every_header_field(roijax):
  _compress(roijax, "--quality", "2.5", "--background", "0.5")
  code, out, _ = roijax("info", "a.roij")
  assert code == 0
  content = container.read(pathlib.Path("a.roij").read_bytes())
  assert len(out.splitlines()) == 11
  for text in (
    "format version    1",
    f"weights           {content.header.fingerprint.hex()}",
    "size              60x44 pixels",
    "quality           2.5 (code 80)",
    "background level  0.502 (code 128)",
    "boundary entries  0",
    f"{len(content.payload):,} coded",
    f"{8 * os.path.getsize('a.roij') / WIDTH / HEIGHT:.4f} bpp",
    "symbols checksum  00000007",
    "(correct)",
  ):
    assert text in out


def test_info_does_not_load_jax(roijax, tmp_path):
  _compress(roijax)
  root = os.path.dirname(os.path.dirname(__file__))
  script = (
    "import pathlib, sys; from roijax import cli\n"
    "path = pathlib.Path(sys.argv[1])\n"
    "code = cli.exit_code(lambda: cli.info(path))\n"
    "sys.exit(code or 'jax' in sys.modules)"
  )
  done = subprocess.run(
    [sys.executable, "-c", script, tmp_path / "a.roij"],
    cwd=root,
    capture_output=True,
    check=False,
  )
  assert done.returncode == 0, done.stderr


def test_help_and_version_need_nothing(roijax):
  for arguments in ((), ("--help",), ("compress", "--help"), ("--version",)):
    code, out, err = roijax(*arguments)
    assert (code, err) == (0, "")
    assert "roijax" in out


def _write_inputs():
  """Files that are wrong in one way each."""
  Image.new("L", (60, 44)).save("grey.png")
  Image.new("RGBA", (60, 44)).save("alpha.png")
  Image.new("RGB", (1, 1)).save("dot.png")
  Image.new("L", (60, 44)).save("empty.png")
  Image.new("L", (61, 44), 255).save("large.png")
  with open("photo.png", "rb") as file:
    data = file.read()
  with open("half.png", "wb") as file:
    file.write(data[: len(data) // 2])
  with open("text.png", "w") as file:
    file.write("not a photo")


C = ("--checkpoint", "weights")


@pytest.mark.parametrize(
  ("arguments", "words"),
  [
    (["compres"], "No such command 'compres'"),
    (["info"], "Missing argument"),
    (["info", "nothing.roij"], "no such file: nothing.roij"),
    (["info", "weights"], "cannot read weights"),
    (["info", "photo.png"], "photo.png: this is no .roij file"),
    (["compress", "photo.png", "-o", "x.roij"], "Missing option"),
    (["compress", "photo.png", *C], "Missing option"),
    (["compress", "photo.png", "-o", "x.roij", "--qualty=3"], "--qualty"),
    (["compress", "no.png", "-o", "x.roij", *C], "no such photo: no.png"),
    (["compress", "weights", "-o", "x.roij", *C], "is a folder, not a photo"),
    (["compress", "grey.png", "-o", "x.roij", *C], "grey"),
    (["compress", "alpha.png", "-o", "x.roij", *C], "transparency"),
    (["compress", "dot.png", "-o", "x.roij", *C], "1x1 pixels"),
    (["compress", "half.png", "-o", "x.roij", *C], "half.png"),
    (["compress", "text.png", "-o", "x.roij", *C], "text.png"),
    (["compress", "photo.png", "-o", "weights", *C], "is a folder"),
    (["compress", "photo.png", "-o", "photo.png", *C], "the input itself"),
    (["compress", "photo.png", "-o", "./photo.png", *C], "the input itself"),
    (["compress", "photo.png", "-o", "text.png/x", *C], "cannot write"),
    (
      ["compress", "photo.png", "-o", "x.roij", "--checkpoint", "no"],
      "no such checkpoint: no",
    ),
    (
      ["compress", "photo.png", "-o", "x.roij", *C, "--quality", "6.1"],
      "is outside 0 to 6",
    ),
    (
      ["compress", "photo.png", "-o", "x.roij", *C, "--quality", "nan"],
      "is outside 0 to 6",
    ),
    (
      ["compress", "photo.png", "-o", "x.roij", *C, "--quality", "high"],
      "Invalid value for '--quality'",
    ),
    (
      ["compress", "photo.png", "-o", "x.roij", *C, "--background", "0"],
      "background is 0",
    ),
    (
      ["compress", "photo.png", "-o", "x.roij", *C, "--roi", "empty.png"],
      "empty mask",
    ),
    (
      ["compress", "photo.png", "-o", "x.roij", *C, "--roi", "large.png"],
      "61x44",
    ),
    (
      ["compress", "photo.png", "-o", "x.roij", *C, "--roi", "bxo:1,2,3,4"],
      "did you mean 'box'",
    ),
    (["decompress", "photo.png", "-o", "x.png", *C], "no .roij file"),
    (["decompress", "no.roij", "-o", "x.png", *C], "no such file: no.roij"),
    (["decompress", "photo.png", "-o", "x.xyz", *C], "x.xyz"),
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


def test_a_cut_file_is_told_by_name_and_leaves_no_photo(roijax):
  _compress(roijax)
  with open("a.roij", "rb") as file:
    data = file.read()
  with open("cut.roij", "wb") as file:
    file.write(data[:-9])
  before = _folder()
  code, _, err = roijax("decompress", "cut.roij", "-o", "x.png", *C)
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
    raise CheckpointError(f"{path} holds no\nmodel.npz")

  monkeypatch.setattr(JpegCodec, "load", fail)
  code, _, err = _compress(roijax)
  assert (code, err) == (2, "error: weights holds no model.npz\n")


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
