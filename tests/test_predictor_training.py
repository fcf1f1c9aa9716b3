"""The predictor's configuration trains, resumes, evaluates, and is used."""

import json
import pathlib

import jax
import numpy as np
import pytest
from smoke_model import ROOT, load_config_file

from roijax.data.predicted import PredictedSource, with_masks
from roijax.data.sources import open_source
from roijax.errors import ConfigError, DataError
from roijax.evaluation import prediction
from roijax.training import maps
from roijax.training.predictor import import_predictor, train_predictor
from roijax.weights.predictor import load_predictor

CONFIGS = load_config_file(ROOT / "configs" / "roi_predictor.py")


def _make_config():
  config = CONFIGS.get_config("smoke")
  # Eight programs compile eight times as long as one.
  config.train.devices = 1
  config.data.batch_size = 2
  # Whatever the number of steps, it is the same program.
  config.optimizer.schedule = "constant"
  return config


def _read_weights(workdir):
  return (pathlib.Path(workdir) / "model.npz").read_bytes()


@pytest.fixture(name="workdir", scope="module")
def _workdir(tmp_path_factory):
  """A run of `:smoke`."""
  workdir = tmp_path_factory.mktemp("predictor")
  train_predictor(_make_config(), workdir)
  return workdir


def test_a_run_that_was_stopped_ends_the_same(workdir, tmp_path):
  config = _make_config()
  config.train.steps = 2
  train_predictor(config, tmp_path)
  halfway = _read_weights(tmp_path)
  config.train.steps = 4
  train_predictor(config, tmp_path)
  assert _read_weights(tmp_path) == _read_weights(workdir) != halfway


def test_another_run_begins_with_its_weights(workdir):
  model = _make_config().model
  params = import_predictor(str(workdir), model)
  shipped = load_predictor(workdir).params
  jax.tree.map(np.testing.assert_array_equal, params, shipped)
  model.head_width = 9
  with pytest.raises(ConfigError, match="head_width is 8 there and 9"):
    import_predictor(str(workdir), model)


def test_a_side_that_the_resolutions_do_not_divide_is_one_line(tmp_path):
  config = _make_config()
  config.data.side = 40
  with pytest.raises(
    ConfigError, match=r"data\.side=40 must be a multiple of 16"
  ):
    train_predictor(config, tmp_path)


def test_agreement_is_judged_and_written(workdir):
  settings = prediction.Settings("sample:val", (0.2, 0.5))
  prediction.evaluate_checkpoint(workdir, settings)
  results = json.loads((workdir / "eval" / "results.json").read_text())
  assert results["photos"] == 1
  assert set(results["miou"]) == {"0.2", "0.5"}
  assert all(0 <= value <= 1 for value in results["miou"].values())


class _Photos:
  name = "odd"

  def __init__(self, annotated, empty):
    self.annotated, self.empty = annotated, empty

  def __len__(self):
    return 1

  def __getitem__(self, index):
    roi = np.zeros((8, 8), np.float32)
    roi[:4] = not self.empty
    return {"image": np.zeros((8, 8, 3), np.uint8), "roi": roi, "name": "x"}

  def read_annotated(self, index):
    return self.annotated


def test_photos_that_say_too_little_are_no_judges():
  def guess(image):
    return np.ones(image.shape[:2])

  assert prediction.judge(guess, _Photos("all", False), [0.5])[0].ious == (0.5,)
  for photos in (_Photos("one", False), _Photos("all", True)):
    with pytest.raises(DataError, match="no photo of odd has objects"):
      prediction.judge(guess, photos, [0.5])


def test_masks_are_predicted_once_and_read_at_any_threshold(workdir, tmp_path):
  folder = tmp_path / "maps"
  command = ["--data=sample:val", f"--out={folder}", f"--predictor={workdir}"]
  assert maps.main(command) == 0
  source = open_source("sample:val")
  shares = []
  for masks in ("predicted:0.001", "predicted:0.5", "predicted:0.999"):
    predicted = with_masks(source, masks, str(folder))
    assert isinstance(predicted, PredictedSource)
    photo = predicted[0]
    np.testing.assert_array_equal(photo["image"], source[0]["image"])
    roi = photo["roi"]
    if roi is not None:
      assert roi.shape == photo["image"].shape[:2]
      assert set(np.unique(roi)) <= {0, 1}
    shares.append(0.0 if roi is None else float(roi.mean()))
  assert shares[0] == 1 and shares[-1] == 0
  assert shares == sorted(shares, reverse=True)
  assert with_masks(source, "truth", "") is source


@pytest.mark.parametrize(
  ("masks", "folder", "line"),
  [
    ("predicted:0.2", "", "use 'truth', 'category', or 'predicted:0.2'"),
    ("guessed", "maps", "use 'truth', 'category', or 'predicted:0.2'"),
    ("predicted:2", "maps", "use .truth., .category., or .predicted:0.2."),
    ("predicted", "maps", "use .truth., .category., or .predicted:0.2."),
    ("predicted:0.2", "none", "no predicted maps in .*none: write them with"),
  ],
)
def test_masks_that_are_not_there_are_one_line(
  workdir, tmp_path, masks, folder, line
):
  maps.predict_maps("sample:val", None, str(tmp_path / "maps"), str(workdir))
  with pytest.raises(DataError, match=line):
    with_masks(
      open_source("sample:val"), masks, folder and str(tmp_path / folder)
    )


def test_maps_of_other_photos_are_refused(workdir, tmp_path, capsys):
  maps.predict_maps("sample:val", None, str(tmp_path), str(workdir))
  with pytest.raises(
    DataError, match="are of 1 photos of sample:val, not of 7"
  ):
    with_masks(open_source("sample:train"), "predicted:0.2", str(tmp_path))
  assert maps.main(["--data=sample:vall", f"--out={tmp_path}"]) == 2
  assert capsys.readouterr().err.count("\n") == 1
