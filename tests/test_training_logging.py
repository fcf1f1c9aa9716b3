import errno
import io
import json
import math
import os
import struct
import time

import numpy as np
import pytest
from tensorboardX.proto.event_pb2 import Event

from roijax.errors import RoijaxError
from roijax.training.logging import (
  TrainingLog,
  drop_rows_after,
  format_seconds,
)


def read_events(workdir):
  """What TensorBoard would read: (step, tag, kind) of every value."""
  found = []
  for path in sorted((workdir / "tensorboard").iterdir()):
    data, at = path.read_bytes(), 0
    while at < len(data):
      (length,) = struct.unpack("Q", data[at : at + 8])
      event = Event.FromString(data[at + 12 : at + 12 + length])
      at += 16 + length
      for value in event.summary.value:
        found.append((event.step, value.tag, value.WhichOneof("value")))
  return found


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


def test_a_pair_is_a_sum_over_a_weight(tmp_path):
  log = make_log(tmp_path)
  # Four samples a step: two, none and one of them have a region.
  log.add(1, {"bpp": 1.0, "psnr_roi": (60 / 4, 2 / 4)})
  log.add(2, {"bpp": 2.0, "psnr_roi": (0.0, 0.0)})
  progress = json.loads(json.dumps(log.progress))
  log.close()
  log = make_log(tmp_path, start_step=2, progress=progress)
  log.add(3, {"bpp": 6.0, "psnr_roi": (36 / 4, 1 / 4)})
  log.write(3)
  log.close()
  (row,) = read_rows(tmp_path)
  assert (row["bpp"], row["psnr_roi"]) == (3.0, 32.0)


def test_what_no_sample_had_is_null_and_in_no_line(tmp_path):
  stream = io.StringIO()
  log = make_log(tmp_path, stream=stream)
  log.add(1, {"psnr": 30.0, "psnr_roi": (0.0, 0.0)})
  log.write(1)
  log.close()
  assert read_rows(tmp_path)[0]["psnr_roi"] is None
  assert "ROI-PSNR" not in stream.getvalue()
  tags = [tag for _, tag, _ in read_events(tmp_path)]
  assert tags == ["distortion/psnr"]


def test_tensorboard_gets_groups_images_and_histograms(tmp_path):
  log = make_log(tmp_path)
  log.add(1, {"loss": 1.0, "bpp_z": 0.1, "gradient_norm": 2.0})
  log.write(1, learning_rate=0.1)
  log.show(
    1,
    scalars={"shape/mean": 1.5},
    images={"samples/0": np.zeros((4, 6, 3), np.uint8)},
    histograms={"gain": np.arange(9.0), "same": np.ones(3), "none": []},
  )
  log.close()
  assert read_events(tmp_path) == [
    (1, "loss", "simple_value"),
    (1, "rate/bpp_z", "simple_value"),
    (1, "optimizer/gradient_norm", "simple_value"),
    (1, "optimizer/learning_rate", "simple_value"),
    (1, "shape/mean", "simple_value"),
    (1, "samples/0", "image"),
    (1, "gain", "histo"),
    (1, "same", "histo"),
  ]


def test_the_rate_leaves_out_the_time_of_pictures(tmp_path):
  log = make_log(tmp_path)
  for step in (1, 2):
    log.add(step, {"loss": 1.0})
  log.write(2)
  time.sleep(0.5)
  log.show(2, scalars={"shape/mean": 1.5})
  log.add(3, {"loss": 1.0})
  log.write(3)
  log.close()
  assert read_rows(tmp_path)[1]["images_per_second"] > 2 * 4 / 0.5


def test_two_starts_within_a_second_keep_both_event_files(tmp_path):
  for step in (1, 2):
    log = make_log(tmp_path, start_step=step - 1)
    log.add(step, {"loss": 1.0})
    log.write(step)
    log.close()
  assert [step for step, *_ in read_events(tmp_path)] == [1, 2]


def test_a_full_disk_is_one_line_and_closing_adds_none(tmp_path, monkeypatch):
  log = make_log(tmp_path)

  def fail(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

  with monkeypatch.context() as patch:
    patch.setattr(os, "fsync", fail)
    with pytest.raises(RoijaxError, match="tensorboard: No space left"):
      log.show(1, scalars={"a": 1.0})
    log.close()
