"""Config sections as arguments: an unknown or missing key is an error line."""

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
