"""Files cross machines: instruction sets, threads, noise, and a GPU.

`python -m benchmarks.exactness` measures the same on real weights.
"""

import platform

import jax
import numpy as np
import pytest
from PIL import Image
from smoke_model import make_params, read_photo

from benchmarks.contexts import arms, speed
from benchmarks.exactness import drift, machines, noise, probes
from roijax.codec import Codec
from roijax.coding import container, tables
from roijax.coding.passes import Wavefront
from roijax.errors import BitstreamError
from roijax.models.registry import build_model
from roijax.walk import MEAN_STEPS
from roijax.weights import index
from roijax.weights.archive import FILE_NAME, load_weights, save_weights

CONTEXTS = ("slices", "wavefronts")


@pytest.fixture(name="codecs", scope="module")
def _codecs(smoke, smoke_codec, tmp_path_factory):
  config = smoke.config.model.to_dict()
  channels = config["latent_channels"]
  config.update(context="wavefront", slices=(channels,))
  context = make_params(build_model("ggm", config))["context"]
  # Heads begin small; latents far in the tails would cost anything.
  context["head"] = jax.tree.map(lambda x: 0.3 * x, context["head"])
  params = {**smoke.params, "context": context}
  path = tmp_path_factory.mktemp("wavefront") / FILE_NAME
  save_weights(path, "ggm", config, params)
  return {"slices": smoke_codec, "wavefronts": Codec(load_weights(path))}


@pytest.fixture(name="photo", scope="module")
def _photo():
  return read_photo(100, 128)


@pytest.mark.parametrize(("height", "width"), [(33, 70), (100, 128)])
def test_a_photo_comes_back_through_wavefronts(codecs, height, width):
  codec, photo = codecs["wavefronts"], read_photo(height, width)
  encoded = codec.compress_detailed(photo, quality=0.0)
  back = codec.decompress(encoded.data)
  assert back.shape == photo.shape
  error = np.mean((back.astype(float) - photo) ** 2)
  assert error < np.mean((photo - 127.5) ** 2)
  # All at once, in float32, the likelihoods say what the passes cost.
  np.testing.assert_allclose(
    encoded.bits_tables, encoded.bits_likelihood, rtol=0.02
  )


@pytest.mark.parametrize("context", CONTEXTS)
def test_noise_of_float64_is_borne_and_noise_that_matters_is_told(
  codecs, context, photo
):
  rows = noise.decode_with_noise(
    codecs[context], photo, amounts=(0, 1e-11, 0.05), repeats=2
  )
  silent, small, large = rows
  assert (silent.same_symbols, silent.same_pixels) == (2, 2)
  assert (small.same_symbols, small.same_pixels) == (2, 2)
  assert large.same_symbols == 0
  assert large.raised


@pytest.mark.parametrize("context", CONTEXTS)
def test_what_wavefronts_feed_back_lies_on_a_grid(codecs, context, photo):
  # What one machine rounds otherwise is gone there in the next pass.
  codec = codecs[context]
  data = codec.compress(photo)
  rounded = container.read(data).header.rounded
  assert rounded == (context == "wavefronts")
  tables_at, known = codec.programs.tables_at, []

  def note(h, y_hat, one):
    known.append(y_hat * MEAN_STEPS)
    return tables_at(h, y_hat, one)

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(codec.programs, "tables_at", note)
    codec.decompress(data)
  assert len(known) > 2 and known[-1].any()
  assert rounded == all(np.array_equal(y, np.round(y)) for y in known)


def test_files_of_wavefronts_without_a_grid_are_read_as_written(
  codecs, photo, monkeypatch
):
  codec = codecs["wavefronts"]
  with monkeypatch.context() as patch:
    patch.setattr(Wavefront, "reads_far_back", False)
    data = codec.compress(photo)
  assert not container.read(data).header.rounded
  assert codec.decompress(data).shape == photo.shape


def test_the_noise_reaches_every_parameter_of_every_pass(codecs, photo):
  codec = codecs["wavefronts"]
  symbols = probes.read_symbols(codec, codec.compress(photo))
  noisy = probes.make_noisy(codec)
  probes.set_noise(noisy, 1e-6, seed=1)
  seen = {}
  for name, programs in (("silent", codec.programs), ("noisy", noisy.programs)):
    means, tables_at = [], programs.tables_at

    def note(*arguments, means=means, tables_at=tables_at):
      found = tables_at(*arguments)
      means.append(found[0])
      return found

    with pytest.MonkeyPatch.context() as patch:
      patch.setattr(programs, "tables_at", note)
      walk = probes.make_walk(codec, programs, symbols.size, rounded=True)
      walk.run(probes.Replay(symbols))
    seen[name] = means
  apart = [
    np.abs(one - other)
    for one, other in zip(seen["silent"], seen["noisy"], strict=True)
  ]
  assert all(np.all(one > 0) and one.max() < 1e-3 for one in apart)
  # Two passes draw other noise.
  assert not np.allclose(apart[0].ravel()[:24], apart[1].ravel()[:24])


def test_a_probe_sees_the_tables_that_were_coded_with(codecs, photo):
  codec = codecs["wavefronts"]
  encoded = codec.compress_detailed(photo)
  symbols = probes.read_symbols(codec, encoded.data)
  wide, narrow = (
    probes.replay(codec, probes.Probe(codec, precision), symbols)
    for precision in ("float64", "float32")
  )
  assert wide[-1].mean.dtype == np.float64
  assert narrow[-1].mean.dtype == np.float32
  y_tables, z_tables = tables.load_tables(), codec.weights.z_tables
  bits = sum(
    y_tables.bits(values, note.indexes).sum()
    for values, note in zip(symbols.y, wide, strict=True)
  )
  for values in symbols.z:
    channels = np.broadcast_to(np.arange(values.shape[-1]), values.shape)
    bits += z_tables.bits(values, channels).sum()
  np.testing.assert_allclose(bits, encoded.bits_tables, rtol=1e-9)
  # The positions are those whose rounding chose the tables.
  for note in wide:
    by_shape, by_scale = drift.locate(note.scale, note.shape)
    found = 64 * np.round(by_shape) + np.round(by_scale)
    np.testing.assert_array_equal(found, note.indexes)


def test_a_drift_is_the_largest_difference_of_its_pass():
  one = {
    "mean": np.array([1.0, 2.0, 3.0, 4.0]),
    "scale": np.array([1.0, 1.0, 2.0, 2.0]),
    "shape": np.full(4, 1.5),
    "indexes": np.array([5, 5, 6, 6]),
  }
  passes = np.array([0, 0, 1, 1])
  same = drift.compare("same", one, one, passes)
  assert same.position == same.mean == [0, 0]
  assert same.flips == [0, 0]
  other = {**one, "mean": one["mean"] + [0, 0.25, 0, 0]}
  other["scale"] = one["scale"] * [1, 1, 1, 1.01]
  other["indexes"] = one["indexes"] + [0, 0, 1, 1]
  found = drift.compare("other", one, other, passes)
  assert found.mean == [0.25, 0]
  assert found.flips == [0, 2]
  # Tables lie a tenth apart, more or less, in the logarithm of the scale.
  assert found.position[0] == 0
  assert 0.05 < found.position[1] < 0.15


@pytest.mark.skipif(
  platform.machine() not in ("x86_64", "AMD64"), reason="x86 instruction sets"
)
@pytest.mark.parametrize(
  "machine",
  [
    machines.Machine("SSE4_2", "--xla_cpu_max_isa=SSE4_2"),
    machines.Machine("AVX2", "--xla_cpu_max_isa=AVX2", threads=1),
  ],
  ids=lambda machine: machine.name,
)
def test_files_cross_instruction_sets_both_ways(
  smoke_codec, smoke_path, photo, tmp_path, machine
):
  here, there = tmp_path / "here.roij", tmp_path / "there.roij"
  Image.fromarray(photo).save(tmp_path / "photo.png")
  here.write_bytes(smoke_codec.compress(photo))
  outs = {str(x): f"{x}.npy" for x in (here, there)}
  machines.run_jobs(
    machine,
    [
      ("encode", (smoke_path, tmp_path / "photo.png", there)),
      ("decode", (smoke_path, outs)),
    ],
  )
  _check_pictures(smoke_codec, outs, most=1)


def _check_pictures(codec, outs, most):
  """The symbols are exactly equal, or decoding raises; pixels may round."""
  for file, out in outs.items():
    there = np.load(out)
    assert there.ndim == 3, f"{file} there: {there}"
    with open(file, "rb") as stream:
      here = codec.decompress(stream.read())
    apart = np.abs(there.astype(int) - here)
    assert apart.max() <= most
    assert np.mean(apart**2) < 0.25


@pytest.mark.gpu
def test_files_cross_between_gpu_and_cpu_both_ways(tmp_path):
  if jax.default_backend() == "cpu":
    pytest.skip("JAX sees no accelerator")
  from benchmarks.codec import write_photo
  from roijax.data.images import read_image

  path = str(index.find())
  codec = Codec.load(path)
  photo = tmp_path / "photo.png"
  write_photo(photo)
  here, there = tmp_path / "gpu.roij", tmp_path / "cpu.roij"
  here.write_bytes(codec.compress(read_image(photo)))
  outs = {str(x): f"{x}.npy" for x in (here, there)}
  machines.run_jobs(
    machines.HERE,
    [("encode", (path, photo, there)), ("decode", (path, outs))],
  )
  # Convolutions on a GPU may multiply in TF32, ten bits of mantissa.
  _check_pictures(codec, outs, most=8)


@pytest.mark.gpu
def test_noise_is_told_on_a_gpu_as_on_a_cpu(codecs, photo):
  if jax.default_backend() == "cpu":
    pytest.skip("JAX sees no accelerator")
  codec = codecs["slices"]
  data = codec.compress(photo)
  noisy = probes.make_noisy(codec)
  probes.set_noise(noisy, 1e-11, seed=0)
  noisy.decompress(data)
  probes.set_noise(noisy, 0.05, seed=0)
  with pytest.raises(BitstreamError):
    noisy.decompress(data)


@pytest.mark.parametrize(
  ("kind", "passes"), [(arms.Blind, 1), (arms.SerialAttention, 16)]
)
def test_the_benchmarks_contexts_code_photos(smoke, smoke_codec, kind, passes):
  # Parts of `benchmarks.contexts`, which no other test runs.
  channels = smoke_codec.model.latent_channels
  outputs = smoke_codec.model.prior.outputs
  widths = {"hidden": (8, 8), "heads": 2} if passes > 1 else {"hidden": 8}
  context = kind(channels, outputs, **widths)
  model = smoke_codec.model.clone(context=context)
  params = {**smoke.params, "context": make_params(model)["context"]}
  codec = speed.swap_context(smoke_codec.weights, context, params)
  photo = read_photo(64, 64)
  assert codec.decompress(codec.compress(photo)).shape == photo.shape
  assert len(codec.programs.outline.order.passes(4, 4)) == passes
