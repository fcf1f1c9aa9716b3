"""Similarity maps from files, what users choose, categories by phrase."""

import dataclasses
import json

import coco_photos
import numpy as np
import pytest
from PIL import Image

from roijax.errors import DataError, NothingFoundError
from roijax.roi import categories, parse_roi, similarity, spec
from roijax.roi.choices import Choices
from roijax.roi.preview import LONGEST_SIDE, OUTLINE, draw_preview

SIZE = (40, 60)
# Those of https://cocodataset.org, all 80.
COCO = """
person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic
light, fire hydrant, stop sign, parking meter, bench, bird, cat, dog, horse,
sheep, cow, elephant, bear, zebra, giraffe, backpack, umbrella, handbag,
tie, suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat,
baseball glove, skateboard, surfboard, tennis racket, bottle, wine glass,
cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange, broccoli,
carrot, hot dog, pizza, donut, cake, chair, couch, potted plant, bed, dining
table, toilet, tv, laptop, mouse, remote, keyboard, cell phone, microwave,
oven, toaster, sink, refrigerator, book, clock, vase, scissors, teddy bear,
hair drier, toothbrush
"""
COCO = [" ".join(name.split()) for name in COCO.split(",")]


@pytest.fixture(name="ramp")
def _ramp(tmp_path):
  """A map that rises from 0 at the left to 236 at the right."""
  values = np.tile(np.arange(0, 240, 4, dtype=np.uint8), (40, 1))
  Image.fromarray(values).save(tmp_path / "map.png")
  return tmp_path / "map.png", values


def test_a_file_s_similarities_are_cut_at_the_threshold(ramp):
  path, values = ramp
  for threshold in (None, 0.2, 0.5):
    roi = parse_roi(f"sim:{path}", SIZE, choices=Choices(threshold))
    tau = threshold or similarity.TAU
    np.testing.assert_array_equal(roi, values / 255 >= tau)
    assert roi.dtype == np.float32
  assert similarity.TAU == 0.85
  # The least grey that is inside; the help names it.
  least = values[parse_roi(f"sim:{path}", SIZE) == 1].min()
  assert least == 220 and np.ceil(255 * similarity.TAU) == 217
  assert "217" in spec.SPELLINGS["sim:MAP.png|.npy"]


def test_a_smaller_map_is_interpolated_before_the_cut(tmp_path):
  small = np.zeros((4, 6), np.uint8)
  small[:, 3:] = 255
  Image.fromarray(small).save(tmp_path / "map.png")
  spans = [
    parse_roi(f"sim:{tmp_path}/map.png", SIZE, choices=Choices(t)).sum(1)
    for t in (0.1, 0.5, 0.9)
  ]
  assert [set(span) for span in spans] == [{34}, {30}, {26}]


def test_nothing_above_the_threshold_names_the_highest_value(ramp, tmp_path):
  path, _ = ramp
  with pytest.raises(NothingFoundError) as info:
    parse_roi(f"sim:{path}", SIZE, choices=Choices(0.95))
  words = (
    "the highest similarity is 0.9254, below 0.95; give a lower threshold,"
  )
  assert f"{words} --roi-threshold 0.92, or" in str(info.value)
  assert parse_roi(f"sim:{path}", SIZE, choices=Choices(0.92)).any()
  Image.new("L", SIZE[::-1]).save(tmp_path / "black.png")
  with pytest.raises(
    NothingFoundError, match=r"similarity is 0, below 0\.85; giv"
  ):
    parse_roi(f"sim:{tmp_path}/black.png", SIZE)


def test_a_map_must_be_what_a_mask_must_be(ramp, tmp_path):
  path, _ = ramp
  with pytest.raises(DataError, match=r"similarity map .*of another aspect"):
    parse_roi(f"sim:{path}", (60, 40))
  with pytest.raises(DataError, match=r"no such similarity map: no\.png"):
    parse_roi("sim:no.png", SIZE)
  Image.new("RGB", SIZE[::-1], "red").save(tmp_path / "red.png")
  with pytest.raises(DataError, match=r"similarity map .*is coloured"):
    parse_roi(f"sim:{tmp_path}/red.png", SIZE)
  with pytest.raises(DataError, match="says too little"):
    parse_roi("sim:", SIZE)


def test_arrays_are_similarities_too(ramp, tmp_path):
  path, values = ramp
  expected = parse_roi(f"sim:{path}", SIZE)
  cosines = values.astype(np.float64) / 255
  cosines[:, :10] = -0.5
  for array in (values, cosines, cosines.astype(np.float16)):
    np.save(tmp_path / "map.npy", array)
    roi = parse_roi(f"sim:{tmp_path}/map.npy", SIZE)
    np.testing.assert_array_equal(roi, expected)
  np.save(tmp_path / "map.npy", values[::2, ::2])
  half = parse_roi(f"sim:{tmp_path}/map.npy", SIZE)
  assert half.shape == SIZE and abs(half.mean() - expected.mean()) < 0.04


@pytest.mark.parametrize(
  ("array", "line"),
  [
    (np.zeros((40, 60), np.int32), r"is int32 of shape \(40, 60\)"),
    (np.zeros((40, 60, 3), np.uint8), r"of shape \(40, 60, 3\); it must be"),
    (np.zeros((0, 0)), r"of shape \(0, 0\)"),
    (np.full((40, 60), 2.0), "values outside -1 to 1"),
    (np.full((40, 60), np.nan), "values outside -1 to 1, or not numbers"),
    (np.zeros((60, 40)), "is 40x60 pixels, of another aspect"),
    (np.array([{}]), "no array that NumPy can read"),
  ],
)
def test_arrays_that_are_none_get_one_line(tmp_path, array, line):
  np.save(tmp_path / "map.npy", array, allow_pickle=True)
  with pytest.raises(DataError, match=line):
    parse_roi(f"sim:{tmp_path}/map.npy", SIZE)


def test_missing_and_damaged_arrays_get_one_line(tmp_path):
  with pytest.raises(DataError, match="no such similarity map"):
    parse_roi(f"sim:{tmp_path}/gone.npy", SIZE)
  for data in (b"", b"nothing", b"\x93NUMPY\x01\x00"):
    (tmp_path / "map.npy").write_bytes(data)
    with pytest.raises(DataError, match="no array that NumPy can read"):
      parse_roi(f"sim:{tmp_path}/map.npy", SIZE)


@pytest.mark.parametrize("threshold", [0, 1, -0.1, 1.5, np.nan, np.inf])
def test_a_threshold_lies_between_0_and_1(threshold):
  with pytest.raises(DataError, match="between 0 and 1") as info:
    Choices(threshold)
  assert "--roi-threshold" in str(info.value)


@pytest.mark.parametrize(
  ("choices", "specs", "used"),
  [
    ({"threshold": 0.5}, ["text:a dog"], True),
    ({"threshold": 0.5}, ["center", "sim:x.png"], True),
    ({"threshold": 0.5}, ["auto", "auto:0.2"], True),
    ({"threshold": 0.5}, ["auto:0.2"], False),
    ({"threshold": 0.5}, ["text", "sim"], False),
    ({"threshold": 0.5}, [], False),
    ({"threshold": 0.5, "annotations": "x"}, ["text:a dog"], False),
    ({"threshold": 0.5, "annotations": "x"}, ["text:a", "sim:b"], True),
    ({"text_model": "x"}, ["text:a dog"], True),
    ({"text_model": "x"}, ["sim:x"], False),
    ({"annotations": "x"}, ["box:1,2,3,4", "text:a dog"], True),
    ({"annotations": "x"}, ["coco:x"], False),
    ({}, [], True),
  ],
)
def test_a_choice_that_nothing_uses_is_refused(choices, specs, used):
  chosen = Choices(**choices)
  if used:
    chosen.check(specs)
    return
  with pytest.raises(DataError, match="--roi"):
    chosen.check(specs)


def test_a_segmenter_and_annotations_exclude_each_other():
  with pytest.raises(DataError, match="give one"):
    Choices(text_model="x", annotations="y")


@pytest.mark.parametrize(
  ("phrase", "category"),
  [
    ("dog", "dog"),
    ("a dog", "dog"),
    ("The Dogs", "dog"),
    ("all the people", "person"),
    ("persons", "person"),
    ("bike", "bicycle"),
    ("an aeroplane", "airplane"),
    ("TVs", "tv"),
    ("television", "tv"),
    ("buses", "bus"),
    ("knives", "knife"),
    ("teddies", "teddy bear"),
    ("wine  glasses", "wine glass"),
    ("a ski", "skis"),
    ("scissors", "scissors"),
    ("mice", "mouse"),
    ("sheep", "sheep"),
    ("sofas", "couch"),
    ("sandwiches", "sandwich"),
    ("the", None),
    ("man", None),
    ("a red car", None),
    ("dogma", None),
  ],
)
def test_phrases_name_categories(phrase, category):
  assert categories.find_category(phrase, COCO) == category


def test_names_and_synonyms_are_found_in_both_numbers():
  assert len(COCO) == 80
  for name in COCO:
    assert categories.find_category(name, COCO) == name
    assert categories.find_category(f"the {name}s", COCO) == name
  for word, name in categories.SYNONYMS.items():
    assert name in COCO and word not in COCO
    assert categories.find_category(word, COCO) == name
    assert categories.find_category(word, ["x", word]) == word
    assert categories.find_category(word, ["x"]) is None
  assert categories.find_category("dogs", ["Dog"]) == "Dog"


def test_the_nearest_names_come_first():
  nearest = categories.list_nearest("a toaster oven", COCO)
  assert len(nearest) == 3 and nearest[0] == "toaster"
  assert categories.list_nearest("x", ["dog"]) == ["dog"]
  assert categories.list_nearest("x", []) == []


@pytest.fixture(name="annotated")
def _annotated(tmp_path):
  """People on photos of `coco_photos`, and nothing else."""
  path = tmp_path / "instances.json"
  path.write_text(json.dumps(coco_photos.annotate()))
  return str(path)


def test_a_category_is_marked_by_annotations_without_a_segmenter(
  annotated, monkeypatch
):
  monkeypatch.setattr("roijax.roi.text._load", None)
  choices = Choices(annotations=annotated)
  expected = parse_roi(f"coco:{annotated}#person", coco_photos.SIZE, "a.png")
  for phrase in ("person", "people", "a human"):
    text = f"text:{phrase}"
    roi = parse_roi(text, coco_photos.SIZE, "a.png", None, choices)
    np.testing.assert_array_equal(roi, expected)
    assert not spec.needs_pixels(text, choices) and spec.needs_pixels(text)
  assert expected.any()


@pytest.mark.parametrize(
  ("phrase", "photo", "error", "words"),
  [
    (
      "parson",
      "a.png",
      DataError,
      "no category 'parson': the nearest of its 2 are 'person', 'dog';",
    ),
    ("dogs", "a.png", NothingFoundError, "marks no dog in a.png"),
    ("people", "x.png", DataError, "has no photo named 'x.png'"),
    ("people", None, DataError, "knows photos by their file names"),
    ("  ", "a.png", DataError, "empty phrase"),
  ],
)
def test_what_annotations_do_not_have_is_one_line(
  annotated, phrase, photo, error, words
):
  choices = Choices(annotations=annotated)
  with pytest.raises(error, match=words) as info:
    parse_roi(f"text:{phrase}", coco_photos.SIZE, photo, None, choices)
  assert "\n" not in str(info.value)


def test_photos_without_the_category_go_without_a_region(annotated):
  image = np.zeros((*coco_photos.SIZE, 3), np.uint8)
  choices = Choices(annotations=annotated)
  size = coco_photos.SIZE
  assert spec.find_roi("text:dog", size, "a.png", image, choices) is None
  found = spec.find_roi("text:people", size, "a.png", image, choices)
  assert found is not None and found.any()


def test_files_that_are_no_annotations_are_told(tmp_path):
  for name in ("", str(tmp_path), str(tmp_path / "no.json")):
    with pytest.raises(DataError, match=r"cannot read|no such annotations"):
      parse_roi("text:dog", SIZE, "a.png", None, Choices(annotations=name))


def test_a_region_remembers_what_it_was_cut_from(ramp):
  path, values = ramp
  specs = ["center", f"sim:{path}", f"file:{path}"]
  region = spec.unite_detailed(specs, SIZE, choices=Choices(0.6), dilate=2)
  (soft,) = region.similarities
  np.testing.assert_allclose(soft.values, values / 255, atol=1e-6)
  assert (soft.threshold, soft.spec) == (0.6, f"sim:{path}")
  united = spec.unite(specs, SIZE, choices=Choices(0.6), dilate=2)
  np.testing.assert_array_equal(region.roi, united)
  assert spec.unite_detailed(["center"], SIZE).similarities == ()


@pytest.mark.parametrize("size", [(40, 60), (60, 40)], ids=str)
def test_the_preview_has_a_panel_for_each_soft_map(size):
  image = np.full((*size, 3), 120, np.uint8)
  values = np.zeros(size, np.float32)
  values[:, size[1] // 2 :] = 0.9
  soft = similarity.Similarity(values, 0.5, "sim:x", "region", "x")
  roi = soft.cut()
  alone = draw_preview(image, roi)
  drawn = draw_preview(image, roi, [soft, soft])
  axis = 1 if size[0] > size[1] else 0
  panels = np.split(drawn, 3, axis)
  np.testing.assert_array_equal(panels[0], alone)
  np.testing.assert_array_equal(panels[1], panels[2])
  # Dark where it is unlike, light where it is like, the line between.
  left, right = panels[1][:, 4:10].mean(), panels[1][:, -10:-4].mean()
  assert left < 60 < 150 < right
  middle = panels[1][5:-5, size[1] // 2].mean(0)
  np.testing.assert_allclose(middle, OUTLINE, atol=12)


def test_a_similarity_s_panel_grows_lighter_with_it():
  image = np.full((4, 200, 3), 100, np.uint8)
  values = np.tile(np.linspace(0, 1, 200, dtype=np.float32), (4, 1))
  soft = similarity.Similarity(values, 2.0, "sim:x", "region", "x")
  panel = draw_preview(image, values, [soft])[4:]
  light = panel.astype(float) @ [0.299, 0.587, 0.114]
  assert (np.diff(light[0]) >= -1).all() and light[0, -1] > light[0, 0] + 150


def test_all_panels_together_fit_the_longest_side():
  size = (1000, 1600)
  soft = similarity.Similarity(np.zeros(size, np.float32), 0.5, "", "", "")
  image = np.zeros((*size, 3), np.uint8)
  drawn = draw_preview(image, np.ones(size, np.float32), [soft] * 2)
  height, width, _ = drawn.shape
  assert height == 3 * round(1000 * LONGEST_SIDE / 3000)
  assert abs(height - LONGEST_SIDE) <= 3 and width < 1600


def test_holes_are_filled_and_specks_dropped_where_that_is_asked_for():
  values = np.zeros((20, 20), np.float32)
  values[2:12, 2:12] = 1
  values[5:7, 5:7] = 0
  values[15:18, 15:17] = 1
  values[0, 19] = 1
  found = similarity.Similarity(values, 0.5, "auto", "object", "a photo")
  np.testing.assert_array_equal(found.cut(), values)
  expected = values.copy()
  expected[5:7, 5:7] = 1
  # Six pixels are a twentieth of a hundred; one is not.
  expected[0, 19] = 0
  tidied = dataclasses.replace(found, tidy=True).cut()
  np.testing.assert_array_equal(tidied, expected)
  assert tidied.dtype == np.float32
