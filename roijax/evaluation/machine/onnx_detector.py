"""Detectors in ONNX files, run by onnxruntime.

Which of the two layouts a file has is found out from its outputs' names, or
said: see `torchvision_layout` and `yolo_layout`.
"""

import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from roijax.errors import ConfigError, RoijaxError
from roijax.evaluation.machine import torchvision_layout, yolo_layout
from roijax.evaluation.machine.detections import Detections
from roijax.onnx_file import OnnxFile, list_ports

LAYOUTS = ("torchvision", "yolo")
_TYPES = ("tensor(float)", "tensor(float16)")


class OnnxDetector:
  """A detector from an ONNX file.

  Args:
    path: the file.
    layout: from `LAYOUTS`; None to find out.

  Attributes:
    name: the file's name.
    categories: None, for it knows all of COCO's.
    sure: one half.
    layout: from `LAYOUTS`.

  Raises:
    RoijaxError: onnxruntime is missing, or the file is missing or no model.
    ConfigError: the model's input or outputs are not of the layout; the line
      says what was found and what is needed.
  """

  categories: Sequence[int] | None = None
  sure = 0.5

  def __init__(self, path: str | os.PathLike, layout: str | None = None):
    path = pathlib.Path(path)
    self.name = path.name
    if not path.is_file():
      raise RoijaxError(
        f"no detector {path}: give an ONNX file, or hog or predictor;"
        " docs/machine.md says how to export one"
      )
    self._network = OnnxFile(path, "roijax[detect]")
    inputs, outputs = self._network.inputs, self._network.outputs
    self._outputs = [output.name for output in outputs]
    found = f"{path} has the outputs {list_ports(outputs)}"
    self.layout = _choose_layout(found, outputs, layout)
    axes = (3, 4) if self.layout == "torchvision" else (4,)
    if len(inputs) != 1 or len(inputs[0].shape) not in axes:
      needed = "[3, H, W] or " if 3 in axes else ""
      raise ConfigError(
        f"{path} has the inputs {list_ports(inputs)}: the {self.layout} layout"
        f" needs one, {needed}[1, 3, H, W]"
      )
    self._input = inputs[0]
    if self._input.type not in _TYPES:
      raise ConfigError(
        f"{path} takes {self._input.type}: export it with an input of floats"
      )

  def detect(self, image: np.ndarray, *, masks: bool = False) -> Detections:
    """Finds objects in uint8 [H, W, 3], RGB; see `detections.Detector`."""
    *_, height, width = self._input.shape
    fixed = None
    if isinstance(height, int) and isinstance(width, int):
      fixed = height, width
    if self.layout == "torchvision":
      if masks and torchvision_layout.MASKS not in self._outputs:
        raise ConfigError(
          f"{self.name} has no output masks, which --task=segmentation needs:"
          " its outputs are " + ", ".join(self._outputs)
        )
      batch, placement = torchvision_layout.prepare(image, fixed)
      layout = torchvision_layout
    else:
      canvas = fixed or (yolo_layout.SIDE, yolo_layout.SIDE)
      batch, placement = yolo_layout.prepare(image, canvas)
      layout = yolo_layout
    outputs = self._run(batch)
    return layout.read(outputs, placement, batch.shape[-2:], masks=masks)

  def _run(self, batch: np.ndarray) -> dict[str, np.ndarray]:
    if batch.ndim < len(self._input.shape):
      batch = batch[None]
    return self._network.run({self._input.name: batch})


def _choose_layout(found: str, outputs: Any, wanted: str | None) -> str:
  """The layout that the outputs have.

  Raises:
    ConfigError: they have none, or not the one that was asked for.
  """
  names = [output.name for output in outputs]
  # Names are torchvision's whole contract, axes YOLO's.
  has_names = all(name in names for name in torchvision_layout.OUTPUTS)
  has_axes = any(len(output.shape or ()) == 3 for output in outputs)
  if wanted not in (None, *LAYOUTS):
    raise ConfigError(
      f"no detector layout {wanted!r}: choose from {', '.join(LAYOUTS)}"
    )
  if wanted == "torchvision" and not has_names:
    raise ConfigError(
      f"{found}: the torchvision layout needs boxes, labels and scores, and"
      " masks for segmentation (export with output_names=[...])"
    )
  if wanted == "yolo" and not has_axes:
    raise ConfigError(f"{found}: the yolo layout needs {yolo_layout.EXPECTED}")
  if not has_names and not has_axes:
    raise ConfigError(
      f"{found}: neither torchvision's boxes, labels, scores (export with"
      f" output_names=[...]) nor YOLO's {yolo_layout.EXPECTED}"
    )
  return wanted or ("torchvision" if has_names else "yolo")
