"""`roijax roi`: maps of photos, and what else takes a saliency network."""

import json
import os
import pathlib
import pickle

import command_runner
import numpy as np
import pytest
import saliency_models as tiny
from command_runner import HEIGHT, WIDTH, write_photo
from PIL import Image
from text_models import make_photo

from roijax.commands.inputs import Job
from roijax.commands.mark import Mark
from roijax.roi import predictor, saliency_model
from roijax.roi.choices import Choices
from roijax.roi.spec import parse_roi

SALIENT = ("--roi", "saliency:model.onnx")


@pytest.fixture(name="roijax")
def _roijax(tmp_path, monkeypatch, capfdbinary):
  run = command_runner.start(tmp_path, monkeypatch, capfdbinary)
  Image.fromarray(make_photo((HEIGHT, WIDTH))).save("photo.png")
  tiny.write_saliency("model.onnx", (24, 40))
  return run


def read(path):
  with Image.open(path) as image:
    assert image.mode == "L" and image.format == "PNG"
    return np.asarray(image)


def measured(path="photo.png", model="model.onnx"):
  with Image.open(path) as image:
    pixels = np.asarray(image.convert("RGB"))
  return saliency_model.measure(model, pixels, "").values


def write_folder():
  """Photos of three names, one of them in a folder; a black one."""
  write_photo("photos/a.jpg", 1)
  write_photo("photos/sub/b.png", 2, (40, 30))
  Image.new("RGB", (30, 20)).save("photos/black.png")
  return ["a.png", "black.png", "sub/b.png"]


def below(folder):
  paths = pathlib.Path(folder).rglob("*.png")
  return sorted(path.relative_to(folder).as_posix() for path in paths)


def test_one_map_is_soft_and_of_the_photo_s_size(roijax):
  code, out, err = roijax("roi", "photo.png", "-o", "map.png", *SALIENT)
  assert (code, err) == (0, "")
  expected = np.rint(255 * measured())
  np.testing.assert_array_equal(read("map.png"), expected)
  assert len(np.unique(expected)) > 20
  assert out == (
    f"map.png: {WIDTH}x{HEIGHT} pixels, mean {expected.mean() / 255:.3f},"
    f" largest {expected.max() / 255:.3f}\n"
  )
  code, out, _ = roijax("roi", "photo.png", "-o", "maps/", "--json", *SALIENT)
  record = json.loads(out)
  assert code == 0 and record["output"] == "maps/photo.png"
  assert record["found"] and record["notes"] == []
  assert record["mean"] == pytest.approx(expected.mean() / 255, abs=1e-6)
  assert record["bytes"] == os.path.getsize("maps/photo.png")
  code, out, _ = roijax("roi", "photo.png", "-o", "-", *SALIENT, text=False)
  assert code == 0 and out == pathlib.Path("map.png").read_bytes()


def test_a_map_is_cut_where_a_mask_is_asked_for(roijax):
  for threshold, more in ((0.5, ()), (0.8, ("--roi-threshold", "0.8"))):
    code, _, err = roijax(
      *("roi", "photo.png", "-o", "m.png", "--mask", "--overwrite"),
      *SALIENT,
      *more,
    )
    assert (code, err) == (0, "")
    inside = measured() >= np.float32(threshold)
    assert 0 < inside.mean() < 1
    np.testing.assert_array_equal(read("m.png"), 255 * inside)


def test_a_spec_without_a_soft_map_gives_its_mask(roijax):
  for specs in (["box:5,6,10,20"], ["box:5,6,10,20", SALIENT[1]]):
    asked = [f"--roi={spec}" for spec in specs]
    code, _, err = roijax("roi", "photo.png", "-o", "x.png", "--overwrite")
    assert code == 2 and "--roi says what to look for" in err
    code, _, err = roijax(
      "roi", "photo.png", "-o", "x.png", "--overwrite", *asked
    )
    assert (code, err) == (0, "")
    expected = np.zeros((HEIGHT, WIDTH))
    if len(specs) > 1:
      expected = np.rint(255 * measured())
    expected[6:26, 5:15] = 255
    np.testing.assert_array_equal(read("x.png"), expected)


def test_a_written_map_is_a_similarity(roijax):
  roijax("roi", "photo.png", "-o", "map.png", *SALIENT)
  with Image.open("photo.png") as image:
    pixels = np.asarray(image)
  choices = Choices(0.5)
  size = HEIGHT, WIDTH
  both = [
    parse_roi(spec, size, "photo.png", pixels, choices)
    for spec in ("sim:map.png", SALIENT[1])
  ]
  # They may differ where rounding to 255 levels moves a value over 0.5.
  assert (both[0] != both[1]).mean() < 0.02
  assert 0 < both[0].mean() < 1


def test_a_folder_is_mapped_and_what_shows_nothing_is_black(roijax):
  names = write_folder()
  code, out, err = roijax("roi", "photos", "-o", "maps", "--mask", *SALIENT)
  assert (code, err) == (0, "")
  assert below("maps") == names
  assert "1 of 3: nothing was found: the map is black" in out
  assert not read("maps/black.png").any()
  for name, source in (("a.png", "a.jpg"), ("sub/b.png", "sub/b.png")):
    values = measured(f"photos/{source}")
    inside = values >= np.float32(saliency_model.THRESHOLD)
    assert inside.any()
    np.testing.assert_array_equal(read(f"maps/{name}"), 255 * inside)
  # Again: nothing is done twice, and what is new is done.
  write_photo("photos/c.jpg", 3)
  code, out, _ = roijax("roi", "photos", "-o", "maps", "--json", *SALIENT)
  records = [json.loads(line) for line in out.splitlines()]
  assert code == 0 and len(records) == 4
  assert [r["input"] for r in records if not r.get("skipped")] == [
    "photos/c.jpg"
  ]
  code, out, _ = roijax("roi", "photos", "-o", "soft", *SALIENT)
  assert code == 0 and "nothing was found" not in out
  assert read("soft/black.png").any()


def test_opencv_s_saliency_of_a_flat_photo_is_black(roijax):
  Image.new("RGB", (30, 20), (90, 90, 90)).save("flat.png")
  code, out, err = roijax("roi", "flat.png", "-o", "f.png", "--roi", "saliency")
  assert (code, err) == (0, "")
  assert "note: nothing was found" in out and not read("f.png").any()


def test_a_grey_of_one_is_nothing(roijax, monkeypatch):
  monkeypatch.setattr(
    predictor, "predict", lambda image: np.full(image.shape[:2], 0.005, "f4")
  )
  code, out, _ = roijax("roi", "photo.png", "-o", "a.png", "--roi", "auto")
  assert code == 0 and "nothing was found" in out
  assert not read("a.png").any()


def test_one_bad_photo_of_many_does_not_stop_the_others(roijax):
  names = write_folder()
  pathlib.Path("photos/bad.jpg").write_bytes(b"?")
  code, _, err = roijax("roi", "photos", "-o", "maps", *SALIENT)
  assert code == 2 and below("maps") == names
  assert err.startswith("error: photos/bad.jpg") and err.count("\n") == 1


def test_the_work_can_be_sent_to_another_process(roijax):
  work = Mark((SALIENT[1], "center"), Choices(0.7), True, 10**6)
  sent = pickle.loads(pickle.dumps(work))
  job = Job(pathlib.Path("photo.png"), pathlib.Path("a.png"))
  record = sent(job)
  assert record["found"] and read("a.png").any()
  record.pop("seconds")
  again = work(job)
  assert {key: again[key] for key in record} == record


def test_a_saliency_network_makes_a_file_and_a_preview(roijax):
  code, out, err = roijax(
    *("compress", "photo.png", "-o", "a.roij", "--json", *SALIENT),
    *("--preview", "p.png", "--roi-threshold", "0.6"),
  )
  assert (code, err) == (0, "")
  share = (measured() >= np.float32(0.6)).mean()
  assert json.loads(out)["roi"]["share"] == pytest.approx(share, abs=1e-6)
  with Image.open("p.png") as drawn:
    assert drawn.size == (WIDTH, 2 * HEIGHT)


@pytest.mark.parametrize(
  ("arguments", "words"),
  [
    (("photo.png", *SALIENT), "-o is needed"),
    (("photo.png", "-o", "", *SALIENT), "-o is needed"),
    (("photo.png", "-o", "maps", *SALIENT), "a map is a PNG: end its name in"),
    (("photo.png", "-o", "m.jpg", *SALIENT), "a map is a PNG"),
    (("photo.png", "-o", "photo.png", *SALIENT), "is an input itself"),
    (("photo.png", "-o", "there.png", *SALIENT), "there.png exists"),
    (("photos", "-o", "photos/maps", *SALIENT), "in the photos' own folder"),
    ((".", "-o", "maps", *SALIENT), "lies in the photos' own folder"),
    (("photos", "-o", "maps.png", *SALIENT), "looks like a file"),
    (("photos", "-o", "there.png", *SALIENT), "several inputs need a folder"),
    (("gone", "-o", "m.png", *SALIENT), "no such photo: gone"),
    (("empty", "-o", "maps", *SALIENT), "no photo below empty"),
    (("photo.png", "-o", "m.png"), "--roi says what to look for"),
    (("photo.png", "-o", "m.png", "--roi", "none"), "looks for nothing"),
    (
      ("photo.png", "-o", "m.png", *SALIENT, "--roi-threshold", "0.5"),
      "--roi-threshold says where to cut a map, but maps stay soft",
    ),
    (
      ("photo.png", "-o", "m.png", "--roi", "auto:0.2"),
      "auto:0.2 says where to cut",
    ),
    (
      ("photo.png", "-o", "m.png", "--mask", "--roi", "center")
      + ("--roi-threshold", "0.5"),
      "--roi-threshold cuts the maps of",
    ),
    (
      ("photo.png", "-o", "m.png", "--roi", "saliency:gone.onnx"),
      "no such saliency model: gone.onnx",
    ),
    (
      ("photos", "-o", "maps", "--roi", "saliency:gone.onnx"),
      "error: no such saliency model: gone.onnx",
    ),
    (
      ("photos", "-o", "maps", "--roi", "text:red", "--text-model", "empty"),
      "error: the segmenter's folder empty lacks",
    ),
    (("photo.png", "-o", "m.png", "--roi", "saliency:"), "says too little"),
    (("photo.png", "-o", "m.png", "--roi", "zebra"), "no mask file 'zebra'"),
    (("photo.png", "-o", "-", "--json", *SALIENT), "both want the standard"),
    (("photo.png", "-o", "m.png", *SALIENT, "--jobs", "0"), "--jobs is 0"),
  ],
)
def test_what_is_wrong_is_one_line_and_writes_nothing(roijax, arguments, words):
  os.mkdir("empty")
  write_photo("photos/a.jpg")
  Image.new("L", (9, 9)).save("there.png")
  before = sorted(map(str, pathlib.Path().rglob("*")))
  code, out, err = roijax("roi", *arguments)
  assert (code, out) == (2, "")
  assert err.startswith("error: ") and err.count("\n") == 1
  assert words in err
  assert sorted(map(str, pathlib.Path().rglob("*"))) == before
