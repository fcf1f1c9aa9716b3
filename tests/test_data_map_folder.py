"""Photos that train with maps made ahead: `config.data.masks=maps`."""

import pathlib
import pickle

import numpy as np
import pytest
from PIL import Image

from roijax.data.folder import FolderSource
from roijax.data.map_folder import PROBES, MapSource
from roijax.data.predicted import with_masks
from roijax.data.sources import JoinedSource, list_names, open_source
from roijax.errors import DataError

NAMES = ("a.jpg", "b.png", "sub/c.jpg")
SIZE = (30, 44)


def write_photos(folder, names=NAMES):
  for index, name in enumerate(names):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(index).integers(0, 256, (*SIZE, 3), np.uint8)
    Image.fromarray(pixels).save(path)
  return FolderSource(folder)


def make_levels(seed, size=SIZE):
  return np.random.default_rng(seed).integers(0, 256, size, np.uint8)


def write_map(folder, name, levels):
  path = pathlib.Path(folder) / name
  path.parent.mkdir(parents=True, exist_ok=True)
  Image.fromarray(levels).save(path)


@pytest.fixture(name="maps")
def _maps(tmp_path):
  for seed, name in enumerate(NAMES):
    write_map(
      tmp_path / "maps",
      str(pathlib.Path(name).with_suffix(".png")),
      make_levels(seed),
    )
  return tmp_path / "maps"


@pytest.fixture(name="photos")
def _photos(tmp_path):
  return write_photos(tmp_path / "photos")


class Records:
  """Photos whose names cannot be listed, only read."""

  name = "records"

  def __init__(self, names, unread=()):
    self.names, self.read, self.unread = names, [], unread

  def __len__(self):
    return len(self.names)

  def __getitem__(self, index):
    image = np.zeros((*SIZE, 3), np.uint8)
    return {"image": image, "roi": None, "name": self.read_name(index)}

  def read_name(self, index):
    self.read.append(index)
    if index in self.unread:
      raise DataError("damaged")
    return self.names[index]


def test_maps_stay_as_soft_as_they_are(photos, maps):
  # As reader processes get it.
  source = pickle.loads(pickle.dumps(with_masks(photos, "maps", str(maps))))
  assert len(source) == 3
  for index, name in enumerate(NAMES):
    photo = source[index]
    assert photo["name"] == name
    np.testing.assert_array_equal(photo["image"], photos[index]["image"])
    assert photo["roi"].dtype == np.float32
    np.testing.assert_array_equal(
      photo["roi"], make_levels(index) / np.float32(255)
    )
  assert source.name == "folder:photos with the maps of maps"


def test_a_threshold_cuts_them(photos, maps):
  source = with_masks(photos, "maps:0.5", str(maps))
  for index in range(3):
    np.testing.assert_array_equal(
      source[index]["roi"], np.float32(make_levels(index) >= 127.5)
    )
  assert source.name != with_masks(photos, "maps", str(maps)).name
  assert source.name.endswith("from 0.5 on")


def test_a_black_map_is_no_region(photos, maps):
  write_map(maps, "b.png", np.zeros(SIZE, np.uint8))
  assert with_masks(photos, "maps", str(maps))[1]["roi"] is None
  write_map(maps, "b.png", np.full(SIZE, 100, np.uint8))
  assert with_masks(photos, "maps:0.5", str(maps))[1]["roi"] is None
  np.testing.assert_allclose(
    with_masks(photos, "maps", str(maps))[1]["roi"], 100 / 255, 1e-6
  )


def test_maps_of_other_sizes_are_resized(photos, maps):
  levels = make_levels(5, (60, 88))
  write_map(maps, "a.png", levels)
  roi = with_masks(photos, "maps", str(maps))[0]["roi"]
  boxes = levels.reshape(30, 2, 44, 2).mean((1, 3)) / 255
  # Rounded after each direction.
  np.testing.assert_allclose(roi, boxes, rtol=0, atol=1.01 / 255)


@pytest.mark.parametrize("size", [(44, 30), (30, 30)])
def test_the_first_map_s_aspect_is_told_at_the_start(photos, maps, size):
  write_map(maps, "a.png", make_levels(0, size))
  with pytest.raises(DataError, match=r"a\.png is .* of another aspect"):
    with_masks(photos, "maps", str(maps))


def test_a_folder_of_other_pictures_is_told_at_the_start(tmp_path):
  photos = write_photos(tmp_path / "photos", ["a.png", "b.png"])
  with pytest.raises(DataError, match=r"the map .*a\.png is coloured"):
    with_masks(photos, "maps", str(tmp_path / "photos"))


def test_a_photo_without_a_map_is_told_at_the_start(photos, maps):
  (maps / "sub/c.png").unlink()
  with pytest.raises(DataError) as info:
    with_masks(photos, "maps", str(maps))
  line = str(info.value)
  assert line.startswith(f"sub/c.jpg has no map in {maps}: write")
  assert f"`roijax roi {photos.folder} -o {maps} --roi SPEC`" in line
  with pytest.raises(DataError, match=r"no folder of maps .*gone: .*roijax ro"):
    with_masks(photos, "maps", str(maps / "gone"))


def test_names_that_differ_in_the_suffix_have_maps_of_their_own(tmp_path, maps):
  photos = write_photos(tmp_path / "photos", ["a.jpg", "a.png"])
  with pytest.raises(DataError, match=r"a\.jpg and a\.png would both have"):
    with_masks(photos, "maps", str(maps))
  for seed in (7, 8):
    write_map(maps, photos.list_names()[seed - 7] + ".png", make_levels(seed))
  source = with_masks(photos, "maps", str(maps))
  for index in range(2):
    np.testing.assert_array_equal(
      source[index]["roi"], make_levels(7 + index) / np.float32(255)
    )


def test_photos_of_one_name_cannot_share_a_map(tmp_path, photos, maps):
  other = write_photos(tmp_path / "more", ["sub/c.jpg"])
  joined = JoinedSource([photos, other])
  assert list_names(joined) == [*NAMES, "sub/c.jpg"]
  with pytest.raises(DataError, match=r"two photos .* named sub/c\.jpg"):
    with_masks(joined, "maps", str(maps))


def test_photos_that_cannot_be_listed_are_looked_up(maps):
  source = Records(["a.jpg", "x.jpg", "b.png"])
  with pytest.raises(DataError, match=r"x\.jpg has no map"):
    MapSource(source, maps)
  with pytest.raises(DataError, match=r"`roijax roi PHOTOS -o"):
    MapSource(source, maps)
  joined = JoinedSource([Records(["a.jpg"]), Records(["b.png"])])
  assert list_names(joined) is None
  assert MapSource(joined, maps)[1]["name"] == "b.png"


def test_only_some_of_very_many_are_looked_up_where_maps_suffice(tmp_path):
  count = 3 * PROBES
  names = [f"{index}.jpg" for index in range(count)]
  (tmp_path / "maps").mkdir()
  for index in range(count):
    # Looked for by name alone, but for the first.
    (tmp_path / f"maps/{index}.png").touch()
  write_map(tmp_path / "maps", "0.png", make_levels(0))
  source = Records(names, unread=[count - 1])
  MapSource(source, tmp_path / "maps")
  assert PROBES <= len(source.read) < PROBES + 5
  # One fewer: the missing one is found, wherever it is.
  (tmp_path / "maps/401.png").unlink()
  with pytest.raises(DataError, match=r"^401\.jpg has no map"):
    MapSource(Records(names), tmp_path / "maps")


def test_a_map_that_goes_later_is_told_by_the_photo(photos, maps):
  source = with_masks(photos, "maps", str(maps))
  (maps / "b.png").unlink()
  with pytest.raises(DataError, match=r"b\.png has no map in .*roijax roi"):
    source[1]


@pytest.mark.parametrize(
  ("masks", "folder"),
  [
    ("maps", ""),
    ("maps:", "maps"),
    ("maps:2", "maps"),
    ("maps:soft", "maps"),
    ("map", "maps"),
  ],
)
def test_masks_that_are_misspelled_are_one_line(photos, masks, folder):
  with pytest.raises(DataError, match=r"or 'maps' or 'maps:0\.5' and the") as e:
    with_masks(photos, masks, folder)
  assert "\n" not in str(e.value)


def test_training_reads_soft_maps(tmp_path):
  from roijax.training.codec import open_data

  sample = open_source("sample:val")
  image = sample[0]["image"]
  levels = np.full(image.shape[:2], 77, np.uint8)
  (name,) = sample.list_names()
  write_map(tmp_path, str(pathlib.Path(name).with_suffix(".png")), levels)
  iterator = open_data(
    seed=0,
    source="sample:val",
    crop=32,
    batch_size=16,
    masks="maps",
    maps=str(tmp_path),
  )
  try:
    roi = next(iterator)["roi"]
  finally:
    iterator.close()
  assert roi.shape == (16, 32, 32, 1)
  # One in five is uniform, one in five a random shape: the rest is the map.
  own = np.abs(roi - 77 / 255).max((1, 2, 3)) < 1e-5
  assert own.sum() >= 5 and not own.all()
