"""The flow's methods as compiled programs, each where it must run.

    transform, hyper_analyse, synthesise,
    estimate_bits                    float32, on whatever device there is
    hyper_synthesise, tables_at      float64, on the host's CPU

What selects coding tables must come out the same on every machine: float32
differs between instruction sets, float64 does not by enough to matter.

Where all programs are kept from an earlier process, the flow is not built, and
Flax, a third of a second of a short command, is not imported.
"""

import contextlib
import functools
import os
import pathlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

from roijax.coding.passes import Order
from roijax.errors import CheckpointError
from roijax.executables import Executables

if TYPE_CHECKING:
  from roijax.models.flow import Flow

_ENTROPY_PARTS = ("hyper_synthesis", "context", "prior", "log_unit")


def cache_folder() -> pathlib.Path:
  """The user's cache folder, roijax's part of it."""
  base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
  return pathlib.Path(base) / "roijax"


def use_compilation_cache() -> None:
  """Keeps what JAX compiles in the user's cache folder.

  Does nothing where a folder is configured already.
  """
  if jax.config.jax_compilation_cache_dir is not None:  # pyright: ignore
    return
  folder = cache_folder() / "jax"
  try:
    folder.mkdir(parents=True, exist_ok=True)
  except OSError:
    return  # A home that cannot be written to costs time, nothing else.
  jax.config.update("jax_compilation_cache_dir", str(folder))
  jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.05)


@contextlib.contextmanager
def _on_host():
  """Float64 on the CPU, whatever device and precision are the default."""
  with jax.enable_x64(True), jax.default_device(jax.devices("cpu")[0]):
    yield


class Outline(NamedTuple):
  """What coding asks of a flow besides its programs.

  Attributes:
    latent_channels: channels of y (M).
    order: of coding.
    halo: see `Flow`.
    mask_stride: pixels on a side of the cells of the mask that decoders need;
      0 where they need none.
  """

  latent_channels: int
  order: Order
  halo: int
  mask_stride: int


def _outline(flow: "Flow") -> Outline:
  stride = flow.mask_stride if flow.mask_in_file else 0
  return Outline(flow.latent_channels, flow.order, flow.halo, stride)


def _apply(flow: "Flow", method: str, params, arguments):
  """A method of the flow; tells of parameters that are not the flow's."""
  from flax import errors

  try:
    return flow.apply({"params": params}, *arguments, method=method)
  except (
    errors.ScopeCollectionNotFound,
    errors.ScopeParamNotFoundError,
    errors.ScopeParamShapeError,
  ) as error:
    what = str(error).split(" (https")[0].rstrip(".")
    raise CheckpointError(
      f"these weights do not fit their own config: {what}; export them again, "
      "or use the version of roijax that made them"
    ) from error


class Programs:
  """A flow with its parameters; NumPy in and out; compiled once a size.

  Attributes:
    entropy_params: the float64 parameters of what selects tables, on the host.
    outline: of the flow.
  """

  def __init__(
    self,
    build: "Callable[[], Flow]",
    params: dict,
    executables: Executables | None = None,
  ):
    """Takes what makes a flow, and the flow's float32 parameters.

    Args:
      build: makes the flow; called when it is first needed.
      params: its parameters.
      executables: where compiled programs are kept between processes; used
        where the CPU computes everything.
    """
    self._build = build
    on_cpu = jax.default_backend() == "cpu"
    self._executables = executables if on_cpu else None
    if self._executables is None:
      self.outline = _outline(self.flow)
    else:
      self.outline = self._executables.get_value(
        "outline", lambda: _outline(self.flow)
      )
    # Not `jnp.asarray`, which compiles a copy for every shape.
    self._params = jax.device_put(params)
    # Not NumPy, which would be copied for every pass: 6 % of coding.
    with _on_host():
      self.entropy_params = jax.device_put(
        jax.tree.map(
          lambda x: np.asarray(x, np.float64),
          {k: params[k] for k in _ENTROPY_PARTS if k in params},
        ),
        jax.devices("cpu")[0],
      )

  @functools.cached_property
  def flow(self) -> "Flow":
    """The flow; building it imports Flax."""
    return self._build()

  @functools.cache  # noqa: B019 - programs live as long as their codec.
  def _program(self, method: str, *static) -> Callable:
    def run(params, *arguments):
      return _apply(self.flow, method, params, (*arguments, *static))

    return jax.jit(run)

  def _call(self, method, static, arguments):
    program = self._program(method, *static)
    if self._executables is not None:
      name = f"{method} {static}"
      program = self._executables.get(name, program, arguments)
    return jax.tree.map(np.asarray, program(*arguments))

  def _run(self, method, *arguments):
    return self._call(method, (), (self._params, *arguments))

  def run(self, function: Callable, *arguments) -> Any:
    """A function of the flow and its parameters, compiled as methods are.

    Args:
      function: `(flow, params, *arguments) -> arrays`.
      *arguments: float32 arrays, or trees of them.
    """
    program = self._compile(function)
    if self._executables is not None:
      program = self._executables.get(
        f"{function.__module__}.{function.__name__}",
        program,
        (self._params, *arguments),
      )
    return program(self._params, *arguments)

  @functools.cache  # noqa: B019 - as `_program`.
  def _compile(self, function: Callable) -> Callable:
    def run(*arguments):
      return function(self.flow, *arguments)

    return jax.jit(run)

  def _select(self, method, arguments, *static):
    with _on_host():
      return self._call(method, static, (self.entropy_params, *arguments))

  def transform(self, x, roi, quality) -> np.ndarray:
    """`Flow.transform` of float32 arrays."""
    return self._run("transform", x, roi, quality)

  def hyper_analyse(self, y, pooled) -> np.ndarray:
    """`Flow.hyper_analyse` of float32 arrays."""
    return self._run("hyper_analyse", y, pooled)

  def synthesise(self, y_hat, h, quality, mask=None) -> np.ndarray:
    """`Flow.synthesise` of float32 arrays; a mask's name picks a program."""
    arguments = (self._params, y_hat, h, quality)
    if isinstance(mask, str):
      return self._call("synthesise", (mask,), arguments)
    arguments = arguments if mask is None else (*arguments, mask)
    return self._call("synthesise", (), arguments)

  def means(self, h, y_hat, size: tuple[int, int]) -> np.ndarray:
    """`Flow.means` of float32 arrays."""
    sides = np.asarray(size, np.int32)
    return self._run("means", h, y_hat, sides)

  def estimate_bits(
    self, z_hat, y_hat, size: tuple[int, int]
  ) -> tuple[np.ndarray, np.ndarray]:
    """`Flow.estimate_bits` of float32 arrays."""
    sides = np.asarray(size, np.int32)
    return self._run("estimate_bits", z_hat, y_hat, sides)

  def hyper_synthesise(self, z_hat) -> np.ndarray:
    """`Flow.hyper_synthesise` in float64, whatever z_hat's type."""
    z_hat = np.asarray(z_hat, np.float64)
    return self._select("hyper_synthesise", (z_hat,))

  def tables_at(
    self, h, y_hat, one
  ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`Flow.tables_at` in float64, for one pass of `Flow.order`.

    Args:
      h: float64 [1, h, w, D].
      y_hat: float64 [1, h, w, M], zero where not decoded yet.
      one: the pass.

    Returns:
      Means (float64), table indexes (int32, may be written to) and close
      calls (bool), each [positions, channels of the pass].
    """
    place = (one.rows, one.columns, np.float64(one.local))
    arguments = (h, y_hat, *place, np.asarray(one.size, np.int32))
    mean, indexes, close = self._select("tables_at", arguments, one.group)
    real = slice(one.count)
    return mean[real], np.array(indexes[real]), close[real]
