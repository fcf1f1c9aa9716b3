"""roijax: learned image compression that knows where to look.

`compress`, `decompress`, `inspect` and `load` are in `roijax.api`.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
  from roijax.api import Info, compress, decompress, inspect, load

__version__ = "0.3.0"
__all__ = ["Info", "compress", "decompress", "inspect", "load"]


def __getattr__(name: str) -> Any:
  """Imports the interface when it is first used: `import roijax` is quick."""
  if name not in __all__:
    raise AttributeError(f"module 'roijax' has no attribute {name!r}")
  from roijax import api

  return getattr(api, name)


def __dir__() -> list[str]:
  return sorted([*globals(), *__all__])
