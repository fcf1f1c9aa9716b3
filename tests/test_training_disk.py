"""A run on a disk that fills up, for real."""

import contextlib
import shutil
import subprocess

import jax
import numpy as np
import pytest
import training_run

from roijax.errors import RoijaxError
from roijax.files import write_whole
from roijax.training.checkpoints import Checkpoints

SIZE = 1 << 21


@pytest.fixture(name="disk")
def _disk(tmp_path):
  """A file system of two megabytes."""
  folder = tmp_path / "disk"
  folder.mkdir()
  command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", folder]
  if not shutil.which("mount"):
    pytest.skip("there is no mount here")
  if subprocess.run(command, capture_output=True).returncode:
    pytest.skip("mounting a small file system is not allowed here")
  yield folder
  subprocess.run(["umount", "--lazy", folder], check=True)


class Filling(training_run.Photos):
  """Photos whose seventh batch comes with a full disk."""

  def __init__(self, disk):
    super().__init__()
    self.filler = disk / "filler"

  def __next__(self):
    if self.number == 6:
      with (
        contextlib.suppress(OSError),
        self.filler.open("wb", buffering=0) as file,
      ):
        while True:
          file.write(bytes(4096))
    return super().__next__()


def read_state(workdir):
  state = training_run.make_fresh_state()[0]
  return Checkpoints(workdir, training_run.CONFIG).restore(state)


def test_a_checkpoint_that_does_not_fit_leaves_the_last_one(disk, tmp_path):
  photos = Filling(disk)
  with pytest.raises(RoijaxError) as caught:
    training_run.run(disk, 20, iterator=photos, log_every=100)
  assert str(caught.value) == (
    f"cannot save the checkpoint of step 8 in {disk / 'checkpoints'}: "
    f"No space left on device"
  )
  photos.filler.unlink()
  restored = read_state(disk)
  assert int(restored.state.step) == 4
  assert restored.notes == []
  again = training_run.run(disk, 12)
  straight = training_run.run(tmp_path / "straight", 12)
  jax.tree.map(np.testing.assert_array_equal, again.params, straight.params)


def test_a_log_that_does_not_fit_is_one_line(disk):
  with pytest.raises(RoijaxError) as caught:
    training_run.run(
      disk, 500, iterator=Filling(disk), log_every=1, checkpoint_every=5
    )
  line = str(caught.value)
  assert line.startswith(("cannot write ", "cannot save "))
  assert line.endswith("No space left on device")
  assert "\n" not in line
  assert int(read_state(disk).state.step) == 5


def test_rows_alone_fill_the_disk_in_the_end(disk):
  with pytest.raises(RoijaxError) as caught:
    training_run.run(
      disk, 5000, iterator=Filling(disk), log_every=1, checkpoint_every=None
    )
  line = str(caught.value)
  assert line.startswith(f"cannot write {disk}")
  assert line.endswith("No space left on device")
  assert (disk / "metrics.jsonl").read_text().startswith('{"step": 1,')


def test_weights_that_do_not_fit_leave_the_old_ones_and_the_checkpoint(disk):
  def export(state):
    write_whole(disk / "model.npz", bytes([int(state.step)]) * (SIZE // 2))

  with pytest.raises(RoijaxError) as caught:
    training_run.run(disk, 20, export=export)
  path = disk / "model.npz"
  assert str(caught.value) == f"cannot write {path}: No space left on device"
  assert path.read_bytes() == bytes([4]) * (SIZE // 2)
  assert int(read_state(disk).state.step) == 8
