"""Two processes of four devices each, on this machine, train as one does."""

import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time

import jax
import numpy as np
import pytest
import training_run

from roijax.errors import ConfigError, RoijaxError
from roijax.training import hosts
from roijax.training.checkpoints import Checkpoints
from roijax.training.codec import open_data

TESTS = pathlib.Path(__file__).parent
# For machines under load; a pair takes seconds.
PATIENCE = 240
# What Gloo prints of its connections. Its threads write piece by piece and mix
# their lines: what is left of one may be a number alone.
GLOO = re.compile(
  r"(\[Gloo\]|Rank|is|connected|to|peer|ranks\.?|Expected|number|of|:|\d+|\s)*"
)


def find_port():
  with socket.create_server(("localhost", 0)) as server:
    return server.getsockname()[1]


class Pair:
  """Two processes of one program; none outlives the test."""

  def __init__(self, *command, own=((), ())):
    """Starts them; `own` are further arguments of each."""
    port = find_port()
    self.processes = [
      subprocess.Popen(
        [
          sys.executable,
          *map(str, command),
          f"--distributed=localhost:{port},{index}/2",
          *own[index],
        ],
        env={
          **os.environ,
          "PYTHONPATH": f"{TESTS.parent}:{TESTS}",
          "JAX_NUM_CPU_DEVICES": "4",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
      )
      for index in range(2)
    ]

  def __enter__(self):
    return self

  def __exit__(self, *error):
    for process in self.processes:
      process.kill()
      process.communicate()

  def finish(self, patience=PATIENCE):
    """Exit code, output and errors of each, without what Gloo says."""
    told = []
    for process in self.processes:
      out, errors = process.communicate(timeout=patience)
      lines = [line for line in out.splitlines() if not GLOO.fullmatch(line)]
      told.append((process.returncode, lines, errors))
    return told


def train_in_two(workdir, steps, *arguments, own=((), ())):
  command = (TESTS / "training_run.py", workdir, steps, *arguments)
  return Pair(*command, own=own)


def read_rows(workdir):
  lines = (workdir / "metrics.jsonl").read_text().splitlines()
  rows = [json.loads(line) for line in lines]
  steps = [row["step"] for row in rows]
  assert steps == sorted(set(steps)), "a row was written twice"
  return dict(zip(steps, rows, strict=True))


def assert_close(one, other):
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-6, atol=1e-7),
    jax.device_get(one),
    jax.device_get(other),
  )


def test_two_processes_and_one_continue_each_other_s_run(tmp_path):
  straight = training_run.run(tmp_path / "straight", 11, devices=1)
  eight = training_run.run(tmp_path / "eight", 11, devices=8)
  workdir = tmp_path / "parts"
  with train_in_two(workdir, 5) as pair:
    first, second = pair.finish()
  assert (first[0], second[0]) == (0, 0), (first, second)
  assert [line.split()[1] for line in first[1]] == ["3/5", "5/5"]
  assert second[1] == []
  assert first[2] == second[2] == ""
  training_run.run(workdir, 8, devices=1)
  options = json.dumps({"accumulate": 2})
  with train_in_two(workdir, 11, f"--options={options}") as pair:
    first, second = pair.finish()
  assert (first[0], second[0]) == (0, 0), (first, second)
  assert first[2] == second[2] == ""
  assert first[1][0] == f"going on from step 8 in {workdir}"
  assert second[1] == []

  parts = training_run.run(workdir, 11, devices=8)
  assert int(parts.step) == 11
  for name in ("params", "ema_params", "opt_state"):
    assert_close(getattr(straight, name), getattr(parts, name))
    assert_close(getattr(straight, name), getattr(eight, name))
  rows, others = read_rows(tmp_path / "straight"), read_rows(workdir)
  assert sorted(others) == [3, 5, 6, 8, 9, 11]
  for step in (3, 11):
    for name in ("loss", "mse", "bpp", "gradient_norm"):
      assert others[step][name] == pytest.approx(rows[step][name], rel=2e-6)
  config = json.loads((workdir / "config.json").read_text())
  assert config == training_run.CONFIG


def test_different_configs_are_told_by_both(tmp_path):
  other = json.dumps({"seed": 3, "data": {"batch_size": 32}})
  own = ((), (f"--config={other}",))
  with train_in_two(tmp_path, 5, own=own) as pair:
    told = pair.finish()
  for code, out, errors in told:
    assert code == 2
    assert out == []
    assert errors == (
      "error: the processes of this run must agree, but "
      "config.data.batch_size is 16 in process 0 and 32 in process 1, "
      "config.seed is missing in process 0 and 3 in process 1\n"
    )
  assert not (tmp_path / "checkpoints").exists()


def test_a_signal_to_one_stops_both_at_the_same_step(tmp_path):
  with train_in_two(tmp_path, 5000, "--delay=0.02") as pair:
    folder = tmp_path / "checkpoints"
    end = time.monotonic() + PATIENCE
    while not list(folder.glob("[0-9]*[0-9]")):
      assert pair.processes[0].poll() is None
      assert time.monotonic() < end
      time.sleep(0.1)
    pair.processes[1].send_signal(signal.SIGTERM)
    first, second = pair.finish()
  assert first[0] == second[0] == 128 + signal.SIGTERM, (first, second)
  checkpoints = Checkpoints(tmp_path, training_run.CONFIG)
  step = checkpoints.latest_step
  assert f"stopped by SIGTERM at step {step};" in first[2]
  assert second[2] == ""
  restored = checkpoints.restore(training_run.make_fresh_state()[0])
  assert int(restored.state.step) == restored.data["number"] == step


# It may die before the first step, when no collective would notice.
@pytest.mark.slow
def test_when_one_dies_the_other_ends(tmp_path):
  with train_in_two(tmp_path, 5000, "--delay=0.02") as pair:
    end = time.monotonic() + PATIENCE
    while not (tmp_path / "metrics.jsonl").exists():
      assert pair.processes[0].poll() is None
      assert time.monotonic() < end
      time.sleep(0.1)
    time.sleep(1)
    pair.processes[1].kill()
    first, _ = pair.finish()
  assert first[0] == 2
  assert "another process ended, or the network did" in first[2]


@pytest.mark.slow
def test_the_real_thing_in_two_processes_is_the_real_thing_in_one(tmp_path):
  # SGD: Adam would hide a gradient that is too large.
  command = (
    TESTS.parent / "train.py",
    f"--config={TESTS.parent / 'configs' / 'ggm.py'}:smoke",
    "--config.optimizer.name=sgd",
    "--config.optimizer.learning_rate=0.01",
    "--config.train.steps=3",
  )
  with Pair(*command, f"--workdir={tmp_path / 'two'}") as pair:
    first, second = pair.finish(patience=1800)
  assert (first[0], second[0]) == (0, 0), (first, second)
  assert first[1][-1] == f"trained: {tmp_path / 'two'}/model.npz"
  assert second[1] == []
  subprocess.run(
    [sys.executable, *command, f"--workdir={tmp_path / 'one'}"],
    env={**os.environ, "PYTHONPATH": str(TESTS.parent)},
    check=True,
    timeout=1800,
  )
  rows, others = read_rows(tmp_path / "one"), read_rows(tmp_path / "two")
  assert len(rows) == 3
  for step, row in rows.items():
    for name in set(row) - {"seconds", "images_per_second"}:
      if row[name] is not None:
        assert others[step][name] == pytest.approx(row[name], rel=1e-5), name


TOGETHER = """
import json, sys
import jax, numpy as np
from roijax.errors import CheckpointError, DataError, RoijaxError
from roijax.training import agreement, hosts
from roijax.training.agreement import Agreement, Verdict

hosts.start(sys.argv[1].partition("=")[2], timeout=60)
own = jax.process_index()

def fail(error):
  raise error

def outcome(call, *arguments):
  try:
    return call(*arguments)
  except RoijaxError as error:
    return f"{type(error).__name__}: {error}"

def fail_in_second():
  return fail(DataError("no photos")) if own else "read"

told = {}
told["texts"] = agreement.gather("one" if own == 0 else "\u00e9" * 300)
told["empty"] = agreement.gather("")
told["primary"] = agreement.on_primary(lambda: {"process": own})
told["refused"] = outcome(
  agreement.on_primary, lambda: fail(CheckpointError("damaged"))
)
told["all"] = outcome(agreement.on_all, fail_in_second)
tree = agreement.broadcast(
  {"x": np.full((2, 3), own + 0.5, np.float32), "key": jax.random.key(own)}
)
told["x"] = np.asarray(tree["x"]).tolist()
told["key"] = jax.random.key_data(tree["key"]).tolist()
rows = np.arange(2.0, dtype=np.float32)[:, None] + 2 * own
told["rows"] = agreement.join_batches({"rows": rows})["rows"].tolist()

# The second process never asks for a checkpoint that the first would make.
verdicts, talk = [], Agreement(period=30)
for step in range(40):
  mine = Verdict(late=own == 1, due=own == 0, signum=15 * (own and step > 20))
  verdicts.append(talk.reach(step, mine, now=step == 39))
told["verdicts"] = [[v.late, v.due, v.signum] for v in verdicts]
print(json.dumps(told))
hosts.close()
"""


def test_what_two_processes_do_together(tmp_path):
  script = tmp_path / "together.py"
  script.write_text(TOGETHER)
  with Pair(script) as pair:
    results = pair.finish()
  told = []
  for code, out, errors in results:
    assert code == 0, errors
    told.append(json.loads(out[-1]))
  assert told[0].pop("all") == "RoijaxError: process 1: no photos"
  assert told[1].pop("all") == "DataError: no photos"
  assert told[0] == told[1]
  verdicts = told[0].pop("verdicts")
  assert told[0] == {
    "texts": ["one", "\u00e9" * 300],
    "empty": ["", ""],
    "primary": {"process": 0},
    "refused": "CheckpointError: damaged",
    "x": [[0.5] * 3] * 2,
    "key": [0, 0],
    "rows": [[0.0], [1.0], [2.0], [3.0]],
  }
  asked = [step for step, (_, due, _) in enumerate(verdicts) if due]
  assert asked == [0, 1, 3, 7, 15, 31, 39]
  assert [verdicts[step][2] for step in asked] == [0] * 5 + [15] * 2
  assert not any(late for late, _, _ in verdicts)


LONELY = """
import sys
from roijax.cli import exit_code
from roijax.training import hosts
sys.exit(hosts.leave(exit_code(lambda: hosts.start(sys.argv[1], timeout=2))))
"""


@pytest.mark.parametrize("index", [0, 1])
def test_a_process_that_finds_no_other_is_one_line(index):
  port = find_port()
  done = subprocess.run(
    [sys.executable, "-c", LONELY, f"localhost:{port},{index}/2"],
    env={**os.environ, "PYTHONPATH": str(TESTS.parent)},
    capture_output=True,
    text=True,
    timeout=PATIENCE,
  )
  assert done.returncode == 2
  assert done.stderr == (
    f"error: --distributed=localhost:{port},{index}/2: not all processes met "
    f"at localhost:{port} within 2 seconds: start each one, with the same "
    f"address and count\n"
  )


def test_a_port_that_is_taken_is_one_line():
  with socket.create_server(("", 0)) as server:
    port = server.getsockname()[1]
    with pytest.raises(RoijaxError, match=f"cannot listen at port {port}"):
      hosts.start(f"localhost:{port},0/2")


@pytest.mark.parametrize(
  ("spec", "line"),
  [
    ("many", "use auto, or HOST:PORT,INDEX/COUNT, for example"),
    ("host,0/2", "use auto, or HOST:PORT"),
    ("host:1234,2/2", "INDEX counts from 0 and stays below COUNT"),
    ("auto", "tells of no cluster .*JAX_COORDINATOR_ADDRESS"),
  ],
)
def test_a_wrong_flag_is_one_line(monkeypatch, spec, line):
  for name in hosts.ENVIRONMENT:
    monkeypatch.delenv(name, raising=False)
  with pytest.raises(ConfigError, match=line):
    hosts.start(spec)


def test_the_environment_is_read_like_the_flag(monkeypatch):
  values = ("host:1234", "2", "5")
  for name, value in zip(hosts.ENVIRONMENT, values, strict=True):
    monkeypatch.setenv(name, value)
  with pytest.raises(ConfigError, match="host:1234,5/2: INDEX counts from 0"):
    hosts.start("auto")


def test_unequal_devices_are_one_line(tmp_path):
  script = tmp_path / "unequal.py"
  script.write_text(
    "import sys, jax\n"
    "from roijax.cli import exit_code\n"
    "from roijax.training import hosts\n"
    "spec = sys.argv[1].partition('=')[2]\n"
    "jax.config.update('jax_num_cpu_devices', 2 + int(spec[-3]))\n"
    "start = lambda: hosts.start(spec, timeout=60)\n"
    "sys.exit(hosts.leave(exit_code(start)))\n"
  )
  with Pair(script) as pair:
    for code, _, errors in pair.finish():
      assert code == 2
      assert errors == (
        "error: the processes have unequal numbers of devices (2, 3): let "
        "each see as many\n"
      )


def test_processes_that_do_not_divide_the_batch_are_one_line():
  with pytest.raises(ConfigError, match="16 does not split over 3 processes"):
    open_data(
      seed=0, source="sample:train", crop=32, batch_size=16, process_count=3
    )


def test_the_parts_of_processes_make_the_batch_of_one():
  settings = dict(seed=0, source="sample:train", crop=32, batch_size=4)
  whole = open_data(**settings)
  parts = [
    open_data(**settings, process_index=index, process_count=2)
    for index in range(2)
  ]
  for _ in range(2):
    batch = next(whole)
    halves = [next(part) for part in parts]
    for name, value in batch.items():
      joined = np.concatenate([half[name] for half in halves])
      np.testing.assert_array_equal(joined, value)
  for iterator in (whole, *parts):
    assert iterator.get_state() == whole.get_state()
    iterator.close()
