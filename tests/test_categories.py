"""One category as the region: drawn in training, each in turn in evaluation."""

import csv
import io

import numpy as np
import pytest
from jpeg_codec import JpegCodec
from rich.console import Console

from roijax.data.categories import (
  CategorySource,
  PairSource,
  category_of,
  make_category_sample,
)
from roijax.data.predicted import with_masks
from roijax.data.sample import SampleSource
from roijax.data.sources import JoinedSource, open_source
from roijax.errors import ConfigError, DataError
from roijax.evaluation import report, run
from roijax.roi import coco

SIZE = (48, 64)
BOXES = {"cat": [(0, 0, 20, 30)], "dog": [(40, 10, 20, 20), (0, 40, 9, 8)]}


def _outline(box):
  x, y, w, h = box
  polygon = [x, y, x + w, y, x + w, y + h, x, y + h]
  return coco.instance_rle({"id": 1, "segmentation": [polygon]}, SIZE)


def _mask(boxes):
  mask = np.zeros(SIZE, np.float32)
  for x, y, w, h in boxes:
    mask[y : y + h, x : x + w] = 1
  return mask


class _Animals:
  """Two photos of a cat and two dogs, one of nothing."""

  name = "animals"

  def __len__(self):
    return 3

  def __getitem__(self, index):
    rng = np.random.default_rng(index)
    image = rng.integers(0, 255, (*SIZE, 3), dtype=np.uint8)
    roi = np.ones(SIZE, np.float32)
    return {"image": image, "roi": roi, "name": f"{index}.png"}

  def read_categories(self, index):
    if index == 2:
      return {}
    return {name: list(map(_outline, BOXES[name])) for name in BOXES}


class _Blank(_Animals):
  """The same with nothing annotated."""

  def read_categories(self, index):
    del index
    return {}


def test_each_sample_draws_one_category(monkeypatch):
  seen = []
  monkeypatch.setattr(
    "roijax.data.categories.augment",
    lambda photo, crop, generator: seen.append(photo),
  )
  source = CategorySource(_Animals())
  rng = np.random.default_rng(0)
  for _ in range(40):
    make_category_sample(source[0], 32, rng)
  counts = {
    name: sum(np.array_equal(photo["roi"], _mask(boxes)) for photo in seen)
    for name, boxes in BOXES.items()
  }
  assert sum(counts.values()) == 40
  assert min(counts.values()) > 8
  make_category_sample(source[2], 32, rng)
  np.testing.assert_array_equal(seen[-1]["roi"], 1)


def test_the_config_s_word_opens_such_a_source():
  source = with_masks(open_source("sample:train"), "category", "")
  photo = source[0]
  assert set(photo["categories"]) and source.name.endswith("at a time")
  sample = make_category_sample(photo, 64, np.random.default_rng(0))
  assert sample["image"].shape == (64, 64, 3)
  assert sample["roi"].shape == (64, 64, 1)


def test_bundled_photos_know_their_categories():
  source = SampleSource("train")
  for index in range(len(source)):
    photo = source[index]
    union = np.zeros(photo["roi"].shape, bool)
    for rles in source.read_categories(index).values():
      union |= coco.union_mask(rles, union.shape)
    np.testing.assert_array_equal(union, photo["roi"] > 0)


def test_pairs_are_all_categories_of_all_photos():
  pairs = PairSource(_Animals())
  names = [f"{i}.png#{category}" for i in range(2) for category in BOXES]
  assert [pair["name"] for pair in map(pairs.__getitem__, range(4))] == names
  assert len(pairs) == 4
  np.testing.assert_array_equal(pairs[3]["roi"], _mask(BOXES["dog"]))
  np.testing.assert_array_equal(pairs[3]["image"], _Animals()[1]["image"])
  assert len(PairSource(_Animals(), limit=1)) == 2
  assert category_of("a#b.png#traffic light") == "traffic light"
  joined = PairSource(JoinedSource([_Animals(), _Animals()]))
  assert len(joined) == 8 and joined[7]["name"] == "1.png#dog"


def test_sources_without_categories_are_told(tmp_path):
  class Plain(list):
    name = "plain"

  for make in (CategorySource, PairSource):
    with pytest.raises(DataError, match="plain has no categories, which"):
      make(Plain())
  with pytest.raises(DataError, match="nothing is annotated in the photos"):
    PairSource(_Blank())


def test_an_evaluation_by_category_has_a_table_of_them(tmp_path):
  settings = run.Settings("animals", qualities=[2, 4], by_category=True)
  found = run.evaluate_codec(JpegCodec(), _Animals(), settings, tmp_path)
  assert [p.photos for p in found.points] == [4, 4]
  assert {name: p[0].photos for name, p in found.categories.items()} == {
    "cat": 2,
    "dog": 2,
  }
  pixels = {row["name"]: row["roi_pixels"] for row in found.rows}
  assert pixels["0.png#cat"] == 600 and pixels["1.png#dog"] == 472
  own = [row for row in found.rows if row["name"].endswith("#dog")]
  means = [p.psnr_roi for p in found.categories["dog"]]
  for quality, mean in zip((2, 4), means, strict=True):
    rows = [row["psnr_roi"] for row in own if row["quality"] == quality]
    assert mean == pytest.approx(np.mean(rows))
  text = (tmp_path / "categories.csv").read_text()
  lines = list(csv.DictReader(text.splitlines()))
  assert [line["category"] for line in lines] == ["cat"] * 2 + ["dog"] * 2
  stream = io.StringIO()
  report.print_categories(found.categories, Console(file=stream, width=90))
  text = stream.getvalue()
  assert "bpp at 2" in text and f"{means[1]:.2f}" in text


def test_a_region_for_all_does_not_go_with_categories(tmp_path):
  settings = run.Settings("animals", roi="center", by_category=True)
  with pytest.raises(ConfigError, match="leave --roi center out"):
    run.evaluate_codec(JpegCodec(), _Animals(), settings, tmp_path)
