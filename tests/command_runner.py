"""Runs the command line in a folder, with JPEG in place of the codec.

`start` prepares this process; `spawn` starts another one, with workers of its
own, that has the same stand-in.
"""

import os
import pathlib
import signal
import subprocess
import sys
import types

import jpeg_codec
import numpy as np
import pytest
from PIL import Image

from roijax import cli
from roijax.commands import engine
from roijax.errors import BitstreamError
from roijax.weights import index

ROOT = pathlib.Path(__file__).parents[1]
WEIGHTS = "weights/model.npz"
WIDTH, HEIGHT = 60, 44

# Every interpreter reads this file first. The stand-in itself waits until it
# is asked for: it takes a while to import.
_SITE = """
import sys, types
class Standin(types.ModuleType):
  def __getattr__(self, name):
    if name != "Codec":
      raise AttributeError(name)
    sys.path.append({tests!r})
    from jpeg_codec import JpegCodec
    return JpegCodec
sys.modules["roijax.codec"] = Standin("roijax.codec")
"""


def write_photo(path, seed=0, size=(WIDTH, HEIGHT), mode="RGB", **options):
  """Squares of 4 pixels in random colours."""
  rng = np.random.default_rng(seed)
  pixels = rng.integers(0, 255, (-(-size[1] // 4), -(-size[0] // 4), 3))
  pixels = pixels.astype(np.uint8).repeat(4, 0).repeat(4, 1)
  pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
  photo = Image.fromarray(pixels[: size[1], : size[0]])
  photo.convert(mode).save(path, **options)


def start(folder, monkeypatch, capfdbinary):
  """Makes `roijax(*arguments) -> (code, out, err)`, in `folder`.

  There lie photo.png and weights/model.npz, which is the default and what
  the stand-in's files ask for.
  """
  module = types.ModuleType("roijax.codec")
  module.__dict__["Codec"] = jpeg_codec.JpegCodec
  monkeypatch.setitem(sys.modules, "roijax.codec", module)
  monkeypatch.chdir(folder)
  write_photo("photo.png")
  path = folder / WEIGHTS
  path.parent.mkdir()
  path.write_bytes(b"")
  find = index.find

  def find_by_fingerprint(fingerprint):
    if fingerprint != jpeg_codec.FINGERPRINT:
      raise BitstreamError(f"made with weights {fingerprint.hex()}, unknown")
    return path

  monkeypatch.setattr(
    index, "find", lambda name=None: find(path if name is None else name)
  )
  monkeypatch.setattr(index, "find_by_fingerprint", find_by_fingerprint)
  engine.forget()

  def run(*arguments, text=True):
    with pytest.raises(SystemExit) as stop:
      cli.main([str(argument) for argument in arguments])
    sys.stdout.flush()
    out, err = capfdbinary.readouterr()
    return stop.value.code, out.decode() if text else out, err.decode()

  return run


def environment(folder, **more) -> dict[str, str]:
  """Of processes that have the stand-in."""
  site = pathlib.Path(folder) / "site"
  site.mkdir(exist_ok=True)
  tests = str(ROOT / "tests")
  (site / "sitecustomize.py").write_text(_SITE.format(tests=tests))
  paths = os.pathsep.join([str(site), str(ROOT)])
  return os.environ | {"PYTHONPATH": paths} | more


def spawn(folder, *arguments, **more) -> subprocess.Popen:
  """Starts the command in a process group of its own."""
  if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Tests that were started in the background would pass that on.
    signal.signal(signal.SIGINT, signal.default_int_handler)
  return subprocess.Popen(
    [sys.executable, "-m", "roijax", *map(str, arguments)],
    cwd=folder,
    env=environment(folder, **more),
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    start_new_session=True,
  )
