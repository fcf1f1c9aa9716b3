"""Open-vocabulary segmenters in ONNX files: how much a pixel is like a phrase.

Two layouts, told apart by their files (docs/text.md is the contract):

    CLIPSeg     photo, phrase --model.onnx--> logits --sigmoid--> map
    LSeg-like   photo --image.onnx--> embeddings --+--cosine--> map
                phrase --text.onnx--> embedding ---+

CLIPSeg: Lueddecke and Ecker, CVPR 2022. LSeg: Li et al., ICLR 2022; it is the
one that Jin et al. (arXiv 2507.00373) take, with the threshold 0.85.
"""

import pathlib
from typing import Any, Protocol

import numpy as np

from roijax.errors import DataError
from roijax.onnx_file import OnnxFile, check_finite, list_ports, take_plane
from roijax.roi.preprocessor import Preprocessor
from roijax.roi.similarity import TAU
from roijax.roi.text_inputs import Tokenizer
from roijax.roi.text_models import Place

# CLIPSeg's probabilities rarely come near the paper's tau, which is meant for
# cosines: this threshold is ours.
CLIPSEG_THRESHOLD = 0.4
# Of CLIPSeg, the first that is there; also in a folder onnx/.
CLIPSEG_FILES = ("model.onnx", "model_fp16.onnx", "model_quantized.onnx")
LSEG_FILES = ("image.onnx", "text.onnx")
CONFIG_FILES = ("tokenizer.json", "preprocessor_config.json")

IDS, ATTENTION, PIXELS = "input_ids", "attention_mask", "pixel_values"
LOGITS = "logits"
_SMALLEST_NORM = 1e-12


class Segmenter(Protocol):
  """Measures phrases in photos."""

  threshold: float
  """From which similarity on a pixel is inside, when nothing else is said."""

  def __call__(self, image: np.ndarray, phrase: str) -> np.ndarray:
    """Measures.

    Args:
      image: uint8 [H, W] or [H, W, 3], RGB.
      phrase: what to look for.

    Returns:
      float32 [h, w] in [0, 1], of the whole photo in the network's own size.

    Raises:
      RoijaxError: the network fails, or answers in another form.
    """
    ...


def load_segmenter(place: Place) -> Segmenter:
  """Opens the segmenter that a folder holds.

  Args:
    place: where it is, from `text_models.find_model`.

  Raises:
    RoijaxError: files are missing or damaged, have other inputs or outputs
      than their layout's, or a library is missing.
  """
  folder = place.folder
  model = next(filter(None, (_find(folder, n) for n in CLIPSEG_FILES)), None)
  towers = [_find(folder, name) for name in LSEG_FILES]
  if model and any(towers):
    raise DataError(
      f"{folder} holds {model.name} and {' or '.join(LSEG_FILES)}: a folder is"
      " of one segmenter (docs/text.md)"
    )
  lacking = [name for name in CONFIG_FILES if not (folder / name).is_file()]
  if any(towers):
    pairs = zip(LSEG_FILES, towers, strict=True)
    lacking += [name for name, path in pairs if path is None]
  elif model is None:
    lacking.append(f"model.onnx (or {' and '.join(LSEG_FILES)})")
  if lacking:
    raise DataError(
      f"the segmenter's folder {folder} lacks {', '.join(lacking)}:"
      f" {place.advice}"
    )
  tokenizer = Tokenizer(folder / CONFIG_FILES[0])
  preprocessor = Preprocessor(folder / CONFIG_FILES[1])
  image, text = towers
  if image and text:
    return Lseg(image, text, tokenizer, preprocessor)
  assert model is not None
  return ClipSeg(model, tokenizer, preprocessor)


class ClipSeg:
  """One network from photo and phrase to logits; see `Segmenter`."""

  threshold = CLIPSEG_THRESHOLD

  def __init__(
    self, path: pathlib.Path, tokenizer: Tokenizer, preprocessor: Preprocessor
  ):
    self._network = _open(path, needed=(IDS, PIXELS), known=(ATTENTION,))
    if LOGITS not in [port.name for port in self._network.outputs]:
      found = list_ports(self._network.outputs)
      raise DataError(f"{path} has the outputs {found}: it needs {LOGITS}")
    self._tokenizer, self._preprocessor = tokenizer, preprocessor

  def __call__(self, image: np.ndarray, phrase: str) -> np.ndarray:
    """See `Segmenter`."""
    from scipy.special import expit

    given = _tokens(self._network, self._tokenizer, phrase)
    given[PIXELS] = self._preprocessor(image)
    logits = self._network.run(given)[LOGITS]
    plane = take_plane(logits, LOGITS, self._network.path)
    return check_finite(expit(plane), self._network.path)


class Lseg:
  """Embeddings of pixels and of a phrase; see `Segmenter`.

  The similarity is their cosine, 0 where it is negative.
  """

  threshold = TAU

  def __init__(
    self,
    image: pathlib.Path,
    text: pathlib.Path,
    tokenizer: Tokenizer,
    preprocessor: Preprocessor,
  ):
    self._image = _open(image, needed=(PIXELS,))
    self._text = _open(text, needed=(IDS,), known=(ATTENTION,))
    for network in (self._image, self._text):
      if len(network.outputs) != 1:
        raise DataError(
          f"{network.path} has the outputs {list_ports(network.outputs)}: it"
          " needs one, the embedding"
        )
    self._tokenizer, self._preprocessor = tokenizer, preprocessor

  def __call__(self, image: np.ndarray, phrase: str) -> np.ndarray:
    """See `Segmenter`."""
    pixels = _only(self._image.run({PIXELS: self._preprocessor(image)}))
    words = _only(self._text.run(_tokens(self._text, self._tokenizer, phrase)))
    fits = (pixels.ndim, words.ndim) == (4, 2) and len(pixels) == len(
      words
    ) == 1
    if not fits or pixels.shape[1] != words.shape[1]:
      raise DataError(
        f"{self._image.path} gives an embedding {list(pixels.shape)} and"
        f" {self._text.path.name} one of {list(words.shape)}: [1, C, h, w] and"
        " [1, C] are needed"
      )
    pixels = pixels[0].astype(np.float32)
    word = words[0].astype(np.float32)
    lengths = np.sqrt(np.einsum("chw,chw->hw", pixels, pixels))
    lengths *= np.linalg.norm(word)
    cosine = np.einsum("chw,c->hw", pixels, word)
    cosine /= np.maximum(lengths, _SMALLEST_NORM)
    return check_finite(np.clip(cosine, 0, 1), self._image.path)


def _find(folder: pathlib.Path, name: str) -> pathlib.Path | None:
  places = (folder / "onnx" / name, folder / name)
  return next((path for path in places if path.is_file()), None)


def _open(
  path: pathlib.Path, needed: tuple[str, ...], known: tuple[str, ...] = ()
) -> OnnxFile:
  """Opens a network whose inputs are those needed, and perhaps others known."""
  network = OnnxFile(path, "roijax[text]")
  names = {port.name for port in network.inputs}
  if not set(needed) <= names <= {*needed, *known}:
    perhaps = f" (and perhaps {', '.join(known)})" if known else ""
    raise DataError(
      f"{path} has the inputs {list_ports(network.inputs)}: it needs"
      f" {', '.join(needed)}{perhaps}"
    )
  return network


def _tokens(
  network: OnnxFile, tokenizer: Tokenizer, phrase: str
) -> dict[str, np.ndarray]:
  """A phrase as the network's inputs, as long as it wants them."""
  shapes: dict[str, Any] = {port.name: port.shape for port in network.inputs}
  sides = shapes[IDS]
  length = sides[-1] if sides and isinstance(sides[-1], int) else None
  ids, mask = tokenizer(phrase, length)
  return {k: v for k, v in ((IDS, ids), (ATTENTION, mask)) if k in shapes}


def _only(outputs: dict[str, np.ndarray]) -> np.ndarray:
  (array,) = outputs.values()
  return array
