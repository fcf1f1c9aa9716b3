"""Regions of interest: what a spec means, and what it must not mean."""

import json

import numpy as np
import pytest

from roijax.errors import DataError
from roijax.roi import coco, parse_roi, shapes

SIZE = (40, 60)


@pytest.fixture
def annotations(tmp_path):
  crowd = {"size": list(SIZE), "counts": [0, 40, SIZE[0] * SIZE[1] - 40]}
  content = {
    "images": [
      {"id": 7, "file_name": "a.jpg", "height": 40, "width": 60},
      {"id": 8, "file_name": "bare.jpg", "height": 40, "width": 60},
    ],
    "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
    "annotations": [
      {
        "id": 1,
        "image_id": 7,
        "category_id": 1,
        "segmentation": [[10, 10, 30, 10, 30, 30, 10, 30]],
      },
      {
        "id": 2,
        "image_id": 7,
        "category_id": 2,
        "iscrowd": 1,
        "segmentation": crowd,
      },
    ],
  }
  path = tmp_path / "instances.json"
  path.write_text(json.dumps(content))
  return path


def test_all_and_none_are_the_same_uniform_map():
  for spec in ("all", "none"):
    roi = parse_roi(spec, SIZE)
    assert roi.dtype == np.float32
    np.testing.assert_array_equal(roi, np.ones(SIZE))


def test_center_covers_a_quarter_and_is_symmetric():
  roi = parse_roi("center", (512, 768))
  assert roi.mean() == pytest.approx(np.pi * 0.28**2, rel=1e-3)
  assert round(100 * roi.mean(), 1) == 24.6
  np.testing.assert_array_equal(roi, roi[::-1, ::-1])


def test_a_box_covers_exactly_its_pixels():
  roi = parse_roi("box:10,5,20,8", SIZE)
  expected = np.zeros(SIZE, np.float32)
  expected[5:13, 10:30] = 1
  np.testing.assert_array_equal(roi, expected)


def test_a_box_over_the_edge_is_cut_off():
  roi = parse_roi("box:-5,30,20,100", SIZE)
  assert roi.sum() == 15 * 10


def test_an_ellipse_has_its_area():
  roi = parse_roi("ellipse:300,200,120,80", (400, 600))
  assert roi.sum() == pytest.approx(np.pi * 120 * 80, rel=1e-3)


def test_a_polygon_matches_a_test_of_every_pixel():
  generator = np.random.default_rng(3)
  for _ in range(5):
    points = generator.uniform(-10, 70, (7, 2))
    mask = shapes.rasterize_polygon(points, SIZE)
    x, y = np.meshgrid(np.arange(60) + 0.5, np.arange(40) + 0.5)
    inside = np.zeros(SIZE, bool)
    for (x0, y0), (x1, y1) in zip(points, np.roll(points, -1, 0), strict=True):
      crosses = (y0 > y) != (y1 > y)
      inside ^= crosses & (x > x0 + (y - y0) * (x1 - x0) / (y1 - y0))
    np.testing.assert_array_equal(mask, inside)


def test_a_polygon_on_pixel_corners_is_a_box():
  np.testing.assert_array_equal(
    parse_roi("polygon:10,5,30,5,30,13,10,13", SIZE),
    parse_roi("box:10,5,20,8", SIZE),
  )


@pytest.mark.parametrize(
  ("spec", "words"),
  [
    ("box:1,2,3", "has 3 numbers"),
    ("box:1,2,x,4", "write box:x,y,w,h"),
    ("box:", "says too little: --roi takes .*box:x,y,w,h"),
    ("box", "says too little"),
    ("coco:#cat", "names no file"),
    ("file:", "says too little"),
    ("box:1,2,nan,4", "write box:x,y,w,h"),
    ("box:1,2,0,4", "is empty"),
    ("box:1,2,1e10,4", "at most 1e9"),
    ("box:100,2,5,4", "covers no pixel of the 60x40 photo"),
    ("ellipse:1,2,-3,4", "is empty"),
    ("ellipse:500,2,3,4", "covers no pixel"),
    ("polygon:1,2,3,4", "three or more pairs"),
    ("polygon:1,2,3,4,5,6,7", "three or more pairs"),
    ("polygon:1,1,9,9,1,1", "covers no pixel"),
    ("bax:1,2,3,4", "did you mean 'box'"),
    ("BOX:1,1,5,5", "did you mean 'box'"),
    ("BOX:1.5,1,5,5", "did you mean 'box'"),
    ("Face", "did you mean 'face'"),
    ("box.png", "no mask file 'box.png'"),
    ("faces", "did you mean 'face'"),
    ("face:left", "did you mean 'face'"),
    ("centre", "did you mean 'center'"),
    ("missing.png", "no mask file 'missing.png'"),
    ("file:missing.png", "no such mask"),
    ("", "no mask file"),
  ],
)
def test_a_wrong_spec_is_one_clear_line(spec, words):
  with pytest.raises(DataError, match=words) as info:
    parse_roi(spec, SIZE)
  assert "\n" not in str(info.value)


def test_coco_unites_a_photos_objects(annotations):
  union = parse_roi(f"coco:{annotations}", SIZE, "somewhere/a.jpg")
  cat = parse_roi(f"coco:{annotations}#cat", SIZE, "a.jpg")
  dog = parse_roi(f"coco:{annotations}#dog", SIZE, "a.jpg")
  expected = np.zeros(SIZE)
  expected[10:30, 10:30] = 1
  np.testing.assert_array_equal(cat, expected)
  # An RLE runs down the columns.
  assert dog.sum() == 40 and dog[:, 0].all()
  np.testing.assert_array_equal(union, np.maximum(cat, dog))


def test_coco_reads_its_own_compressed_rle(annotations):
  index = coco.read_annotations(annotations)
  crowd = index.instances[7][1]
  rle = coco.instance_rle(crowd, SIZE)
  again = coco.instance_rle(
    {"segmentation": {"size": SIZE, "counts": rle["counts"].decode()}}, SIZE
  )
  np.testing.assert_array_equal(
    coco.union_mask([again], SIZE), coco.union_mask([rle], SIZE)
  )


@pytest.mark.parametrize(
  ("suffix", "image", "words"),
  [
    ("", "b.jpg", "no photo named 'b.jpg'"),
    ("", None, "file name"),
    ("", "bare.jpg", "marks no object in bare.jpg"),
    ("#cot", "a.jpg", "did you mean 'cat'"),
    ("#zebra", "a.jpg", "no category 'zebra'"),
  ],
)
def test_coco_says_what_is_missing(annotations, suffix, image, words):
  with pytest.raises(DataError, match=words):
    parse_roi(f"coco:{annotations}{suffix}", SIZE, image)


@pytest.mark.parametrize("key", ["id", "height", "width"])
def test_coco_without_a_size_or_id_says_so(annotations, key):
  content = json.loads(annotations.read_text())
  del content["images"][0][key]
  annotations.write_text(json.dumps(content))
  with pytest.raises(DataError, match=f"says no {key} of a.jpg"):
    parse_roi(f"coco:{annotations}", SIZE, "a.jpg")


def test_coco_of_another_size_names_both(annotations):
  with pytest.raises(DataError, match="60x40 pixels, but the photo is 9x8"):
    parse_roi(f"coco:{annotations}", (8, 9), "a.jpg")


@pytest.mark.parametrize(
  ("content", "words"),
  [
    ("{", "is not JSON"),
    ("{}", "lacks 'images'"),
    ("[]", "not a COCO annotations file: it holds a list, not an object"),
    ("3", "not a COCO annotations file: it holds a value, not an object"),
    ('{"images": [3]}', "not a COCO annotations file: its entries are malf"),
  ],
)
def test_coco_refuses_another_json(tmp_path, content, words):
  path = tmp_path / "x.json"
  path.write_text(content)
  with pytest.raises(DataError, match=words) as info:
    parse_roi(f"coco:{path}", SIZE, "a.jpg")
  assert "\n" not in str(info.value)
