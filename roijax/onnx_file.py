"""Networks in ONNX files, run by onnxruntime."""

import os
import pathlib
import re
from typing import Any

import numpy as np

from roijax.errors import DataError, RoijaxError

# What arrays must be for an input that says it takes these.
TYPES: dict[str, type] = {
  "tensor(float)": np.float32,
  "tensor(float16)": np.float16,
  "tensor(int64)": np.int64,
  "tensor(int32)": np.int32,
}


class OnnxFile:
  """A network from an ONNX file; on a GPU where onnxruntime has one.

  Args:
    path: the file.
    install: what brings onnxruntime, as pip takes it.

  Attributes:
    path: the file.
    inputs: onnxruntime's ports, each with `name`, `shape` (a list; sides that
      are open are no integers) and `type`.
    outputs: likewise.

  Raises:
    RoijaxError: onnxruntime is missing, or the file is missing or no model.
  """

  def __init__(self, path: str | os.PathLike, install: str):
    self.path = pathlib.Path(path)
    self._session = _open_session(self.path, install)
    self.inputs: list[Any] = self._session.get_inputs()
    self.outputs: list[Any] = self._session.get_outputs()

  def run(self, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Computes all outputs.

    Args:
      arrays: by the inputs' names; cast to what the inputs take.

    Returns:
      Arrays by the outputs' names.

    Raises:
      RoijaxError: the network does not take them.
    """
    types = {port.name: TYPES.get(port.type) for port in self.inputs}
    given = {
      name: array
      if types[name] is None
      else array.astype(types[name], copy=False)
      for name, array in arrays.items()
    }
    try:
      results = self._session.run(None, given)
    # onnxruntime's errors have no class of their own in common.
    except Exception as error:
      shapes = ", ".join(f"{name} {list(x.shape)}" for name, x in given.items())
      raise RoijaxError(
        f"{self.path.name} fails on {shapes}: {_first_line(error)}"
      ) from error
    names = [port.name for port in self.outputs]
    return dict(zip(names, results, strict=True))


def list_ports(ports: Any) -> str:
  """Names and shapes of inputs or outputs, `?` where a side is open."""
  return ", ".join(
    "{} [{}]".format(
      port.name,
      ", ".join(
        str(side) if isinstance(side, int) else "?" for side in port.shape or ()
      ),
    )
    for port in ports
  )


def take_plane(
  values: np.ndarray, name: str, path: str | os.PathLike
) -> np.ndarray:
  """The map of one photo that an output holds.

  Args:
    values: [1, 1, h, w] or [1, h, w]; some exports drop more axes.
    name: the output's, for errors.
    path: the network's, likewise.

  Returns:
    float32 [h, w].

  Raises:
    DataError: it holds something else, or several maps.
  """
  if values.ndim < 2 or values.size != np.prod(values.shape[-2:]):
    raise DataError(
      f"{path} gives {name} {list(values.shape)} for one photo: [1, h, w] is"
      " needed"
    )
  return values.reshape(values.shape[-2:]).astype(np.float32)


def check_finite(values: np.ndarray, path: str | os.PathLike) -> np.ndarray:
  """Returns what a network gave; refuses what is no number.

  Raises:
    DataError: a value is not finite.
  """
  if not np.isfinite(values).all():
    raise DataError(f"{path} gives numbers that are not finite for this photo")
  return values


def _open_session(path: pathlib.Path, install: str) -> Any:
  if not path.is_file():
    raise RoijaxError(f"no such ONNX file: {path}")
  try:
    import onnxruntime
  except ImportError as error:
    raise RoijaxError(
      f"ONNX files need onnxruntime: pip install '{install}'"
    ) from error
  options = onnxruntime.SessionOptions()
  # Errors come as exceptions; exporters' leftovers are no one's concern.
  options.log_severity_level = 4
  wanted = ("CUDAExecutionProvider", "CPUExecutionProvider")
  at_hand = onnxruntime.get_available_providers()
  try:
    return onnxruntime.InferenceSession(
      str(path), options, providers=[name for name in wanted if name in at_hand]
    )
  except Exception as error:
    raise RoijaxError(
      f"{path} is no ONNX model that runs here: {_first_line(error)}"
    ) from error


def _first_line(error: BaseException) -> str:
  """The first line, without onnxruntime's own prefix."""
  line = (str(error).splitlines() or [""])[0]
  line = re.sub(r"^\[ONNXRuntimeError\] : \d+ : ", "", line)
  return line or type(error).__name__
