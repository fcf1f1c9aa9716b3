"""Shipping weights: the file, the card, the index, and nothing by halves."""

import json
import shlex
import subprocess
import sys

import numpy as np
import pytest
from smoke_model import ROOT, load_config_file
from weights_box import assert_one_line, edit_index, make_run, ship

from roijax.errors import RoijaxError
from roijax.weights import export, index, shipped
from roijax.weights.archive import load_weights, read_identity
from roijax.weights.card import Words
from roijax.weights.export import export_weights
from roijax.weights.public import publish_path
from roijax.weights.run import find_command, read_run


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


def test_an_export_is_found_and_described(run, out, box):
  other = make_run(run.parent / "other", seed=1)
  entry = ship(
    other,
    "tiny-2",
    out,
    default=True,
    summary="Two, for a\ntest.",
    words=Words(data="Noise, CC0.", limits="Photos."),
  )
  assert (out / "tiny-2.npz").read_bytes() == (other / "model.npz").read_bytes()
  assert index.find() == index.find("tiny-2") == out / "tiny-2.npz"
  assert index.find_by_fingerprint(entry.fingerprint) == out / "tiny-2.npz"
  assert index.find("tiny-1") == out / "tiny-1.npz"
  assert index.entries()[-1] == entry
  assert entry.rates_bpp == (0.25, 0.75)
  assert entry.bd_rate_jpeg == -32
  rows = index.describe()
  assert [row.name for row in rows] == ["tiny-1", "tiny-2"]
  assert [row.is_default for row in rows] == [False, True]
  assert all(row.in_box for row in rows)
  assert rows[1].summary == "Two, for a test"
  card = (out / "tiny-2.md").read_text()
  for told in (
    f"`{entry.fingerprint.hex()}`",
    "| 0 | 0.250 | 30.00 | 33.00 | 28.50 | 32.00 | 0.950 | 27.25 | 26.75 |",
    "| 1 | 0.750 | - |",
    "BD-rate against JPEG: ROI -42 %",
    "--data=folder:KODAK",
    "--roi=center",
    "Noise, CC0.",
    "Photos.",
  ):
    assert told in card
  assert "/home" not in card


def test_exporting_again_changes_words_alone(run, out):
  ship(run, "tiny-1", out)
  before = (out / "tiny-1.npz").read_bytes()
  edit_index(out, lambda c: c["weights"][0].update(source="roijax 0.0.1"))
  again = ship(run, "tiny-1", out, summary="Better words")
  assert shipped.read_index(out).entries == (again,)
  assert (again.summary, again.source) == ("Better words", "roijax 0.0.1")
  assert (out / "tiny-1.npz").read_bytes() == before


def test_what_is_shipped_never_changes(run, out, tmp_path):
  ship(run, "tiny-1", out)
  before = {file: file.read_bytes() for file in out.iterdir()}
  other = make_run(tmp_path / "other", seed=1)
  again = make_run(tmp_path / "again")
  with np.load(run / "model.npz") as file:
    np.savez(again / "model.npz", **file)
  for path, name, words in (
    (other, "tiny-1", "shipped already, with other weights"),
    (run, "tiny-2", "shipped already, as tiny-1"),
    (again, "tiny-1", "the same weights in another file"),
    (other, "Tiny_2", "is no name"),
    (other, "../tiny", "is no name"),
  ):
    assert_one_line(lambda path=path, name=name: ship(path, name, out), words)
  assert {file: file.read_bytes() for file in out.iterdir()} == before


@pytest.mark.parametrize("written", [0, 1, 2])
def test_an_interrupted_export_leaves_the_old_index(
  run, box, monkeypatch, written
):
  other = make_run(run.parent / "other", seed=1)
  whole, calls = export.write_whole, []

  def fail(path, data):
    if len(calls) == written:
      raise RoijaxError("no space left")
    calls.append(path)
    whole(path, data)

  before = (box / "index.json").read_bytes()
  with monkeypatch.context() as patched:
    patched.setattr(export, "write_whole", fail)
    with pytest.raises(RoijaxError, match="no space"):
      ship(other, "tiny-2", box, default=True)
  assert (box / "index.json").read_bytes() == before
  assert index.find() == box / "tiny-1.npz"
  assert_one_line(lambda: index.find("tiny-2"), "no weights 'tiny-2'")
  ship(other, "tiny-2", box, default=True)
  assert index.find() == box / "tiny-2.npz"


def test_an_export_needs_the_figures_of_these_weights(run, out, tmp_path):
  other = make_run(tmp_path / "other", seed=1)

  def attempt(results):
    return lambda: export_weights(run, "tiny-1", results=results, out=out)

  path = run / "results.json"
  assert_one_line(attempt([]), "weights are shipped with figures")
  assert_one_line(attempt([other]), "not of [0-9a-f]{16}: evaluate the weights")
  assert_one_line(attempt([tmp_path / "none.json"]), "cannot read")
  content = json.loads(path.read_text())
  content["settings"]["checkpoint"] = "elsewhere"
  path.write_text(json.dumps(content))
  assert_one_line(attempt([run]), "does not say whose figures")
  fingerprint = read_identity(run).fingerprint
  for told, words in (("00" * 8, "not of"), (fingerprint.hex(), None)):
    content["settings"]["fingerprint"] = told
    path.write_text(json.dumps(content))
    if words:
      assert_one_line(attempt([run]), words)
  assert attempt([run])().fingerprint == fingerprint
  for text in ("{}", "[]", '{"settings":{},"summary":[],"bd":[]}'):
    path.write_text(text)
    assert_one_line(attempt([run]), "holds no figures of roijax")


def test_damaged_and_large_weights_are_not_shipped(run, out, monkeypatch):
  path = run / "model.npz"
  data = path.read_bytes()
  path.write_bytes(data[: len(data) // 2])
  assert_one_line(lambda: ship(run, "tiny-1", out), "is damaged")
  path.write_bytes(data)
  monkeypatch.setattr(export, "MAX_BOX", len(data) - 1)
  assert_one_line(lambda: ship(run, "tiny-1", out), "the box would hold")
  monkeypatch.setattr(export, "MAX_FILE", len(data) - 1)
  assert_one_line(lambda: ship(run, "tiny-1", out), "are shipped in the box")
  assert not out.exists()


def test_an_older_file_leaves_to_make_room(run, box, monkeypatch):
  other = make_run(run.parent / "other", seed=1)
  sizes = [(folder / "model.npz").stat().st_size for folder in (run, other)]
  monkeypatch.setattr(export, "MAX_BOX", max(sizes))
  before = {file: file.read_bytes() for file in box.iterdir()}
  for without, default, words in (
    ([], True, "--without NAME"),
    (["tiny-0"], True, "no older file of tiny-0"),
    (["tiny-2"], True, "no older file of tiny-2"),
    (["tiny-1"], False, "tiny-1 is the default, so its file stays"),
  ):
    assert_one_line(
      lambda without=without, default=default: ship(
        other, "tiny-2", box, default=default, without=without
      ),
      words,
    )
  assert {file: file.read_bytes() for file in box.iterdir()} == before
  new = ship(other, "tiny-2", box, default=True, without=["tiny-1"])
  old, found = shipped.read_index(box).entries
  assert (old.name, old.file, found) == ("tiny-1", None, new)
  left = sorted(file.name for file in box.iterdir())
  assert left == ["index.json", "tiny-1.md", "tiny-2.md", "tiny-2.npz"]
  assert_one_line(
    lambda: ship(other, "tiny-2", box, without=["tiny-1"]), "no older file"
  )


def test_nothing_is_added_to_a_box_that_was_changed(run, out, tmp_path):
  ship(run, "tiny-1", out)
  with (out / "tiny-1.npz").open("ab") as file:
    file.write(b"x")
  other = make_run(tmp_path / "other", seed=1)
  assert_one_line(lambda: ship(other, "tiny-2", out), "not the file that was")


def _smoke_config():
  """The configuration of ggm:smoke, as a run's folder keeps it."""
  config = load_config_file(ROOT / "configs" / "ggm.py").get_config("smoke")
  return json.loads(json.dumps(config.to_dict()))


def _write_config(folder, **changes):
  config = _smoke_config()
  for path, value in changes.items():
    section, key = path.split("__")
    config[section][key] = value
  (folder / "config.json").write_text(json.dumps(config))
  return config


def test_a_card_tells_how_the_weights_were_trained(run, out):
  config = _write_config(
    run,
    data__source="coco_roi:train+folder:/home/someone/photos",
    data__data_dir="/home/someone/data",
    train__steps=300,
    train__start_from="/home/someone/first",
  )
  rows = [{"step": 100, "seconds": 5.0}, {"step": 200, "seconds": 9.6}]
  text = "".join(json.dumps(row) + "\n" for row in rows)
  # As a killed run leaves it.
  (run / "metrics.jsonl").write_text(text + '{"step": 3')
  told = read_run(run)
  assert (told.step, told.planned, told.seconds) == (200, 300, 9.6)
  command = find_command(config, ROOT / "configs")
  assert command.startswith(
    "python train.py --config=configs/ggm.py:smoke --workdir=RUN "
  )
  assert command.split()[4:] == [
    "--config.data.source=coco_roi:train+folder:PHOTOS",
    "--config.train.start_from=FIRST",
    "--config.train.steps=300",
  ]
  entry = ship(run, "tiny-1", out)
  card = (out / "tiny-1.md").read_text()
  assert "| steps | 200 (of 300) of 8 crops |" in card
  assert "| images | 1,600 crops |" in card
  assert "| moving average | of the parameters, 0.999 |" in card
  assert "--config.train.steps=300" in card
  assert "/home" not in card and "/home" not in entry.summary


def test_shipped_weights_that_a_run_began_with_are_told_by_their_path():
  begun = publish_path("/home/someone/clone/roijax/weights/ggm-small-3.npz")
  assert begun == "roijax/weights/ggm-small-3.npz"


def test_the_command_trains_what_was_trained():
  """Its flags, put into the variant that it names, give the config again."""
  config = _smoke_config()
  config["optimizer"]["learning_rate"] = 6e-4
  config["model"]["lmbdas"] = [0.01, 0.02, 0.04]
  words = find_command(config, ROOT / "configs").split(" ", 4)
  script = (
    "import json, sys; from absl import flags; from ml_collections import"
    " config_flags as c\n"
    "config = c.DEFINE_config_file('config')\n"
    "flags.DEFINE_string('workdir', '', '')\n"
    "flags.FLAGS(sys.argv)\n"
    "print(json.dumps(config.value.to_dict()))"
  )
  done = subprocess.run(
    [sys.executable, "-c", script, *words[2:4], *shlex.split(words[4])],
    cwd=ROOT,
    capture_output=True,
    text=True,
    check=True,
  )
  assert json.loads(done.stdout) == config


@pytest.mark.parametrize("text", ["{", "[]", '{"data": {}}'])
def test_a_config_of_something_else_is_told(run, out, text):
  (run / "config.json").write_text(text)
  assert_one_line(lambda: ship(run, "tiny-1", out), "not the configuration of")


def test_a_whole_model_is_shipped(smoke_path, run, out):
  """As training exports it; its figures are of another folder by path."""
  path = run / "results.json"
  content = json.loads(path.read_text())
  content["settings"]["checkpoint"] = str(smoke_path)
  path.write_text(json.dumps(content))
  entry = export_weights(smoke_path, "smoke-1", results=[path], out=out)
  assert load_weights(out / "smoke-1.npz").fingerprint == entry.fingerprint
  assert shipped.read_index(out).default == "smoke-1"
