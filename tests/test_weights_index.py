"""Shipped weights: what is in the box stays what it was, and is found."""

import hashlib
import re
import shutil
import subprocess
import sys

import pytest
from smoke_model import ROOT
from weights_box import assert_one_line, edit_index, make_params, make_run, ship

from roijax.errors import BitstreamError, CheckpointError
from roijax.weights import export, index, shipped
from roijax.weights.archive import load_weights, read_identity, save_weights
from roijax.weights.predictor import find_predictor

SHIPPED = shipped.read_index()


@pytest.fixture(name="run")
def _run(tmp_path):
  return make_run(tmp_path / "run")


@pytest.fixture(name="out")
def _out(tmp_path):
  return tmp_path / "box"


@pytest.fixture(name="box")
def _box(run, out, monkeypatch):
  """A box in place of the package's, with one entry."""
  ship(run, "tiny-1", out)
  monkeypatch.setattr(index, "read_index", lambda: shipped.read_index(out))
  return out


@pytest.fixture(name="own")
def _own(tmp_path, monkeypatch):
  """A folder that ROIJAX_WEIGHTS names."""
  folder = tmp_path / "own"
  folder.mkdir()
  monkeypatch.setenv("ROIJAX_WEIGHTS", str(folder))
  return folder


@pytest.mark.parametrize("entry", SHIPPED.entries, ids=lambda e: e.name)
def test_what_is_shipped_is_what_the_index_says(entry):
  card = (SHIPPED.folder / f"{entry.name}.md").read_text()
  for told in (entry.fingerprint.hex(), entry.sha256, entry.licence):
    assert told in card
  first = re.search(
    r"BD-rate against JPEG:.*? (?:weighted|whole) (\S+) %", card
  )
  told = entry.bd_rate_jpeg
  assert (first and first[1]) == (None if told is None else f"{told:+d}")
  assert 0 < entry.rates_bpp[0] < entry.rates_bpp[1]
  if entry.file is None:
    return
  data = (SHIPPED.folder / entry.file).read_bytes()
  assert hashlib.sha256(data).hexdigest() == entry.sha256
  assert len(data) == entry.size <= export.MAX_FILE
  found = load_weights(SHIPPED.folder / entry.file)
  assert (found.fingerprint, found.system) == (entry.fingerprint, entry.system)


def test_the_first_weights_are_those_of_the_first_files():
  # Files out there name these eight bytes: they can never mean other weights.
  first = SHIPPED.entries[0]
  assert first.name == "ggm-small-1"
  assert first.fingerprint.hex() == "b8e973ade0f3d4de"


def test_the_box_is_small_and_holds_nothing_that_the_index_does_not_name():
  files = list(SHIPPED.folder.glob("*.npz"))
  assert sum(file.stat().st_size for file in files) <= export.MAX_BOX
  named = {entry.file for entry in SHIPPED.entries if entry.file}
  # What --roi auto takes lies beside them.
  named.add(find_predictor().name)
  assert {file.name for file in files} == named
  assert SHIPPED.by_name(SHIPPED.default).file is not None


def test_the_default_is_found_by_nothing_name_and_fingerprint():
  entry = index.default()
  expected = SHIPPED.folder / entry.file
  assert index.find() == index.find(None) == expected
  assert index.find(entry.name) == expected
  assert index.find_by_fingerprint(entry.fingerprint) == expected
  assert entry in index.entries()


def test_a_path_is_taken_as_it_is(run, monkeypatch):
  file = run / "model.npz"
  for path in (run, file, str(run), str(file)):
    assert index.find(path) == file
  monkeypatch.chdir(run.parent)
  assert index.find("run").resolve() == file
  assert_one_line(lambda: index.find(run / "none"), "no checkpoint at")
  assert_one_line(lambda: index.find("none.npz"), "no checkpoint at none.npz")


def test_a_path_needs_no_index(run, box):
  (box / "index.json").write_text("{")
  assert index.find(run) == run / "model.npz"
  assert_one_line(index.find, "is damaged")


def test_a_shipped_name_wins_over_a_folder(run, box, monkeypatch):
  monkeypatch.chdir(run.parent)
  shutil.copytree(run, run.parent / "tiny-1")
  assert index.find("tiny-1") == box / "tiny-1.npz"
  assert index.find("./tiny-1").resolve() == run.parent / "tiny-1/model.npz"


def test_an_unknown_name_is_told_with_the_nearest():
  name = index.default().name
  assert_one_line(lambda: index.find(f"{name}x"), f"did you mean '{name}'")
  names = ", ".join(entry.name for entry in index.entries())
  assert_one_line(
    lambda: index.find("zzz"), f"no weights 'zzz': there are: {names}"
  )


def test_an_unknown_fingerprint_says_what_to_do():
  assert_one_line(
    lambda: index.find_by_fingerprint(bytes(8)),
    "made with weights 0000000000000000, which this roijax does not know",
    BitstreamError,
  )


def test_weights_that_left_the_box_are_told_by_name(run, box, own):
  entry = shipped.read_index(box).entries[0]
  edit_index(box, lambda content: content["weights"][0].update(file=None))
  assert [row.in_box for row in index.describe()] == [False]
  for call, kind in (
    (lambda: index.find("tiny-1"), CheckpointError),
    (lambda: index.find_by_fingerprint(entry.fingerprint), BitstreamError),
  ):
    assert_one_line(call, "the weights tiny-1 .*they come with roijax ", kind)
  # Whatever it is called there.
  shutil.copy(run / "model.npz", own / "Old.npz")
  assert index.find("tiny-1") == own / "Old.npz"
  assert index.find_by_fingerprint(entry.fingerprint) == own / "Old.npz"


def test_a_changed_file_is_refused(box):
  path = box / "tiny-1.npz"
  data = bytearray(path.read_bytes())
  entry = shipped.read_index(box).entries[0]
  data[-5] ^= 1
  for content in (data, data[:-1], _other_weights(box)):
    path.write_bytes(content)
    for call in (
      lambda: index.find("tiny-1"),
      index.find,
      lambda: index.find_by_fingerprint(entry.fingerprint),
    ):
      assert_one_line(call, "is not the file that was shipped")


def _other_weights(box):
  other = box / "other.npz"
  save_weights(other, "ggm", {"lmbdas": [1]}, make_params(7))
  return other.read_bytes()


def test_weights_of_ones_own_are_found(run, own):
  other = make_run(own / "elsewhere", seed=1)
  shutil.copy(run / "model.npz", own / "Mine.npz")
  (own / "broken.npz").write_bytes(b"PK")
  mine = read_identity(run).fingerprint
  assert index.find("Mine") == own / "Mine.npz"
  assert index.find_by_fingerprint(mine) == own / "Mine.npz"
  rows = {row.name: row for row in index.describe()}
  assert rows["Mine"].fingerprint == mine.hex()
  assert "cannot be read" in rows["broken"].summary
  # A file that is replaced is read again.
  shutil.copy(other / "model.npz", own / "Mine.npz")
  found = index.find_by_fingerprint(read_identity(other).fingerprint)
  assert found == own / "Mine.npz"
  assert_one_line(
    lambda: index.find_by_fingerprint(mine), "does not know", BitstreamError
  )


def test_a_folder_of_ones_own_that_is_none_is_told(monkeypatch, tmp_path):
  monkeypatch.setenv("ROIJAX_WEIGHTS", str(tmp_path / "none"))
  assert_one_line(lambda: index.find("zzz"), "ROIJAX_WEIGHTS=.* is no folder")
  # What the box holds needs no other folder.
  assert index.find() == SHIPPED.folder / index.default().file


def _twice(content):
  content["weights"].append(dict(content["weights"][0]))


def _same_fingerprint(content):
  _twice(content)
  content["weights"][1].update(name="other", file="other.npz")


@pytest.mark.parametrize(
  ("change", "words"),
  [
    (_twice, "the name tiny-1 twice"),
    (_same_fingerprint, "the fingerprint [0-9a-f]{16} twice"),
    (lambda c: c.update(default="none"), "names 'none' as the default"),
    (lambda c: c.pop("weights"), "is damaged"),
    (lambda c: c["weights"][0].pop("bytes"), "is damaged"),
    (lambda c: c["weights"][0].update(more=1), "is damaged"),
    (lambda c: c["weights"][0].update(bytes="1"), "is damaged"),
    (lambda c: c["weights"][0].update(name="../x"), "is damaged"),
    (lambda c: c["weights"][0].update(file="../tiny-1.npz"), "is damaged"),
    (lambda c: c["weights"][0].update(fingerprint="00"), "is damaged"),
    (lambda c: c["weights"][0].update(rates_bpp=[1]), "is damaged"),
    (lambda c: c["weights"][0].update(bd_rate_jpeg="less"), "is damaged"),
    (lambda c: c["weights"].append(3), "is damaged"),
  ],
)
def test_an_index_that_contradicts_itself_is_refused(box, change, words):
  edit_index(box, change)
  assert_one_line(lambda: shipped.read_index(box), words)


def test_the_list_of_weights_loads_no_jax():
  script = (
    "import sys; from roijax.weights import index\n"
    "index.find(); index.describe()\n"
    "index.find_by_fingerprint(index.default().fingerprint)\n"
    "print({'jax', 'flax', 'scipy'} & set(sys.modules))"
  )
  done = subprocess.run(
    [sys.executable, "-c", script],
    cwd=ROOT,
    capture_output=True,
    text=True,
    check=True,
  )
  assert done.stdout.strip() == "set()"
