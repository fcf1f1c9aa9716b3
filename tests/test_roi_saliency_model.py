"""`--roi saliency:MODEL.onnx`, against the same in plain NumPy."""

import json
import sys

import numpy as np
import pytest
import saliency_models as tiny
from numpy_segmenter import assert_one
from onnx import TensorProto, helper
from onnx_models import write_constant, write_model
from text_models import make_photo

from roijax.errors import DataError, NothingFoundError, RoijaxError
from roijax.roi import parse_roi, saliency_model, unite
from roijax.roi.choices import Choices
from roijax.roi.saliency_model import SaliencyModel, measure
from roijax.roi.spec import find_all, needs_pixels, unite_detailed

SIZES = [(44, 60), (24, 24), (9, 70), (100, 31), (1, 1)]
SIDES = (24, 40)


def grain(size=(44, 60), seed=0, most=200):
  # Below 255, so that the peak is another scale.
  return np.random.default_rng(seed).integers(0, most, (*size, 3), np.uint8)


def write(folder, name="model.onnx", size=SIDES, about=None, **options):
  path = tiny.write_saliency(folder / name, size, **options)
  if about is not None:
    path.with_suffix(".json").write_text(json.dumps(about))
  return path


@pytest.fixture(name="model", scope="module")
def _model(tmp_path_factory):
  return write(tmp_path_factory.mktemp("saliency"))


def check(path, image, tolerance=2e-5, size=SIDES, **expected):
  found = measure(str(path), image, "a.jpg")
  assert found.values.shape == image.shape[:2]
  assert found.values.dtype == np.float32
  assert_one(
    found.values,
    lambda axes: tiny.measure(image, size, axes, **expected),
    tolerance,
  )
  return found


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_an_unknown_network_is_normalised_as_imagenet_is(model, size):
  found = check(model, grain(size))
  assert found.threshold == saliency_model.THRESHOLD
  assert SaliencyModel(model).adapter == "imagenet"


@pytest.mark.parametrize(
  ("name", "options"),
  [("u2netp.onnx", {}), ("U2-Net_human.onnx", {}), ("a.onnx", {"others": 6})],
)
@pytest.mark.parametrize("sigmoid", [True, False])
def test_u2_net_is_scaled_by_the_peak_and_stretched(
  tmp_path, name, options, sigmoid
):
  path = write(tmp_path, name, sigmoid=sigmoid, **options)
  assert SaliencyModel(path).adapter == "u2net"
  check(path, grain(), peak=True, stretch=True)
  # Of the network's own map, before it was resized.
  own = SaliencyModel(path)(grain())
  assert own.shape == SIDES and (own.min(), own.max()) == (0, 1)


@pytest.mark.parametrize("sigmoid", [True, False])
def test_rmformer_is_scaled_by_the_peak_and_taken_as_it_is(tmp_path, sigmoid):
  path = write(tmp_path, "RMFormer-b.onnx", sigmoid=sigmoid, others=3)
  assert SaliencyModel(path).adapter == "rmformer"
  check(path, grain(), peak=True)


@pytest.mark.parametrize(
  ("name", "size", "others", "expected"),
  [
    ("u2net.onnx", None, 0, (320, 320)),
    ("x.onnx", None, 6, (320, 320)),
    ("rmformer.onnx", None, 0, (1536, 1536)),
    ("x.onnx", None, 0, (320, 320)),
    ("x.onnx", (1536, 1536), 0, (1536, 1536)),
    ("u2net.onnx", (288, 512), 6, (288, 512)),
  ],
)
def test_the_size_is_the_network_s_or_the_published_one(
  tmp_path, name, size, others, expected
):
  found = SaliencyModel(write(tmp_path, name, size, others=others))
  assert found.size == expected
  large = expected[0] == 1536
  assert (found.adapter == "rmformer") == large


@pytest.mark.parametrize(
  "options",
  [{"batch": "N"}, {"flat": True}, {"half": True}, {"sigmoid": True}],
  ids=str,
)
def test_exports_of_other_forms_say_the_same(tmp_path, options):
  tolerance = 4e-3 if options.get("half") else 2e-5
  check(write(tmp_path, **options), grain(), tolerance)


@pytest.mark.parametrize(
  ("about", "expected"),
  [
    ({"adapter": "u2net"}, {"peak": True, "stretch": True}),
    ({"adapter": "rmformer", "size": 20}, {"peak": True, "size": (20, 20)}),
    ({"adapter": "u2net", "stretch": False}, {"peak": True}),
    ({"rescale_factor": "peak"}, {"peak": True}),
    ({"stretch": True, "size": [1]}, None),
    ({"size": {"height": 16, "width": 30}}, {"size": (16, 30)}),
    (
      {"image_mean": [0.5, 0.4, 0.3], "image_std": [1, 1, 2]},
      {"mean": (0.5, 0.4, 0.3), "std": (1, 1, 2)},
    ),
    ({"output": "out1"}, {"sign": -1}),
    ({"activation": "sigmoid"}, {}),
  ],
  ids=str,
)
def test_the_json_beside_the_model_says_otherwise(tmp_path, about, expected):
  about = {"size": {"height": SIDES[0], "width": SIDES[1]}, **about}
  path = write(tmp_path, size=None, others=1, about=about)
  if expected is None:
    with pytest.raises(DataError, match=r"model\.json: size is \[1\]"):
      measure(str(path), grain(), "a.jpg")
    return
  check(path, grain(), **expected)


def test_probabilities_are_no_logits_unless_the_json_says_so(tmp_path):
  plane = np.linspace(0.2, 0.7, 64 * 64, dtype=np.float32)
  plane = plane.reshape(1, 1, 64, 64)
  path = write_constant(tmp_path / "p.onnx", {"map": plane})
  image = grain((64, 64))
  as_they_are = measure(str(path), image, "").values
  np.testing.assert_allclose(as_they_are, plane[0, 0], atol=1e-6)
  (tmp_path / "p.json").write_text('{"activation": "sigmoid"}')
  found = SaliencyModel(path)(image)
  np.testing.assert_allclose(found, 1 / (1 + np.exp(-plane[0, 0])), atol=1e-6)
  logits = write_constant(tmp_path / "l.onnx", {"map": plane - 0.5})
  found = SaliencyModel(logits)(image)
  np.testing.assert_allclose(found, 1 / (1 + np.exp(0.5 - plane[0, 0])), 1e-5)
  (tmp_path / "l.json").write_text('{"activation": "none"}')
  with pytest.raises(DataError, match=r"from -0\.3 to 0\.2, which are no prob"):
    SaliencyModel(logits)(image)


def test_a_flat_map_and_a_black_photo_are_no_division_by_zero(tmp_path):
  plane = np.full((1, 1, 64, 64), 0.8, np.float32)
  path = write_constant(tmp_path / "u2net.onnx", {"map": plane})
  assert not SaliencyModel(path)(grain()).any()
  with pytest.raises(NothingFoundError, match="highest saliency is 0, below"):
    parse_roi(f"saliency:{path}", (44, 60), "a.jpg", grain())
  network = write(tmp_path, "rmformer.onnx")
  check(network, np.zeros((30, 20, 3), np.uint8), peak=True)


def test_grey_photos_are_looked_at(model):
  grey = grain()[..., 0]
  colour = np.repeat(grey[..., None], 3, -1)
  np.testing.assert_array_equal(
    measure(str(model), grey, "").values, measure(str(model), colour, "").values
  )


def test_the_region_is_what_reaches_the_threshold(model):
  image = make_photo((48, 60), (12, 36, 20, 50))
  spec = f"saliency:{model}"
  assert needs_pixels(spec)
  values = measure(str(model), image, "").values
  for threshold in (None, 0.2, 0.9):
    choices = Choices(threshold)
    roi = parse_roi(spec, (48, 60), None, image, choices)
    cut = saliency_model.THRESHOLD if threshold is None else threshold
    np.testing.assert_array_equal(roi, values >= np.float32(cut))
  inside = np.zeros((48, 60))
  inside[12:36, 20:50] = 1
  roi = unite([spec, "box:0,0,3,3"], (48, 60), None, image)
  overlap = np.minimum(roi, inside).sum() / np.maximum(roi, inside).sum()
  assert overlap > 0.7 and roi[0, 0] == 1
  (soft,) = unite_detailed([spec], (48, 60), None, image).similarities
  np.testing.assert_array_equal(soft.values, values)
  assert soft.spec == spec


def test_many_photos_need_not_have_what_is_sought(model):
  image = make_photo((48, 60), (12, 36, 20, 50))
  spec = f"saliency:{model}"
  values = measure(str(model), image, "").values
  both = [spec, "box:0,0,3,3"]
  soft = find_all(both, (48, 60), None, image, cut=False)
  expected = values.copy()
  expected[:3, :3] = 1
  np.testing.assert_array_equal(soft, expected)
  never = Choices(0.9999)
  np.testing.assert_array_equal(
    find_all(both, (48, 60), None, image, never), np.float32(expected == 1)
  )
  assert not find_all([spec], (48, 60), None, image, never).any()


def test_nothing_found_names_a_threshold_that_works(model):
  image = grain((20, 30), most=90)
  spec = f"saliency:{model}"
  highest = float(measure(str(model), image, "").values.max())
  with pytest.raises(NothingFoundError) as info:
    parse_roi(spec, (20, 30), "a.jpg", image, Choices(0.99))
  line = str(info.value)
  assert line.startswith("no salient object found in a.jpg: the highest salien")
  lower = float(line.partition("--roi-threshold ")[2].partition(",")[0])
  assert 0 < highest - lower < 0.01
  assert parse_roi(spec, (20, 30), "a.jpg", image, Choices(lower)).any()


def _two_inputs(path):
  sides = ("x", TensorProto.FLOAT, [1, 3, 24, 40])
  node = helper.make_node("Add", ["x", "y"], ["z"])
  write_model(path, [node], [sides, ("y", *sides[1:])], [("z", *sides[1:])])


def _constant(*shape, kind=TensorProto.FLOAT, sides=(1, 3, 24, 40), value=0.0):
  answers = {"map": np.full(shape, value, np.float32)}
  return lambda path: write_constant(path, answers, sides, kind)


PLANE = (1, 1, 24, 40)


@pytest.mark.parametrize(
  ("spoil", "words"),
  [
    (lambda path: path.unlink(), "no such saliency model: .*docs/saliency.md"),
    (lambda path: path.write_bytes(b"?"), "is no ONNX model that runs here"),
    (_two_inputs, r"has the inputs x .*, y .*: it needs one, of floats \[1, 3"),
    (_constant(*PLANE, sides=(1, 24, 40, 3)), r"it needs one, of floats \[1, "),
    (_constant(*PLANE, sides=(2, 3, 24, 40)), "it needs one, of floats"),
    (_constant(*PLANE, sides=(3, 24, 40)), "it needs one, of floats"),
    (_constant(*PLANE, kind=TensorProto.UINT8), "it needs one, of floats"),
    (_constant(1, 2, 24, 40), r"gives map \[1, 2, 24, 40\] for one photo"),
    (_constant(1), r"gives map \[1\] for one photo"),
    (_constant(*PLANE, value=np.nan), "numbers that are not finite"),
  ],
)
def test_models_that_are_unfit_are_one_line(tmp_path, spoil, words):
  path = write(tmp_path)
  spoil(path)
  with pytest.raises(RoijaxError, match=words) as info:
    measure(str(path), grain(), "a.jpg")
  assert "\n" not in str(info.value)


@pytest.mark.parametrize(
  ("about", "words"),
  [
    ("{", r"model\.json is not JSON"),
    ("[]", "holds no object"),
    ({"strech": True}, 'unknown key "strech": did you mean stretch'),
    ({"a": 1}, "did you mean activation or adapter or output or stretch"),
    ({"adapter": "u3net"}, '"u3net", but must be one of "u2net", "rmformer"'),
    ({"adapter": ["u2net"]}, "adapter is .*, but must be one of"),
    ({"activation": "tanh"}, '"tanh", but must be one of "auto", "sigmoid"'),
    ({"stretch": 1}, "stretch is 1, but must be one of true, false"),
    ({"output": "d0"}, 'has no output "d0": its outputs are out0'),
    ({"output": ["out0"]}, "has no output"),
    ({"size": 320}, r"size is 320, but model\.onnx takes 24x40 alone"),
    ({"image_std": [0, 1, 1]}, "cannot be 0"),
    ({"rescale_factor": "top"}, "must be a number"),
    ({"do_center_crop": True}, "the map must be the whole photo's"),
  ],
)
def test_a_json_that_cannot_be_meant_is_one_line(tmp_path, about, words):
  path = write(tmp_path)
  text = about if isinstance(about, str) else json.dumps(about)
  path.with_suffix(".json").write_text(text)
  with pytest.raises(DataError, match=words) as info:
    measure(str(path), grain(), "a.jpg")
  assert "\n" not in str(info.value)


def test_onnxruntime_that_is_missing_is_told(tmp_path, monkeypatch):
  monkeypatch.setitem(sys.modules, "onnxruntime", None)
  with pytest.raises(RoijaxError, match=r"pip install 'roijax\[roi\]'"):
    measure(str(write(tmp_path)), grain(), "a.jpg")
