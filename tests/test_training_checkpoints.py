import os
import pathlib
import signal
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import training_run

from roijax.errors import CheckpointError, ConfigError, RoijaxError
from roijax.training.checkpoints import Checkpoints, is_begun
from roijax.training.run_config import describe_difference
from roijax.training.state import make_state

ROOT = pathlib.Path(__file__).parents[1]
CONFIG = {
  "seed": 0,
  "model": {"widths": [3, 4], "prior": None},
  "train": {"steps": 10, "ema_decay": 0.9},
}


def make_some_state(step: int):
  optimizer, _ = training_run.make_optimizer_of_run(100, name="adam")
  state = make_state(
    training_run.init_params(), {}, optimizer, jax.random.key(5)
  )
  return state.replace(step=jnp.int32(step))


def assert_equal(one, other):
  keys = jax.random.key_data(one.key), jax.random.key_data(other.key)
  assert np.array_equal(*keys)
  one, other = one.replace(key=0), other.replace(key=0)
  assert jax.tree.structure(one) == jax.tree.structure(other)
  jax.tree.map(np.testing.assert_array_equal, one, other)


def test_what_is_saved_is_restored(tmp_path):
  checkpoints = Checkpoints(tmp_path, CONFIG)
  assert checkpoints.restore(make_some_state(0)) is None
  data, progress = {"next": [1, 2], "name": "x"}, {"seconds": 0.1}
  checkpoints.save(make_some_state(3), data, progress)
  checkpoints.close()
  checkpoints = Checkpoints(tmp_path, CONFIG)
  restored = checkpoints.restore(make_some_state(0))
  assert_equal(restored[0], make_some_state(3))
  assert restored[1:] == (data, progress, [])


def test_a_run_is_begun_when_something_is_saved(tmp_path):
  assert not is_begun(tmp_path, CONFIG)
  checkpoints = Checkpoints(tmp_path, CONFIG)
  checkpoints.save(make_some_state(3), {}, {})
  checkpoints.close()
  assert is_begun(tmp_path, CONFIG)


def test_the_latest_few_are_kept(tmp_path):
  checkpoints = Checkpoints(tmp_path, CONFIG, keep=2)
  for step in (1, 2, 3):
    checkpoints.save(make_some_state(step), {}, {})
  checkpoints.save(make_some_state(3), {}, {})
  names = sorted(path.name for path in checkpoints.folder.iterdir())
  assert names == ["2", "3"]


def test_another_config_is_one_line_that_names_the_keys(tmp_path):
  Checkpoints(tmp_path, CONFIG).save(make_some_state(1), {}, {})
  other = {**CONFIG, "seed": 1, "model": {"widths": [3, 5], "prior": None}}
  with pytest.raises(ConfigError) as caught:
    Checkpoints(tmp_path, other).restore(make_some_state(0))
  line = str(caught.value)
  assert "model.widths is [3, 4] there and [3, 5] here" in line
  assert "seed is 0 there and 1 here" in line
  assert "\n" not in line


def test_a_run_may_be_prolonged():
  longer = {**CONFIG, "train": {"steps": 20, "keep": 9, "ema_decay": 0.9}}
  longer["eval"] = {"data": "sample:val"}
  assert describe_difference(CONFIG, longer) == ""
  assert "missing here" in describe_difference(CONFIG, {"seed": 0})
  tuples = {**CONFIG, "model": {"widths": (3, 4), "prior": None}}
  assert describe_difference(CONFIG, tuples) == ""


def test_a_save_that_was_killed_is_passed_over(tmp_path):
  checkpoints = Checkpoints(tmp_path, CONFIG)
  checkpoints.save(make_some_state(1), {}, {})
  checkpoints.close()
  half = checkpoints.folder / "2.orbax-checkpoint-tmp"
  (half / "state").mkdir(parents=True)
  (half / "state" / "manifest.ocdbt").write_bytes(b"half")
  again = Checkpoints(tmp_path, CONFIG)
  assert again.latest_step == 1
  assert_equal(again.restore(make_some_state(0))[0], make_some_state(1))


def cut_short(path):
  path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip_a_bit(path):
  data = bytearray(path.read_bytes())
  data[len(data) // 2] ^= 4
  path.write_bytes(data)


def remove(path):
  path.unlink()


def save_two(workdir):
  """Checkpoints of steps 1 and 2; gives the folder of the second."""
  checkpoints = Checkpoints(workdir, CONFIG)
  for step in (1, 2):
    checkpoints.save(make_some_state(step), {"next": step}, {"seconds": step})
  checkpoints.close()
  return checkpoints.folder / "2"


FILES = [
  "state/manifest.ocdbt",
  "state/d/*",
  "state/ocdbt.process_0/d/*",
  "state/_METADATA",
  "data/metadata",
  "progress/metadata",
  "config/metadata",
  "checksums.json",
]


@pytest.mark.parametrize("damage", [cut_short, flip_a_bit, remove])
@pytest.mark.parametrize("pattern", FILES)
def test_a_damaged_checkpoint_is_passed_over(tmp_path, pattern, damage):
  folder = save_two(tmp_path)
  path = next(folder.glob(pattern))
  damage(path)
  checkpoints = Checkpoints(tmp_path, CONFIG)
  restored = checkpoints.restore(make_some_state(0))
  if pattern == "checksums.json" and damage is remove:
    # Then a run was killed before it wrote them: all else is whole.
    assert restored.data == {"next": 2}
    return
  assert_equal(restored.state, make_some_state(1))
  assert restored.data == {"next": 1}
  (note,) = restored.notes
  assert "the checkpoint of step 2 is damaged" in note
  assert path.name in note or pattern == "checksums.json"
  assert "kept as 2.damaged" in note
  assert (checkpoints.folder / "2.damaged").is_dir()
  # And the step can be saved once more.
  checkpoints.save(make_some_state(2), {"next": 2}, {})
  checkpoints.close()
  again = Checkpoints(tmp_path, CONFIG).restore(make_some_state(0))
  assert_equal(again.state, make_some_state(2))


@pytest.mark.parametrize("damage", [cut_short, remove])
@pytest.mark.parametrize(
  "pattern", [name for name in FILES if name[:7] not in ("state/o", "checksu")]
)
def test_so_is_a_damaged_one_without_checksums(tmp_path, pattern, damage):
  folder = save_two(tmp_path)
  (folder / "checksums.json").unlink()
  for path in folder.glob(pattern):
    damage(path)
  restored = Checkpoints(tmp_path, CONFIG).restore(make_some_state(0))
  assert_equal(restored.state, make_some_state(1))
  assert restored.notes


def test_damage_comes_twice_to_the_same_step(tmp_path):
  for _ in range(2):
    cut_short(save_two(tmp_path) / "data" / "metadata")
    Checkpoints(tmp_path, CONFIG).restore(make_some_state(0))
  names = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
  assert names == ["1", "2.damaged", "2.damaged-2"]


def test_nothing_is_moved_when_no_checkpoint_is_whole(tmp_path):
  folder = save_two(tmp_path)
  cut_short(folder / "data" / "metadata")
  remove(folder.parent / "1" / "state" / "_METADATA")
  for _ in range(2):
    with pytest.raises(CheckpointError) as caught:
      Checkpoints(tmp_path, CONFIG).restore(make_some_state(0))
    line = str(caught.value)
    assert "no checkpoint in" in line
    assert "step 2: data/metadata is not as it was saved; step 1: " in line
    assert "\n" not in line


def test_a_checkpoint_of_another_model_is_one_line(tmp_path):
  checkpoints = Checkpoints(tmp_path, CONFIG)
  checkpoints.save(make_some_state(1), {}, {})
  state = make_some_state(0)
  state = state.replace(params={"analysis": {"kernel": jnp.zeros((2, 2))}})
  with pytest.raises(CheckpointError) as caught:
    checkpoints.restore(state)
  line = str(caught.value)
  assert "params/analysis/kernel is [48, 5] there and [2, 2] here" in line


def test_a_folder_that_is_a_file_is_one_line(tmp_path):
  (tmp_path / "run").write_text("")
  with pytest.raises(RoijaxError, match=r"cannot open .*Not a directory"):
    Checkpoints(tmp_path / "run", CONFIG)


FULL_DISK = """
import resource, signal, sys
sys.path.insert(0, sys.argv[1])
import test_training_checkpoints as test
from roijax.errors import RoijaxError
checkpoints = test.Checkpoints(sys.argv[2], test.CONFIG)
checkpoints.save(test.make_some_state(1), {}, {})
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
try:
  checkpoints.save(test.make_some_state(2), {}, {})
except RoijaxError as error:
  sys.stderr.write(f"error: {error}")
"""


@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="POSIX limits")
def test_a_full_disk_is_one_line_and_keeps_the_last_checkpoint(tmp_path):
  done = subprocess.run(
    [sys.executable, "-c", FULL_DISK, str(ROOT / "tests"), str(tmp_path)],
    env={**os.environ, "PYTHONPATH": str(ROOT)},
    capture_output=True,
    text=True,
    timeout=120,
  )
  assert "error: cannot save the checkpoint of step 2" in done.stderr
  checkpoints = Checkpoints(tmp_path, CONFIG)
  assert checkpoints.latest_step == 1
  assert_equal(checkpoints.restore(make_some_state(0))[0], make_some_state(1))
