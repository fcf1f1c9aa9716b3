"""Tiny ONNX models: constant answers, and one that finds a red rectangle."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17


def write_model(path, nodes, inputs, outputs, constants=()):
  """Writes a model; `inputs` and `outputs` are (name, type, shape)."""
  graph = helper.make_graph(
    nodes,
    "detector",
    [helper.make_tensor_value_info(*port) for port in inputs],
    [helper.make_tensor_value_info(*port) for port in outputs],
    [numpy_helper.from_array(array, name) for name, array in constants],
  )
  model = helper.make_model(
    graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9
  )
  onnx.checker.check_model(model)
  onnx.save(model, str(path))
  return path


def write_constant(path, answers, shape=(1, 3, 64, 64), kind=TensorProto.FLOAT):
  """A model that says the same of every photo.

  Args:
    path: where it goes.
    answers: arrays by the outputs' names.
    shape: of its input.
    kind: the input's type.
  """
  types = {np.dtype("float32"): TensorProto.FLOAT}
  types[np.dtype("int64")] = TensorProto.INT64
  return write_model(
    path,
    [helper.make_node("Identity", [f"c_{n}"], [n]) for n in answers],
    [("images", kind, list(shape))],
    [(n, types[x.dtype], list(x.shape)) for n, x in answers.items()],
    [(f"c_{n}", x) for n, x in answers.items()],
  )


def write_echo(path, shape, output=("boxes", "labels", "scores")):
  """A model whose outputs are its input, to see what it was given."""
  return write_model(
    path,
    [helper.make_node("Identity", ["images"], [name]) for name in output],
    [("images", TensorProto.FLOAT, list(shape))],
    [(name, TensorProto.FLOAT, list(shape)) for name in output],
  )


def write_finder(path, label=1):
  """Finds the rectangle in which red is above one half (torchvision layout).

  It gives the box, the label, the mean of red inside as the score, and the
  mask. Where nothing is red, the box is empty and scores 0.
  """
  node = helper.make_node
  nodes = [
    node("Gather", ["image", "zero"], ["red"], axis=0),
    node("Greater", ["red", "half"], ["inside"]),
    node("Cast", ["inside"], ["mask"], to=TensorProto.FLOAT),
    node("ReduceMax", ["mask"], ["columns"], axes=[0], keepdims=0),
    node("ReduceMax", ["mask"], ["rows"], axes=[1], keepdims=0),
  ]
  ends = []
  for side in ("columns", "rows"):
    nodes += [
      node("ArgMax", [side], [f"{side}_low"], axis=0, keepdims=1),
      node(
        "ArgMax",
        [side],
        [f"{side}_last"],
        axis=0,
        keepdims=1,
        select_last_index=1,
      ),
      node("Add", [f"{side}_last", "one"], [f"{side}_high"]),
    ]
  ends = ["columns_low", "rows_low", "columns_high", "rows_high"]
  nodes += [
    node("Concat", ends, ["corners"], axis=0),
    node("Cast", ["corners"], ["flat"], to=TensorProto.FLOAT),
    node("Unsqueeze", ["flat", "first"], ["boxes"]),
    node("Identity", ["label"], ["labels"]),
    node("Mul", ["red", "mask"], ["shown"]),
    node("ReduceSum", ["shown"], ["sum"], keepdims=0),
    node("ReduceSum", ["mask"], ["area"], keepdims=0),
    node("Max", ["area", "unit"], ["safe"]),
    node("Div", ["sum", "safe"], ["mean"]),
    node("Unsqueeze", ["mean", "first"], ["scores"]),
    node("Unsqueeze", ["mask", "both"], ["masks"]),
  ]
  integer = np.int64
  return write_model(
    path,
    nodes,
    [("image", TensorProto.FLOAT, [3, "height", "width"])],
    [
      ("boxes", TensorProto.FLOAT, [1, 4]),
      ("labels", TensorProto.INT64, [1]),
      ("scores", TensorProto.FLOAT, [1]),
      ("masks", TensorProto.FLOAT, [1, 1, "height", "width"]),
    ],
    [
      ("zero", np.array(0, integer)),
      ("one", np.array([1], integer)),
      ("first", np.array([0], integer)),
      ("both", np.array([0, 1], integer)),
      ("label", np.array([label], integer)),
      ("half", np.array(0.5, np.float32)),
      ("unit", np.array(1, np.float32)),
    ],
  )
