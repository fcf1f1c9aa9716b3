"""Tables that grow from run to run, and the settings that their rows share."""

import json
import pathlib
from collections.abc import Mapping

from roijax.errors import ConfigError
from roijax.files import write_whole


def hold_to(path: pathlib.Path, settings: Mapping[str, object]) -> None:
  """Lets a table's rows be of one set of settings, for ever.

  The settings lie beside the table, as JSON.

  Args:
    path: of the table, which need not exist yet.
    settings: whatever changes what a row holds, JSON alone.

  Raises:
    ConfigError: the table has rows of other settings, or of unknown ones.
  """
  beside = path.with_suffix(".json")
  if path.exists():
    known = json.loads(beside.read_text()) if beside.exists() else {}
    other = {
      name: known.get(name, "unknown")
      for name, value in settings.items()
      if known.get(name, "unknown") != value
    }
    if other:
      said = ", ".join(f"{name} {value}" for name, value in other.items())
      raise ConfigError(
        f"{path} has rows of other settings ({said}): name another --out"
      )
  write_whole(beside, json.dumps(settings, indent=1).encode() + b"\n")
