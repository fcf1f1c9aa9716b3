"""`roijax plot run`: curves of a run, whatever state its log is in."""

import json
import sys

import numpy as np
import pytest
from PIL import Image

from roijax import cli
from roijax.evaluation.plot_run import read_run, smooth


@pytest.fixture(name="plot")
def _plot(tmp_path, monkeypatch, capsys):
  """Runs `roijax plot run` in a folder of its own."""
  monkeypatch.chdir(tmp_path)

  def run(*arguments):
    with pytest.raises(SystemExit) as stop:
      cli.main(["plot", *map(str, arguments)])
    streams = capsys.readouterr()
    return stop.value.code, streams.out, streams.err

  return run


def make_rows(count):
  rng = np.random.default_rng(count)
  return [
    {
      "step": 50 * i,
      "loss": 2 + 30 / i + rng.random(),
      "bpp": 0.5 + rng.random(),
      "bpp_z": 0.01,
      "bpp_roi": 1.0,
      # As where no sample had the region, and in the first row.
      "bpp_bg": None if i % 3 == 0 else 0.2,
      "psnr": 30.0,
      "psnr_roi": 33.0,
      "gradient_norm": float(np.exp(rng.normal())),
      "learning_rate": 1e-3,
      "images_per_second": None if i == 1 else 20.0,
      "seconds": 12.5 * i,
    }
    for i in range(1, count + 1)
  ]


def write_run(folder, rows, end="\n"):
  folder.mkdir(parents=True, exist_ok=True)
  text = "".join(json.dumps(row) + "\n" for row in rows)
  (folder / "metrics.jsonl").write_text(text[:-1] + end if rows else "")
  return folder


def is_drawn(path):
  """Whether a PNG holds curves, by its colours."""
  pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
  return np.ptp(pixels, axis=-1).max() > 100


def test_a_second_stage_has_panels_of_its_own(plot, tmp_path):
  rows = make_rows(20)
  write_run(tmp_path / "one", rows)
  second = [
    {
      **row,
      "discriminator_loss_real": 0.6,
      "discriminator_loss_fake": 0.7,
      "discriminator_real": 0.55,
      "discriminator_fake": 0.45,
      "share_rate": 0.4,
      "share_adversarial": 0.6,
    }
    for row in rows
  ]
  write_run(tmp_path / "two", second)
  sizes = {}
  for runs in (("one",), ("two",), ("one", "two")):
    assert plot("run", *runs, "-o", "curves.png")[0] == 0
    with Image.open("curves.png") as picture:
      sizes[runs] = picture.size
  width, height = sizes["one",]
  assert sizes["two",] == sizes["one", "two"] == (width, height * 3 // 2)


@pytest.mark.parametrize("count", [1, 2, 60])
def test_a_run_of_any_length_is_drawn(plot, tmp_path, count):
  write_run(tmp_path / "a", make_rows(count))
  code, out, err = plot("run", "a")
  assert (code, err) == (0, "")
  assert out.startswith(f"a/curves.png: a (step {50 * count:,}, ")
  assert out.count("\n") == 1
  assert is_drawn("a/curves.png")


def test_several_runs_share_one_plot(plot, tmp_path):
  write_run(tmp_path / "a", make_rows(30))
  # An older run, with fewer metrics and a clock of its own.
  short = [{"step": 10 * i, "loss": 3.0} for i in range(1, 20)]
  write_run(tmp_path / "b", short)
  code, out, err = plot("run", "a", "b/", "-o", "new/both.png")
  assert (code, err) == (0, "")
  assert out == "new/both.png: a (step 1,500, 6.25 min), b (step 190)\n"
  assert is_drawn("new/both.png")
  code, _, err = plot("run", "a", "b")
  assert (code, err.count("\n")) == (2, 1)
  assert "-o is needed" in err


def test_a_line_that_is_being_written_is_passed_over(tmp_path):
  folder = write_run(tmp_path, make_rows(5), end='\n{"step": 300, "lo')
  run = read_run(folder)
  assert run.steps.tolist() == [50, 100, 150, 200, 250]
  assert np.isnan(run.columns["bpp_bg"][2])
  assert run.columns["bpp_bg"][3] == 0.2


def test_smoothing_keeps_levels_and_gaps():
  values = np.array([1.0, 1.0, np.nan, 1.0, 1.0, 1.0])
  np.testing.assert_allclose(smooth(values, 3), values)
  noisy = np.tile([0.0, 2.0], 50)
  assert np.ptp(smooth(noisy, 9)[10:-10]) < 0.1
  np.testing.assert_array_equal(smooth(noisy, 1), noisy)


def _write_bad_runs(folder):
  write_run(folder / "empty", [])
  write_run(folder / "begun", make_rows(1), end="")
  (folder / "other").mkdir()
  garbled = write_run(folder / "garbled", make_rows(3)) / "metrics.jsonl"
  lines = garbled.read_text().splitlines(keepends=True)
  garbled.write_text(lines[0] + "what?\n" + lines[2])
  write_run(folder / "words", [{"step": 1, "loss": "low"}])
  write_run(folder / "stepless", [{"loss": 1.0}])
  write_run(folder / "good", make_rows(3))
  (folder / "binary").mkdir()
  (folder / "binary" / "metrics.jsonl").write_bytes(b"\xff\x00\n" * 9)
  (folder / "folder" / "metrics.jsonl").mkdir(parents=True)


@pytest.mark.parametrize(
  ("arguments", "words"),
  [
    ([], "roijax plot run DIR"),
    (["run"], "Missing argument 'DIR'"),
    (["rnu"], "No such command 'rnu'"),
    (["run", "nothing"], "no such folder: nothing"),
    (["run", "other"], "other is not the workdir of a training run"),
    (["run", "file.txt"], "file.txt is not the workdir"),
    (["run", "empty"], "empty/metrics.jsonl has no row yet"),
    (["run", "begun"], "begun/metrics.jsonl has no row yet"),
    (["run", "garbled"], "garbled/metrics.jsonl: line 2 is not a row"),
    (["run", "words"], "line 1 is not a row"),
    (["run", "stepless"], "line 1 is not a row"),
    (["run", "binary"], "binary/metrics.jsonl: line 1 is not a row"),
    (["run", "folder"], "cannot read folder/metrics.jsonl: Is a directory"),
    (["run", "good", "-o", "x.pdf"], "end -o in .png"),
    (["run", "good", "-o", "file.txt/x.png"], "cannot write file.txt/x.png"),
    (["run", "good", "other", "-o", "x.png"], "other is not the workdir"),
  ],
)
def test_what_is_wrong_is_one_line(plot, tmp_path, arguments, words):
  _write_bad_runs(tmp_path)
  (tmp_path / "file.txt").write_text("")
  before = sorted(tmp_path.rglob("*"))
  code, out, err = plot(*arguments)
  assert (code, out) == (2, "")
  assert err.startswith("error: ")
  assert err.count("\n") == 1
  assert words in err
  assert sorted(tmp_path.rglob("*")) == before


def test_without_matplotlib_it_is_said_what_to_install(
  plot, tmp_path, monkeypatch
):
  write_run(tmp_path / "a", make_rows(2))
  monkeypatch.setitem(sys.modules, "matplotlib.backends.backend_agg", None)
  code, _, err = plot("run", "a")
  assert code == 2
  assert err == "error: plots need matplotlib: pip install 'roijax[train]'\n"
