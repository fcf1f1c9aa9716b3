"""Machine tasks from the command line, and their one line when they cannot."""

import csv
import json
import sys
import types

import coco_photos
import command_runner
import jpeg_codec
import numpy as np
import pytest
from onnx_models import write_constant, write_finder
from PIL import Image

from benchmarks import machine
from roijax import cli
from roijax.errors import CheckpointError
from roijax.roi import predictor

DETECT = ("eval", "--task=detection", "--data=val2017")


@pytest.fixture(name="folder")
def _folder(tmp_path, monkeypatch):
  """Where val2017/, annotations/ and finder.onnx lie."""
  coco_photos.write(tmp_path)
  write_finder(tmp_path / "finder.onnx")
  monkeypatch.chdir(tmp_path)
  return tmp_path


@pytest.fixture(name="roijax")
def _roijax(folder, monkeypatch, capfdbinary):
  """The command with a stand-in for the codec."""
  weights = types.SimpleNamespace(fingerprint=jpeg_codec.FINGERPRINT)
  monkeypatch.setattr(jpeg_codec.JpegCodec, "weights", weights, raising=False)
  return command_runner.start(folder, monkeypatch, capfdbinary)


def _summary(folder):
  content = json.loads((folder / "results.json").read_text())
  points = {(p["codec"], p["setting"]): p for p in content["summary"]}
  return content, points


def test_detection_runs_end_to_end_with_real_weights(
  folder, smoke_path, capsys
):
  arguments = [*DETECT, "--detector=finder.onnx", f"--checkpoint={smoke_path}"]
  arguments += ["--qualities=0", "--out=out", "--limit=2"]
  assert cli.exit_code(lambda: cli.run(arguments)) == 0
  content, points = _summary(folder / "out")
  original, decoded = points["original", None], points["roijax", 0]
  assert original["figures"]["ap"] == pytest.approx(1)
  assert original["bpp"] is None
  assert 0 < decoded["bpp"] < 24
  assert decoded["photos"] == 2
  assert content["settings"]["fingerprint"]
  with (folder / "out" / "results.csv").open() as file:
    rows = list(csv.DictReader(file))
  assert [(r["name"], r["codec"]) for r in rows] == [
    (name, codec)
    for name in ("a.png", "b.png")
    for codec in ("original", "roijax")
  ]
  _, _, w, h = coco_photos.BOXES["a.png"]
  assert [r["roi_pixels"] for r in rows[:2]] == [str(w * h)] * 2
  rate = 8 * int(rows[1]["bytes"]) / np.prod(coco_photos.SIZE)
  assert float(rows[1]["bpp"]) == pytest.approx(rate)
  with Image.open(folder / "out" / "detection.png") as plot:
    assert plot.size[0] > 500
  out = capsys.readouterr().out
  assert "original" in out and "100.0" in out
  assert "results: out/results.json, results.csv, detection.png" in out


@pytest.mark.parametrize("task", ["detection", "segmentation"])
def test_coarser_files_show_a_detector_less(roijax, folder, task):
  code, out, err = roijax(
    *("eval", f"--task={task}", "--data=val2017", "--detector=finder.onnx"),
    *("--qualities=6,0", "--anchors=jpeg", "--out=out"),
  )
  assert (code, err) == (0, "")
  content, points = _summary(folder / "out")
  assert list(points) == [
    ("original", None),
    ("roijax", 0),
    ("roijax", 6),
    ("jpeg", 0),
    ("jpeg", 6),
  ]
  ap = {key: point["figures"]["ap"] for key, point in points.items()}
  assert ap["original", None] == pytest.approx(1)
  assert ap["roijax", 0] < ap["roijax", 6] <= 1
  assert points["original", None]["photos"] == 4
  assert content["settings"]["task"] == task
  # Only this photo has nothing to find, and an empty box scores nothing.
  budgets = {
    (p["name"], p["setting"]): p["budget"]
    for p in content["photos"]
    if p["codec"] == "jpeg"
  }
  sizes = {
    (p["name"], p["setting"]): p["bytes"]
    for p in content["photos"]
    if p["codec"] == "roijax"
  }
  assert budgets == sizes
  assert "AP .75" in out


def test_the_predictor_s_regions_are_compared(roijax, folder, monkeypatch):
  monkeypatch.setattr(
    predictor, "predict", lambda image: image[..., 0].astype(np.float32) / 256
  )
  code, out, err = roijax(
    *("eval", "--task=segmentation", "--data=val2017", "--qualities=6,0"),
    *("--detector=predictor:0.6", "--out=out", "--roi=none"),
  )
  assert (code, err) == (0, "")
  _, points = _summary(folder / "out")
  own = points["original", None]["figures"]
  assert own == {"iou": 1.0, "iou_own": 1.0}
  low, high = (points["roijax", q]["figures"] for q in (0, 6))
  assert 0.3 < low["iou"] < high["iou"] <= 1
  assert low["iou_own"] < high["iou_own"]
  assert "mIoU, own" in out
  assert "predictor" in out


def test_what_was_not_scored_is_told(roijax, folder):
  content = coco_photos.annotate()
  content["images"][0]["annotated"] = "one"
  del content["images"][1]
  path = folder / "some.json"
  path.write_text(json.dumps(content))
  code, out, err = roijax(
    *DETECT,
    *("--detector=finder.onnx", "--qualities=3", f"--annotations={path}"),
    "--checkpoint=weights",
  )
  assert (code, err) == (0, "")
  assert "Left out: 1 photo, not all of their objects are annotated." in out
  assert f"Left out: 1 photo, not in {path}." in out
  # Beside an ordinary evaluation, not in its place.
  content, points = _summary(folder / "weights" / "eval" / "detection")
  assert points["original", None]["photos"] == 2
  assert content["left_out"][f"not in {path}"] == ["b.png"]


HOG = "--detector=hog"


@pytest.mark.parametrize(
  ("arguments", "words"),
  [
    (("eval", "--data=val2017", "--task=x"), "no task 'x': choose from none,"),
    (("eval", "--data=val2017", HOG), "--detector needs --task=detection"),
    (
      ("eval", "--data=val2017", "--detector-layout=yolo"),
      "--detector-layout needs --task",
    ),
    (("eval", "--data=val2017", "--annotations=x"), "--annotations needs --t"),
    ((*DETECT, HOG, "--detailed"), "--detailed is of no use with --task"),
    (DETECT, "--task=detection needs --detector: an ONNX file, made with"),
    ((*DETECT, "--detector=no.onnx"), "no detector no.onnx"),
    ((*DETECT, "--detector=predictor"), "predictor is for --task=segmentation"),
    ((*DETECT, HOG, "--detector-layout=yolo"), "--detector-layout is of ONNX"),
    ((*DETECT, "--detector=text.onnx"), "text.onnx is no ONNX model"),
    ((*DETECT, "--detector=odd.onnx"), "odd.onnx has the outputs dets [1, 4]"),
    (
      (*DETECT, "--detector=finder.onnx", "--detector-layout=yolo"),
      "masks [1, 1, ?, ?]: the yolo layout needs [1, 84, N]",
    ),
    (
      (*DETECT, "--detector=few.onnx"),
      "outputs are out [1, 14, 9]: the yolo layout needs [1, 84, N]",
    ),
    (
      ("eval", "--task=segmentation", "--data=val2017", "--detector=v8.onnx"),
      "--task=segmentation needs a model with masks",
    ),
    ((*DETECT, HOG, "--annotations=no.json"), "no such annotations file"),
    ((*DETECT, HOG, "--annotations=text.onnx"), "text.onnx is not JSON"),
    ((*DETECT, HOG, "--annotations=other.json"), "other.json knows none of"),
    (
      ("eval", "--task=detection", "--data=no", HOG, "--annotations=good.json"),
      "no folder of photos 'no'",
    ),
    (
      ("eval", "--task=detection", "--data=sample:val", HOG),
      "machine tasks need --annotations, a COCO file",
    ),
    ((*DETECT, HOG, "--limit=0"), "limit 0 leaves no photo"),
    ((*DETECT, HOG, "--qualities=9"), "quality 9 is outside"),
    ((*DETECT, HOG, "--anchors=jpg"), "no anchor 'jpg'"),
    ((*DETECT, HOG, "--roi=nothing"), "no mask file 'nothing'"),
    ((*DETECT, HOG, "--out=text.onnx/x"), "cannot write results"),
  ],
)
def test_what_cannot_be_is_one_line(roijax, folder, arguments, words):
  (folder / "text.onnx").write_text("no model")
  boxes = np.zeros((1, 4), np.float32)
  write_constant(folder / "odd.onnx", {"dets": boxes})
  write_constant(folder / "few.onnx", {"out": np.zeros((1, 14, 9), "float32")})
  write_constant(folder / "v8.onnx", {"out": np.zeros((1, 84, 9), "float32")})
  other = coco_photos.annotate({"other.jpg": None})
  (folder / "other.json").write_text(json.dumps(other))
  (folder / "good.json").write_text(json.dumps(coco_photos.annotate()))
  code, out, err = roijax(*arguments)
  assert (code, out) == (2, "")
  assert words in err
  assert err.startswith("error: ")
  assert err.count("\n") == 1
  assert not (
    folder / "weights" / "eval" / "detection" / "results.csv"
  ).exists()


@pytest.mark.parametrize(
  ("package", "detector"),
  [
    ("onnxruntime", "finder.onnx"),
    ("pycocotools.cocoeval", "hog"),
    ("matplotlib", "hog"),
  ],
)
def test_a_package_that_is_missing_is_one_line(
  roijax, monkeypatch, package, detector
):
  monkeypatch.setitem(sys.modules, package, None)
  code, out, err = roijax(*DETECT, f"--detector={detector}")
  assert (code, out) == (2, "")
  assert "pip install 'roijax[detect]'" in err
  assert err.count("\n") == 1


def test_weights_of_the_predictor_that_are_missing_are_one_line(
  roijax, monkeypatch
):
  def predict(image):
    raise CheckpointError("no weights of the predictor")

  monkeypatch.setattr(predictor, "predict", predict)
  code, _, err = roijax(
    *("eval", "--task=segmentation", "--data=val2017", "--detector=predictor")
  )
  assert (code, err) == (2, "error: no weights of the predictor\n")


def _bench(folder, capsys, *more):
  arguments = ["machine", "--photos=val2017", "--out=out", *more]
  sys.argv = arguments
  code = cli.exit_code(machine.main)
  return code, *capsys.readouterr()


def test_codecs_stand_side_by_side_at_equal_bytes(
  folder, smoke_path, monkeypatch, capsys
):
  monkeypatch.setattr(sys, "argv", [])
  monkeypatch.setattr(
    predictor, "predict", lambda image: image[..., 0].astype(np.float32) / 256
  )
  settings = (
    f"--checkpoints={smoke_path}",
    "--codecs=jpeg,webp",
    "--detectors=finder.onnx,predictor:0.6",
    "--bpp=2,4",
    "--limit=1",
  )
  code, out, err = _bench(folder, capsys, *settings)
  assert (code, err) == (0, "")
  content, _ = _summary(folder / "out")
  name = smoke_path.name
  codecs = ("original", name, f"{name}, no region", "jpeg", "webp")
  assert [
    (p["judge"], p["codec"], p["setting"]) for p in content["summary"]
  ] == [
    (judge, codec, setting)
    for judge in ("finder.onnx", "predictor:0.6")
    for codec in codecs
    for setting in ((None,) if codec == "original" else (2, 4))
  ]
  for point in content["summary"]:
    if point["codec"] in ("jpeg", "webp"):
      assert point["bpp"] == pytest.approx(point["setting"], rel=0.05)
    if point["codec"] == "original":
      assert next(iter(point["figures"].values())) == pytest.approx(1)
  assert "mIoU, own" in out and "AP .75" in out
  # What was coded is not coded again.
  kept = {p: p.stat().st_mtime_ns for p in (folder / "out/files").rglob("*-*")}
  assert len([path for path in kept if path.is_file()]) == 8
  code, again, _ = _bench(folder, capsys, *settings)
  assert (code, again) == (0, out)
  assert kept == {p: p.stat().st_mtime_ns for p in kept}


@pytest.mark.parametrize(
  ("arguments", "words"),
  [
    (("--photos=",), "--photos is missing"),
    (("--bpp=x",), "'x' is not a list of bits a pixel"),
    (("--bpp=0",), "'0' is not a list of bits a pixel"),
    (("--codecs=jpg",), "no rival 'jpg'"),
    (("--detectors=no.onnx",), "no detector no.onnx"),
    (("--checkpoints=./no", "--detectors=finder.onnx"), "no checkpoint"),
    (("--photo=val2017",), "unrecognized arguments: --photo=val2017"),
  ],
)
def test_the_benchmark_says_in_one_line_what_is_wrong(
  folder, monkeypatch, capsys, arguments, words
):
  monkeypatch.setattr(sys, "argv", [])
  code, out, err = _bench(folder, capsys, *arguments)
  assert (code, out) == (2, "")
  assert words in err
  assert err.count("\n") == 1
