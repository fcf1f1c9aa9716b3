"""Systems by name."""

import inspect
from typing import Any

from roijax.errors import ConfigError
from roijax.models.custom import build_custom
from roijax.models.flow import Flow
from roijax.models.ggm import build_ggm
from roijax.models.implicit import build_implicit
from roijax.models.swin import build_swin
from roijax.models.tlic import build_tlic

SYSTEMS = {
  "custom": build_custom,
  "ggm": build_ggm,
  "implicit": build_implicit,
  "swin": build_swin,
  "tlic": build_tlic,
}


def _plain(value):
  """Mappings as dicts and sequences as tuples, all the way down."""
  if hasattr(value, "items"):
    return {key: _plain(item) for key, item in value.items()}
  if isinstance(value, list | tuple):
    return tuple(_plain(item) for item in value)
  return value


def build_model(system: str, arguments: Any) -> Flow:
  """Builds a system from its configuration.

  Args:
    system: a key of `SYSTEMS`.
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
    return SYSTEMS[system](**_plain(arguments))
  except (TypeError, ValueError, KeyError) as error:
    what = " ".join(str(error).split())
    raise ConfigError(f"config.model does not fit {system}: {what}") from error


def with_defaults(system: str, arguments: Any) -> dict[str, Any]:
  """A builder's keywords with what it takes for those that are not given.

  Weights of before an option existed do not name it; a config does.

  Args:
    system: a key of `SYSTEMS`; for another, nothing is added.
    arguments: some of the builder's keywords.
  """
  builder = SYSTEMS.get(system)
  given = {name: _plain(arguments[name]) for name in arguments}
  if builder is None:
    return given
  defaults = {
    name: parameter.default
    for name, parameter in inspect.signature(builder).parameters.items()
    if parameter.default is not inspect.Parameter.empty
  }
  return defaults | given
