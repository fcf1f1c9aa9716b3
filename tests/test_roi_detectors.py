"""Faces, people and what stands out, in photos that scikit-image brings."""

import pathlib
import subprocess
import sys

import numpy as np
import pytest
import skimage
from PIL import Image

from roijax.errors import DataError
from roijax.roi import boxes, face, parse_roi, person
from roijax.roi.boxes import Box

cv2 = pytest.importorskip("cv2")
SIZE = (256, 320)
PHOTOS = pathlib.Path(skimage.__file__).parent / "data"


def read(name):
  return np.array(Image.open(PHOTOS / name).convert("RGB"))


@pytest.fixture(name="astronaut", scope="module")
def _astronaut():
  # Head and shoulders: a smaller photo is searched sooner.
  return read("astronaut.png")[: SIZE[0], 60 : 60 + SIZE[1]]


@pytest.fixture(name="astronauts_face", scope="module")
def _astronauts_face(astronaut):
  return parse_roi("face", SIZE, "astronaut.png", astronaut)


def test_the_astronaut_has_one_face(astronauts_face):
  roi = astronauts_face
  assert roi.shape == SIZE and roi.dtype == np.float32
  assert set(np.unique(roi)) == {0, 1}
  # Eyes, mouth, forehead and chin are in; helmet, shuttle and flag are not.
  eyes, rest = ((110, 145), (110, 185)), ((155, 165), (75, 165), (175, 165))
  for row, column in (*eyes, *rest):
    assert roi[row, column] == 1
  rows, columns = np.nonzero(roi)
  assert rows.min() > 20 and rows.max() < 210
  assert columns.min() > 90 and columns.max() < 240


def test_a_grey_photo_shows_the_same_face(astronaut, astronauts_face):
  grey = cv2.cvtColor(astronaut, cv2.COLOR_RGB2GRAY)
  roi = parse_roi("face", SIZE, None, grey)
  np.testing.assert_array_equal(roi, astronauts_face)


def test_a_face_is_found_in_a_larger_photo(astronaut, astronauts_face):
  large = np.asarray(Image.fromarray(astronaut).resize((1280, 1024)))
  roi = parse_roi("face", (1024, 1280), None, large)
  small = roi.reshape(256, 4, 320, 4).mean((1, 3))
  both = np.minimum(small, astronauts_face).sum()
  assert both / np.maximum(small, astronauts_face).sum() > 0.85


@pytest.mark.parametrize(
  ("kind", "what"), [("face", "face"), ("person", "person")]
)
def test_a_cat_is_neither_face_nor_person(kind, what):
  image = read("chelsea.png")
  with pytest.raises(
    DataError,
    match=f"no {what} found in cat.png: give the region.* or --roi none",
  ) as info:
    parse_roi(kind, image.shape[:2], "cat.png", image)
  assert "\n" not in str(info.value)


@pytest.mark.parametrize("size", [(1, 1), (1, 700), (700, 1), (16, 16)])
@pytest.mark.parametrize("kind", ["face", "person", "saliency"])
def test_a_flat_photo_of_any_size_shows_nothing(kind, size):
  image = np.full(size, 90, np.uint8)
  with pytest.raises(DataError, match=r"found in|stands out"):
    parse_roi(kind, size, None, image)


def test_a_body_hangs_below_the_face(astronaut, astronauts_face):
  roi = parse_roi("person", SIZE, None, astronaut)
  assert (roi >= astronauts_face).all()
  # Down to the lower edge, but not all across.
  assert roi[-1].any() and 0.2 < roi.mean() < 0.9


def test_somebody_who_stands_is_found():
  # A figure as the detector was taught: dark on light, 96 of 128 pixels tall.
  image = np.full((300, 260), 210, np.uint8)
  cv2.circle(image, (130, 78), 17, 60, -1)
  cv2.ellipse(image, (130, 135), (28, 44), 0, 0, 360, 60, -1)
  for foot in (113, 147):
    cv2.line(image, (130, 160), (foot, 245), 60, 20)
  image = cv2.GaussianBlur(image, (0, 0), 2)
  roi = parse_roi("person", image.shape, None, image)
  assert roi[60:240, 130].all()
  assert not roi[:, :40].any() and not roi[:, 220:].any()


def test_saliency_finds_the_odd_patch():
  image = np.full((240, 320, 3), 120, np.uint8)
  image[100:130, 60:100] = (240, 30, 30)
  roi = parse_roi("saliency", (240, 320), None, image)
  assert roi.shape == (240, 320) and roi.dtype == np.float32
  assert roi.min() >= 0 and 0.95 < roi.max() <= 1
  assert roi[100:130, 60:100].mean() > 0.8
  assert roi[:, 200:].mean() < 0.05
  # Soft: no step from one pixel to the next.
  assert np.abs(np.diff(roi, axis=1)).max() < 0.1


def test_detectors_repeat_themselves_with_any_number_of_threads(astronaut):
  threads = cv2.getNumThreads()
  found = []
  try:
    for count in (1, 4):
      cv2.setNumThreads(count)
      saliency = parse_roi("saliency", SIZE, None, astronaut)
      found.append(
        (
          face.find_faces(astronaut),
          person.find_walkers(astronaut),
          saliency.tobytes(),
        )
      )
  finally:
    cv2.setNumThreads(threads)
  assert found[0] == found[1]


@pytest.mark.parametrize("kind", ["face", "person", "saliency"])
def test_a_detector_without_pixels_says_so(kind):
  with pytest.raises(DataError, match="needs the photo's pixels"):
    parse_roi(kind, (40, 60))
  with pytest.raises(ValueError, match="is not a photo of size"):
    parse_roi(kind, (40, 60), None, np.zeros((60, 40), np.uint8))


@pytest.mark.parametrize("kind", ["face", "person", "saliency"])
def test_a_missing_opencv_is_told_with_its_cure(kind, monkeypatch):
  monkeypatch.setitem(sys.modules, "cv2", None)
  with pytest.raises(DataError, match=r"pip install 'roijax\[roi\]'"):
    parse_roi(kind, (40, 60), None, np.zeros((40, 60), np.uint8))


def test_an_opencv_without_the_parts_is_told(monkeypatch):
  monkeypatch.delattr(cv2, "saliency")
  with pytest.raises(DataError, match="has no saliency"):
    parse_roi("saliency", (40, 60), None, np.zeros((40, 60), np.uint8))


def test_specs_load_neither_opencv_nor_scipy():
  script = (
    "import sys, roijax.roi, roijax.roi.preview\n"
    "roijax.roi.unite(['center'], (40, 60))\n"
    "print(*sorted({'cv2', 'scipy', 'pycocotools'} & set(sys.modules)))"
  )
  done = subprocess.run(
    [sys.executable, "-c", script], capture_output=True, text=True, check=True
  )
  assert done.stdout.strip() == ""


def test_boxes_group_in_any_order():
  near = [Box(0, 0, 10, 10, 3, "a"), Box(1, 0, 10, 10, 2, "b")]
  far = [Box(50, 50, 10, 10, 2.5, "a")]
  tied = [Box(49, 50, 10, 10, 2.5, "a")]
  given = [*near, *far, *tied]
  groups = boxes.group_boxes(given, 0.5)
  assert groups == [near, [*tied, *far]]
  assert groups == boxes.group_boxes(given[::-1], 0.5)
  merged = boxes.merge_boxes(near)
  assert (merged.x, merged.width, merged.score) == (0.4, 10, 5)


def test_overlap_is_common_area_over_union():
  a = Box(0, 0, 10, 10, 1)
  assert boxes.measure_overlap(a, a) == 1
  assert boxes.measure_overlap(a, Box(5, 0, 10, 10, 1)) == pytest.approx(1 / 3)
  assert boxes.measure_overlap(a, Box(10, 0, 10, 10, 1)) == 0
