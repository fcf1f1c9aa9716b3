import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import training_run

from roijax.errors import ConfigError, DataError, RoijaxError
from roijax.training.checkpoints import Checkpoints
from roijax.training.codec import open_data
from roijax.training.options import TrainOptions, call_with
from roijax.training.signals import Interrupted

TESTS = pathlib.Path(__file__).parent


def read_rows(workdir):
  """The log's rows without what a clock decides."""
  lines = (workdir / "metrics.jsonl").read_text().splitlines()
  rows = [json.loads(line) for line in lines]
  for row in rows:
    del row["images_per_second"], row["seconds"]
  return rows


def assert_same(one, other):
  """Two states agree bit for bit."""
  for name in ("step", "params", "opt_state", "ema_params", "collections"):
    jax.tree.map(
      np.testing.assert_array_equal, getattr(one, name), getattr(other, name)
    )


@pytest.mark.parametrize(
  "options",
  [
    {"optimizer": {"name": "adam"}},
    {"accumulate": 2, "devices": 2},
    {"optimizer": {"momentum": 0.9}, "devices": 8},
  ],
)
def test_a_resumed_run_repeats_an_uninterrupted_one(tmp_path, options):
  straight = training_run.run(tmp_path / "straight", 11, **options)
  for steps in (5, 8, 11):
    resumed = training_run.run(tmp_path / "parts", steps, **options)
  assert_same(straight, resumed)
  rows = read_rows(tmp_path / "straight")
  # A part that ends between rows writes one of its own.
  parts = [r for r in read_rows(tmp_path / "parts") if r["step"] not in (5, 8)]
  assert [row["step"] for row in rows] == [3, 6, 9, 11]
  assert rows[0] == parts[0]
  assert rows[-1] == parts[-1]


def start(workdir, steps, delay=0.0):
  return subprocess.Popen(
    [
      sys.executable,
      TESTS / "training_run.py",
      workdir,
      str(steps),
      f"--delay={delay}",
    ],
    env={**os.environ, "PYTHONPATH": str(TESTS.parent)},
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


def wait_for_step(process, workdir, step):
  """Waits until some checkpoint from `step` on is complete."""
  folder = workdir / "checkpoints"
  for _ in range(1200):
    names = [path.name for path in folder.glob("*")]
    if any(name.isdigit() and int(name) >= step for name in names):
      return
    assert process.poll() is None, process.stderr.read()
    time.sleep(0.05)
  raise AssertionError("no checkpoint came")


def read_state(workdir):
  state = training_run.make_fresh_state()[0]
  checkpoints = Checkpoints(workdir, training_run.CONFIG)
  return checkpoints.restore(state)[0]


def test_a_killed_and_a_terminated_run_go_on_as_if_nothing_happened(tmp_path):
  straight = start(tmp_path / "straight", 40)
  workdir = tmp_path / "killed"

  first = start(workdir, 40, delay=0.1)
  wait_for_step(first, workdir, 4)
  time.sleep(0.25)
  first.kill()
  first.communicate(timeout=60)
  assert first.returncode == -signal.SIGKILL

  second = start(workdir, 40, delay=0.1)
  wait_for_step(second, workdir, 12)
  time.sleep(0.15)
  second.send_signal(signal.SIGTERM)
  told = second.communicate(timeout=60)
  assert second.returncode == 128 + signal.SIGTERM
  assert "going on from step" in told[0]
  assert "stopped by SIGTERM at step" in told[1]
  assert "Traceback" not in told[1]

  third = start(workdir, 40)
  assert third.communicate(timeout=60)[1] == ""
  assert straight.communicate(timeout=60)[1] == ""
  assert_same(read_state(tmp_path / "straight"), read_state(workdir))
  assert read_rows(tmp_path / "straight") == read_rows(workdir)


def test_a_signal_is_heard_after_the_step_in_hand(tmp_path):
  class Bell(training_run.Photos):
    def __next__(self):
      if self.number == 5:
        os.kill(os.getpid(), signal.SIGINT)
      return super().__next__()

  # A shell starts what it runs in the background deaf to SIGINT.
  before = signal.getsignal(signal.SIGINT)
  with pytest.raises(Interrupted) as caught:
    training_run.run(tmp_path, 20, iterator=Bell())
  assert caught.value.exit_code == 130
  assert caught.value.step == 6
  assert signal.getsignal(signal.SIGINT) is before
  assert Checkpoints(tmp_path, training_run.CONFIG).latest_step == 6


def test_a_run_stops_at_nan_and_names_step_and_array(tmp_path):
  class Bad(training_run.Photos):
    def __next__(self):
      batch = super().__next__()
      if self.number == 7:
        batch["image"][0] = np.nan
      return batch

  with pytest.raises(RoijaxError) as caught:
    training_run.run(tmp_path, 20, iterator=Bad())
  line = str(caught.value)
  assert line.startswith("step 7: the gradient of analysis/kernel (and 2 more)")
  assert "step 4 is kept" in line
  restored = read_state(tmp_path)
  assert int(restored.step) == 4
  assert all(np.isfinite(x).all() for x in jax.tree.leaves(restored.params))
  assert read_rows(tmp_path)[-1]["step"] == 6


def test_nothing_that_is_not_finite_is_ever_saved(tmp_path):
  def loss_fn(params, collections, batch, keys):
    loss, aux = training_run.loss_fn(params, collections, batch, keys)
    return 1e38 * loss, aux

  with pytest.raises(RoijaxError, match=r"step 1: .*nothing was saved yet"):
    training_run.run(
      tmp_path,
      4,
      loss=loss_fn,
      checkpoint_every=1,
      optimizer={"clip_norm": None, "learning_rate": 1e38},
    )
  assert Checkpoints(tmp_path, training_run.CONFIG).latest_step is None


def test_a_time_limit_ends_the_run_and_counts_its_earlier_parts(tmp_path):
  slow = training_run.Photos(delay=0.1)
  state = training_run.run(tmp_path, 1000, iterator=slow, seconds=1.0)
  reached = int(state.step)
  assert 0 < reached <= 11
  state = training_run.run(tmp_path, 1000, seconds=1.0)
  assert int(state.step) == reached


def test_checkpoints_come_by_the_clock_too(tmp_path):
  slow = training_run.Photos(delay=0.05)
  exported = []
  training_run.run(
    tmp_path,
    8,
    iterator=slow,
    checkpoint_every=None,
    checkpoint_minutes=0.1 / 60,
    export=lambda state: exported.append(int(state.step)),
  )
  assert 2 <= len(exported) <= 8
  assert exported[-1] == 8


def test_a_finished_run_exports_again_and_trains_no_more(tmp_path):
  exported = []

  def export(state):
    exported.append(int(state.step))

  training_run.run(tmp_path, 5, export=export)
  training_run.run(tmp_path, 5, export=export)
  assert exported == [4, 5, 5]


def test_a_run_goes_on_with_other_devices(tmp_path):
  straight = training_run.run(tmp_path / "straight", 11, devices=8)
  for steps, devices in ((5, 8), (8, 1), (11, 8)):
    moved = training_run.run(tmp_path / "moved", steps, devices=devices)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-6, atol=1e-7),
    straight.params,
    moved.params,
  )


def test_a_damaged_checkpoint_is_told_and_done_again(tmp_path, capsys):
  straight = training_run.run(tmp_path / "straight", 11)
  workdir = tmp_path / "damaged"
  training_run.run(workdir, 9)
  path = workdir / "checkpoints" / "9" / "progress" / "metadata"
  path.write_bytes(path.read_bytes()[:-3])
  capsys.readouterr()
  assert_same(straight, training_run.run(workdir, 11))
  told = capsys.readouterr().out.splitlines()
  assert told[0] == (
    "the checkpoint of step 9 is damaged (progress/metadata is not as it was "
    "saved): it is passed over, and kept as 9.damaged"
  )
  assert told[1] == f"going on from step 8 in {workdir}"
  assert read_rows(workdir) == read_rows(tmp_path / "straight")


def test_a_run_of_other_photos_is_one_line(tmp_path):
  settings = dict(seed=0, crop=4, batch_size=training_run.BATCH_SIZE)
  first = open_data(source="sample:train", **settings)
  training_run.run(tmp_path, 2, iterator=first)
  other = open_data(source="sample:val", **settings)
  with pytest.raises(DataError) as caught:
    training_run.run(tmp_path, 4, iterator=other)
  line = str(caught.value)
  assert "iterator state of another dataset: " in line
  assert "use the same data settings or a new workdir" in line
  first.close()
  other.close()


def test_a_run_s_folder_holds_its_config(tmp_path):
  training_run.run(tmp_path, 2)
  text = (tmp_path / "config.json").read_text()
  assert json.loads(text) == training_run.CONFIG
  assert text.startswith('{\n  "data": {\n    "batch_size": 16\n  },')


@pytest.mark.parametrize(
  ("steps", "expected"),
  [(8, [3, 6, 8]), (9, [3, 6, 9]), (10, [3, 6, 9, 10])],
  ids=["at a checkpoint", "at a row", "at neither"],
)
def test_a_finished_run_that_is_started_again_keeps_its_rows(
  tmp_path, steps, expected
):
  training_run.run(tmp_path, steps)
  rows = read_rows(tmp_path)
  assert [row["step"] for row in rows] == expected
  training_run.run(tmp_path, steps)
  training_run.run(tmp_path, steps)
  assert read_rows(tmp_path) == rows


def test_a_time_limit_at_a_checkpoint_writes_its_row_once(tmp_path):
  slow = training_run.Photos(delay=0.3)
  for iterator in (slow, training_run.Photos()):
    training_run.run(
      tmp_path, 90, iterator=iterator, seconds=0.5, checkpoint_every=1
    )
  steps = [row["step"] for row in read_rows(tmp_path)]
  assert steps == sorted(set(steps))


def test_a_folder_of_another_run_is_one_line(tmp_path):
  training_run.run(tmp_path, 2)
  other = {**training_run.CONFIG, "seed": 9}
  with pytest.raises(ConfigError, match="seed is missing there and 9 here"):
    training_run.run(tmp_path, 4, config=other)
  config = json.loads((tmp_path / "config.json").read_text())
  assert config == training_run.CONFIG


def test_collections_are_carried_along(tmp_path):
  state = training_run.run(tmp_path, 4, accumulate=2)
  assert int(state.collections["seen"]) == 8
  assert state.collections["seen"].dtype == jnp.int32


@pytest.mark.parametrize(
  ("section", "line"),
  [
    ({"steps": 5, "stepz": 3}, r"train\.stepz does not exist: did you .*steps"),
    ({"log_every": 5}, r"train\.steps is missing"),
    ({"steps": 0}, r"train\.steps must be at least 1"),
    ({"steps": 5, "ema_decay": 1.0}, r"ema_decay must lie in"),
  ],
)
def test_a_wrong_train_section_is_one_line(section, line):
  with pytest.raises(ConfigError, match=line):
    call_with(TrainOptions, "train", section)
