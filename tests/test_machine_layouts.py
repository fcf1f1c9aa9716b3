"""Detectors' inputs and outputs, number by number."""

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper
from onnx_models import write_constant, write_echo, write_finder, write_model
from scipy import ndimage

from roijax.errors import ConfigError, RoijaxError
from roijax.evaluation.machine import letterbox, yolo_layout
from roijax.evaluation.machine.detections import COCO_IDS, encode_mask
from roijax.evaluation.machine.onnx_detector import OnnxDetector
from roijax.roi import coco

SIZE = (45, 60)


def _photo(size=SIZE, seed=0):
  rng = np.random.default_rng(seed)
  return rng.integers(0, 256, (*size, 3), dtype=np.uint8)


def _decode(mask):
  rle = {"size": mask["size"], "counts": mask["counts"].encode()}
  return coco.union_mask([rle], tuple(mask["size"]))


def _resize(image, height, width):
  """Bilinear about pixels' middles, by SciPy."""
  rows = (np.arange(height) + 0.5) * image.shape[0] / height - 0.5
  columns = (np.arange(width) + 0.5) * image.shape[1] / width - 0.5
  grid = np.meshgrid(rows, columns, indexing="ij")
  channels = [
    ndimage.map_coordinates(channel, grid, order=1, mode="nearest")
    for channel in np.moveaxis(image.astype(float), -1, 0)
  ]
  return np.stack(channels, -1)


def test_classes_count_coco_s_numbers_without_the_gaps():
  assert len(COCO_IDS) == 80
  by_name = {"person": 0, "stop sign": 11, "backpack": 24, "toothbrush": 79}
  assert [COCO_IDS[i] for i in by_name.values()] == [1, 13, 27, 90]


def test_masks_survive_their_text():
  mask = _photo()[..., 0] > 128
  np.testing.assert_array_equal(_decode(encode_mask(mask)), mask)


@given(
  st.tuples(st.integers(1, 90), st.integers(1, 90)),
  st.tuples(st.integers(8, 90), st.integers(8, 90)),
  st.booleans(),
)
def test_a_photo_fills_its_canvas_in_one_direction(photo, canvas, centred):
  p = letterbox.place(photo, canvas, centred=centred)
  assert p.height == canvas[0] or p.width == canvas[1]
  assert 0 <= p.top <= canvas[0] - p.height
  assert 0 <= p.left <= canvas[1] - p.width
  if not centred:
    assert p.top == p.left == 0
  # Both margins are equal, or the second is one larger.
  elif p.top or p.left:
    assert canvas[0] - p.height - 2 * p.top in (0, 1)
    assert canvas[1] - p.width - 2 * p.left in (0, 1)
  whole = [[p.left, p.top, p.left + p.width, p.top + p.height]]
  corners = [[0, 0, photo[1], photo[0]]]
  np.testing.assert_allclose(p.boxes_in_photo(np.array(whole)), corners)


@pytest.mark.parametrize("size", [(45, 60), (200, 90), (64, 64), (64, 31)])
def test_yolo_s_input_is_the_photo_in_grey_margins(tmp_path, size):
  image = _photo(size)
  model = write_echo(tmp_path / "m.onnx", (1, 3, 64, 64))
  detector = OnnxDetector(model, "torchvision")
  batch, placement = yolo_layout.prepare(image, (64, 64))
  # What reaches a model is what was prepared.
  np.testing.assert_array_equal(detector._run(batch)["boxes"], batch)
  ratio = 64 / max(size)
  height, width = round(size[0] * ratio), round(size[1] * ratio)
  top, left = (64 - height) // 2, (64 - width) // 2
  want = np.full((64, 64, 3), 114.0)
  want[top : top + height, left : left + width] = _resize(image, height, width)
  got = 255 * batch[0].transpose(1, 2, 0)
  assert batch.dtype == np.float32
  np.testing.assert_allclose(got, want, atol=0.5001)
  outside = np.ones((64, 64), bool)
  outside[top : top + height, left : left + width] = False
  assert (got[outside].round(3) == 114).all()
  assert placement == (top, left, height, width, size)


def _detections(count, rng):
  """Corners in a canvas of 64, scores, classes; some overlap."""
  low = rng.uniform(2, 40, (count, 2))
  size = rng.uniform(4, 22, (count, 2))
  corners = np.concatenate([low, low + size], 1)
  corners[count // 2 :] = corners[: count - count // 2] + rng.uniform(
    -2, 2, (count - count // 2, 4)
  )
  scores = rng.permutation(np.linspace(0.05, 0.95, count))
  return corners, scores, rng.integers(0, 3, count)


def _predictions(kind, corners, scores, classes, weights):
  """The same findings as each kind of model says them, float32."""
  count = len(scores)
  if kind == "end":
    columns = [corners, scores[:, None], classes[:, None], weights]
    return np.concatenate(columns, 1)[None].astype(np.float32)
  boxes = [
    (corners[:, :2] + corners[:, 2:]) / 2,
    corners[:, 2:] - corners[:, :2],
  ]
  by_class = np.zeros((count, 80))
  by_class[np.arange(count), classes] = scores
  if kind == "v5":
    # Objectness of a half: what is said of the class counts half.
    boxes.append(np.full((count, 1), 0.5))
    by_class *= 2
    assert (by_class <= 2).all()
  found = np.concatenate([*boxes, by_class, weights], 1)[None]
  return (found if kind == "v5" else found.swapaxes(1, 2)).astype(np.float32)


def _survivors(corners, scores, classes):
  """Greedy suppression, pair by pair."""
  kept = []
  for i in np.argsort(-scores):
    for j in kept:
      low = np.maximum(corners[i][:2], corners[j][:2])
      high = np.minimum(corners[i][2:], corners[j][2:])
      common = np.prod(np.maximum(high - low, 0))
      areas = [np.prod(corners[k][2:] - corners[k][:2]) for k in (i, j)]
      if classes[i] == classes[j] and common / (sum(areas) - common) > 0.7:
        break
    else:
      kept.append(i)
  return np.array(kept)


@pytest.mark.parametrize("kind", ["v8", "v5", "end"])
def test_yolo_s_outputs_become_boxes_in_the_photo(tmp_path, kind):
  rng = np.random.default_rng(3)
  corners, scores, classes = _detections(40, rng)
  kept = np.argsort(-scores)
  if kind != "end":
    kept = _survivors(corners, scores, classes)
    assert 20 <= len(kept) < 40
  none = np.zeros((40, 0))
  answer = _predictions(kind, corners, scores, classes, none)
  model = write_constant(tmp_path / "m.onnx", {"output0": answer})
  detector = OnnxDetector(model)
  assert detector.layout == "yolo"
  found = detector.detect(_photo())
  # A canvas of 64 holds 48 rows, from the 8th on, of a photo of 45x60.
  scale = 60 / 64, 45 / 48
  want = (corners[kept] - [0, 8, 0, 8]) * [*scale, *scale]
  want = want.clip(0, [60, 45, 60, 45])
  np.testing.assert_allclose(found.boxes, want, atol=1e-4)
  np.testing.assert_allclose(found.scores, scores[kept], rtol=1e-6)
  assert found.categories.tolist() == [COCO_IDS[c] for c in classes[kept]]
  assert found.masks is None


def test_a_candidate_counts_for_every_class_that_it_may_be():
  predictions = np.zeros((84, 5))
  predictions[:4] = [[30], [30], [10], [10]]
  predictions[[4, 7], 2] = 0.6, 0.4
  found = yolo_layout.sort_out(predictions, 0)
  assert sorted(zip(found.classes, found.scores, strict=True)) == [
    (0, 0.6),
    (3, 0.4),
  ]
  assert found.boxes.tolist() == [[25, 25, 35, 35]] * 2


def test_padding_of_end_to_end_models_is_no_finding():
  rows = np.zeros((300, 6))
  rows[0] = [1, 2, 3, 4, 0.9, 79]
  found = yolo_layout.sort_out(rows, 0)
  assert found.classes.tolist() == [79]


@pytest.mark.parametrize("kind", ["v8", "v5", "end"])
def test_yolo_s_masks_are_sums_of_prototypes_in_the_box(tmp_path, kind):
  rng = np.random.default_rng(4)
  corners = np.array([[3, 9, 30, 40], [20.5, 12.2, 63.9, 55.0]])
  scores, classes = np.array([0.9, 0.8]), np.array([0, 2])
  weights = rng.normal(size=(2, 4))
  prototypes = ndimage.gaussian_filter(rng.normal(size=(4, 16, 16)), (0, 1, 1))
  answers = {
    "output0": _predictions(kind, corners, scores, classes, weights),
    "output1": prototypes[None].astype(np.float32),
  }
  model = write_constant(tmp_path / "m.onnx", answers)
  found = OnnxDetector(model).detect(_photo(), masks=True)
  rows, columns = np.mgrid[:45, :60]
  for i in range(2):
    logits = np.tensordot(weights[i], prototypes, 1)
    # Rows of the photo lie 48/45 apart from row 8 on; 4 of them a prototype's.
    places = (
      ((rows + 0.5) * 48 / 45 + 8) / 4 - 0.5,
      ((columns + 0.5) * 64 / 60) / 4 - 0.5,
    )
    plane = ndimage.map_coordinates(logits, places, order=1, mode="nearest")
    left, top, right, bottom = found.boxes[i]
    inside = (columns >= left) & (columns < right)
    inside &= (rows >= top) & (rows < bottom)
    want = inside & (plane > 0)
    assert 50 < want.sum() < inside.sum()
    assert np.count_nonzero(_decode(found.masks[i]) != want) <= 2


def test_a_torchvision_model_sees_the_photo_as_it_is(tmp_path):
  model = write_echo(tmp_path / "m.onnx", (3, "h", "w"))
  detector = OnnxDetector(model)
  assert detector.layout == "torchvision"
  seen = []
  run = detector._run
  detector._run = lambda batch: (
    seen.append(run(batch)["boxes"])
    or {
      "boxes": np.zeros((0, 4), np.float32),
      "labels": np.zeros(0, np.int64),
      "scores": np.zeros(0, np.float32),
    }
  )
  image = _photo()
  found = detector.detect(image)
  assert seen[0].shape == (3, *SIZE)
  np.testing.assert_allclose(seen[0], image.transpose(2, 0, 1) / 255, rtol=1e-6)
  assert found.boxes.shape == (0, 4)


@pytest.mark.parametrize("shape", [(3, "h", "w"), (1, 3, 90, 80)])
def test_torchvision_s_outputs_are_read_as_they_stand(tmp_path, shape):
  """Into 90x80 a photo of 45x60 goes 4/3 as large, in the upper left."""
  fixed = len(shape) == 4
  canvas = (90, 80) if fixed else SIZE
  soft = np.zeros((3, 1, *canvas), np.float32)
  soft[0, 0, 8:40, 4:40] = 0.51
  soft[0, 0, 40:60, 4:40] = 0.49
  soft[2, 0, :4, :4] = 1
  answers = {
    "boxes": np.array(
      [[4, 8, 40, 60], [0, 0, 9, 9], [-3, 0, 4, 4]], np.float32
    ),
    "labels": np.array([90, 0, 1]),
    "scores": np.array([0.7, 0.9, 0.2], np.float32),
    "masks": soft,
  }
  model = write_constant(tmp_path / "m.onnx", answers, shape)
  found = OnnxDetector(model).detect(_photo(), masks=True)
  scale = 3 / 4 if fixed else 1
  want = np.array([[4, 8, 40, 60], [0, 0, 4, 4]]) * scale
  np.testing.assert_allclose(found.boxes, want.clip(0, [60, 45, 60, 45]))
  assert found.categories.tolist() == [90, 1]
  np.testing.assert_allclose(found.scores, [0.7, 0.2], rtol=1e-6)
  rows, columns = np.mgrid[:45, :60] + 0.5
  inside = (rows > 8 * scale) & (rows < 40 * scale)
  inside &= (columns > 4 * scale) & (columns < 40 * scale)
  mask = _decode(found.masks[0])
  # Resampled, .51 falls below a half on the way to the outside.
  core = ndimage.binary_erosion(inside) if fixed else inside
  assert (core <= mask).all()
  assert (mask <= inside).all()
  assert _decode(found.masks[1]).sum() == (9 if fixed else 16)


def test_the_finder_of_the_tests_finds(tmp_path):
  image = np.full((*SIZE, 3), 40, np.uint8)
  image[10:30, 20:50, 0] = 204
  found = OnnxDetector(write_finder(tmp_path / "m.onnx", 17)).detect(
    image, masks=True
  )
  assert found.boxes.tolist() == [[20, 10, 50, 30]]
  assert found.categories.tolist() == [17]
  np.testing.assert_allclose(found.scores, [0.8], rtol=1e-6)
  np.testing.assert_array_equal(_decode(found.masks[0]), image[..., 0] == 204)


NAMED = {
  "boxes": np.zeros((1, 4), np.float32),
  "labels": np.ones(1, np.int64),
  "scores": np.ones(1, np.float32),
}
V8 = {"output0": np.zeros((1, 84, 20), np.float32)}
ODD = {"dets": np.zeros((1, 4), np.float32), "ids": np.ones(1, np.int64)}


@pytest.mark.parametrize(
  ("answers", "options", "words"),
  [
    (
      ODD,
      {},
      r"the outputs dets \[1, 4\], ids \[1\]: neither .* boxes, labels",
    ),
    (V8, {"layout": "torchvision"}, r"output0 \[1, 84, 20\]: .* needs boxes"),
    (NAMED, {"layout": "yolo"}, r"scores \[1\]: the yolo layout needs \[1, 84"),
    (V8, {"layout": "tv"}, "no detector layout 'tv': choose from torchvision"),
    (
      V8,
      {"shape": (3, 64, 64)},
      r"images \[3, 64, 64\]: the yolo layout needs",
    ),
    (NAMED, {"shape": (64, 64)}, r"needs one, \[3, H, W\] or \[1, 3, H, W\]"),
    (V8, {"kind": TensorProto.UINT8}, "export it with an input of floats"),
  ],
)
def test_a_model_of_another_form_is_told_before_it_runs(
  tmp_path, answers, options, words
):
  layout = options.pop("layout", None)
  model = write_constant(tmp_path / "m.onnx", answers, **options)
  with pytest.raises(ConfigError, match=words):
    OnnxDetector(model, layout)


@pytest.mark.parametrize(
  ("answers", "masks", "words"),
  [
    ({"out": np.zeros((1, 14, 20), np.float32)}, False, r"out \[1, 14, 20\]:"),
    (
      {
        "a": np.zeros((1, 84, 20), np.float32),
        "b": np.zeros((1, 84, 20), np.float32),
      },
      False,
      "the yolo layout needs",
    ),
    (
      {**NAMED, "boxes": np.zeros((1, 5), np.float32)},
      False,
      r"boxes is \[1, 5",
    ),
    ({**NAMED, "labels": np.ones(2, np.int64)}, False, r"labels is \[2\], not"),
    (
      {**NAMED, "masks": np.zeros((1, 1, 28, 28), np.float32)},
      True,
      r"masks is \[1, 1, 28, 28\], not",
    ),
    (
      {**NAMED, "boxes": np.full((1, 4), np.nan, np.float32)},
      False,
      "boxes is not finite",
    ),
    (V8, True, "needs a model with masks"),
    (NAMED, True, "no output masks"),
  ],
)
def test_answers_of_another_form_are_told(tmp_path, answers, masks, words):
  detector = OnnxDetector(write_constant(tmp_path / "m.onnx", answers))
  with pytest.raises(ConfigError, match=words):
    detector.detect(_photo(), masks=masks)


def test_files_that_are_no_models_are_told(tmp_path, monkeypatch):
  path = tmp_path / "m.onnx"
  with pytest.raises(RoijaxError, match=r"no detector .*docs/machine\.md"):
    OnnxDetector(path)
  path.write_bytes(b"not a model")
  with pytest.raises(RoijaxError, match="no ONNX model that runs here: "):
    OnnxDetector(path)
  monkeypatch.setitem(sys.modules, "onnxruntime", None)
  with pytest.raises(RoijaxError, match=r"pip install 'roijax\[detect\]'"):
    OnnxDetector(path)


def test_a_model_that_fails_on_a_photo_is_told(tmp_path):
  # It says that any size does, and adds an array of one.
  ports = [(n, TensorProto.FLOAT, [3, "h", "w"]) for n in ("in", *NAMED)]
  nodes = [helper.make_node("Add", ["in", "c"], [n]) for n in NAMED]
  model = write_model(
    tmp_path / "m.onnx",
    nodes,
    ports[:1],
    ports[1:],
    [("c", np.zeros((3, 64, 64), np.float32))],
  )
  words = r"^m\.onnx fails on in \[3, 45, 60\]: [A-Z]"
  with pytest.raises(RoijaxError, match=words):
    OnnxDetector(model).detect(_photo())
