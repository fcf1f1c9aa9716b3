"""`--roi text:` by segmenters, against the same in plain NumPy."""

import json
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
from roijax.roi.text_inputs import MAX_TOKENS, Preprocessor, Tokenizer
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
@pytest.mark.parametrize("square", [(24, 24), (16, 40)], ids=str)
def test_photos_are_prepared_as_in_numpy(tmp_path, size, square):
  path = tmp_path / "preprocessor_config.json"
  tiny.write_config(path, square)
  image = grain(size)
  prepared = Preprocessor(path)(image)
  assert prepared.dtype == np.float32
  assert prepared.shape == (1, 3, *square)
  reference.assert_one(
    prepared[0], lambda axes: reference.preprocess(image, square, axes), 1e-5
  )


def test_the_config_says_how_photos_are_prepared(tmp_path):
  path = tmp_path / "preprocessor_config.json"
  image = grain((20, 20))
  tiny.write_config(path, (20, 20), size=20)
  usual = Preprocessor(path)(image)[0]
  np.testing.assert_allclose(
    usual.transpose(1, 2, 0) * tiny.STD + tiny.MEAN, image / 255, atol=1e-5
  )
  fields = json.loads(path.read_text())
  del fields["resample"], fields["rescale_factor"]
  path.write_text(json.dumps(fields))
  np.testing.assert_array_equal(Preprocessor(path)(image)[0], usual)
  tiny.write_config(path, (20, 20), do_normalize=False, rescale_factor=0.5)
  np.testing.assert_allclose(
    Preprocessor(path)(image)[0], image.transpose(2, 0, 1) / 2
  )
  tiny.write_config(path, (20, 20), do_normalize=False, do_rescale=False)
  np.testing.assert_array_equal(
    Preprocessor(path)(image)[0], image.transpose(2, 0, 1)
  )
  tiny.write_config(path, (10, 10), resample=4, do_normalize=False)
  boxes = image.reshape(10, 2, 10, 2, 3).mean((1, 3)) / 255
  np.testing.assert_allclose(
    Preprocessor(path)(image)[0], boxes.transpose(2, 0, 1), atol=1 / 255
  )


def test_a_grey_photo_is_prepared_as_three_equal_channels(tmp_path):
  path = tmp_path / "preprocessor_config.json"
  tiny.write_config(path, (24, 24))
  grey = grain((30, 50))[..., 0]
  colour = np.repeat(grey[..., None], 3, 2)
  np.testing.assert_array_equal(
    Preprocessor(path)(grey), Preprocessor(path)(colour)
  )


@pytest.mark.parametrize(
  ("content", "words"),
  [
    ("{", "is not JSON"),
    ("[]", "holds no object"),
    ({"size": {"shortest_edge": 224}}, 'size is {"shortest_edge": 224}'),
    ({"size": 0}, "size is 0"),
    ({"size": True}, "size is true"),
    ({"size": 22.5}, "size is 22.5"),
    ({"do_center_crop": True}, "do_center_crop: true"),
    ({"do_resize": False}, "do_resize: false"),
    ({"do_pad": True}, "do_pad: true"),
    ({"resample": 9}, "resample is 9"),
    ({"image_mean": [0.5, 0.5]}, "image_mean is .* must be 3 numbers"),
    ({"image_mean": None}, "image_mean is null"),
    ({"image_std": [1, 1, 0]}, "cannot be 0"),
    ({"image_std": [1, 1, "1"]}, "image_std is"),
    ({"rescale_factor": "1/255"}, "must be a number"),
  ],
)
def test_a_config_that_cannot_be_meant_is_one_line(tmp_path, content, words):
  path = tmp_path / "preprocessor_config.json"
  if isinstance(content, str):
    path.write_text(content)
  else:
    tiny.write_config(path, (24, 24), **content)
  with pytest.raises(DataError, match=words) as info:
    Preprocessor(path)
  assert "\n" not in str(info.value)


@pytest.mark.parametrize(
  "phrase", ["a red box", "The BLUE box", "zebra", "red " * 100], ids=len
)
def test_phrases_become_tokens_as_in_plain_python(tmp_path, phrase):
  path = tmp_path / "tokenizer.json"
  tiny.write_tokenizer(path)
  tokenizer = Tokenizer(path)
  expected = reference.tokenize(phrase, MAX_TOKENS)
  ids, mask = tokenizer(phrase)
  assert ids.dtype == mask.dtype == np.int64
  assert ids.tolist() == [expected]
  assert mask.tolist() == [[1] * len(expected)]
  for length in (8, 90):
    kept = reference.tokenize(phrase, min(length, MAX_TOKENS))
    rest = length - len(kept)
    ids, mask = tokenizer(phrase, length)
    assert ids.tolist() == [kept + [tiny.FILLER] * rest]
    assert mask.tolist() == [[1] * len(kept) + [0] * rest]


def test_a_tokenizer_s_own_padding_only_gives_the_token(tmp_path):
  path = tmp_path / "tokenizer.json"
  tiny.write_tokenizer(path, padding=True)
  expected = reference.tokenize("red")
  assert Tokenizer(path)("red")[0].tolist() == [expected]
  padded = Tokenizer(path)("red", 5)[0].tolist()
  assert padded == [[*expected, tiny.END, tiny.END]]


def test_a_phrase_that_leaves_no_token_is_told(tmp_path):
  path = tmp_path / "tokenizer.json"
  tiny.write_tokenizer(path)
  with pytest.raises(DataError, match=r"knows no word of '\?'"):
    Tokenizer(path)("?")
  path.write_text("{}")
  with pytest.raises(DataError, match="is no tokenizer: "):
    Tokenizer(path)


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
