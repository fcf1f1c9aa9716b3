"""How long an encoder may look for a better file; a word for the steps.

Apart from `refinement`, so that a wrong one is told before JAX is loaded.
"""

from roijax.errors import ConfigError

EFFORTS = (0, 30, 120, 480)
"""Steps of each effort; 0 takes the latents as the analysis gives them."""


def count_steps(effort: int) -> int:
  """Steps of an effort.

  Raises:
    ConfigError: there is no such effort.
  """
  if effort not in range(len(EFFORTS)):
    raise ConfigError(
      f"effort {effort} is unknown: it is 0 (no time) to {len(EFFORTS) - 1}"
    )
  return EFFORTS[effort]
