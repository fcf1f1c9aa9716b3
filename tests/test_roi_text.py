"""`--roi text:` by segmenters, against the same in plain NumPy."""

import socket
import sys

import numpy as np
import numpy_segmenter as reference
import pytest
import text_models as tiny
from onnx import TensorProto, helper
from onnx_models import write_model
from PIL import Image

import roijax
from roijax.errors import DataError, NothingFoundError, RoijaxError
from roijax.roi import parse_roi, segmenter, text, text_models, unite
from roijax.roi.choices import Choices
from roijax.roi.similarity import TAU
from roijax.roi.text_models import Place, find_model

SIZES = [(44, 60), (24, 24), (9, 70), (100, 31), (1, 1)]


@pytest.fixture(name="clipseg", scope="module")
def _clipseg(tmp_path_factory):
  return tiny.write_clipseg(tmp_path_factory.mktemp("clipseg"))


@pytest.fixture(name="lseg", scope="module")
def _lseg(tmp_path_factory):
  return tiny.write_lseg(tmp_path_factory.mktemp("lseg"))


@pytest.fixture(name="cache")
def _cache(tmp_path, monkeypatch):
  """The model hub's cache, empty, in a machine without a network."""
  from huggingface_hub import constants

  def refuse(*arguments, **options):
    raise AssertionError("nothing is to be downloaded")

  monkeypatch.setattr(socket, "getaddrinfo", refuse)
  folder = tmp_path / "hub"
  monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder))
  return folder


def measure(folder, image, phrase, **choices):
  chosen = Choices(text_model=str(folder), **choices)
  return text.measure(image, "a.jpg", phrase, chosen)


def grain(size, seed=0):
  return np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_clipseg_is_the_sigmoid_of_the_logits_at_the_photo_s_size(
  clipseg, size
):
  image = grain(size)
  for phrase in ("a red box", "blue", "the the " * 60):
    found = measure(clipseg, image, phrase)
    assert found.values.shape == size and found.values.dtype == np.float32
    reference.assert_one(
      found.values,
      lambda axes, p=phrase: reference.clipseg(image, p, axes),
      2e-5,
    )
  assert found.threshold == segmenter.CLIPSEG_THRESHOLD


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_lseg_is_the_cosine_at_the_photo_s_size(lseg, size):
  image = grain(size)
  for phrase in ("a red box", "blue", "the red the blue the red the a"):
    found = measure(lseg, image, phrase)
    reference.assert_one(
      found.values, lambda axes, p=phrase: reference.lseg(image, p, axes), 2e-5
    )
  assert found.threshold == TAU
  # Both ends of the range are there to be looked at.
  assert reference.lseg(grain((60, 60)), "red").min() == 0


@pytest.mark.parametrize("length", [None, 77])
def test_lseg_takes_phrases_of_fixed_and_of_any_length(tmp_path, lseg, length):
  image = grain((30, 50))
  other = tiny.write_lseg(tmp_path / "other", length)
  np.testing.assert_array_equal(
    measure(other, image, "a red box").values,
    measure(lseg, image, "a red box").values,
  )


@pytest.mark.parametrize("name", segmenter.CLIPSEG_FILES)
def test_clipseg_s_file_may_have_several_names_and_places(
  tmp_path, clipseg, name
):
  image = grain((30, 50))
  expected = measure(clipseg, image, "red").values
  for place in ("onnx/", ""):
    folder = tiny.write_clipseg(tmp_path / f"m{place}", place + name)
    np.testing.assert_array_equal(
      measure(folder, image, "red").values, expected
    )
  folder = tiny.write_clipseg(tmp_path / "flat", flat=True)
  np.testing.assert_array_equal(measure(folder, image, "red").values, expected)


@pytest.mark.parametrize("layout", ["clipseg", "lseg"])
def test_a_phrase_marks_what_it_names(clipseg, lseg, layout):
  image = tiny.make_photo((48, 60), (12, 36, 20, 50))
  inside = np.zeros(image.shape[:2])
  inside[12:36, 20:50] = 1
  folder = {"clipseg": clipseg, "lseg": lseg}[layout]
  choices = Choices(text_model=str(folder))
  red = parse_roi("text:a red box", (48, 60), "a.jpg", image, choices)
  assert red.dtype == np.float32 and set(np.unique(red)) == {0, 1}
  overlap = np.minimum(red, inside).sum() / np.maximum(red, inside).sum()
  assert overlap > 0.7
  if layout == "clipseg":
    blue = parse_roi("text:blue", (48, 60), "a.jpg", image, choices)
    assert (blue * inside).sum() < 0.2 * inside.sum() < blue.sum()


def test_the_threshold_is_the_user_s_before_the_segmenter_s(clipseg):
  image = tiny.make_photo()
  size = image.shape[:2]
  values = measure(clipseg, image, "red").values
  for threshold in (None, 0.1, 0.7):
    choices = Choices(threshold, text_model=str(clipseg))
    roi = parse_roi("text:red", size, None, image, choices)
    cut = np.float32(threshold or segmenter.CLIPSEG_THRESHOLD)
    np.testing.assert_array_equal(roi, values >= cut)
  both = unite(["text:red", "box:0,0,3,3"], size, None, image, choices)
  assert both.sum() == roi.sum() + 9


def test_nothing_found_names_the_highest_similarity(clipseg):
  image = np.full((20, 30, 3), 160, np.uint8)
  highest = float(measure(clipseg, image, "red").values.max())
  assert 0.01 < highest < segmenter.CLIPSEG_THRESHOLD
  lower = np.floor(100 * highest) / 100
  choices = Choices(text_model=str(clipseg))
  with pytest.raises(NothingFoundError) as info:
    parse_roi("text:red", (20, 30), "a.jpg", image, choices)
  line = str(info.value)
  start = "no 'red' found in a.jpg: the highest similarity is "
  told = float(line.removeprefix(start).partition(",")[0])
  assert line.startswith(start) and 0 <= highest - told < 1e-4
  assert (
    f"below 0.4; give a lower threshold, --roi-threshold {lower:g}," in line
  )
  again = Choices(lower, text_model=str(clipseg))
  assert parse_roi("text:red", (20, 30), "a.jpg", image, again).any()


def test_the_hub_s_cache_is_used_and_nothing_downloaded(cache):
  with pytest.raises(DataError) as info:
    find_model()
  line = str(info.value)
  assert f"`hf download {text_models.DEFAULT} onnx/model.onnx " in line
  assert "--text-model FOLDER" in line and "\n" not in line
  image = tiny.make_photo()
  for name in (text_models.DEFAULT, "some-one/other.model"):
    place = cache / f"models--{name.replace('/', '--')}"
    snapshot = place / "snapshots" / "0123abc"
    tiny.write_clipseg(snapshot)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text("0123abc")
    given = None if name == text_models.DEFAULT else name
    found = text.measure(image, "", "red", Choices(text_model=given))
    reference.assert_one(
      found.values, lambda axes: reference.clipseg(image, "red", axes), 2e-5
    )
    # What was downloaded in part is told with the command for the rest.
    (snapshot / "tokenizer.json").unlink()
    text._load.cache_clear()
    with pytest.raises(DataError, match=f"lacks tokenizer.json: .*{name} onnx"):
      text.measure(image, "", "red", Choices(text_model=given))


@pytest.mark.parametrize(
  ("given", "words"),
  [
    (
      "no/such",
      "neither a folder nor in the model hub's cache is no/such: dow",
    ),
    ("no-such", "no folder no-such: --text-model takes one"),
    ("no/such/folder", "no folder no/such/folder"),
    ("-x/y", "neither a folder"),
  ],
)
def test_a_model_that_is_not_here_is_one_line(cache, given, words):
  with pytest.raises(DataError, match=words) as info:
    find_model(given)
  assert "\n" not in str(info.value)


@pytest.mark.parametrize(
  ("package", "what"),
  [
    ("huggingface_hub", "needs huggingface_hub"),
    ("tokenizers", "needs tokenizers"),
    ("onnxruntime", "need onnxruntime"),
  ],
)
def test_missing_packages_are_told(clipseg, monkeypatch, package, what):
  monkeypatch.setitem(sys.modules, package, None)
  with pytest.raises(
    RoijaxError, match=what + r": pip install 'roijax\[text\]'"
  ):
    if package == "huggingface_hub":
      find_model()
    segmenter.load_segmenter(Place(clipseg, ""))


def _remove(name):
  return lambda folder: (folder / name).unlink()


def _write_other(folder, inputs, outputs, name="onnx/model.onnx"):
  """A model of other inputs and outputs; all say what the first is given."""
  first, *_ = inputs
  nodes = [
    helper.make_node("Cast", [first[0]], [n], to=TensorProto.FLOAT)
    for n, *_ in outputs
  ]
  write_model(folder / name, nodes, inputs, outputs)


PIXELS = ("pixel_values", TensorProto.FLOAT, [1, 3, *tiny.CLIPSEG_SIZE])
IDS = ("input_ids", TensorProto.INT64, [1, "L"])


@pytest.mark.parametrize(
  ("layout", "spoil", "words"),
  [
    (
      "clipseg",
      _remove("onnx/model.onnx"),
      r"lacks model\.onnx \(or image.onnx",
    ),
    ("clipseg", _remove("tokenizer.json"), r"lacks tokenizer\.json: why"),
    ("clipseg", _remove("preprocessor_config.json"), "lacks preprocessor_conf"),
    ("lseg", _remove("image.onnx"), r"lacks image\.onnx"),
    ("lseg", _remove("text.onnx"), r"lacks text\.onnx"),
    ("lseg", tiny.write_clipseg, "a folder is of one segmenter"),
    (
      "clipseg",
      lambda folder: (folder / "onnx/model.onnx").write_text("?"),
      "no ONNX model that runs here",
    ),
    (
      "clipseg",
      lambda folder: _write_other(folder, [PIXELS], [("logits", *PIXELS[1:])]),
      "has the inputs pixel_values .* it needs input_ids, pixel_values",
    ),
    (
      "clipseg",
      lambda folder: _write_other(
        folder, [IDS, PIXELS], [("y", TensorProto.FLOAT, [1, "L"])]
      ),
      "has the outputs y .* it needs logits",
    ),
    (
      "clipseg",
      lambda folder: _write_other(
        folder, [PIXELS, IDS], [("logits", *PIXELS[1:])]
      ),
      r"gives logits \[1, 3, 24, 24\] for one photo",
    ),
    (
      "clipseg",
      lambda folder: tiny.write_config(
        folder / "preprocessor_config.json", (9, 9)
      ),
      r"model\.onnx fails on .*pixel_values \[1, 3, 9, 9\]",
    ),
    (
      "lseg",
      lambda folder: tiny.write_lseg(folder, features=3),
      r"gives an embedding \[1, 3, 8, 12\] and text.onnx one of \[1, 4\]",
    ),
    (
      "lseg",
      lambda folder: _write_other(
        folder,
        [PIXELS],
        [("e", *PIXELS[1:]), ("f", *PIXELS[1:])],
        "image.onnx",
      ),
      "it needs one, the embedding",
    ),
    (
      "lseg",
      lambda folder: write_model(
        folder / "image.onnx",
        [helper.make_node("Sqrt", ["pixel_values"], ["e"])],
        [("pixel_values", TensorProto.FLOAT, [1, "c", *tiny.LSEG_SIZE])],
        [("e", TensorProto.FLOAT, [1, "c", *tiny.LSEG_SIZE])],
      ),
      r"gives an embedding \[1, 3, 16, 24\]",
    ),
  ],
)
def test_folders_that_are_unfit_are_one_line(tmp_path, layout, spoil, words):
  write = {"clipseg": tiny.write_clipseg, "lseg": tiny.write_lseg}[layout]
  folder = write(tmp_path / "m")
  spoil(folder)
  image = tiny.make_photo()
  image[0, 0] = 0
  with pytest.raises(RoijaxError, match=words) as info:
    segmenter.load_segmenter(Place(folder, "why"))(image, "red")
  assert "\n" not in str(info.value)


def test_a_folder_without_any_file_is_one_line(tmp_path):
  with pytest.raises(
    DataError,
    match=r"lacks tokenizer\.json, preprocessor_config\.json, model\.onnx",
  ):
    measure(tmp_path, tiny.make_photo(), "red")


@pytest.mark.parametrize(
  ("phrase", "words"),
  [
    ("text:", "says too little"),
    ("text: \t", "an empty phrase"),
    ("text:\ud800", "no text in UTF-8"),
    ("text:?", r"tokenizer\.json knows no word of '\?'"),
  ],
)
def test_a_phrase_that_says_nothing_is_one_line(clipseg, phrase, words):
  image = tiny.make_photo()
  choices = Choices(text_model=str(clipseg))
  with pytest.raises(DataError, match=words) as info:
    parse_roi(phrase, image.shape[:2], None, image, choices)
  assert "\n" not in str(info.value)


def test_python_codes_by_a_phrase(clipseg, tmp_path, monkeypatch):
  regions = []
  monkeypatch.setattr(
    "roijax.api.load",
    lambda weights: type(
      "Codec",
      (),
      {"compress": lambda self, image, roi, **_: regions.append(roi) or b""},
    )(),
  )
  image = tiny.make_photo()
  roijax.compress(image, "text:red", text_model=clipseg, roi_threshold=0.3)
  Image.fromarray(np.uint8(regions[0] * 200)).save(tmp_path / "map.png")
  roijax.compress(image, f"sim:{tmp_path}/map.png", roi_threshold=0.78)
  np.testing.assert_array_equal(*regions)
  assert 0 < regions[0].mean() < 1
  for roi in (None, regions[0], "center"):
    with pytest.raises(DataError, match="--roi-threshold cuts"):
      roijax.compress(image, roi, roi_threshold=0.3)
