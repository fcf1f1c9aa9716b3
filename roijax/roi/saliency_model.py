"""What a network in an ONNX file takes for salient: U2-Net, RMFormer, others.

photo --resize, scale, normalise--> network --one output--> logits or not
  --sigmoid where they are--> --stretch, for U2-Net--> --resize--> map

U2-Net: Qin et al., Pattern Recognition 2020; its own test code stretches the
map between its least and largest value. RMFormer: Deng et al., ACM MM 2023, the
frozen detector of TLIC (arXiv 2401.08154), which takes its sigmoid as it is.
docs/saliency.md is the contract.
"""

import difflib
import functools
import json
import os
import pathlib
from typing import Any

import numpy as np

from roijax.errors import DataError
from roijax.onnx_file import OnnxFile, check_finite, list_ports, take_plane
from roijax.roi import similarity
from roijax.roi.preprocessor import PEAK, Preprocessor, read_object

# Ours: the papers take maps as they are.
THRESHOLD = 0.5

_IMAGENET = {
  "image_mean": [0.485, 0.456, 0.406],
  "image_std": [0.229, 0.224, 0.225],
  "activation": "auto",
}
ADAPTERS: dict[str, dict[str, Any]] = {
  "u2net": {
    **_IMAGENET,
    "size": 320,
    "rescale_factor": PEAK,
    "stretch": True,
  },
  "rmformer": {
    **_IMAGENET,
    "size": 1536,
    "rescale_factor": PEAK,
    "stretch": False,
  },
  "imagenet": {
    **_IMAGENET,
    "size": 320,
    "rescale_factor": 1 / 255,
    "stretch": False,
  },
}
"""What is known of networks; the last is for those that are not known."""

ACTIVATIONS = ("auto", "sigmoid", "none")
# Beside what a `Preprocessor` reads.
_OWN_KEYS = ("adapter", "output", "activation", "stretch")
_KEYS = {
  *("size", "image_mean", "image_std", "resample", "rescale_factor"),
  *("do_rescale", "do_normalize", "do_resize", "do_center_crop", "do_pad"),
  *_OWN_KEYS,
}
# The fused map, and six of the stages.
_U2NET_OUTPUTS = 7
_FLOATS = ("tensor(float)", "tensor(float16)")
# Probabilities may pass 0 and 1 by rounding.
_SLACK = 1e-3
# A map whose values differ by less shows nothing.
_FLAT = 1e-6


def measure(
  model: str, image: np.ndarray, name: str, threshold: float | None = None
) -> similarity.Similarity:
  """Measures how salient each pixel is.

  Args:
    model: the ONNX file; how to use it stands in a JSON file beside it, or is
      found out (docs/saliency.md).
    image: uint8 [H, W] or [H, W, 3], RGB.
    name: what to call the photo in errors.
    threshold: from which saliency on a pixel is inside; None for `THRESHOLD`.

  Raises:
    DataError: the model or what stands beside it is missing or unfit.
    RoijaxError: also, onnxruntime is missing, or the network does not run.
  """
  network = load(model)
  height, width = image.shape[:2]
  return similarity.Similarity(
    values=similarity.resize(network(image), (height, width)),
    threshold=THRESHOLD if threshold is None else threshold,
    spec=f"saliency:{model}",
    sought="salient object",
    place=name,
    quantity="saliency",
  )


def load(model: str) -> "SaliencyModel":
  """Opens a network, and keeps it for the next photo.

  Args:
    model: as `measure` takes it.

  Raises:
    RoijaxError: see `SaliencyModel`.
  """
  return _load(model, os.path.abspath(model))


class SaliencyModel:
  """A network from a photo to a map.

  Args:
    path: an ONNX file with one input, float [1, 3, h, w]. `NAME.json` beside
      `NAME.onnx` says what is not to be found out: see docs/saliency.md.

  Attributes:
    adapter: which of `ADAPTERS` it goes by.
    size: height and width that photos are resized to.

  Raises:
    DataError: either file is unfit.
    RoijaxError: onnxruntime is missing, or the file is no model.
  """

  def __init__(self, path: str | os.PathLike):
    path = pathlib.Path(path)
    if not path.is_file():
      raise DataError(
        f"no such saliency model: {path}; docs/saliency.md says what it can be"
      )
    self._network = OnnxFile(path, "roijax[roi]")
    self._input, fixed = _check_input(self._network)
    about = path.with_suffix(".json")
    own = _read_own(about)
    self.adapter = own.get("adapter", _recognise(self._network, fixed))
    fields = {**ADAPTERS[self.adapter], **own}
    if fixed is not None and "size" not in own:
      fields["size"] = {"height": fixed[0], "width": fixed[1]}
    self._preprocessor = Preprocessor(about, fields)
    self.size = self._preprocessor.size
    if fixed is not None and self.size != fixed:
      raise DataError(
        f"{about}: size is {json.dumps(fields['size'])}, but {path.name} takes"
        f" {fixed[0]}x{fixed[1]} alone: leave it out"
      )
    self._activation, self._stretch = fields["activation"], fields["stretch"]
    names = [port.name for port in self._network.outputs]
    self._output = fields.get("output", names[0])
    if self._output not in names:
      raise DataError(
        f"{about}: {path.name} has no output {json.dumps(self._output)}: its"
        f" outputs are {list_ports(self._network.outputs)}"
      )

  def __call__(self, image: np.ndarray) -> np.ndarray:
    """Measures.

    Args:
      image: uint8 [H, W] or [H, W, 3], RGB.

    Returns:
      float32 [h, w] in [0, 1], of the whole photo in the network's own size.

    Raises:
      RoijaxError: the network fails, or answers in another form.
    """
    path = self._network.path
    results = self._network.run({self._input: self._preprocessor(image)})
    values = take_plane(results[self._output], self._output, path)
    values = self._activate(check_finite(values, path))
    if not self._stretch:
      return values
    least, largest = values.min(), values.max()
    if largest - least < _FLAT:
      return np.zeros_like(values)
    return (values - least) / (largest - least)

  def _activate(self, values: np.ndarray) -> np.ndarray:
    """Probabilities, of logits where these are."""
    least, largest = float(values.min()), float(values.max())
    likely = least >= -_SLACK and largest <= 1 + _SLACK
    if self._activation == "none" and not likely:
      raise DataError(
        f"{self._network.path} gives values from {least:.4g} to {largest:.4g},"
        ' which are no probabilities: let its JSON say "activation": "sigmoid"'
      )
    if self._activation == "sigmoid" or not likely:
      from scipy.special import expit

      return expit(values)
    return np.clip(values, 0, 1)


def _check_input(network: OnnxFile) -> tuple[str, tuple[int, int] | None]:
  """The input's name, and its height and width where they are fixed."""
  found = list_ports(network.inputs)
  refusal = DataError(
    f"{network.path} has the inputs {found}: it needs one, of floats"
    " [1, 3, height, width]"
  )
  if len(network.inputs) != 1:
    raise refusal
  (port,) = network.inputs
  sides = list(port.shape or ())
  if len(sides) != 4 or port.type not in _FLOATS:
    raise refusal
  for side, wanted in zip(sides[:2], (1, 3), strict=True):
    if isinstance(side, int) and side != wanted:
      raise refusal
  height, width = sides[2:]
  if isinstance(height, int) and isinstance(width, int):
    return port.name, (height, width)
  return port.name, None


def _recognise(network: OnnxFile, fixed: tuple[int, int] | None) -> str:
  """The adapter of a network about which nothing is said."""
  name = network.path.stem.lower().replace("-", "").replace("_", "")
  if "rmformer" in name or fixed == (ADAPTERS["rmformer"]["size"],) * 2:
    return "rmformer"
  if "u2net" in name or len(network.outputs) == _U2NET_OUTPUTS:
    return "u2net"
  return "imagenet"


def _read_own(path: pathlib.Path) -> dict[str, Any]:
  """What stands beside a model; nothing where no file does."""
  if not path.is_file():
    return {}
  fields = read_object(path)
  for key in fields:
    if key not in _KEYS:
      near = difflib.get_close_matches(key, _KEYS, 1) or sorted(_OWN_KEYS)
      raise DataError(
        f"{path}: unknown key {json.dumps(key)}: did you mean"
        f" {' or '.join(near)}? docs/saliency.md has them all"
      )
  allowed = {
    "adapter": tuple(ADAPTERS),
    "activation": ACTIVATIONS,
    "stretch": (True, False),
  }
  for key, values in allowed.items():
    # As JSON: 1 is no true there.
    texts = [json.dumps(value) for value in values]
    if key in fields and json.dumps(fields[key]) not in texts:
      raise DataError(
        f"{path}: {key} is {json.dumps(fields[key])}, but must be one of"
        f" {', '.join(texts)}"
      )
  return fields


@functools.lru_cache(maxsize=2)
def _load(path: str, absolute: str) -> SaliencyModel:
  """Errors name the path as it was given; the working folder may change."""
  return SaliencyModel(path)
