"""VGG-16 and LPIPS's heads: published layouts, our file, our features."""

import sys

import jax
import numpy as np
import pytest
from published_vgg import WIDTHS, look, make_published, write_files

from roijax import cli
from roijax.errors import CheckpointError
from roijax.models import vgg
from roijax.weights import perceptual
from roijax.weights.perceptual import SOURCES, convert, load_perceptual


@pytest.fixture(name="files", scope="module")
def _files(tmp_path_factory):
  folder = tmp_path_factory.mktemp("perceptual")
  write_files(folder)
  convert(folder / "vgg.npz", folder / "heads.npz", folder / "ours.npz", WIDTHS)
  return folder


def test_features_equal_scipy_s_on_the_published_layout(files):
  x = np.random.default_rng(1).random((1, 22, 17, 3), np.float32)
  params = load_perceptual(files / "ours.npz", WIDTHS).vgg
  found = jax.jit(vgg.VGG16(WIDTHS).apply)({"params": params}, x)
  expected = look(make_published()[0], x[0])
  assert [f.shape[1:] for f in found] == [f.shape for f in expected]
  for one, other in zip(found, expected, strict=True):
    assert other.max() > 0
    np.testing.assert_allclose(one[0], other, rtol=1e-4, atol=1e-5)


def test_heads_and_fingerprint_survive_the_file(files):
  loaded = load_perceptual(files / "ours.npz", WIDTHS)
  heads = make_published()[1]
  for i, head in enumerate(loaded.heads):
    np.testing.assert_array_equal(head, heads[f"lin{i}.model.1.weight"].ravel())
  again = convert(
    files / "vgg.npz", files / "heads.npz", files / "again.npz", WIDTHS
  )
  assert again.fingerprint == loaded.fingerprint
  assert len(loaded.fingerprint) == 16


def test_safetensors_give_the_same_file(files):
  numpy_api = pytest.importorskip("safetensors.numpy")
  for name, arrays in zip(("vgg", "heads"), make_published(), strict=True):
    numpy_api.save_file(arrays, files / f"{name}.safetensors")
  made = convert(
    files / "vgg.safetensors",
    files / "heads.safetensors",
    files / "other.npz",
    WIDTHS,
  )
  ours = load_perceptual(files / "ours.npz", WIDTHS)
  assert made.fingerprint == ours.fingerprint
  (files / "bad.safetensors").write_bytes(b"\x10" + bytes(40))
  with pytest.raises(CheckpointError, match="damaged or of another kind"):
    convert(files / "bad.safetensors", files / "heads.npz", "x.npz", WIDTHS)


def test_without_the_package_one_line_says_what_to_install(files, monkeypatch):
  monkeypatch.setitem(sys.modules, "safetensors", None)
  (files / "some.safetensors").write_bytes(b"")
  with pytest.raises(CheckpointError, match=r"pip install 'roijax\[perceptual"):
    convert(files / "some.safetensors", files / "heads.npz", "x.npz", WIDTHS)


def test_a_changed_number_is_found_by_the_checksum(files):
  with np.load(files / "ours.npz") as file:
    arrays = dict(file)
  bias = arrays["vgg/conv3_2/bias"]
  arrays["vgg/conv3_2/bias"] = np.nextafter(bias, np.float32(9))
  np.savez(files / "changed.npz", **arrays)
  with pytest.raises(CheckpointError, match="checksum is wrong"):
    load_perceptual(files / "changed.npz", WIDTHS)


@pytest.mark.parametrize(
  ("vgg_name", "line"),
  [
    ("none.npz", "No such file"),
    ("heads.npz", "holds no features.0.weight"),
    ("vgg.pth", "PyTorch's: make it a .npz"),
    ("vgg.txt", "neither .safetensors nor .npz"),
    ("text.npz", "damaged or of another kind"),
  ],
)
def test_a_wrong_published_file_is_one_line(files, vgg_name, line):
  (files / "text.npz").write_text("no archive")
  with pytest.raises(CheckpointError, match=line) as caught:
    convert(files / vgg_name, files / "heads.npz", files / "x.npz", WIDTHS)
  assert "\n" not in str(caught.value)
  assert not (files / "x.npz").exists()


def test_other_widths_are_told_by_array(files):
  with pytest.raises(CheckpointError, match=r"is \[3, 3, 3, 2\] and should be"):
    load_perceptual(files / "ours.npz")
  with pytest.raises(CheckpointError, match=r"\[2, 3, 3, 3\] and should be"):
    convert(files / "vgg.npz", files / "heads.npz", files / "x.npz")
  with pytest.raises(CheckpointError, match="no perceptual weights of roijax"):
    load_perceptual(files / "vgg.npz", WIDTHS)


def test_the_command_says_where_to_get_them_and_converts(
  files, monkeypatch, capsys, tmp_path
):
  monkeypatch.setattr(perceptual.convert, "__defaults__", (WIDTHS,))

  def call(*arguments):
    return cli.exit_code(lambda: cli.run(["weights", "perceptual", *arguments]))

  assert call() == 0
  assert capsys.readouterr().out == SOURCES + "\n"
  assert "https://huggingface.co/timm/vgg16.tv_in1k" in SOURCES
  out = tmp_path / "made.npz"
  arguments = [str(files / "vgg.npz"), str(files / "heads.npz"), "-o", str(out)]
  assert call(*arguments) == 0
  fingerprint = load_perceptual(out, WIDTHS).fingerprint
  assert capsys.readouterr().out == f"{out}: fingerprint {fingerprint}\n"
  assert call(arguments[0]) == 2
  assert "two files are needed" in capsys.readouterr().err


def test_random_weights_are_he_s_and_always_the_same():
  one, other = (vgg.make_random((8, 8, 8, 8, 8)) for _ in range(2))
  jax.tree.map(np.testing.assert_array_equal, one, other)
  kernel = np.asarray(one["vgg"]["conv3_3"]["kernel"])
  assert kernel.std() == pytest.approx(np.sqrt(2 / 72), rel=0.1)
  assert not np.asarray(one["vgg"]["conv3_3"]["bias"]).any()
