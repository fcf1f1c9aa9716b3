"""The weights that perceptual losses look with, as published and as ours.

    torchvision's VGG-16    features.0.weight [O, I, 3, 3], features.0.bias --\\
    LPIPS's linear heads    lin0.model.1.weight [1, C, 1, 1] -----------------+
                                                                              |
    vgg/conv1_1/kernel [3, 3, I, O], ... heads/0 [C], ... checksum <--convert--

Published files are read as safetensors or as NumPy archives; what PyTorch
pickled is not, for that takes PyTorch. None are shipped: `SOURCES` says where
they are.
"""

import contextlib
import hashlib
import io
import os
import pathlib
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from roijax.errors import CheckpointError
from roijax.files import write_whole

RANDOM = "random"
SOURCES = """\
VGG-16, trained on ImageNet (either; the first needs no PyTorch):
  https://huggingface.co/timm/vgg16.tv_in1k  (model.safetensors)
  https://download.pytorch.org/models/vgg16-397923af.pth
The linear heads of LPIPS 0.1, lpips/weights/v0.1/vgg.pth in
  https://github.com/richzhang/PerceptualSimilarity
A .pth becomes a .npz where PyTorch is installed:
  python -c "import torch, numpy; numpy.savez('vgg.npz', **{k: v.numpy()
    for k, v in torch.load('vgg.pth', 'cpu').items()})\""""
# Where torchvision keeps the convolutions of each block.
PLACES = ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28))
WIDTHS = (64, 128, 256, 512, 512)
_CHECKSUM = "checksum"


class Perceptual(NamedTuple):
  """What perceptual losses look with.

  Attributes:
    vgg: parameters of `models.vgg.VGG16`, by layer.
    heads: what LPIPS weighs each channel of each layer with.
    fingerprint: eight bytes that name both, in hexadecimal.
  """

  vgg: dict[str, dict[str, np.ndarray]]
  heads: list[np.ndarray]
  fingerprint: str


def convert(
  vgg: str | os.PathLike,
  heads: str | os.PathLike,
  out: str | os.PathLike,
  widths: Sequence[int] = WIDTHS,
) -> Perceptual:
  """Makes one file of ours of two published ones.

  Args:
    vgg: torchvision's VGG-16, .safetensors or .npz.
    heads: LPIPS's linear heads, likewise.
    out: the file to write.
    widths: of VGG-16's blocks; others than the published ones in tests.

  Raises:
    CheckpointError: a file is missing, of another kind, or lacks an array of
      the right shape.
    RoijaxError: `out` cannot be written.
  """
  arrays = {}
  given, channels = _read_published(vgg), 3
  for block, (width, places) in enumerate(zip(widths, PLACES, strict=True), 1):
    for index, place in enumerate(places, 1):
      name, layer = f"vgg/conv{block}_{index}", f"features.{place}"
      shape = (width, channels, 3, 3)
      kernel = _take(given, f"{layer}.weight", shape, vgg)
      arrays[f"{name}/kernel"] = kernel.transpose(2, 3, 1, 0)
      arrays[f"{name}/bias"] = _take(given, f"{layer}.bias", (width,), vgg)
      channels = width
  given = _read_published(heads)
  for index, width in enumerate(widths):
    key = f"lin{index}.model.1.weight"
    head = _take(given, key, (1, width, 1, 1), heads)
    arrays[f"heads/{index}"] = head.reshape(width)
  arrays = {
    name: np.ascontiguousarray(array, np.float32)
    for name, array in arrays.items()
  }
  digest = _digest(arrays)
  stream = io.BytesIO()
  # They are float32 and full of noise: compression would gain a tenth.
  np.savez(
    stream, allow_pickle=False, **arrays, checksum=np.frombuffer(digest, "u1")
  )
  write_whole(out, stream.getvalue())
  return _assemble(arrays, digest)


def load_perceptual(
  path: str | os.PathLike, widths: Sequence[int] = WIDTHS
) -> Perceptual:
  """Reads a file that `convert` made.

  Args:
    path: the file.
    widths: of VGG-16's blocks.

  Raises:
    CheckpointError: missing, damaged, of another kind or of other widths.
  """
  arrays = _read_arrays(pathlib.Path(path))
  checksum = arrays.pop(_CHECKSUM, None)
  if checksum is None:
    raise CheckpointError(
      f"{path} holds no perceptual weights of roijax: make them with `roijax"
      " weights perceptual`"
    )
  digest = _digest(arrays)
  if checksum.tobytes() != digest:
    raise CheckpointError(
      f"{path} is damaged, its checksum is wrong: convert it again with `roijax"
      " weights perceptual`"
    )
  for name, shape in _shapes(widths).items():
    _take(arrays, name, shape, path)
  return _assemble(arrays, digest)


def _shapes(widths):
  shapes, channels = {}, 3
  for block, (width, places) in enumerate(zip(widths, PLACES, strict=True), 1):
    for index in range(1, len(places) + 1):
      shapes[f"vgg/conv{block}_{index}/kernel"] = (3, 3, channels, width)
      shapes[f"vgg/conv{block}_{index}/bias"] = (width,)
      channels = width
    shapes[f"heads/{block - 1}"] = (width,)
  return shapes


def _assemble(arrays, digest) -> Perceptual:
  vgg: dict[str, dict[str, np.ndarray]] = {}
  for name, array in arrays.items():
    kind, _, rest = name.partition("/")
    if kind == "vgg":
      layer, _, part = rest.partition("/")
      vgg.setdefault(layer, {})[part] = array
  heads = [arrays[f"heads/{index}"] for index in range(len(PLACES))]
  return Perceptual(vgg, heads, digest[:8].hex())


def _digest(arrays: Mapping[str, np.ndarray]) -> bytes:
  digest = hashlib.sha256()
  for name in sorted(arrays):
    digest.update(f"{name} {arrays[name].shape}".encode())
    digest.update(np.ascontiguousarray(arrays[name], "<f4").tobytes())
  return digest.digest()


def _take(arrays, name, shape, path) -> np.ndarray:
  """One array, if it is there and of that shape."""
  if name not in arrays:
    known = ", ".join(sorted(arrays)[:3])
    raise CheckpointError(
      f"{path} holds no {name} (but {known}, ...): is it the right file?"
    )
  array = np.asarray(arrays[name])
  if array.shape != shape:
    raise CheckpointError(
      f"{path}: {name} is {list(array.shape)} and should be {list(shape)}: it"
      " is of another network"
    )
  if not np.isfinite(array).all():
    raise CheckpointError(f"{path}: {name} is not finite: get it anew")
  return array


def _read_published(path: str | os.PathLike) -> Mapping[str, np.ndarray]:
  """The arrays of a published file."""
  path = pathlib.Path(path)
  if path.suffix == ".npz":
    return _read_arrays(path)
  if path.suffix == ".safetensors":
    return _read_safetensors(path)
  if path.suffix in (".pth", ".pt", ".bin"):
    raise CheckpointError(
      f"{path} is PyTorch's: make it a .npz, where that is installed, as"
      " `roijax weights perceptual` says"
    )
  raise CheckpointError(f"{path} is neither .safetensors nor .npz")


def _read_arrays(path: pathlib.Path) -> dict[str, np.ndarray]:
  with _telling(path), path.open("rb") as stream:
    file = np.load(stream, allow_pickle=False)
    if not isinstance(file, np.lib.npyio.NpzFile):
      raise ValueError("one array is no archive of them")
    return {name: file[name] for name in file.files}


def _read_safetensors(path: pathlib.Path) -> dict[str, np.ndarray]:
  try:
    from safetensors import SafetensorError
    from safetensors.numpy import load
  except ImportError as error:
    raise CheckpointError(
      f"{path} needs a package: pip install 'roijax[perceptual]'"
    ) from error
  with _telling(path):
    data = path.read_bytes()
    try:
      return load(data)
    except SafetensorError as error:
      raise ValueError("no safetensors") from error


@contextlib.contextmanager
def _telling(path: pathlib.Path) -> Iterator[None]:
  """Puts whatever reading raises into one line."""
  try:
    yield
  except OSError as error:
    raise CheckpointError(
      f"cannot read {path}: {error.strerror or error}"
    ) from error
  except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
    raise CheckpointError(
      f"{path} cannot be read, it is damaged or of another kind: get it anew"
    ) from error
