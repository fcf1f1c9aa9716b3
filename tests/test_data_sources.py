"""Sources: which photos a spec opens, and what is said when there are none."""

import json
import pickle
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from smoke_model import ROOT

from roijax.data import coco, images
from roijax.data.photo import Source
from roijax.data.sources import JoinedSource, open_source
from roijax.errors import DataError

SIZE = (24, 32)


def make_photo(path, seed=0):
  path.parent.mkdir(parents=True, exist_ok=True)
  pixels = np.random.default_rng(seed).integers(0, 256, (*SIZE, 3), np.uint8)
  Image.fromarray(pixels).save(path)
  return pixels


@pytest.fixture
def photos(tmp_path):
  folder = tmp_path / "photos"
  for i, name in enumerate(["b.png", "a.png", "deep/c.PNG"]):
    make_photo(folder / name, i)
  make_photo(folder / ".hidden/d.png")
  (folder / "notes.txt").write_text("not a photo")
  return folder


@pytest.fixture
def coco_folder(tmp_path):
  """COCO's layout with three photos a split; the second has no instances."""
  folder = tmp_path / "coco"
  square = [[4, 4, 12, 4, 12, 12, 4, 12]]
  crowd = {"size": list(SIZE), "counts": [SIZE[0] * 30, SIZE[0] * 2]}
  for split in ("train", "val"):
    entries = []
    for i in range(3):
      name = f"{split}{i}.png"
      make_photo(folder / f"{split}2017" / name, i)
      entries.append({"id": i, "file_name": name, "height": 24, "width": 32})
    entries[2]["annotated"] = "one"
    content = {
      "images": entries,
      "categories": [{"id": 17, "name": "cat"}, {"id": 1, "name": "person"}],
      "annotations": [
        {"id": 1, "image_id": 0, "category_id": 17, "segmentation": square},
        {
          "id": 2,
          "image_id": 0,
          "category_id": 1,
          "iscrowd": 1,
          "segmentation": crowd,
        },
        {"id": 3, "image_id": 2, "category_id": 1, "segmentation": square},
      ],
    }
    path = folder / "annotations" / f"instances_{split}2017.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content))
  return folder


def test_a_folder_is_read_in_order_and_recursively(photos):
  source = open_source(f"folder:{photos}")
  assert isinstance(source, Source)
  assert [source[i]["name"] for i in range(len(source))] == [
    "a.png",
    "b.png",
    "deep/c.PNG",
  ]
  assert source[0]["roi"] is None
  assert source[0]["image"].shape == (*SIZE, 3)
  assert open_source(str(photos)).name == source.name == "folder:photos"


def test_joined_sources_follow_one_another(photos):
  joined = open_source(f"sample:val+folder:{photos} + {photos}")
  assert isinstance(joined, JoinedSource)
  names = [joined[i]["name"] for i in range(len(joined))]
  assert names[0] == "coffee.png"
  assert names[1:4] == names[4:] == ["a.png", "b.png", "deep/c.PNG"]
  assert joined.name == "sample:val+folder:photos+folder:photos"


def test_sources_survive_pickling(photos):
  for spec in ("sample:val", f"sample:val+{photos}"):
    source = open_source(spec)
    again = pickle.loads(pickle.dumps(source))
    np.testing.assert_array_equal(again[0]["image"], source[0]["image"])


@pytest.mark.parametrize(
  ("spec", "words"),
  [
    ("nowhere", "no folder of photos 'nowhere'"),
    ("", "no folder of photos"),
    ("coco-roi:train", "did you mean coco_roi"),
    ("sample", "did you mean sample"),
    ("sample:test", "use train or val"),
    ("folder:nowhere", "no such folder"),
    ("coco_roi:train", "--manual_dir=COCO --data_dir=DIR"),
  ],
)
def test_a_wrong_spec_is_one_clear_line(spec, words):
  with pytest.raises(DataError, match=words) as info:
    open_source(spec)
  assert "\n" not in str(info.value)


def test_a_folder_without_photos_says_what_it_looked_for(tmp_path):
  with pytest.raises(DataError, match=r"no photos in .*\.png"):
    open_source(str(tmp_path))


def test_sample_photos_have_outlines_and_disjoint_splits():
  train, val = open_source("sample:train"), open_source("sample:val")
  names = set()
  for source in (train, val):
    for i in range(len(source)):
      photo = source[i]
      assert photo["image"].dtype == np.uint8
      assert photo["roi"].shape == photo["image"].shape[:2]
      assert photo["roi"].dtype == np.float32
      assert set(np.unique(photo["roi"])) == {0, 1}
      names.add(photo["name"])
  assert len(names) == len(train) + len(val) == 8


def test_the_cup_is_outlined_where_it_is():
  photo = open_source("sample:val")[0]
  assert photo["roi"][110, 290] == 1  # The coffee.
  assert photo["roi"][370, 290] == 0  # The saucer's lower edge.
  inside = photo["image"][photo["roi"] > 0].mean()
  assert inside > photo["image"][photo["roi"] == 0].mean() + 20


def test_coco_is_prepared_and_read_back(coco_folder, tmp_path):
  data_dir = str(tmp_path / "data")
  assert coco.prepare(str(coco_folder), data_dir) == {"train": 3, "val": 3}
  for split in ("train", "val"):
    source = open_source(f"coco_roi:{split}", data_dir)
    photos = {source[i]["name"]: source[i] for i in range(len(source))}
    assert sorted(photos) == [f"{split}{i}.png" for i in range(3)]
    for name, photo in photos.items():
      stored = images.read_image(coco_folder / f"{split}2017" / name)
      np.testing.assert_array_equal(photo["image"], stored)
    expected = np.zeros(SIZE, np.float32)
    expected[4:12, 4:12] = 1
    np.testing.assert_array_equal(photos[f"{split}2.png"]["roi"], expected)
    expected[:, 30:] = 1  # The crowd belongs to the union.
    np.testing.assert_array_equal(photos[f"{split}0.png"]["roi"], expected)
    assert not photos[f"{split}1.png"]["roi"].any()


def test_an_excerpt_of_coco_has_splits_of_its_own(
  coco_folder, tmp_path, capsys
):
  listed = tmp_path / "excerpt.txt"

  def run(text, data_dir="other"):
    listed.write_text(text)
    folder = tmp_path / data_dir
    code = coco.main(
      [
        f"--manual_dir={coco_folder}",
        f"--data_dir={folder}",
        f"--excerpt={listed}",
      ]
    )
    return code, capsys.readouterr().err.strip().splitlines()[-1]

  good = "# Three.\ntrain val0.png\n\nval train2.png # there\nval val2.png\n"
  assert run(good, "data")[0] == 0
  for split, names in (
    ("train", ["val0.png"]),
    ("val", ["train2.png", "val2.png"]),
  ):
    source = open_source(f"coco_roi:{split}", str(tmp_path / "data"))
    found = {source[i]["name"]: source[i] for i in range(len(source))}
    assert sorted(found) == names
    for name, photo in found.items():
      place = f"{name[:-5]}2017"
      stored = images.read_image(coco_folder / place / name)
      np.testing.assert_array_equal(photo["image"], stored)
  code, told = run(good, "data")
  assert (code, "already holds a coco_roi" in told) == (2, True)
  for text, words in (
    ("train val0.png\nval val7.png", "no RGB photo val7.png in"),
    ("train val0.png", "names no photo for val"),
    ("val0.png", "line 1: write train or val and a photo's file name"),
    ("\ntest val0.png", "line 2: write train or val"),
    ("train a.png\nval a.png", "line 2: a.png is there twice"),
  ):
    code, told = run(text)
    assert (code, told[:7]) == (2, "error: ")
    assert words in told
  with pytest.raises(DataError, match=r"cannot read .*none\.txt"):
    coco.read_excerpt(tmp_path / "none.txt")
  assert not (tmp_path / "other" / "coco_roi" / coco.VERSION).exists()


def test_the_published_excerpt_is_what_the_figures_are_of():
  names = coco.read_excerpt(ROOT / "docs" / "photos" / "coco_excerpt.txt")
  assert {split: len(known) for split, known in names.items()} == {
    "train": 718,
    "val": 99,
  }


def test_coco_keeps_each_instance_with_its_category(coco_folder, tmp_path):
  coco.prepare(str(coco_folder), str(tmp_path / "data"))
  source = coco.CocoSource("val", str(tmp_path / "data"))
  index = [source[i]["name"] for i in range(3)].index("val0.png")
  cat, crowd = source.read_instances(index)
  assert (cat["category"], cat["category_id"]) == ("cat", 17)
  assert cat["mask"][4:12, 4:12].all() and cat["mask"].sum() == 64
  assert crowd["is_crowd"] and not cat["is_crowd"]
  assert crowd["mask"][:, 30:].all() and crowd["mask"].sum() == 48
  other = [source[i]["name"] for i in range(3)].index("val1.png")
  assert source.read_instances(other) == []
  assert source.read_categories(other) == {}
  by_name = source.read_categories(index)
  assert [len(rles) for rles in by_name.values()] == [1, 1]
  mask = coco.annotations.union_mask(by_name["cat"], cat["mask"].shape)
  np.testing.assert_array_equal(mask, cat["mask"])
  assert source.read_annotated(index) == "all"
  third = [source[i]["name"] for i in range(3)].index("val2.png")
  assert source.read_annotated(third) == "one"
  assert source.read_name(third) == "val2.png"


def test_coco_slices_and_refuses_unknown_splits(coco_folder, tmp_path):
  data_dir = str(tmp_path / "data")
  coco.prepare(str(coco_folder), data_dir)
  assert len(open_source("coco_roi:train[:2]", data_dir)) == 2
  for split in ("test", "", "train[x]"):
    with pytest.raises(DataError) as info:
      open_source(f"coco_roi:{split}", data_dir)
    assert "\n" not in str(info.value)


def test_coco_leaves_out_grey_photos(coco_folder, tmp_path, capsys):
  Image.new("L", (32, 24)).save(coco_folder / "train2017/train1.png")
  counts = coco.prepare(str(coco_folder), str(tmp_path / "data"))
  assert counts == {"train": 2, "val": 3}
  assert "left out 1 photos that are not RGB" in capsys.readouterr().err


def test_a_missing_dataset_says_how_to_prepare_it(tmp_path):
  with pytest.raises(DataError, match=r"python -m roijax\.data\.coco") as info:
    open_source("coco_roi:train", str(tmp_path))
  assert f"--data_dir={tmp_path}" in str(info.value)


def test_the_command_prepares_without_tensorflow(coco_folder, tmp_path):
  script = (
    "import sys, roijax.data.coco as c\n"
    f"code = c.main(['--manual_dir={coco_folder}', '--data_dir={tmp_path}'])\n"
    "assert 'tensorflow' not in sys.modules and 'jax' not in sys.modules\n"
    "sys.exit(code)"
  )
  result = subprocess.run(
    [sys.executable, "-c", script], capture_output=True, text=True
  )
  assert result.returncode == 0, result.stderr
  assert "3 train, 3 val photos" in result.stdout


@pytest.mark.parametrize("damage", ["no folder", "no photo", "other size"])
def test_the_command_ends_in_one_line_on_bad_input(
  coco_folder, tmp_path, capsys, damage
):
  if damage == "no folder":
    coco_folder = tmp_path / "nowhere"
  elif damage == "no photo":
    (coco_folder / "val2017/val1.png").unlink()
  else:
    Image.new("RGB", (20, 20)).save(coco_folder / "train2017/train0.png")
  data_dir = tmp_path / "data"
  code = coco.main([f"--manual_dir={coco_folder}", f"--data_dir={data_dir}"])
  assert code == 2
  last = capsys.readouterr().err.splitlines()[-1]
  assert last.startswith("error: ")
  assert not list(data_dir.glob("coco_roi/1.0.0/*"))


def test_a_full_disk_is_one_line(coco_folder, tmp_path, capsys, monkeypatch):
  from roijax.data import coco_builder

  def fail(*_):
    raise RuntimeError("write() failed: No space left on device; at byte 9")

  monkeypatch.setattr(coco_builder, "_read_photo", fail)
  data_dir = tmp_path / "data"
  code = coco.main([f"--manual_dir={coco_folder}", f"--data_dir={data_dir}"])
  assert code == 2
  assert capsys.readouterr().err.endswith(
    f"\nerror: cannot prepare {data_dir}: No space left on device\n"
  )
