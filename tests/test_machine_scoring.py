"""The scores of machine tasks are what they say."""

import json

import numpy as np
import pytest
from coco_photos import BOXES, SIZE, annotate, draw, write

from roijax.data.folder import FolderSource
from roijax.data.sources import open_source
from roijax.errors import ConfigError, DataError, RoijaxError
from roijax.evaluation.machine import judges, looks
from roijax.evaluation.machine.average_precision import AveragePrecision
from roijax.evaluation.machine.detections import Detections, encode_mask
from roijax.evaluation.machine.looks import Look
from roijax.evaluation.machine.region_overlap import RegionOverlap
from roijax.evaluation.machine.run import look_at
from roijax.evaluation.machine.scenes import (
  Scene,
  Scenes,
)
from roijax.roi.coco import read_annotations


@pytest.fixture(name="coco")
def _coco(tmp_path):
  return write(tmp_path)


def _scenes(photos, path, **settings):
  annotations = read_annotations(path)
  return Scenes(FolderSource(photos), str(path), annotations, **settings)


class _Says:
  """A detector that says what it was told to, by the photo."""

  name = "says"
  categories = None
  sure = 0.5

  def __init__(self, **found):
    self._found = found

  def detect(self, image, *, masks=False):
    name = next(
      name
      for seed, (name, box) in enumerate(BOXES.items())
      if np.array_equal(image, draw(box, seed))
    )
    rows = self._found.get(name.partition(".")[0], [])
    boxes = np.array([row[0] for row in rows], float).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    outlines = []
    for x, y, w, h in (row[0] for row in rows):
      mask = np.zeros(SIZE, bool)
      mask[y : y + h, x : x + w] = True
      outlines.append(encode_mask(mask))
    return Detections(
      boxes,
      np.array([row[2] if len(row) > 2 else 1 for row in rows], int),
      np.array([row[1] for row in rows], float),
      outlines if masks else None,
    )


def _score(coco, detector, task="detection", **settings):
  judge = AveragePrecision(detector, read_annotations(coco[1]), task)
  found = {
    scene.name: judge.look(scene, scene.image)
    for scene in _scenes(*coco, **settings)
  }
  first = judge.score(found)
  # COCOeval writes into what it compares.
  assert judge.score(found) == first
  return first


RIGHT = {
  name.partition(".")[0]: [(box, 0.9)] for name, box in BOXES.items() if box
}


@pytest.mark.parametrize("task", ["detection", "segmentation"])
def test_right_boxes_score_one_and_none_score_nothing(coco, task):
  full = _score(coco, _Says(**RIGHT), task)
  # All three are medium: 32x32 to 96x96.
  assert full == {
    "ap": pytest.approx(1),
    "ap50": pytest.approx(1),
    "ap75": pytest.approx(1),
    "ap_small": None,
    "ap_medium": pytest.approx(1),
    "ap_large": None,
    "ap_own": pytest.approx(1),
  }
  assert _score(coco, _Says(), task)["ap"] == 0


def test_overlap_decides_from_which_threshold_on_a_box_counts(coco):
  # 30 x 40 found as 30 x 32: an overlap of .8 passes 7 of 10 thresholds.
  near = {"a": [((10, 8, 30, 32), 0.9)]}
  figures = _score(coco, _Says(**near), limit=1)
  assert figures["ap"] == pytest.approx(0.7, abs=1e-6)
  assert figures["ap50"] == figures["ap75"] == pytest.approx(1)


def test_average_precision_is_the_mean_over_101_recalls(coco):
  """Ranks: right, wrong, right, right; in a photo without objects too."""
  found = {
    "a": [(BOXES["a.png"], 0.9)],
    "empty": [((1, 1, 20, 20), 0.8)],
    "b": [(BOXES["b.png"], 0.7)],
    "c": [(BOXES["c.png"], 0.6), ((0, 0, 9, 9), 0.1)],
  }
  recalls = np.linspace(0, 1, 101)
  # The best precision at that recall or above; three objects.
  best = np.where(recalls <= 1 / 3, 1.0, 3 / 4)
  figures = _score(coco, _Says(**found))
  assert figures["ap"] == pytest.approx(best.mean(), abs=1e-9)
  # Without the photo that is empty, the wrong one is not seen.
  (coco[0] / "empty.png").unlink()
  assert _score(coco, _Says(**found))["ap"] == pytest.approx(1)


def test_only_photos_that_were_looked_at_are_scored(coco):
  first = {"a": RIGHT["a"]}
  assert _score(coco, _Says(**first), limit=1)["ap"] == pytest.approx(1)
  third = _score(coco, _Says(**first))["ap"]
  assert third == pytest.approx(34 / 101, abs=1e-9)


@pytest.mark.parametrize("task", ["detection", "segmentation"])
def test_own_findings_stand_in_for_the_truth(coco, task):
  """In the original it is sure of one wrong box, not of another."""
  wrong, weak = ((60, 50, 20, 20), 0.9), ((2, 2, 20, 20), 0.4)
  judge = AveragePrecision(
    _Says(a=[wrong, weak]), read_annotations(coco[1]), task
  )
  (scene,) = _scenes(*coco, limit=1)
  found = judge.look(scene, scene.image)
  figures = judge.score({scene.name: found})
  assert figures["ap"] == 0
  assert figures["ap_own"] == pytest.approx(1)
  # A decoded photo in which nothing is found.
  nothing = judge.look(scene, draw(None, 3))
  assert judge.count(nothing) == 0
  assert judge.score({scene.name: nothing})["ap_own"] == 0


def test_a_detector_of_people_is_scored_on_people(coco):
  content = annotate()
  content["annotations"][1]["category_id"] = 18
  coco[1].write_text(json.dumps(content))
  people = _Says(a=RIGHT["a"], c=RIGHT["c"])
  assert _score(coco, people)["ap"] == pytest.approx(0.5)
  people.categories = (1,)
  assert _score(coco, people)["ap"] == pytest.approx(1)


def test_crowds_are_neither_found_nor_missed(coco):
  content = annotate()
  content["annotations"][1]["iscrowd"] = 1
  coco[1].write_text(json.dumps(content))
  assert _score(coco, _Says(a=RIGHT["a"], c=RIGHT["c"]))["ap"] == pytest.approx(
    1
  )
  assert _score(coco, _Says(**RIGHT))["ap"] == pytest.approx(1)


def test_annotations_that_cannot_be_scored_are_told(coco):
  content = annotate()
  del content["annotations"][0]["area"]
  coco[1].write_text(json.dumps(content))
  with pytest.raises(DataError, match=r"an annotation of a\.png has no area"):
    _score(coco, _Says())


def _scene(truth, name="p"):
  image = np.zeros((*truth.shape, 3), np.uint8)
  return Scene(name, image, truth, None)


def test_regions_are_compared_with_the_truth_and_with_the_original_s():
  calls = []

  def predict(image):
    """Likely where bright; a decoded photo is brighter."""
    calls.append(image)
    return image[..., 0].astype(np.float32) / 200

  truth = np.zeros((10, 10), bool)
  truth[:4] = True
  scene, empty = _scene(truth), _scene(np.zeros((10, 10), bool), "q")
  scene.image[:5, :, 0] = 100
  decoded = scene.image.copy()
  decoded[:6, :, 0] = 99
  decoded[:8, :, 0] = np.maximum(decoded[:8, :, 0], 100)
  judge = RegionOverlap(predict, 0.5)
  own = judge.look(scene, scene.image)
  assert own == {"pixels": 50, "iou": 0.8, "iou_own": 1.0}
  assert len(calls) == 1
  worse = judge.look(scene, decoded)
  assert worse == {"pixels": 80, "iou": 0.5, "iou_own": 50 / 80}
  blank = judge.look(empty, empty.image)
  assert blank == {"pixels": 0, "iou": None, "iou_own": 1.0}
  # Looked at in the original once a photo, whoever comes first.
  judge.look(scene, decoded)
  assert sum(image is scene.image for image in calls) == 2
  figures = judge.score({"p": worse, "q": blank})
  assert figures == {"iou": 0.5, "iou_own": (50 / 80 + 1) / 2}
  assert judge.score({"q": blank})["iou"] is None


def test_points_are_means_and_scores_of_one_setting():
  judge = RegionOverlap(lambda image: image[..., 0], 0.5)
  scene = _scene(np.ones((10, 20), bool))
  seen = [look_at(judge, scene, looks.ORIGINAL, scene.image)]
  for setting, size in ((2.0, 100), (1.0, 75), (1.0, 51)):
    for name in "pq":
      seen.append(
        look_at(
          judge,
          scene._replace(name=name),
          "ours",
          scene.image + 1,
          setting=setting,
          data=bytes(size),
          budget=50,
        )
      )
  original, low, high = looks.summarise(seen, [judge])
  assert original[:6] == ("original", None, "predictor", 1, None, 0)
  assert original.figures["iou"] == 0
  assert low[:4] == ("ours", 1.0, "predictor", 4)
  assert low.bpp == pytest.approx(8 * 63 / 200)
  # 51 bytes for 50 are within 3 %.
  assert (low.unmatched, high.unmatched) == (2, 2)
  assert high.figures == {"iou": 1.0, "iou_own": 0.0}
  assert tuple(Look._fields)[:-1] == looks.COLUMNS


@pytest.mark.parametrize(
  ("arguments", "words"),
  [
    (("tracking", "hog", None), "no task 'tracking': choose from none, det"),
    (("detection", None, None), "needs --detector: an ONNX file, .* or hog"),
    (("segmentation", None, None), "yolo export .* torch.* or predictor"),
    (("detection", "predictor", None), "predictor is for --task=segmentation"),
    (("segmentation", "hog", None), "hog is for --task=detection"),
    (("detection", "hog", "yolo"), "--detector-layout is of ONNX files"),
    (("segmentation", "predictor:2", None), "between 0 and 1"),
    (("detection", "no.onnx", None), "no detector no.onnx"),
  ],
)
def test_a_task_says_what_it_needs(coco, arguments, words):
  with pytest.raises(RoijaxError, match=words):
    judges.make_judge(*arguments, read_annotations(coco[1]))


def test_hog_ranks_more_windows_than_the_region_takes():
  pytest.importorskip("cv2")
  from roijax.evaluation.machine.hog import HogDetector
  from roijax.roi import person

  detector = HogDetector()
  photo = open_source("sample:train")[0]["image"]
  found = detector.detect(photo)
  height, width = photo.shape[:2]
  assert (found.boxes >= 0).all()
  assert (found.boxes <= [width, height, width, height]).all()
  assert set(found.categories) <= {1}
  # Those that pass the region's threshold are the region's walkers.
  sure = np.sort(found.scores[found.scores >= person.SCORE])
  walkers = np.sort([box.score for box in person.find_walkers(photo)])
  np.testing.assert_allclose(sure, walkers)
  assert len(found.scores) > len(walkers) > 0
  with pytest.raises(ConfigError, match="hog finds boxes only"):
    detector.detect(photo, masks=True)
  assert len(detector.detect(photo[:40, :20]).boxes) == 0
