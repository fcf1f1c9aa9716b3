import io
import json
import math

import pytest

from roijax.errors import RoijaxError
from roijax.training.logging import (
  TrainingLog,
  drop_rows_after,
  format_seconds,
)


def read_rows(workdir):
  lines = (workdir / "metrics.jsonl").read_text().splitlines()
  return [json.loads(line) for line in lines]


def make_log(workdir, **options):
  return TrainingLog(
    workdir,
    **{"batch_size": 4, "steps": 100, "stream": io.StringIO()} | options,
  )


def test_a_row_holds_means_since_the_last_row(tmp_path):
  log = make_log(tmp_path)
  for step, loss in enumerate([1.0, 3.0, 8.0], start=1):
    log.add(step, {"loss": loss, "bpp": 0.5})
    if step != 1:
      log.write(step, learning_rate=0.1)
  log.close()
  rows = read_rows(tmp_path)
  assert [(row["step"], row["loss"]) for row in rows] == [(2, 2.0), (3, 8.0)]
  assert rows[0]["learning_rate"] == 0.1
  assert rows[1]["images_per_second"] > 0
  assert list((tmp_path / "tensorboard").iterdir())


def test_the_line_shows_what_matters(tmp_path):
  stream = io.StringIO()
  log = make_log(tmp_path, stream=stream)
  metrics = {"loss": 1.5, "bpp": 0.25, "psnr": 30.0, "psnr_roi": 33.333}
  log.add(9, metrics)
  log.add(10, metrics)
  log.write(10)
  log.close()
  line = stream.getvalue()
  assert line.startswith(
    "step  10/100  loss 1.5000  bpp 0.2500  PSNR 30.00  ROI-PSNR 33.33"
  )
  assert "images/s  ETA 0:" in line
  assert line.count("\n") == 1


def test_the_time_limit_bounds_the_eta(tmp_path):
  stream = io.StringIO()
  log = make_log(
    tmp_path, stream=stream, steps=10**12, seconds=7200, start_step=0
  )
  log.add(1, {"loss": 1.0})
  log.add(2, {"loss": 1.0})
  log.write(2)
  log.close()
  assert stream.getvalue().rstrip().endswith(("ETA 2:00:00", "ETA 1:59:59"))


def test_rows_beyond_the_restored_step_are_dropped(tmp_path):
  log = make_log(tmp_path)
  for step in (1, 2, 3):
    log.add(step, {"loss": float(step)})
    log.write(step)
  log.close()
  with (tmp_path / "metrics.jsonl").open("a") as file:
    file.write('{"step": 4, "lo')
  log = make_log(tmp_path, start_step=2)
  log.add(3, {"loss": 33.0})
  log.write(3)
  log.close()
  rows = read_rows(tmp_path)
  assert [row["loss"] for row in rows] == [1.0, 2.0, 33.0]


def test_progress_carries_sums_and_seconds_over(tmp_path):
  log = make_log(tmp_path)
  log.add(1, {"loss": 1.0})
  progress = json.loads(json.dumps(log.progress))
  log.close()
  progress["seconds"] = 1000.0
  log = make_log(tmp_path, start_step=1, progress=progress)
  log.add(2, {"loss": 2.0})
  log.write(2)
  log.close()
  (row,) = read_rows(tmp_path)
  assert row["loss"] == 1.5
  assert row["seconds"] >= 1000.0


def test_what_is_not_a_number_is_null_in_the_file(tmp_path):
  log = make_log(tmp_path)
  log.add(1, {"psnr": math.inf})
  log.write(1)
  log.close()
  assert read_rows(tmp_path)[0]["psnr"] is None


def test_an_unwritable_folder_is_one_line(tmp_path):
  (tmp_path / "run").write_text("")
  with pytest.raises(RoijaxError, match=r"metrics\.jsonl: Not a directory"):
    make_log(tmp_path / "run")
  drop_rows_after(tmp_path / "none.jsonl", 3)


def test_durations_read_as_clocks():
  assert format_seconds(3723.4) == "1:02:03"
  assert format_seconds(59.6) == "0:01:00"
