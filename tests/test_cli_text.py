"""Phrases and similarity maps on the command line, from end to end."""

import json
import os
import shutil
import types

import coco_photos
import command_runner
import jpeg_codec
import numpy as np
import pytest
import text_models as tiny
from command_runner import HEIGHT, WIDTH
from PIL import Image

from roijax.roi import (
  predictor,
  saliency_model,
  segmenter,
  similarity,
  text,
)
from roijax.roi.choices import Choices


@pytest.fixture(name="roijax")
def _roijax(tmp_path, monkeypatch, capfdbinary):
  run = command_runner.start(tmp_path, monkeypatch, capfdbinary)
  Image.fromarray(tiny.make_photo((HEIGHT, WIDTH))).save("photo.png")
  tiny.write_clipseg("model")
  return run


def _compress(run, *more):
  code, out, err = run(
    "compress", "photo.png", "-o", "a.roij", "--overwrite", "--json", *more
  )
  assert (code, err) == (0, "")
  return json.loads(out)


def _values():
  choices = Choices(text_model="model")
  image = tiny.make_photo((HEIGHT, WIDTH))
  return text.measure(image, "", "a red box", choices).values


PHRASE = ("--roi", "text:a red box", "--text-model", "model")


def test_a_phrase_makes_a_file_and_a_preview(roijax):
  record = _compress(roijax, *PHRASE, "--preview", "p.png", "--keep-mask")
  share = (_values() >= segmenter.CLIPSEG_THRESHOLD).mean()
  assert 0.1 < share < 0.5
  assert record["roi"]["share"] == pytest.approx(share, abs=1e-6)
  # The region above, the map below.
  with Image.open("p.png") as drawn:
    assert drawn.size == (WIDTH, 2 * HEIGHT)
  code, out, _ = roijax("info", "--json", "a.roij")
  assert code == 0
  assert json.loads(out)["roi"]["share"] == pytest.approx(share, abs=1e-6)


def test_the_threshold_moves_the_region(roijax):
  shares = [
    _compress(roijax, *PHRASE, "--roi-threshold", str(threshold))["roi"][
      "share"
    ]
    for threshold in (0.2, 0.4, 0.9)
  ]
  expected = [(_values() >= np.float32(t)).mean() for t in (0.2, 0.4, 0.9)]
  assert shares == pytest.approx(expected, abs=1e-6)
  assert shares[0] > shares[1] > shares[2]


def test_many_photos_are_looked_at_by_one_phrase(roijax):
  os.mkdir("many")
  for name in ("a", "b"):
    shutil.copy("photo.png", f"many/{name}.png")
  code, _, err = roijax("compress", "many", *PHRASE)
  assert (code, err) == (0, "")
  assert sorted(os.listdir("many")) == ["a.png", "a.roij", "b.png", "b.roij"]


def test_a_stored_map_is_cut(roijax):
  values = np.uint8(np.rint(255 * _values()))
  Image.fromarray(values).save("map.png")
  whole = _compress(roijax, "--roi", "sim:map.png", "--roi-threshold", "0.3")
  assert whole["roi"]["share"] == pytest.approx(
    (values / 255 >= 0.3).mean(), abs=1e-6
  )
  usual = _compress(roijax, "--roi", "sim:map.png")
  assert usual["roi"]["share"] == pytest.approx(
    (values / 255 >= similarity.TAU).mean(), abs=1e-6
  )


def test_info_tells_the_bits_of_a_phrase(roijax):
  _compress(roijax)
  code, out, err = roijax("info", "--json", "a.roij", *PHRASE)
  assert (code, err) == (0, "")
  assert 0.05 < json.loads(out)["roi"]["share"] < 0.6


def test_annotations_stand_in_for_a_segmenter(roijax, tmp_path):
  photos, path = coco_photos.write(tmp_path / "coco")
  code, out, err = roijax(
    *("compress", photos / "a.png", "-o", "a.roij", "--json"),
    *("--roi", "text:people", "--annotations", path),
  )
  assert (code, err) == (0, "")
  _, _, width, height = coco_photos.BOXES["a.png"]
  share = width * height / np.prod(coco_photos.SIZE)
  assert json.loads(out)["roi"]["share"] == pytest.approx(share, abs=1e-6)


def test_an_evaluation_goes_by_a_phrase(roijax, tmp_path, monkeypatch):
  weights = types.SimpleNamespace(fingerprint=jpeg_codec.FINGERPRINT)
  monkeypatch.setattr(jpeg_codec.JpegCodec, "weights", weights, raising=False)
  photos, path = coco_photos.write(tmp_path / "coco")
  common = ("eval", f"--data={photos}", "--qualities=3", "--checkpoint=weights")
  code, _, err = roijax(
    *common, "--roi=text:people", f"--annotations={path}", "--out=by_category"
  )
  assert code == 0, err
  results = json.loads((tmp_path / "by_category/results.json").read_text())
  regions = [row["roi_pixels"] for row in results["photos"]]
  boxes = coco_photos.BOXES.values()
  assert regions == [None if b is None else b[2] * b[3] for b in boxes]
  assert str(path) in json.dumps(results)
  code, _, err = roijax(
    *common, "--roi=text:red", "--text-model=model", "--out=by_segmenter"
  )
  assert code == 0, err
  results = json.loads((tmp_path / "by_segmenter/results.json").read_text())
  assert any(row["roi_pixels"] for row in results["photos"])


def test_the_help_has_the_thresholds_of_the_code(roijax):
  for command in (["compress"], ["info"], ["eval"], ["plot", "attention"]):
    told = " ".join(roijax(*command, "--help")[1].split())
    assert (
      f"When absent: {similarity.TAU}, of CLIPSeg"
      f" {segmenter.CLIPSEG_THRESHOLD}, of saliency:"
      f" {saliency_model.THRESHOLD}, of auto {predictor.THRESHOLD}." in told
    )


ONE = ("compress", "photo.png", "-o", "x.roij")


@pytest.mark.parametrize(
  ("arguments", "words"),
  [
    ((*ONE, "--roi", "text:"), "'text:' says too little"),
    ((*ONE, "--roi", "text: "), "an empty phrase names nothing"),
    ((*ONE, *PHRASE, "--roi-threshold", "1.5"), "between 0 and 1"),
    ((*ONE, *PHRASE, "--roi-threshold", "0"), "between 0 and 1"),
    ((*ONE, *PHRASE, "--roi-threshold", "nan"), "between 0 and 1"),
    ((*ONE, *PHRASE, "--roi-threshold", "x"), "Invalid value"),
    ((*ONE, "--roi-threshold", "0.5"), "--roi-threshold cuts the maps"),
    ((*ONE, "--roi", "face", "--text-model", "m"), "which is not given"),
    ((*ONE, "--roi", "face", "--annotations", "m"), "which is not given"),
    ((*ONE, *PHRASE, "--annotations", "x.json"), "give one"),
    ((*ONE, "--roi", "text:x", "--text-model", "empty"), "empty lacks tok"),
    ((*ONE, "--roi", "text:x", "--text-model", "gone"), "no folder gone"),
    ((*ONE, "--roi", "text:x", "--annotations", "gone"), "no such annotations"),
    (
      (*ONE, "--roi", "text:parson", "--annotations", "i.json"),
      "no category 'parson': the nearest of its 2 are 'person', 'dog'",
    ),
    ((*ONE, "--roi", "sim:gone.png"), "no such similarity map: gone.png"),
    (
      (*ONE, "--roi", "sim:dark.png"),
      "the highest similarity is 0.0392, below",
    ),
    (("info", "a.roij", "--roi-threshold", "0.5"), "--roi-threshold cuts"),
    (("eval", "--data=empty", "--roi=face", "--text-model=x"), "not given"),
    (("eval", "--data=empty", "--annotations=x"), "needs --task="),
    (
      ("eval", "--data=empty", "--roi=text:x", "--text-model=m")
      + ("--annotations=x",),
      "give one",
    ),
    (("plot", "attention", "photo.png", "--text-model=m"), "not given"),
  ],
)
def test_what_is_wrong_is_one_line_and_writes_nothing(roijax, arguments, words):
  os.mkdir("empty")
  with open("i.json", "w") as file:
    json.dump(coco_photos.annotate(), file)
  Image.new("L", (WIDTH, HEIGHT), 10).save("dark.png")
  before = sorted(os.listdir())
  code, out, err = roijax(*arguments)
  assert (code, out) == (2, "")
  assert err.startswith("error: ") and err.count("\n") == 1
  assert words in err
  assert sorted(os.listdir()) == before
