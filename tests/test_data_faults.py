"""Photos that cannot be read: replaced alike everywhere, told once, counted."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from roijax.data import coco
from roijax.data.pipeline import make_train_iterator
from roijax.data.skipping import TRIES, SkippedPhotos
from roijax.data.sources import open_source
from roijax.errors import DataError

SIZE = (32, 32)


class Photos:
  """Flat photos whose blue says which they are; some cannot be read."""

  def __init__(self, count=24, bad=(3, 4)):
    self.count, self.bad, self.name = count, bad, "flat"

  def __len__(self):
    return self.count

  def __getitem__(self, index):
    if index in self.bad:
      raise DataError(f"photo {index} is damaged")
    image = np.full((*SIZE, 3), 6 * index, np.uint8)
    return {"image": image, "roi": None, "name": str(index)}


def make(source=None, batch_size=4, **options):
  return make_train_iterator(
    source or Photos(), crop=32, batch_size=batch_size, seed=1, **options
  )


def take(iterator, count):
  return [next(iterator) for _ in range(count)]


def numbers(batches):
  """Which photo each sample is of."""
  blue = np.concatenate([batch["image"][:, 0, 0, 2] for batch in batches])
  return np.round(255 / 6 * blue).astype(int).tolist()


def assert_same(batches, others):
  for batch, other in zip(batches, others, strict=True):
    assert batch.keys() == other.keys() == {"image", "roi"}
    for key in batch:
      np.testing.assert_array_equal(batch[key], other[key])


def noise_photo(seed=0):
  pixels = np.random.default_rng(seed).integers(0, 256, (*SIZE, 3), np.uint8)
  return Image.fromarray(pixels)


def encode(image, kind):
  buffer = io.BytesIO()
  image.save(buffer, kind)
  return buffer.getvalue()


AVIF = encode(noise_photo(), "AVIF")
PIXELS = AVIF.index(b"mdat") + 4
DAMAGES = {
  "a truncated JPEG": (encode(noise_photo(), "JPEG")[:-300], "is damaged"),
  "a truncated PNG": (encode(noise_photo(), "PNG")[:-300], "is damaged"),
  "a damaged AVIF": (
    AVIF[:PIXELS] + bytes(len(AVIF) - PIXELS),
    "is damaged or cannot be decoded",
  ),
  "an empty file": (b"", "is an empty file"),
  "no image": (b"<html>404</html>", "is not an image"),
  "grey": (encode(noise_photo().convert("L"), "PNG"), "is grey"),
  "with alpha": (encode(noise_photo().convert("RGBA"), "PNG"), "transparency"),
  "too small": (encode(Image.new("RGB", (9, 9)), "PNG"), "is 9x9 pixels"),
  "deleted": (None, "no such photo"),
}


@pytest.mark.parametrize("damage", list(DAMAGES))
def test_a_bad_file_is_replaced_and_told_once(tmp_path, capsys, damage):
  content, reason = DAMAGES[damage]
  for i in range(5):
    (tmp_path / f"{i}.png").write_bytes(encode(noise_photo(i), "PNG"))
  source = open_source(str(tmp_path))
  path = tmp_path / "2.png"
  path.unlink() if content is None else path.write_bytes(content)

  iterator = make(source)
  batches = take(iterator, 4)
  assert all(batch["image"].shape == (4, 32, 32, 3) for batch in batches)
  assert iterator.skipped.keys() == {2}
  assert reason in iterator.skipped[2] and str(path) in iterator.skipped[2]
  assert capsys.readouterr().err == f"skipped: {iterator.skipped[2]}\n"
  iterator.close()
  iterator.close()
  last = f"1 of 5 photos could not be read: {iterator.skipped[2]}\n"
  assert capsys.readouterr().err == last
  with pytest.raises(DataError, match=reason):
    source[2]


def test_the_next_readable_photo_takes_the_place_of_a_bad_one():
  whole, holed = (
    numbers(take(make(Photos(bad=())), 6)),
    numbers(take(make(), 6)),
  )
  assert {3, 4} <= set(whole)
  assert holed == [5 if number in (3, 4) else number for number in whole]
  first = numbers(take(make(Photos(bad=(22, 23))), 6))
  assert first == [0 if number in (22, 23) else number for number in whole]


def test_other_samples_stay_as_they_were():
  for batch, other in zip(
    take(make(Photos(bad=())), 3), take(make(), 3), strict=True
  ):
    kept = [i for i, n in enumerate(numbers([batch])) if n not in (3, 4)]
    for key in batch:
      np.testing.assert_array_equal(batch[key][kept], other[key][kept])
    # A replaced sample keeps its random map too.
    np.testing.assert_array_equal(batch["roi"], other["roi"])


def test_readers_replace_alike_and_their_reports_arrive(capsys):
  plain, read = make(), make(workers=2)
  assert_same(take(plain, 6), take(read, 6))
  assert read.skipped == plain.skipped
  assert read.skipped == {i: f"photo {i} is damaged" for i in (3, 4)}
  plain.close()
  told = capsys.readouterr().err.splitlines()
  read.close()
  assert sorted(told[:4]) == sorted(
    2 * ["skipped: photo 3 is damaged", "skipped: photo 4 is damaged"]
  )
  assert capsys.readouterr().err.count("\n") == 1


def test_processes_replace_alike():
  whole = take(make(batch_size=8), 3)
  halves = [
    take(make(process_index=index, process_count=2), 3) for index in (0, 1)
  ]
  joined = [
    {key: np.concatenate([half[i][key] for half in halves]) for key in whole[0]}
    for i in range(3)
  ]
  assert_same(whole, joined)


def test_a_resumed_run_replaces_alike():
  straight = take(make(), 7)
  first = make()
  take(first, 3)
  state = json.loads(json.dumps(first.get_state()))
  assert state.keys() == {"batches_drawn", "dataset"}
  resumed = make()
  resumed.set_state(state)
  assert_same(straight[3:], take(resumed, 4))


def test_going_back_tells_nothing_twice(capsys):
  iterator = make()
  beginning = iterator.get_state()
  take(iterator, 3)
  iterator.set_state(beginning)
  take(iterator, 3)
  assert capsys.readouterr().err.count("photo 3") == 1


def test_a_run_without_bad_photos_says_nothing(capsys):
  iterator = make(Photos(bad=()))
  take(iterator, 4)
  iterator.close()
  assert iterator.skipped == {}
  assert capsys.readouterr().err == ""


@pytest.mark.parametrize("workers", [0, 2])
def test_photos_bad_in_a_row_stop_the_run(workers):
  iterator = make(Photos(30, bad=range(5, 30)), workers=workers)
  line = rf"{TRIES} photos in a row cannot be read in flat; .*is damaged"
  with pytest.raises(DataError, match=line) as caught:
    take(iterator, 8)
  iterator.close()
  assert "\n" not in str(caught.value)


def test_a_source_of_bad_photos_alone_stops_at_once():
  with pytest.raises(DataError, match="3 photos in a row cannot be read"):
    next(make(Photos(3, bad=range(3))))


def test_more_than_one_bad_photo_in_ten_stops_the_run():
  iterator = make(Photos(40, bad=range(0, 40, 8)), batch_size=8)
  with pytest.raises(DataError, match="5 of 40 photos of flat could not be"):
    take(iterator, 5)
  iterator = make(Photos(40, bad=range(0, 40, 10)), batch_size=8)
  take(iterator, 15)
  assert len(iterator.skipped) == 4


def test_a_large_source_is_judged_by_its_first_hundred(capsys):
  account = SkippedPhotos("large", 100_000)
  bad = [json.dumps({i: f"photo {i} is damaged"}) for i in range(11)]
  account.add([*bad, *[""] * 88])
  with pytest.raises(DataError, match="11 of 100 photos of large"):
    account.add([""])
  assert len(capsys.readouterr().err.splitlines()) == 11
  words = account.describe()
  assert words.startswith("11 of 100000 photos could not be read: photo 0 is")
  assert words.endswith("; and 8 more, told above")


@pytest.fixture(name="prepared", scope="module")
def _prepared(tmp_path_factory):
  """A prepared coco_roi with twelve photos in train."""
  folder = tmp_path_factory.mktemp("coco")
  for split, count in (("train", 12), ("val", 1)):
    (folder / f"{split}2017").mkdir()
    names = [f"{i}.png" for i in range(count)]
    for i, name in enumerate(names):
      noise_photo(i).save(folder / f"{split}2017" / name)
    content = {
      "images": [
        {"id": i, "file_name": name, "height": SIZE[0], "width": SIZE[1]}
        for i, name in enumerate(names)
      ],
      "categories": [],
      "annotations": [],
    }
    (folder / "annotations").mkdir(exist_ok=True)
    path = folder / "annotations" / f"instances_{split}2017.json"
    path.write_text(json.dumps(content))
  data_dir = folder / "data"
  coco.prepare(str(folder), str(data_dir))
  return data_dir


def list_unreadable(source):
  lines = {}
  for index in range(len(source)):
    try:
      source[index]
    except DataError as error:
      lines[index] = str(error)
  return lines


def test_flipped_bytes_cost_the_record_they_lie_in(prepared, capsys):
  (path,) = prepared.glob("coco_roi/1.0.0/*train.array_record*")
  whole = path.read_bytes()
  damaged = bytearray(whole)
  damaged[1500] ^= 0xFF
  try:
    path.write_bytes(damaged)
    lines = list_unreadable(open_source("coco_roi:train", str(prepared)))
    ((index, line),) = lines.items()
    assert line.startswith(f"record {index} of coco_roi:train cannot be read: ")
    assert "hash mismatch" in line and "\n" not in line
    source = open_source("coco_roi:train", str(prepared))
    plain, read = make(source), make(source, workers=1)
    assert_same(take(plain, 4), take(read, 4))
    read.close()
    assert plain.skipped == read.skipped == lines
    assert f"skipped: {line}\n" in capsys.readouterr().err
  finally:
    path.write_bytes(whole)


@pytest.mark.parametrize("length", [0, 40_000, None])
def test_a_lost_shard_stops_with_one_line(prepared, length):
  (path,) = prepared.glob("coco_roi/1.0.0/*train.array_record*")
  whole = path.read_bytes()
  try:
    path.unlink() if length is None else path.write_bytes(whole[:length])
    source = open_source("coco_roi:train", str(prepared))
    with pytest.raises(DataError, match=rf"{TRIES} photos in a row") as caught:
      next(make(source))
    assert "\n" not in str(caught.value)
  finally:
    path.write_bytes(whole)


@pytest.mark.parametrize(
  ("mask", "words"),
  [
    (b"", "the mask of 0.png is an empty file"),
    (b"no png", "the mask of 0.png is not an image"),
    (encode(Image.new("L", SIZE), "PNG")[:-24], "the mask of 0.png is damaged"),
    (encode(Image.new("L", (9, 7)), "PNG"), "9x7 pixels of mode L, not 32x32"),
    (encode(Image.new("P", SIZE), "PNG"), "of mode P, not 32x32 of mode L"),
  ],
  ids=["empty", "no image", "truncated", "of another size", "palette"],
)
def test_a_bad_mask_is_one_clear_line(prepared, monkeypatch, mask, words):
  source = coco.CocoSource("train", str(prepared))
  record = {**source._records[0], "file_name": b"0.png", "roi": mask}
  monkeypatch.setattr(source, "_records", [record])
  with pytest.raises(DataError, match=words):
    source[0]
