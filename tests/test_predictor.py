"""Samples, weights and `--roi auto` of the predictor of regions."""

import hashlib
import itertools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from smoke_model import ROOT, load_config_file, read_photo

from roijax.data.objects import ObjectSource, make_sample
from roijax.errors import CheckpointError, ConfigError, DataError
from roijax.models.hrnet import build_hrnet
from roijax.roi import parse_roi, predictor, spec, unite
from roijax.roi.choices import Choices
from roijax.training.predictor import MOVE, make_predictor_loss, paste
from roijax.weights import archive, predictor_export
from roijax.weights import predictor as predictor_weights

CONFIGS = load_config_file(ROOT / "configs" / "roi_predictor.py")


class Photos:
  """Three photos; in the second, only one square of two is annotated."""

  name = "squares"

  def __len__(self):
    return 3

  def __getitem__(self, index):
    image = np.full((60, 80, 3), 40 * index, np.uint8)
    roi = np.zeros((60, 80), np.float32)
    roi[20:40, 30:60] = 1
    image[20:40, 30:60] = 200
    return {
      "image": image,
      "roi": None if index == 2 else roi,
      "name": f"{index}",
    }

  def read_annotated(self, index):
    return "one" if index == 1 else "all"


@pytest.fixture(name="weights_path", scope="module")
def _weights_path(tmp_path_factory):
  """Weights of `:smoke`, as training leaves them."""
  config = CONFIGS.get_config("smoke")
  model = build_hrnet(**config.model)
  image = np.zeros((1, model.side, model.side, 3), np.float32)
  params = jax.jit(model.init)(jax.random.key(0), image)["params"]
  path = tmp_path_factory.mktemp("predictor") / "model.npz"
  predictor_weights.save_predictor(
    path, config.model.to_dict(), jax.tree.map(np.asarray, params)
  )
  return path


@pytest.fixture(name="auto")
def _auto(weights_path, monkeypatch):
  """Lets `--roi auto` take them."""
  monkeypatch.setenv(predictor_weights.VARIABLE, str(weights_path))


def test_pixels_outside_are_unknown_where_not_all_is_annotated():
  source = ObjectSource(Photos())
  rng = np.random.default_rng(0)
  whole = make_sample(source[0], 32, rng)
  part = make_sample(source[1], 32, rng)
  assert whole["known"].all()
  np.testing.assert_array_equal(part["known"], part["roi"] > 0.5)
  assert 0 < part["known"].mean() < 1
  assert {x.dtype for x in part.values()} == {np.dtype("float32")}
  assert part["image"].shape == (32, 32, 3)


def test_image_and_region_are_cut_alike():
  sample = make_sample(ObjectSource(Photos())[0], 64, np.random.default_rng(1))
  inside = sample["roi"][..., 0] > 0.9
  outside = sample["roi"][..., 0] < 0.1
  assert sample["image"][inside].min() > sample["image"][outside].max()


def test_a_photo_without_annotations_is_one_line():
  with pytest.raises(DataError, match="2 has no annotated objects"):
    ObjectSource(Photos())[2]


def test_complete_photos_come_more_often():
  source = ObjectSource(Photos(), repeat=3)
  names = [source._source[i]["name"] for i in source._order]
  assert sorted(names) == ["0", "0", "0", "1", "2", "2", "2"]
  assert "3 times" in source.name


def test_shrunk_photos_keep_their_aspect_and_are_read_once(monkeypatch):
  source = ObjectSource(Photos(), shrink=40)
  first = source[1]
  assert first["image"].shape == (30, 40, 3)
  assert first["objects"].shape == (30, 40)
  monkeypatch.setattr(Photos, "__getitem__", None)
  assert source[1] is first


@pytest.mark.parametrize("wrong", [{"repeat": 0}, {"shrink": -1}])
def test_repeat_and_shrink_have_ranges(wrong):
  with pytest.raises(ConfigError, match=f"config.data.{next(iter(wrong))}"):
    ObjectSource(Photos(), **wrong)


def _make_batch():
  rng = np.random.default_rng(2)
  roi = (rng.random((4, 32, 32, 1)) > 0.6).astype(np.float32)
  known = np.ones_like(roi)
  known[1::2] = roi[1::2]
  image = rng.random((4, 32, 32, 3), np.float32)
  return {"image": image, "roi": roi, "known": known}


def test_pasted_objects_stand_before_known_backgrounds_alone():
  batch = _make_batch()
  keys = jax.random.split(jax.random.key(0), 4)
  pasted = paste(batch, keys, 1.0)
  moves = [_find_move(batch, pasted, i, (i - 1) % 4) for i in (0, 2)]
  assert moves[0] != moves[1]
  for name in batch:
    np.testing.assert_array_equal(pasted[name][1::2], batch[name][1::2])
    np.testing.assert_array_equal(paste(batch, keys, 0.0)[name], batch[name])


def _find_move(batch, pasted, to, source):
  """How `source` was mirrored and moved, by trying all that it may be."""
  side = batch["roi"].shape[1]
  most = int(MOVE * side)
  both = np.concatenate([batch["image"], batch["roi"]], axis=-1)[source]
  found = []
  for mirrored, row, column in itertools.product(
    (False, True), range(2 * most + 1), range(2 * most + 1)
  ):
    moved = np.pad(
      both[:, ::-1] if mirrored else both, ((most, most), (most, most), (0, 0))
    )[row : row + side, column : column + side]
    image, roi = moved[..., :3], moved[..., 3:]
    expected = np.where(roi == 1, image, batch["image"][to])
    if np.allclose(pasted["image"][to], expected, atol=1e-6):
      union = np.maximum(batch["roi"][to], roi)
      np.testing.assert_array_equal(pasted["roi"][to], union)
      found.append((mirrored, row, column))
  (move,) = found
  return move


def test_the_loss_does_not_see_what_is_unknown():
  config = CONFIGS.get_config("smoke")
  config.loss.paste = 0.0
  model = build_hrnet(**config.model)
  batch = jax.tree.map(jnp.asarray, _make_batch())
  keys = jax.random.split(jax.random.key(0), 4)
  params = jax.jit(model.init)(jax.random.key(0), batch["image"])["params"]
  loss = jax.jit(make_predictor_loss(model, config))
  before = loss(params, {}, batch, keys)[0]
  other = {**batch, "roi": jnp.where(batch["known"] == 1, batch["roi"], 0.3)}
  assert float(loss(params, {}, other, keys)[0]) == pytest.approx(float(before))
  # Where it is known, it does.
  other = {**batch, "roi": 1 - batch["roi"]}
  assert float(loss(params, {}, other, keys)[0]) != pytest.approx(float(before))


def test_weights_come_back_as_they_were_rounded(weights_path):
  weights = predictor_weights.load_predictor(weights_path)
  config = CONFIGS.get_config("smoke")
  assert build_hrnet(**weights.model) == build_hrnet(**config.model)
  leaves = jax.tree.leaves(weights.params)
  assert all((x == x.astype(np.float16)).all() for x in leaves)
  again = weights_path.with_name("again.npz")
  predictor_weights.save_predictor(again, weights.model, weights.params)
  assert again.read_bytes() == weights_path.read_bytes()
  assert len(weights.fingerprint) == 8


def test_codecs_and_predictors_are_not_mistaken(weights_path, smoke_path):
  with pytest.raises(CheckpointError, match=r"holds a codec \(ggm\)"):
    predictor_weights.load_predictor(smoke_path)
  with pytest.raises(CheckpointError, match="predicts regions and codes nothi"):
    archive.load_weights(weights_path)


def test_damaged_weights_are_one_line(weights_path, tmp_path):
  broken = tmp_path / "broken.npz"
  broken.write_bytes(weights_path.read_bytes()[:-40])
  with pytest.raises(CheckpointError, match="is damaged"):
    predictor_weights.load_predictor(broken)


def test_shipped_weights_are_checked(weights_path, tmp_path, monkeypatch):
  monkeypatch.delenv(predictor_weights.VARIABLE, raising=False)
  monkeypatch.setattr(predictor_weights, "FOLDER", tmp_path)
  with pytest.raises(CheckpointError, match="install roijax again"):
    predictor_weights.find_predictor()
  data = weights_path.read_bytes()
  (tmp_path / "p-1.npz").write_bytes(data)
  entry = {"name": "p-1", "sha256": hashlib.sha256(data).hexdigest()}
  (tmp_path / "predictor.json").write_text(json.dumps(entry))
  assert predictor_weights.find_predictor() == tmp_path / "p-1.npz"
  (tmp_path / "p-1.npz").write_bytes(data[:-1])
  with pytest.raises(CheckpointError, match="is not the file that was shipped"):
    predictor_weights.find_predictor()


@pytest.mark.parametrize(
  "size", [(1, 1), (5, 300), (64, 48), (700, 900)], ids=str
)
def test_any_photo_gets_a_map_of_its_size(auto, size):
  rng = np.random.default_rng(0)
  grey = rng.integers(0, 256, size, np.uint8)
  likely = predictor.predict(grey)
  assert likely.shape == size and likely.dtype == np.float32
  assert likely.min() >= 0 and likely.max() <= 1
  colour = np.repeat(grey[..., None], 3, axis=2)
  np.testing.assert_allclose(predictor.predict(colour), likely, atol=1e-6)


def test_a_mirrored_photo_has_the_mirrored_map(auto):
  # Without enlarging, which samples the two a little differently.
  photo = read_photo(64, 96)
  likely = predictor.predict(photo)
  mirrored = predictor.predict(np.ascontiguousarray(photo[:, ::-1]))
  np.testing.assert_allclose(mirrored[:, ::-1], likely, atol=2e-3)


def test_auto_is_where_the_map_reaches_the_threshold(auto, monkeypatch):
  image = np.zeros((4, 5, 3), np.uint8)
  likely = np.linspace(0, 0.9, 20, dtype=np.float32).reshape(4, 5)
  monkeypatch.setattr(predictor, "predict", lambda _: likely)
  for text, threshold in (("auto", predictor.THRESHOLD), ("auto:0.2", 0.2)):
    roi = parse_roi(text, (4, 5), None, image)
    np.testing.assert_array_equal(roi, likely >= threshold)
    assert roi.dtype == np.float32
  chosen = parse_roi("auto", (4, 5), None, image, Choices(0.7))
  np.testing.assert_array_equal(chosen, likely >= np.float32(0.7))
  own = parse_roi("auto:0.2", (4, 5), None, image, Choices(0.7))
  np.testing.assert_array_equal(own, likely >= np.float32(0.2))
  both = unite(["auto:0.8", "box:0,0,1,1"], (4, 5), None, image)
  assert both[0, 0] == 1 and both[-1, -1] == 1


def test_nothing_found_is_one_line_that_names_a_lower_threshold(
  auto, monkeypatch
):
  image = np.zeros((4, 5, 3), np.uint8)
  likely = np.full((4, 5), 0.215, np.float32)
  monkeypatch.setattr(predictor, "predict", lambda _: likely)
  with pytest.raises(
    DataError, match=r"no object found in a\.jpg.*auto:0\.21, or"
  ):
    parse_roi("auto", (4, 5), "a.jpg", image)
  with pytest.raises(DataError, match=r"--roi-threshold 0\.21, or"):
    parse_roi("auto", (4, 5), "a.jpg", image, Choices(0.4))
  likely[:] = 0.001
  with pytest.raises(DataError, match="give the region yourself"):
    parse_roi("auto:0.2", (4, 5), "a.jpg", image)


@pytest.mark.parametrize("text", ["auto:?", "auto:0", "auto:1", "auto:nan"])
def test_a_threshold_is_a_probability(text):
  image = np.zeros((4, 5, 3), np.uint8)
  with pytest.raises(DataError, match="between 0 and 1"):
    parse_roi(text, (4, 5), None, image)


def test_specs_that_look_at_pixels_are_known():
  wanted = {"face", "person", "saliency", "auto", "auto:0.2", "text:PHRASE"}
  wanted |= {"saliency:MODEL.onnx"}
  assert {text for text in spec.SPELLINGS if spec.needs_pixels(text)} == wanted
  with pytest.raises(DataError, match="needs the photo's pixels"):
    parse_roi("auto:0.2", (4, 5))


WORDS = predictor_export.Words("Photos of mine.", "Much.", "python train.py")


def _write_results(folder, fingerprint):
  row = {"setting": "auto", "miou": 0.4, "best_miou": 0.41}
  results = {"fingerprint": fingerprint, "rows": [row]}
  folder.mkdir()
  (folder / "agreement.json").write_text(json.dumps(results))


def test_what_is_shipped_is_found_and_told(weights_path, tmp_path, monkeypatch):
  monkeypatch.delenv(predictor_weights.VARIABLE, raising=False)
  monkeypatch.setattr(predictor_weights, "FOLDER", tmp_path)
  own = predictor_weights.load_predictor(weights_path).fingerprint.hex()
  _write_results(tmp_path / "eval", own)
  path = predictor_export.export_predictor(
    weights_path, "p-1", tmp_path / "eval", WORDS, tmp_path
  )
  assert predictor_weights.find_predictor() == path
  assert path.read_bytes() == weights_path.read_bytes()
  card = (tmp_path / "p-1.md").read_text()
  for words in (*WORDS, own, "| `auto` | 0.400 | 0.410 |", "32 pixels square"):
    assert words in card


def test_only_what_was_measured_is_shipped_and_once(
  weights_path, tmp_path, smoke_path
):
  def export(run, results):
    predictor_export.export_predictor(run, "p-1", results, WORDS, tmp_path)

  with pytest.raises(CheckpointError, match="no figures in"):
    export(weights_path, tmp_path)
  _write_results(tmp_path / "eval", "0" * 16)
  with pytest.raises(
    CheckpointError, match="was measured with 0000000000000000"
  ):
    export(weights_path, tmp_path / "eval")
  with pytest.raises(CheckpointError, match="no predictor"):
    export(smoke_path, tmp_path / "eval")
  (tmp_path / "p-1.npz").write_bytes(b"others")
  with pytest.raises(CheckpointError, match="shipped already"):
    export(weights_path, tmp_path / "eval")
  assert not (tmp_path / "predictor.json").exists()
