"""`roijax plot attention`: what its maps and its distances say."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from smoke_model import ROOT, load_config_file, make_params, read_photo

from roijax import cli
from roijax.evaluation.attention import (
  Pair,
  choose_points,
  measure_distance,
  roll_out,
  spread,
)
from roijax.layers.swin import ATTENTION, SwinPair
from roijax.models.registry import build_model
from roijax.weights.archive import FILE_NAME, save_weights


@functools.cache
def _look(height, width, window=4):
  """A random layer, its input, and its attention."""
  rng = np.random.default_rng(0)
  x = jnp.asarray(rng.standard_normal((1, height, width, 4)), jnp.float32)
  layer = SwinPair(heads=2, window=window)
  params = jax.tree.map(
    lambda leaf: jnp.asarray(rng.standard_normal(leaf.shape), jnp.float32),
    jax.eval_shape(layer.init, jax.random.key(0), x),
  )
  look = functools.partial(layer.apply, mutable=[ATTENTION])
  _, taken = jax.jit(look)(params, x)
  plain, shifted = (
    np.asarray(taken[ATTENTION][name]["attention"]["weights"][0][0]).mean(2)
    for name in ("plain", "shifted")
  )
  apply = jax.jit(functools.partial(layer.apply, params))
  return apply, x, Pair("encoder", 8, window, plain, shifted)


@pytest.mark.parametrize("size", [(8, 8), (6, 9)])
def test_a_map_is_a_row_of_the_product_of_both_blocks_weights(size):
  _, _, pair = _look(*size)
  places = list(np.ndindex(size))
  first, second = (
    np.stack([spread(weights, shift, *place).ravel() for place in places])
    for weights, shift in ((pair.plain, 0), (pair.shifted, 2))
  )
  for matrix in (first, second):
    np.testing.assert_allclose(matrix.sum(axis=1), 1, rtol=1e-5)
  found = np.stack([roll_out(pair, *place).ravel() for place in places])
  np.testing.assert_allclose(found, second @ first, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("place", [(0, 0), (3, 4), (5, 8)])
def test_a_map_is_where_a_change_is_seen(place):
  apply, x, pair = _look(6, 9)
  before = apply(x)[0, *place]
  seen = np.zeros((6, 9), bool)
  for row, column in np.ndindex(6, 9):
    after = apply(x.at[0, row, column].add(jnp.arange(4.0)))[0, *place]
    seen[row, column] = np.abs(after - before).max() > 1e-7
  # Weights are positive wherever a window lets a position look.
  np.testing.assert_array_equal(roll_out(pair, *place) > 0, seen)


def test_distances_are_those_of_the_positions():
  even = np.full((4, 4, 4), 0.25)
  pair = Pair("encoder", 16, 2, even, even)
  by_hand = 16 * (0 + 1 + 1 + 2**0.5) / 4
  np.testing.assert_allclose(measure_distance(pair), (by_hand, by_hand))
  # In raster order: looking at oneself, and across the window's diagonal.
  itself = np.eye(4)[[0, 1, 2, 3]].reshape(2, 2, 4)
  across = itself[::-1, ::-1]
  moved = np.roll(np.tile(itself, (2, 2, 1)), (1, 1), axis=(0, 1))
  pair = Pair("encoder", 16, 2, np.tile(across, (2, 2, 1)), moved)
  assert measure_distance(pair)[0] == pytest.approx(16 * 2**0.5 / 2)


def test_what_no_window_shows_does_not_count_as_far():
  _, _, pair = _look(6, 9)
  sums = np.zeros(2)
  for weights, shift in ((pair.plain, 0), (pair.shifted, 2)):
    for row, column in np.ndindex(6, 9):
      share = spread(weights, shift, row, column)
      rows, columns = np.indices(share.shape)
      distance = 8 * np.hypot(rows - row, columns - column)
      sums += (share * distance).sum(), distance[share > 0].mean()
  np.testing.assert_allclose(measure_distance(pair), sums / 2 / 54, rtol=1e-5)


def test_points_lie_in_the_region_and_outside():
  roi = np.zeros((60, 100), np.float32)
  roi[10:31, 20:41] = 1
  inside, outside = choose_points(60, 100, roi)
  assert inside == (30, 20)
  assert roi[outside[1], outside[0]] == 0
  assert outside[0] > 60
  for same in (None, np.ones((60, 100)), np.full((60, 100), 0.1)):
    assert choose_points(60, 100, same) == [(50, 30), (25, 15)]


@pytest.fixture(name="swin_path", scope="session")
def _swin_path(tmp_path_factory):
  """The folder of swin:smoke with random parameters."""
  config = load_config_file(ROOT / "configs" / "swin.py").get_config("smoke")
  params = make_params(build_model(config.system, config.model))
  folder = tmp_path_factory.mktemp("swin")
  model = config.model.to_dict()
  save_weights(folder / FILE_NAME, config.system, model, params)
  return folder


@pytest.fixture(name="plot")
def _plot(tmp_path, monkeypatch, capsys):
  """Runs `roijax plot attention` in a folder of its own."""
  monkeypatch.chdir(tmp_path)
  Image.fromarray(read_photo(80, 100)).save("photo.png")
  Image.fromarray(read_photo(80, 100)).convert("L").save("grey.png")

  def run(*arguments):
    with pytest.raises(SystemExit) as stop:
      cli.main(["plot", "attention", *map(str, arguments)])
    streams = capsys.readouterr()
    return stop.value.code, streams.out, streams.err

  return run


PHOTOS = ("photo.png", "grey.png")


def _read_colours(path):
  with Image.open(path) as image:
    return np.asarray(image.convert("RGB")).astype(int)


def test_encoder_and_decoder_are_drawn_and_measured(plot, swin_path):
  roi = ("--roi", "box:10,10,40,40")
  code, out, err = plot("photo.png", f"--checkpoint={swin_path}", *roi)
  assert (code, err) == (0, "")
  told, _, head, *rows = out.splitlines()
  assert head.split() == ["scale", "window", "encoder", "decoder", "even"]
  assert [row.split()[:2] for row in rows] == [["1/8", "8x8"], ["1/16", "4x4"]]
  for row in rows:
    encoder, decoder, even = map(float, row.split()[2:])
    assert 0 < encoder < 2 * even and 0 < decoder < 2 * even
  assert told.startswith("attention.png: from 29,29, ")
  assert np.ptp(_read_colours("attention.png"), axis=-1).max() > 100


def test_points_can_be_chosen_and_photos_can_be_grey(plot, swin_path):
  at = ("--at", "0,0", "--at", "99,79", "--at", "50, 40")
  code, out, _ = plot(
    "grey.png", f"--checkpoint={swin_path}", *at, "-o", "new/maps.png"
  )
  assert code == 0
  assert out.splitlines()[0] == "new/maps.png: from 0,0, 99,79, 50,40"
  assert len(_read_colours("new/maps.png")) > 1200


def test_distances_of_several_photos_are_means_with_a_count(plot, swin_path):
  alone = [plot(name, f"--checkpoint={swin_path}")[1] for name in PHOTOS]
  code, out, err = plot(*PHOTOS, f"--checkpoint={swin_path}", "-o", "maps")
  assert (code, err) == (0, "")
  *told, title, head, fine, _ = out.splitlines()
  assert [line.split(":")[0] for line in told] == [
    "maps/photo.png",
    "maps/grey.png",
  ]
  assert "over 2 photos" in title and head.endswith("encoder wider")
  singles = np.array([text.splitlines()[-2].split()[2:5] for text in alone])
  singles = singles.astype(float)
  np.testing.assert_allclose(
    np.array(fine.split()[2:5], float), singles.mean(axis=0), atol=0.11
  )
  wider = int((singles[:, 0] > singles[:, 1]).sum())
  assert fine.endswith(f" {wider} of 2")
  assert _read_colours("maps/grey.png").shape[1] > 500


@pytest.mark.parametrize(
  ("arguments", "words"),
  [
    ([*"aa"], "two photos would be drawn to attention/a.png"),
    (["photo.png", "grey.png", "-o", "x.png"], "several photos need a folder"),
    (
      ["photo.png", "grey.png", "-o", "."],
      "photo.png is a photo: give another",
    ),
    (["photo.png", "none.png"], "no such photo: none.png"),
    (["photo.png", "-o", "photo.png"], "photo.png is a photo: give another"),
    ([], "Missing argument 'PHOTO'"),
    (["none.png"], "no such photo: none.png"),
    (["photo.png", "-o", "x.jpg"], "end -o in .png"),
    (["photo.png", "--at", "here"], "--at: 'here' is no point"),
    (["photo.png", "--at", "-1,2"], "--at: '-1,2' is no point"),
    (["photo.png", "--at", "100,0"], "100,0 lies outside photo.png, 100x80"),
    (["photo.png", "--roi", "circle"], "--roi takes"),
    (["photo.png", "--checkpoint", "nothing"], "no weights 'nothing'"),
  ],
)
def test_what_is_wrong_is_one_line(plot, swin_path, arguments, words):
  if arguments and "--checkpoint" not in arguments:
    arguments = [*arguments, f"--checkpoint={swin_path}"]
  code, out, err = plot(*arguments)
  assert (code, out) == (2, "")
  assert err.startswith("error: ")
  assert err.count("\n") == 1
  assert words in err


def test_a_model_without_attention_is_told(plot, smoke_path):
  code, out, err = plot("photo.png", f"--checkpoint={smoke_path}")
  assert (code, out) == (2, "")
  assert err == (
    "error: these weights are of the system 'ggm', which has no attention in"
    " windows: give a Swin model's with --checkpoint\n"
  )


def test_a_photo_that_memory_does_not_hold_is_told(plot, swin_path):
  Image.new("RGB", (2001, 2000)).save("large.png")
  code, _, err = plot("large.png", f"--checkpoint={swin_path}")
  assert code == 2
  assert "scale the photo to 4 megapixels" in err
