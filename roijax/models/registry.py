"""Systems by name."""

import importlib
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from roijax.errors import ConfigError

if TYPE_CHECKING:
  from roijax.models.flow import Flow

SYSTEMS = ("custom", "ggm", "implicit", "swin", "tlic")
"""Modules of this package, each with its builder."""


def _find_builder(system: str) -> "Callable[..., Flow]":
  # Imported when it is asked for: a command needs one of the five.
  module = importlib.import_module(f"roijax.models.{system}")
  return getattr(module, f"build_{system}")


def _plain(value):
  """Mappings as dicts and sequences as tuples, all the way down."""
  if hasattr(value, "items"):
    return {key: _plain(item) for key, item in value.items()}
  if isinstance(value, list | tuple):
    return tuple(_plain(item) for item in value)
  return value


def build_model(system: str, arguments: Any) -> "Flow":
  """Builds a system from its configuration.

  Args:
    system: one of `SYSTEMS`.
    arguments: the builder's keywords, a dict or a ConfigDict, nested.

  Returns:
    The model.

  Raises:
    ConfigError: an unknown system, a misspelled or missing keyword, or
      values that do not fit.
  """
  if system not in SYSTEMS:
    known = ", ".join(sorted(SYSTEMS))
    raise ConfigError(f"unknown system {system!r}; there are: {known}")
  try:
    return _find_builder(system)(**_plain(arguments))
  except (TypeError, ValueError, KeyError) as error:
    what = " ".join(str(error).split())
    raise ConfigError(f"config.model does not fit {system}: {what}") from error


def with_defaults(system: str, arguments: Any) -> dict[str, Any]:
  """A builder's keywords with what it takes for those that are not given.

  Weights of before an option existed do not name it; a config does.

  Args:
    system: one of `SYSTEMS`; for another, nothing is added.
    arguments: some of the builder's keywords.
  """
  given = {name: _plain(arguments[name]) for name in arguments}
  if system not in SYSTEMS:
    return given
  found: dict[str, Any] = _defaults_of(_find_builder(system)) | given
  trunk = found.get("trunk")
  if isinstance(trunk, dict):
    trunks = importlib.import_module("roijax.models.ggm").TRUNKS
    make = trunks.get(trunk.get("name"))
    if make is not None:
      found["trunk"] = _defaults_of(make) | trunk
  return found


def _defaults_of(function: Callable) -> dict[str, Any]:
  return {
    name: parameter.default
    for name, parameter in inspect.signature(function).parameters.items()
    if parameter.default is not inspect.Parameter.empty
  }
