"""LPIPS in evaluation: with weights a column, without them nothing."""

import csv
import io
import json

import numpy as np
import pytest
from jpeg_codec import JpegCodec
from published_vgg import WIDTHS, look, make_published, write_files
from rich.console import Console

from roijax import cli
from roijax.errors import CheckpointError
from roijax.evaluation import lpips, rate_distortion, report, run, summary
from roijax.weights.perceptual import convert

RNG = np.random.default_rng(0)


class Photos(list):
  name = "listed"


PHOTOS = Photos(
  {
    "name": f"{i}.png",
    "image": RNG.integers(0, 256, (32, 48, 3), np.uint8),
    "roi": None,
  }
  for i in range(2)
)


@pytest.fixture(name="path", scope="module")
def _path(tmp_path_factory):
  folder = tmp_path_factory.mktemp("lpips")
  write_files(folder)
  path = folder / "ours.npz"
  convert(folder / "vgg.npz", folder / "heads.npz", path, WIDTHS)
  return path


@pytest.fixture(name="measure", scope="module")
def _measure(path):
  return lpips.make_lpips(path, WIDTHS)


def _by_hand(x, x_hat):
  network, heads = make_published()
  layers = (look(network, image / 255.0) for image in (x, x_hat))
  total = 0.0
  for i, (one, other) in enumerate(zip(*layers, strict=True)):
    one, other = (
      f / (np.linalg.norm(f, axis=-1, keepdims=True) + 1e-10)
      for f in (one, other)
    )
    head = heads[f"lin{i}.model.1.weight"].ravel()
    total += np.mean((one - other) ** 2 @ head)
  return total


def test_rows_and_means_carry_it(measure):
  rows = rate_distortion.evaluate(
    JpegCodec(), PHOTOS, qualities=[1.0], look=measure
  )
  for row, photo in zip(rows, PHOTOS, strict=True):
    codec = JpegCodec()
    data = codec.compress(photo["image"], None, quality=1.0)
    wanted = _by_hand(photo["image"], codec.decompress(data))
    assert wanted > 1e-3
    assert row["lpips"] == pytest.approx(wanted, rel=1e-3)
  (point,) = summary.summarise(rows)
  assert point.lpips == pytest.approx(np.mean([row["lpips"] for row in rows]))
  text = io.StringIO()
  report.print_report([point], console=Console(file=text, width=120))
  assert "LPIPS" in text.getvalue() and f"{point.lpips:.4f}" in text.getvalue()


def test_a_run_writes_it(tmp_path, path, monkeypatch):
  make = lpips.make_lpips
  monkeypatch.setattr(lpips, "make_lpips", lambda file: make(file, WIDTHS))
  settings = run.Settings("listed", qualities=[1.0, 2.0], lpips=str(path))
  run.evaluate_codec(JpegCodec(), PHOTOS, settings, tmp_path)
  with (tmp_path / "results.csv").open() as file:
    assert all(float(row["lpips"]) > 0 for row in csv.DictReader(file))
  found = json.loads((tmp_path / "results.json").read_text())
  assert all(point["lpips"] > 0 for point in found["summary"])


def test_without_weights_nothing_is_said_of_it(tmp_path):
  settings = run.Settings("listed", qualities=[1.0])
  made = run.evaluate_codec(JpegCodec(), PHOTOS, settings, tmp_path)
  assert "lpips" not in (tmp_path / "results.csv").read_text()
  assert all("lpips" not in row for row in made.rows)
  text = io.StringIO()
  report.print_report(made.points, console=Console(file=text, width=120))
  assert "LPIPS" not in text.getvalue()


def test_wrong_weights_are_told_before_any_photo_is_coded(tmp_path):
  settings = run.Settings("listed", lpips=str(tmp_path / "none.npz"))
  with pytest.raises(CheckpointError, match="cannot read"):
    run.evaluate_codec(JpegCodec(), PHOTOS, settings, tmp_path)


def test_a_task_has_no_use_for_it(capsys):
  arguments = ["eval", "--data=x", "--task=detection", "--lpips=y"]
  assert cli.exit_code(lambda: cli.run(arguments)) == 2
  assert "--lpips is of no use" in capsys.readouterr().err
