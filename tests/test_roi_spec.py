"""Any text after --roi: a map or one line, and the union of several."""

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from roijax.errors import DataError
from roijax.roi import edges, parse_roi, spec, unite

SIZE = (40, 60)
KINDS = ("box", "ellipse", "polygon", "coco", "file", "center", "face", "x")
KINDS += ("text", "sim")

numbers = st.one_of(
  st.floats().map(repr),
  st.floats(-100, 100).map(repr),
  st.integers().map(str),
  st.text(max_size=3),
)
shapes = st.builds(
  lambda kind, values: f"{kind}:{','.join(values)}",
  st.sampled_from(KINDS),
  st.lists(numbers, max_size=9),
)
texts = st.one_of(st.text(), st.characters().map(lambda c: "x" + c), shapes)


@given(texts)
@example("\0")
@example("file:\0")
@example("coco:\0")
@example("sim:\0")
@example("text:\0")
@example("\ud800")
@example("file:\ud800")
@example("sim:\ud800")
@example("text:\ud800")
@example("coco:\ud800#x")
@example("x" * 5000)
@example("file:" + "x" * 5000)
@example("coco:" + "x/" * 5000)
@example(".")
@example("file:.")
@example("coco:.")
@example("ellipse:1e9,-1e9,1e-320,1e9")
@example("ellipse:30,20,1e-320,1e-320")
@example("polygon:1e9,-1e9,-1e9,1e9,5e-324,0.5,30,1e9")
@settings(
  deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow]
)
def test_any_text_is_a_map_or_one_error(text):
  try:
    roi = parse_roi(text, SIZE, "a.jpg")
  except DataError:
    return
  assert roi.shape == SIZE and roi.dtype == np.float32
  assert roi.min() >= 0 and 0 < roi.max() <= 1


def test_every_spelling_is_known():
  flat = np.zeros(SIZE, np.uint8)
  for spelling in spec.SPELLINGS:
    kind, colon, _ = spelling.partition(":")
    try:
      parse_roi(f"{kind}:?" if colon else kind, SIZE, None, flat)
    except DataError as error:
      known = spelling == "MASK.png" or "--roi takes" not in str(error)
      assert known, error


def test_an_unknown_spec_is_answered_with_all_spellings():
  with pytest.raises(DataError, match="no mask file 'zebra'") as info:
    parse_roi("zebra", SIZE)
  for spelling in spec.SPELLINGS:
    assert spelling in str(info.value)


def test_a_union_takes_the_largest_weight():
  specs = ["box:0,0,10,10", "ellipse:40,20,9,5", "box:5,5,10,10"]
  union = unite(specs, SIZE)
  maps = [parse_roi(text, SIZE) for text in specs]
  np.testing.assert_array_equal(union, np.maximum.reduce(maps))
  np.testing.assert_array_equal(union, unite(specs[::-1], SIZE))
  assert (unite([*specs, "all"], SIZE) == 1).all()


def test_none_beside_a_region_is_a_contradiction():
  with pytest.raises(DataError, match="give it alone"):
    unite(["center", "none"], SIZE)
  assert (unite(["none"], SIZE) == 1).all()


def test_a_union_has_the_edge_that_is_asked_for():
  united = unite(["center"], SIZE, dilate=3, feather=5)
  expected = edges.spread(parse_roi("center", SIZE), 3, 5)
  np.testing.assert_array_equal(united, expected)
  assert united.sum() > parse_roi("center", SIZE).sum()
  with pytest.raises(DataError, match="feather -1"):
    unite(["center"], SIZE, feather=-1)


def reference_spread(roi, dilate, feather):
  """The definition, pixel by pixel."""
  y, x = np.indices(roi.shape)
  result = roi.copy()
  for (row, column), weight in np.ndenumerate(roi):
    distance = np.hypot(y - row, x - column)
    if feather:
      ramp = np.clip(1 - (distance - dilate) / feather, 0, 1)
    else:
      ramp = distance <= dilate
    result = np.maximum(result, weight * ramp)
  return result


@pytest.mark.parametrize(("dilate", "feather"), [(3, 0), (0, 4), (2.5, 6)])
def test_weights_spread_as_defined(dilate, feather):
  generator = np.random.default_rng(5)
  roi = np.zeros((25, 31), np.float32)
  rows, columns = generator.integers(0, 25, 6), generator.integers(0, 31, 6)
  roi[rows, columns] = [1, 0.25, 0.5, 1, 0.75, 0.1]
  np.testing.assert_allclose(
    edges.spread(roi, dilate, feather),
    reference_spread(roi, dilate, feather),
    atol=1e-6,
  )


def test_a_soft_map_spreads_within_a_level():
  x = np.linspace(0, 1, 40, dtype=np.float32)
  roi = np.outer(x[:30], x)
  spread = edges.spread(roi, 2, 3)
  expected = reference_spread(roi, 2, 3)
  assert (spread >= roi).all()
  assert (spread <= expected + 1e-6).all()
  assert (spread >= expected - roi.max() / edges.LEVELS - 1e-6).all()


def test_a_large_photo_s_edge_is_true_to_its_grid(monkeypatch):
  roi = parse_roi("ellipse:150,100,60,50", (200, 301))
  exact = edges.spread(roi, 12, 20)
  monkeypatch.setattr(edges, "GRID_POINTS", 200 * 301 // 16)
  coarse = edges.spread(roi, 12, 20)
  monkeypatch.setattr(edges, "STRIP_ROWS", 7)
  strips = edges.spread(roi, 12, 20)
  np.testing.assert_allclose(strips, coarse, atol=1e-6)
  assert coarse.shape == roi.shape and coarse.dtype == np.float32
  assert (coarse[roi == 1] == 1).all()
  # Four pixels of a ramp that is 20 wide.
  assert 0 < np.abs(coarse - exact).max() <= 4 / 20


@pytest.mark.parametrize("width", [-1, np.nan, np.inf])
def test_a_wrong_width_is_one_clear_line(width):
  roi = parse_roi("center", SIZE)
  for widths in ({"dilate": width}, {"feather": width}):
    with pytest.raises(DataError, match="0 or more"):
      edges.spread(roi, **widths)


def test_nothing_to_spread_is_left_alone():
  roi = parse_roi("center", SIZE)
  assert edges.spread(roi) is roi
  uniform = parse_roi("all", SIZE)
  assert edges.spread(uniform, 5, 5) is uniform
