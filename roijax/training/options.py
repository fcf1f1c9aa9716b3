"""Config sections as arguments: an unknown or missing key is an error line."""

import dataclasses
import difflib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from roijax.errors import ConfigError


def call_with(
  function: Callable[..., Any],
  section: str,
  options: Mapping[str, Any],
  **given: Any,
) -> Any:
  """Calls `function` with a config section's keys as keyword arguments.

  Args:
    function: a function or a class whose arguments are the section's keys.
    section: the section's name in the config, for the error message.
    options: the section itself.
    **given: further arguments, which are not the config's to set.

  Returns:
    What `function` returns.

  Raises:
    ConfigError: the section has a key that `function` does not take, or lacks
      one that it needs.
  """
  parameters = inspect.signature(function).parameters
  known = [name for name in parameters if name not in given]
  for name in options:
    if name not in known:
      near = difflib.get_close_matches(name, known, n=1)
      hint = f"did you mean {near[0]}?" if near else f"one of {sorted(known)}"
      raise ConfigError(f"config.{section}.{name} does not exist: {hint}")
  for name in known:
    needed = parameters[name].default is inspect.Parameter.empty
    if needed and name not in options:
      raise ConfigError(f"config.{section}.{name} is missing: set it")
  return function(**options, **given)


def pick(registry: Mapping[str, Any], section: str, key: str, name: str) -> Any:
  """Looks `name` up in a literal dict.

  Raises:
    ConfigError: there is no such entry; the line names those there are.
  """
  if name not in registry:
    raise ConfigError(
      f"config.{section}.{key}={name!r} does not exist: one of "
      f"{', '.join(sorted(registry))}"
    )
  return registry[name]


@dataclasses.dataclass(frozen=True)
class TrainOptions:
  """A config's `train` section.

  Attributes:
    steps: the step at which the run ends, and the decay with it.
    seconds: wall time at which it ends if it is sooner, earlier parts of a
      resumed run included; 0 or None: no limit. The learning rate does not
      know of it.
    accumulate: parts that a batch is handled in, one after the other.
    ema_decay: decay of the parameters' average; 0: none.
    log_every: steps between rows of the log.
    checkpoint_every: steps between checkpoints; 0 or None: at the end only.
    checkpoint_minutes: minutes between checkpoints; 0 or None: by steps only.
    keep: checkpoints to keep.
    devices: devices to use in each process; 0 or None: all that JAX sees.
    observe_every: steps between pictures of what the model does (`samples/`,
      TensorBoard); 0 or None: none.
    start_from: weights that a new run begins with, a `model.npz` or a folder
      that holds one; empty: a fresh start.
    start_partly: whether those may be of another model; what fits by name and
      shape is taken, the rest begins afresh.
  """

  steps: int
  seconds: float | None = None
  accumulate: int = 1
  ema_decay: float = 0.999
  log_every: int = 50
  checkpoint_every: int | None = 1000
  checkpoint_minutes: float | None = None
  keep: int = 2
  devices: int | None = None
  observe_every: int | None = None
  start_from: str = ""
  start_partly: bool = False

  def __post_init__(self):
    for name in ("steps", "accumulate", "log_every", "keep"):
      if getattr(self, name) < 1:
        raise ConfigError(f"config.train.{name} must be at least 1")
    if not 0.0 <= self.ema_decay < 1.0:
      raise ConfigError("config.train.ema_decay must lie in [0, 1)")
