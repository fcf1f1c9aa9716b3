"""Many inputs: which files are meant, what they become, what goes wrong."""

import json
import os
import pathlib
import signal
import time

import command_runner
import numpy as np
import pytest
from command_runner import WEIGHTS, spawn, write_photo
from PIL import Image

from roijax.commands import crew
from roijax.commands.inputs import Kind, find_inputs, plan_outputs
from roijax.errors import RoijaxError


@pytest.fixture(name="roijax")
def _roijax(tmp_path, monkeypatch, capfdbinary):
  return command_runner.start(tmp_path, monkeypatch, capfdbinary)


def _tree(folder: str) -> list[str]:
  """All files below a folder, as paths within it."""
  root = pathlib.Path(folder)
  files = [path for path in root.rglob("*") if path.is_file()]
  return sorted(path.relative_to(root).as_posix() for path in files)


def _write_tree():
  for number, name in enumerate(("a/x.png", "a/in/y.jpg", "b/x.png")):
    write_photo(f"photos/{name}", seed=number)
  pathlib.Path("photos/a/notes.txt").write_text("no photo")
  write_photo("photos/.hidden/z.png")


KIND = Kind("photo", (".jpg", ".png"), ".roij", (".roij",))


def _plan(*arguments, output=None, overwrite=True):
  """Sources and targets as text."""
  inputs = find_inputs(arguments, KIND)
  plan = plan_outputs(inputs, output, KIND, overwrite=overwrite)
  return {str(job.source): str(job.target) for job in plan.jobs}


def test_folders_keep_their_tree(roijax):
  _write_tree()
  assert _plan("photos", output="out") == {
    "photos/a/x.png": "out/a/x.roij",
    "photos/a/in/y.jpg": "out/a/in/y.roij",
    "photos/b/x.png": "out/b/x.roij",
  }
  assert _plan("photos/a", "photos/b", output="out") == {
    "photos/a/x.png": "out/a/x.roij",
    "photos/a/in/y.jpg": "out/a/in/y.roij",
    "photos/b/x.png": "out/b/x.roij",
  }
  assert _plan("photos/a")["photos/a/in/y.jpg"] == "photos/a/in/y.roij"


def test_files_of_one_name_keep_what_tells_them_apart(roijax):
  _write_tree()
  files = ("photos/a/x.png", "photos/b/x.png")
  expected = {"photos/a/x.png": "o/a/x.roij", "photos/b/x.png": "o/b/x.roij"}
  assert _plan(*files, output="o") == expected
  # As the shell would have expanded it.
  assert _plan("photos/*/x.png", output="o") == expected
  write_photo("photos/a/x.jpg", seed=9)
  assert _plan("photos/a/x.*", output="o") == {
    "photos/a/x.jpg": "o/x.jpg.roij",
    "photos/a/x.png": "o/x.png.roij",
  }
  write_photo("photos/a/x.png.jpg", seed=10)
  with pytest.raises(RoijaxError, match=r"would both become o/x\.png\.roij"):
    _plan("photos/a/x.*", output="o")


def test_a_file_named_twice_is_taken_once(roijax):
  _write_tree()
  plan = _plan("photos", "photos/a", "photos/a/x.png", output="o")
  assert len(plan) == 3


def test_a_name_with_a_bracket_is_a_name_first(roijax):
  write_photo("x[1].png")
  write_photo("x1.png")
  assert _plan("x[1].png") == {"x[1].png": "x[1].roij"}


def test_a_quoted_pattern_that_means_one_file_is_one_file(roijax):
  _write_tree()
  assert _plan("photos/b/*", output="o.roij") == {"photos/b/x.png": "o.roij"}


def test_a_folder_of_one_photo_is_a_batch_all_the_same(roijax):
  _write_tree()
  assert _plan("photos/b", output="o") == {"photos/b/x.png": "o/x.roij"}


@pytest.mark.parametrize(
  ("arguments", "output", "words"),
  [
    (["photos"], "o.roij", "looks like a file"),
    (["photos"], "photo.png", "is a file: several inputs need a folder"),
    (["photos"], "-", "name a folder"),
    (["photos", "nothing.png"], "o", "no such photo: nothing.png"),
    (["-", "photos"], "o", "cannot have company"),
  ],
)
def test_batches_refuse_what_cannot_be(roijax, arguments, output, words):
  _write_tree()
  code, out, err = roijax("compress", *arguments, "-o", output)
  assert (code, out) == (2, "")
  assert err.count("\n") == 1
  assert words in err


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_batch_goes_there_and_back(tmp_path, roijax, jobs):
  _write_tree()
  weights = ("--checkpoint", WEIGHTS)
  there = ("compress", "photos", "-o", "out", "--jobs", jobs, *weights)
  done = spawn(tmp_path, *there)
  out, err = done.communicate(timeout=60)
  assert (done.returncode, err) == (0, b"")
  assert _tree("out") == ["a/in/y.roij", "a/x.roij", "b/x.roij"]
  names, _, figures = out.decode().splitlines()
  size = sum(os.path.getsize(f"out/{name}") for name in _tree("out"))
  table = dict(zip(names.split(), figures.split(), strict=False))
  assert table["photos"] == "3"
  assert table["bytes"] == f"{size:,}"
  assert table["bpp"] == f"{8 * size / (3 * 60 * 44):.4f}"
  code, out, _ = roijax("decompress", "out", "-o", "back")
  assert code == 0
  assert _tree("back") == ["a/in/y.png", "a/x.png", "b/x.png"]
  with (
    Image.open("photos/b/x.png") as before,
    Image.open("back/b/x.png") as after,
  ):
    error = np.asarray(before, float) - np.asarray(after, float)
  assert np.sqrt((error**2).mean()) < 25


def test_one_bad_photo_does_not_stop_the_others(roijax):
  _write_tree()
  pathlib.Path("photos/a/x.png").write_text("no photo")
  code, out, err = roijax("compress", "photos", "-o", "out")
  assert code == 2
  assert _tree("out") == ["a/in/y.roij", "b/x.roij"]
  assert err.count("\n") == 1
  assert err.startswith("error: photos/a/x.png")
  assert out.splitlines()[2].split()[0] == "2"
  assert out.splitlines()[2].split()[-1] == "1"


def test_what_exists_is_left_and_counted(roijax):
  _write_tree()
  pathlib.Path("out/a").mkdir(parents=True)
  pathlib.Path("out/a/x.roij").write_text("old")
  code, out, err = roijax("compress", "photos", "-o", "out")
  assert (code, err) == (0, "")
  assert "1 left as they are" in out
  assert pathlib.Path("out/a/x.roij").read_text() == "old"
  code, out, _ = roijax("compress", "photos", "-o", "out", "--overwrite")
  assert "left as they are" not in out
  assert pathlib.Path("out/a/x.roij").read_bytes()[:4] == b"ROIJ"


def test_json_is_one_line_a_photo(roijax):
  _write_tree()
  pathlib.Path("photos/a/x.png").write_text("no photo")
  pathlib.Path("out/b").mkdir(parents=True)
  pathlib.Path("out/b/x.roij").write_text("old")
  code, out, _ = roijax("compress", "photos", "-o", "out", "--json")
  assert code == 2
  told = {line["input"]: line for line in map(json.loads, out.splitlines())}
  assert "error" in told.pop("photos/a/x.png")
  assert told.pop("photos/b/x.png")["skipped"]
  (made,) = told.values()
  assert made["bytes"] == os.path.getsize("out/a/in/y.roij")
  assert "roij" not in roijax("info", "out", "--brief", "--json")[2].split()


def test_remarks_are_told_once_with_their_count(roijax):
  for number in range(3):
    deep = np.full((44, 60), 1000 * number, np.uint16)
    Image.fromarray(deep).save(f"deep{number}.png")
  code, out, _ = roijax("compress", "deep*.png", "photo.png", "-o", "out")
  assert code == 0
  assert "3 of 4: its 16 bits" in out


def _run_job(work, job):
  if job == "die":
    os._exit(9)
  return work, job, os.getpid()


def test_a_dead_worker_costs_its_job_alone():
  jobs = ["a", "die", "b", "c", "die", "d"]
  results = list(crew.run_jobs(_run_job, len, jobs, 2))
  assert sorted(job for job, _ in results) == sorted(jobs)
  lost = [job for job, result in results if result is None]
  assert lost == ["die", "die"]
  processes = {result[2] for _, result in results if result}
  assert os.getpid() not in processes


def _wait_for(condition, seconds=30):
  end = time.monotonic() + seconds
  while not condition():
    assert time.monotonic() < end, "in vain"
    time.sleep(0.02)


def _group_is_gone(group):
  try:
    os.killpg(group, 0)
  except ProcessLookupError:
    return True
  return False


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_interrupt_leaves_nothing_behind(tmp_path, jobs):
  for number in range(12):
    write_photo(tmp_path / f"photos/{number}.png", seed=number)
  (tmp_path / "weights").mkdir()
  (tmp_path / WEIGHTS).write_bytes(b"")
  arguments = ("compress", "photos", "-o", "out", "--jobs", jobs)
  process = spawn(
    tmp_path, *arguments, "--checkpoint", WEIGHTS, JPEG_CODEC_SECONDS="0.3"
  )
  out = tmp_path / "out"
  _wait_for(lambda: out.is_dir() and list(out.glob("*.roij")))
  # As a terminal does: to every process of the group.
  os.killpg(process.pid, signal.SIGINT)
  told = process.communicate(timeout=20)
  assert process.returncode == 130
  assert told == (b"", b"")
  _wait_for(lambda: _group_is_gone(process.pid))
  left = [path.name for path in out.iterdir()]
  assert 0 < len(left) < 12
  assert all(name.endswith(".roij") for name in left)


def test_workers_do_not_outlive_their_parent(tmp_path):
  for number in range(12):
    write_photo(tmp_path / f"photos/{number}.png", seed=number)
  (tmp_path / "weights").mkdir()
  (tmp_path / WEIGHTS).write_bytes(b"")
  arguments = ("compress", "photos", "-o", "out", "--jobs", 2)
  process = spawn(
    tmp_path, *arguments, "--checkpoint", WEIGHTS, JPEG_CODEC_SECONDS="0.3"
  )
  out = tmp_path / "out"
  _wait_for(lambda: out.is_dir() and list(out.glob("*.roij")))
  process.kill()
  process.communicate(timeout=20)
  _wait_for(lambda: _group_is_gone(process.pid))


def test_a_reader_that_leaves_is_no_error(tmp_path):
  write_photo(tmp_path / "photo.png", size=(600, 440))
  (tmp_path / "weights").mkdir()
  (tmp_path / WEIGHTS).write_bytes(b"")
  process = spawn(
    tmp_path, "compress", "photo.png", "-o", "-", "--checkpoint", WEIGHTS
  )
  process.stdout.close()
  err = process.stderr.read()
  assert (process.wait(timeout=20), err) == (1, b"")
  process.stdin.close()
  process.stderr.close()
