"""Windows and groups: a partition, without seams, at few sizes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from smoke_model import ROOT, load_config_file, make_params, read_photo

from roijax import tiling
from roijax.codec import Codec
from roijax.coding import groups
from roijax.metrics.psnr import psnr
from roijax.models.flow import Flow
from roijax.models.registry import build_model

SIDES = st.integers(1, 20_000)


@given(SIDES, SIDES)
def test_groups_are_a_partition_of_like_sizes(height, width):
  found = list(groups.split_groups(height, width))
  assert len(found) == groups.count_groups(height, width)
  rows, columns = groups.count_cells(height), groups.count_cells(width)
  covered = np.zeros((rows, columns), int)
  for group in found:
    covered[
      group.row : group.row + group.rows,
      group.column : group.column + group.columns,
    ] += 1
    assert max(group.rows, group.columns) <= groups.GROUP_CELLS
  assert (covered == 1).all()
  for sides in ([g.rows for g in found], [g.columns for g in found]):
    assert max(sides) - min(sides) <= 1


@given(SIDES, SIDES, st.integers(2, 4))
def test_windows_hold_their_cores_and_what_these_see(height, width, halo):
  rows, columns = groups.count_cells(height), groups.count_cells(width)
  covered = np.zeros((rows, columns), int)
  for window in tiling.split_windows(height, width, halo):
    covered[window.core_rows, window.core_columns] += 1
    for seen, core, cells in (
      (window.rows, window.core_rows, rows),
      (window.columns, window.core_columns, columns),
    ):
      assert 0 <= seen.start <= core.start < core.stop <= seen.stop <= cells
      assert seen.start == 0 or core.start - seen.start == halo
      assert seen.stop == cells or seen.stop - core.stop == halo
      # Fourier windows of 8 latents lie alike in all windows.
      assert seen.start % 2 == 0
  assert (covered == 1).all()


@given(st.integers(1, groups.GROUP_CELLS), st.integers(1, groups.GROUP_CELLS))
def test_the_canvas_is_the_smallest_that_holds(rows, columns):
  canvas = groups.pick_canvas(rows, columns)
  fitting = [
    one for one in groups.CANVASES if one[0] >= rows and one[1] >= columns
  ]
  assert canvas in fitting
  assert np.prod(canvas) == min(np.prod(one) for one in fitting)


def _trunk(name):
  if name == "patchify":
    return {"name": name, "channels": (6, 8), "blocks": (1, 3, 1)}
  return {"name": name, "channels": 6}


def _ggm(name, hyper, system="ggm", **more):
  file = load_config_file(ROOT / "configs" / f"{system}.py")
  config = file.get_config("smoke")
  sizes = {
    "trunk": _trunk(name),
    "hyper": hyper,
    "latent_channels": 8,
    "slices": (4, 4),
    "hyper_channels": 4,
    "hyper_features": 8,
  }
  return build_model(system, {**config.model.to_dict(), **sizes, **more})


def _swin():
  config = load_config_file(ROOT / "configs" / "swin.py").get_config("smoke")
  config.model.stages.channels = (6, 8, 8)
  config.model.region.size = 3
  sizes = {"slices": (4, 4), "context": "checkerboard", "context_hidden": 4}
  sizes["hyper_features"] = 8
  return build_model("swin", {**config.model.to_dict(), **sizes})


@pytest.mark.parametrize(
  "build",
  [
    lambda: _ggm("patchify", "depthwise"),
    lambda: _ggm("residual_gdn", "convolutional"),
    _swin,
    lambda: _ggm(
      "patchify", "depthwise", "implicit", composite="predicted", mask_stride=8
    ),
  ],
  ids=["patchify", "residual_gdn", "st_gdn", "predicted mask"],
)
def test_a_halo_is_more_than_the_transforms_see(build):
  model = build()
  params = make_params(model)
  cells = 2 * model.halo + 3
  rng = np.random.default_rng(0)
  y = rng.standard_normal((1, 4, 4 * cells, 8)).astype(np.float32)
  h = rng.standard_normal((1, 4, 4 * cells, 8)).astype(np.float32)
  run = jax.jit(
    lambda y, h: model.apply(
      {"params": params}, y, h, jnp.zeros(1), method=Flow.synthesise
    )
  )
  base = np.asarray(run(y, h))
  start = 64 * (model.halo + 1)
  middle = np.s_[:, :, start : start + 64]
  y[:, :, :4] += 1
  h[:, :, :4] += 1
  y[:, :, -4:] += 1
  h[:, :, -4:] += 1
  # Cells further away than the halo are changed, and the middle is not.
  changed = np.asarray(run(y, h))
  assert np.abs(changed - base).max() > 1e-3
  np.testing.assert_allclose(changed[middle], base[middle], atol=1e-6)


@pytest.fixture(name="small_windows")
def _small_windows(monkeypatch):
  """Windows of 6 cells, 2 apart, so that a small photo has several."""
  monkeypatch.setattr(tiling, "SPAN", 6)
  monkeypatch.setattr(groups, "pick_canvas", lambda rows, columns: (6, 2))


def test_tiles_show_no_seam(smoke_codec, small_windows, monkeypatch):
  photo = np.tile(read_photo(128, 128), (5, 1, 1))
  roi = np.zeros(photo.shape[:2], np.float32)
  roi[150:400] = 1
  quality = np.ones(1, np.float32)
  programs = smoke_codec.programs

  def there_and_back():
    y, pooled = tiling.transform(programs, photo, roi, 0.25, quality)
    h = np.round(y[..., :16])
    back = tiling.synthesise(programs, np.round(y), h, quality, photo.shape)
    return y, pooled, back

  tiled = there_and_back()
  assert len(list(tiling.split_windows(640, 128, 2))) == 3
  monkeypatch.setattr(tiling, "SPAN", 10)
  monkeypatch.setattr(groups, "pick_canvas", lambda rows, columns: (10, 2))
  whole = there_and_back()
  np.testing.assert_allclose(tiled[0], whole[0], atol=2e-4)
  np.testing.assert_array_equal(tiled[1], whole[1])
  difference = np.abs(tiled[2].astype(int) - whole[2])
  assert difference.max() <= 1


def test_groups_decode_to_what_was_coded(smoke_codec, monkeypatch):
  monkeypatch.setattr(groups, "GROUP_CELLS", 2)
  photo = read_photo(130, 200)
  roi = np.zeros(photo.shape[:2], np.float32)
  roi[50:, 100:] = 1
  encoded = smoke_codec.compress_detailed(photo, roi, quality=1.0)
  assert groups.count_groups(130, 200) == 4
  back = smoke_codec.decompress(encoded.data)
  whole = encoded.cells.sum()
  np.testing.assert_allclose(encoded.bits_roi + encoded.bits_bg, whole)
  assert encoded.cells.shape == (9, 13)
  assert (encoded.cells > 0).all()
  assert encoded.bits_likelihood > 0
  monkeypatch.setattr(groups, "GROUP_CELLS", 16)
  single = smoke_codec.compress(photo, roi, quality=1.0)
  assert psnr(photo, back) > psnr(photo, smoke_codec.decompress(single)) - 0.2


def test_a_new_size_compiles_nothing(smoke_path, tmp_path, monkeypatch):
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
  codec = Codec.load(smoke_path, keep_programs=True)

  def code(height, width):
    codec.decompress(codec.compress(read_photo(height, width)))
    return len(list(tmp_path.rglob("*.program")))

  first = code(100, 128)
  assert first > 0
  assert code(128, 65) == first
  assert code(1, 1) == first


def test_progress_goes_from_nothing_to_all(smoke_codec, monkeypatch):
  monkeypatch.setattr(groups, "GROUP_CELLS", 2)
  shares: list[float] = []
  data = smoke_codec.compress(read_photo(150, 260), progress=shares.append)
  assert shares == sorted(shares) and shares[-1] == 1.0
  shares.clear()
  smoke_codec.decompress(data, progress=shares.append)
  assert shares == sorted(shares) and shares[-1] == 1.0
