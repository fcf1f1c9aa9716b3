"""Tiny saliency networks, and the same in plain NumPy.

A pixel's logit is the product of its normalised colours with `WEIGHTS`, and
`BIAS`: red things stand out.
"""

import numpy as np
import numpy_segmenter
from onnx import TensorProto, helper
from onnx_models import write_model
from text_models import MEAN, STD

WEIGHTS = np.array([2.1, -1.3, -0.9], np.float32)
BIAS = np.float32(-0.4)


def write_saliency(
  path, size=None, *, sigmoid=False, others=0, batch=1, half=False, flat=False
):
  """A model of photos of `size` (height, width), or of any.

  Args:
    path: where it goes.
    size: what the input says.
    sigmoid: whether it gives probabilities, not logits.
    others: further outputs, behind the first; they say the contrary.
    batch: the first side of the input.
    half: whether it takes and gives float16.
    flat: whether the outputs lack the channel's axis.
  """
  node = helper.make_node
  kind = TensorProto.FLOAT16 if half else TensorProto.FLOAT
  number = np.float16 if half else np.float32
  sides = [batch, 3, *(size or ("height", "width"))]
  shape = [batch, *(() if flat else (1,)), *sides[2:]]
  names = [f"out{index}" for index in range(1 + others)]
  last = "Sigmoid" if sigmoid else "Identity"
  nodes = [node("Conv", ["photo", "weights", "bias"], ["logits"])]
  if flat:
    nodes.append(node("Squeeze", ["logits", "one"], ["plane"]))
  plane = "plane" if flat else "logits"
  nodes += [node(last, [plane], [names[0]]), node("Neg", [plane], ["contrary"])]
  nodes += [node(last, ["contrary"], [name]) for name in names[1:]]
  constants = [
    ("weights", WEIGHTS.astype(number)[None, :, None, None]),
    ("bias", np.array([BIAS], number)),
    ("one", np.array([1])),
  ]
  outputs = [(name, kind, shape) for name in names]
  return write_model(path, nodes, [("photo", kind, sides)], outputs, constants)


def measure(
  image, size, axes=(1, 0), *, peak=False, stretch=False, sign=1, **normal
):
  """The map of a photo: float64 [H, W].

  Args:
    image: uint8 [H, W, 3].
    size: that the network sees.
    axes: see `numpy_segmenter.resize_bytes`.
    peak: whether the largest value becomes 1, not 255.
    stretch: whether the map is stretched between its ends.
    sign: of the logits.
    normal: `mean` and `std`, where they are not ImageNet's.
  """
  pixels = numpy_segmenter.resize_bytes(image, size, axes)
  pixels = pixels / (max(pixels.max(), 1) if peak else 255)
  pixels = (pixels - normal.get("mean", MEAN)) / normal.get("std", STD)
  logits = sign * (pixels @ WEIGHTS.astype(float) + BIAS)
  values = 1 / (1 + np.exp(-logits))
  if stretch:
    values = (values - values.min()) / (values.max() - values.min())
  return numpy_segmenter.resize(values, image.shape[:2])
