"""Which photos are scored, and how codecs come to equal bytes."""

import json
import shutil

import numpy as np
import pytest
from coco_photos import BOXES, SIZE, annotate, draw, write
from PIL import Image

from roijax.data.folder import FolderSource
from roijax.errors import ConfigError, DataError
from roijax.evaluation.machine import equal_bytes
from roijax.evaluation.machine.scenes import (
  Scene,
  Scenes,
  find_annotations,
)
from roijax.roi.coco import read_annotations


@pytest.fixture(name="coco")
def _coco(tmp_path):
  return write(tmp_path)


def _scenes(photos, path, **settings):
  annotations = read_annotations(path)
  return Scenes(FolderSource(photos), str(path), annotations, **settings)


class _Listed(list):
  """A source made of a list, which tells no names beforehand."""

  name = "listed"


def test_scenes_are_photos_with_their_objects(coco):
  scenes = list(_scenes(*coco))
  assert [scene.name for scene in scenes] == list(BOXES)
  for seed, scene in enumerate(scenes):
    box = BOXES[scene.name]
    np.testing.assert_array_equal(scene.image, draw(box, seed))
    want = np.zeros(SIZE, bool)
    if box:
      x, y, w, h = box
      want[y : y + h, x : x + w] = True
      np.testing.assert_array_equal(scene.roi, want)
    else:
      assert scene.roi is None
    np.testing.assert_array_equal(scene.truth, want)


def test_a_spec_replaces_the_region_and_not_the_truth(coco):
  (scene,) = _scenes(*coco, roi="box:0,0,8,8", limit=1)
  assert scene.roi.sum() == 64
  assert scene.truth.sum() == 30 * 40
  (scene,) = _scenes(*coco, roi="none", limit=1)
  assert scene.roi is None


def test_photos_without_a_whole_annotation_are_left_out(coco):
  content = annotate()
  content["images"][1]["annotated"] = "four"
  content["images"][2]["annotated"] = "all"
  del content["images"][0]
  coco[1].write_text(json.dumps(content))
  scenes = _scenes(*coco)
  assert scenes.total == 2
  assert [scene.name for scene in scenes] == ["c.png", "empty.png"]
  assert sorted(scenes.left_out.values()) == [["a.png"], ["b.png"]]
  # The limit counts what is scored.
  assert [s.name for s in _scenes(*coco, limit=1)] == ["c.png"]


def test_other_sources_tell_their_names_when_read(coco):
  photos = [
    {"name": name, "image": draw(box, seed), "roi": None}
    for seed, (name, box) in enumerate([("x.png", None), *BOXES.items()])
  ]
  annotations = read_annotations(coco[1])
  scenes = Scenes(_Listed(photos), "f.json", annotations, limit=2)
  assert [scene.name for scene in scenes] == ["a.png", "b.png"]
  assert scenes.left_out == {"not in f.json": ["x.png"]}
  with pytest.raises(DataError, match=r"f\.json knows none of the 1 photos"):
    list(Scenes(_Listed(photos[:1]), "f.json", annotations))


def test_outlines_lie_on_the_pixels_as_they_are_stored(coco):
  photo = coco[0] / "a.png"
  with Image.open(photo) as image:
    exif = image.getexif()
    exif[0x0112] = 3
    image.save(photo, exif=exif)
  (scene,) = _scenes(*coco, limit=1)
  np.testing.assert_array_equal(scene.image, draw(BOXES["a.png"], 0))


def test_grey_photos_are_shown_in_three_channels(coco):
  with Image.open(coco[0] / "a.png") as image:
    image.convert("L").save(coco[0] / "a.png")
  (scene,) = _scenes(*coco, limit=1)
  assert scene.image.shape == (*SIZE, 3)
  assert (np.ptp(scene.image, -1) == 0).all()


def test_photos_that_do_not_fit_are_told(coco, tmp_path):
  Image.new("RGB", (50, 40)).save(coco[0] / "a.png")
  with pytest.raises(DataError, match=r"a\.png as 96x72 pixels, .* is 50x40"):
    list(_scenes(*coco))
  (coco[0] / "a.png").write_bytes(b"no photo")
  with pytest.raises(DataError, match=r"a\.png"):
    list(_scenes(*coco))
  (coco[0] / "again").mkdir()
  shutil.copy(coco[0] / "b.png", coco[0] / "again")
  (coco[0] / "a.png").unlink()
  with pytest.raises(DataError, match=r"two photos are called b\.png"):
    list(_scenes(*coco))
  (coco[0] / "again" / "b.png").unlink()
  content = annotate()
  del content["images"][1]["id"]
  coco[1].write_text(json.dumps(content))
  with pytest.raises(DataError, match=r"says no id of b\.png"):
    list(_scenes(*coco))
  coco[1].write_text(json.dumps(annotate({"z.png": None})))
  with pytest.raises(DataError, match=r"none of the 3 photos .*--annotations"):
    _scenes(*coco)
  coco[1].write_text(json.dumps(annotate(annotated="one")))
  with pytest.raises(
    DataError, match=r"annotates none of the 3 photos .* whole"
  ):
    _scenes(*coco)


def test_annotations_are_found_in_coco_s_layout(coco, tmp_path, monkeypatch):
  assert find_annotations(str(coco[0])) == str(coco[1])
  monkeypatch.chdir(coco[0])
  assert find_annotations("folder:.") == str(coco[1])
  for data in (str(tmp_path), "coco_roi:val", "nothing"):
    with pytest.raises(ConfigError, match="--annotations"):
      find_annotations(data)


def _scene(truth):
  image = np.zeros((*truth.shape, 3), np.uint8)
  return Scene("p", image, truth, None)


@pytest.mark.parametrize("budget", [1, 700, 5000, 12345, 10**7])
@pytest.mark.parametrize("growth", [1.005, 1.12])
def test_the_file_nearest_to_a_budget_is_found_in_few_codings(budget, growth):
  sizes = [round(600 * growth**i) + 7 * (i % 3) for i in range(60)]
  sizes = np.maximum.accumulate(sizes).tolist()
  made = {}

  def encode(index):
    assert index not in made
    return bytes(sizes[index])

  data = equal_bytes.find_nearest(encode, 60, budget, made)
  miss = abs(np.log(len(data) / budget))
  best = min(abs(np.log(size / budget)) for size in sizes)
  assert miss == pytest.approx(best) or miss <= equal_bytes.TOLERANCE
  assert len(made) <= 9
  # What is known is not coded again.
  before = dict(made)
  assert equal_bytes.find_nearest(encode, 60, budget, made) == data
  assert made == before


def test_files_of_an_earlier_run_are_taken_up(tmp_path):
  calls = []

  def encode(image, roi, setting):
    calls.append(setting)
    return bytes(100 + int(setting))

  entrant = equal_bytes.Entrant("c", "c", list(range(100)), encode, bytes)
  scene = _scene(np.ones((10, 20), bool))
  first = equal_bytes.code(entrant, scene, [120, 160], tmp_path)
  assert [len(data) for data in first] == pytest.approx([120, 160], rel=0.01)
  done = len(calls)
  assert equal_bytes.code(entrant, scene, [120, 160], tmp_path) == first
  assert len(calls) == done
  # Another region, another budget: another file.
  region = scene._replace(roi=np.ones((10, 20), np.float32))
  equal_bytes.code(entrant, region, [120], tmp_path)
  assert len(calls) > done
  assert equal_bytes.budget_of(scene, 0.3) == round(0.3 * 200 / 8)


def test_every_rival_has_fine_settings_in_the_order_of_its_own():
  from roijax.evaluation.rivals import RIVALS

  assert set(RIVALS) <= set(equal_bytes.SETTINGS)
  for name, rival in RIVALS.items():
    fine = list(equal_bytes.SETTINGS[name])
    grows = np.sign(np.diff(rival.settings))
    assert set(np.sign(np.diff(fine))) == set(grows)
    assert min(fine) <= min(rival.settings)
    assert max(fine) >= max(rival.settings)
  with pytest.raises(ConfigError, match="no rival 'jpg'"):
    equal_bytes.enter_rival("jpg")
