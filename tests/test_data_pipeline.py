"""Batches: the same on any machine, resumable, and made of useful crops."""

import collections
import json

import numpy as np
import pytest

from roijax.data import augment as augment_module
from roijax.data import random_maps
from roijax.data.augment import augment
from roijax.data.pipeline import make_train_iterator
from roijax.errors import ConfigError, DataError


class Photos:
  """Five photos whose pixels tell which one they come from."""

  def __init__(self, count=5, name="photos"):
    self.count, self.name = count, name

  def __len__(self):
    return self.count

  def __getitem__(self, index):
    generator = np.random.default_rng(index)
    image = generator.integers(0, 256, (48, 64, 3), np.uint8)
    image[..., 2] = index * 10
    roi = np.zeros((48, 64), np.float32)
    roi[10:30, 20:40] = 1
    return {"image": image, "roi": roi, "name": str(index)}


def make(source=None, batch_size=4, **options):
  return make_train_iterator(
    source or Photos(), crop=32, batch_size=batch_size, seed=1, **options
  )


def take(iterator, count):
  batches = [next(iterator) for _ in range(count)]
  iterator.close()
  return batches


def assert_same(batches, others):
  for batch, other in zip(batches, others, strict=True):
    for key in ("image", "roi"):
      np.testing.assert_array_equal(batch[key], other[key])


def test_batches_have_the_promised_shapes_and_ranges():
  batch = take(make(), 1)[0]
  assert batch["image"].shape == (4, 32, 32, 3)
  assert batch["roi"].shape == (4, 32, 32, 1)
  for value in batch.values():
    assert value.dtype == np.float32
    assert value.min() >= 0 and value.max() <= 1


def test_a_seed_decides_everything():
  assert_same(take(make(), 3), take(make(), 3))
  other = make_train_iterator(Photos(), crop=32, batch_size=4, seed=2)
  assert not np.array_equal(
    take(make(), 1)[0]["image"], take(other, 1)[0]["image"]
  )


def test_a_batch_of_one_is_a_batch():
  singles = take(make(batch_size=1), 4)
  for key, value in take(make(batch_size=4), 1)[0].items():
    np.testing.assert_array_equal(
      np.concatenate([single[key] for single in singles]), value
    )


@pytest.mark.parametrize("count", [2, 4])
def test_processes_share_one_global_batch_in_order(count):
  whole = take(make(batch_size=8), 3)
  parts = [
    take(
      make(batch_size=8 // count, process_index=index, process_count=count), 3
    )
    for index in range(count)
  ]
  joined = [
    {key: np.concatenate([p[step][key] for p in parts]) for key in whole[0]}
    for step in range(3)
  ]
  assert_same(whole, joined)


@pytest.mark.parametrize("workers", [1, 2])
def test_reader_processes_change_nothing(workers):
  plain, read = make(), make(workers=workers)
  assert_same(take(plain, 5), take(read, 5))


def test_resuming_continues_exactly():
  straight = take(make(), 7)
  first = make()
  for _ in range(3):
    next(first)
  state = json.loads(json.dumps(first.get_state()))
  for workers in (0, 1):
    resumed = make(workers=workers)
    next(resumed)
    resumed.set_state(state)
    assert_same(straight[3:], take(resumed, 4))
  assert_same(straight[3:], take(first, 4))


def test_resuming_with_other_processes_keeps_the_global_batches():
  whole = make(batch_size=8)
  next(whole)
  state = whole.get_state()
  half = make(batch_size=4, process_index=1, process_count=2)
  half.set_state(state)
  expected = next(whole)["image"][4:]
  np.testing.assert_array_equal(next(half)["image"], expected)


@pytest.mark.parametrize(
  ("other", "words"),
  [
    (lambda: make(Photos(6)), "photos was 5 and is 6"),
    (lambda: make(Photos(5, "other")), "source was 'photos' and is 'other'"),
    (lambda: make(batch_size=2), "batch_size was 4 and is 2"),
  ],
)
def test_a_state_of_another_dataset_is_refused(other, words):
  state = make().get_state()
  with pytest.raises(DataError, match=words) as info:
    other().set_state(state)
  assert "\n" not in str(info.value)


def test_a_foreign_state_is_refused():
  with pytest.raises(DataError, match="no data-iterator state"):
    make().set_state({"next_index": 3})


@pytest.mark.parametrize(
  "options", [{"batch_size": 0}, {"workers": -1}, {"process_index": 1}]
)
def test_numbers_out_of_range_are_refused(options):
  with pytest.raises(ConfigError):
    make(**options)


def test_every_photo_comes_once_an_epoch_in_changing_order():
  batches = take(make(batch_size=5), 4)
  orders = [
    tuple(np.round(b["image"][..., 2].mean((1, 2)) * 25.5).astype(int))
    for b in batches
  ]
  for order in orders:
    assert sorted(order) == [0, 1, 2, 3, 4]
  assert len(set(orders)) > 1


def test_an_unreadable_photo_stops_with_its_own_line():
  class Broken(Photos):
    def __getitem__(self, index):
      raise DataError("a.jpg is damaged")

  with pytest.raises(DataError, match=r"a\.jpg is damaged"):
    next(make(Broken()))


def draw_many(photo, count, crop=32):
  return [
    augment(photo, crop, np.random.default_rng(seed)) for seed in range(count)
  ]


def test_one_map_in_five_is_uniform():
  generator = np.random.default_rng(0)
  photo = Photos()[0]
  maps = [augment(photo, 32, generator)["roi"] for _ in range(600)]
  uniform = np.mean([bool((roi == 1).all()) for roi in maps])
  assert 0.16 < uniform < 0.26  # A box may cover a whole crop as well.


def test_crops_keep_both_regions_where_they_can(monkeypatch):
  monkeypatch.setattr(augment_module, "UNIFORM_SHARE", 0)
  monkeypatch.setattr(augment_module, "RANDOM_SHARE", 0)
  image = np.zeros((300, 400, 3), np.uint8)
  roi = np.zeros((300, 400), np.float32)
  roi[200:224, 300:324] = 1  # Less than one percent of the photo.
  photo = {"image": image, "roi": roi, "name": "small"}
  fractions = [s["roi"].mean() for s in draw_many(photo, 200, crop=64)]
  assert np.mean([0.01 < fraction < 0.99 for fraction in fractions]) > 0.95


def test_the_map_moves_with_the_photo(monkeypatch):
  monkeypatch.setattr(augment_module, "UNIFORM_SHARE", 0)
  monkeypatch.setattr(augment_module, "RANDOM_SHARE", 0)
  roi = np.zeros((90, 120), np.float32)
  roi[30:70, 40:90] = 1
  image = np.repeat((roi * 255).astype(np.uint8)[..., None], 3, 2)
  photo = {"image": image, "roi": roi, "name": "same"}
  for sample in draw_many(photo, 50):
    difference = np.abs(sample["image"][..., :1] - sample["roi"])
    assert difference.max() < 0.1  # Bicubic rings a little in 8 bits.


def test_photos_without_annotation_or_objects_get_random_maps():
  image = np.zeros((64, 64, 3), np.uint8)
  for roi in (None, np.zeros((64, 64), np.float32)):
    photo = {"image": image, "roi": roi, "name": "bare"}
    samples = draw_many(photo, 60)
    assert np.mean([sample["roi"].any() for sample in samples]) > 0.8
    assert len({round(float(s["roi"].mean()), 3) for s in samples}) > 20


@pytest.mark.parametrize("size", [(16, 16), (16, 500), (40, 31), (33, 2000)])
def test_photos_smaller_than_the_crop_are_filled_up(size):
  image = np.full((*size, 3), 77, np.uint8)
  photo = {"image": image, "roi": np.ones(size, np.float32), "name": "s"}
  for sample in draw_many(photo, 5, crop=64):
    assert sample["image"].shape == (64, 64, 3)
    np.testing.assert_allclose(sample["image"], 77 / 255, atol=1 / 255)


@pytest.mark.parametrize("kind", list(random_maps.KINDS))
def test_random_maps_lie_between_zero_and_one(kind):
  for seed in range(50):
    roi = random_maps.KINDS[kind]((24, 40), np.random.default_rng(seed))
    assert roi.shape == (24, 40) and roi.dtype == np.float32
    assert roi.min() >= 0 and roi.max() <= 1


def test_random_maps_are_of_every_kind():
  found = collections.Counter()
  for seed in range(200):
    roi = random_maps.draw((32, 32), np.random.default_rng(seed))
    levels = set(np.unique(roi))
    kind = "binary" if levels == {0, 1} else "soft"
    found["flat" if len(levels) == 1 else kind] += 1
  assert set(found) == {"flat", "binary", "soft"}
