"""Contexts by name: how decoded latents help with those to come."""

from collections.abc import Callable, Sequence

import flax.linen as nn

from roijax.layers.causal_attention import CausalAttention
from roijax.layers.checkerboard import CheckerboardSlices
from roijax.layers.linear_slices import LinearSlices
from roijax.layers.wavefront import Wavefronts

Hidden = int | Sequence[int]


def _widths(hidden: Hidden, count: int) -> tuple[int, ...]:
  widths = (hidden,) if isinstance(hidden, int) else tuple(hidden)
  if len(widths) != count:
    raise ValueError(f"context_hidden must be {count} widths, not {hidden}")
  return widths


def _all_at_once(name, slices):
  if len(slices) != 1:
    raise ValueError(
      f"{name} codes all channels at once: slices must be "
      f"({sum(slices)},), not {tuple(slices)}"
    )
  return slices[0]


def _checkerboard(slices, outputs, hidden):
  return CheckerboardSlices(tuple(slices), outputs, *_widths(hidden, 1))


def _linear_attention(slices, outputs, hidden):
  context = LinearSlices(tuple(slices), outputs, _widths(hidden, 5))
  odd = [width for width in context.slices[1:] if width % context.heads]
  if odd:
    raise ValueError(
      f"linear_attention has {context.heads} heads, which must divide all "
      f"slices but the first, not {tuple(slices)}"
    )
  return context


def _wavefront(slices, outputs, hidden):
  channels = _all_at_once("a wavefront", slices)
  return Wavefronts(channels, outputs, *_widths(hidden, 1))


def _attention(slices, outputs, hidden):
  channels = _all_at_once("attention", slices)
  first, second = _widths(hidden, 2)
  return CausalAttention(channels, outputs, (first, second))


CONTEXTS: dict[str, Callable[[Sequence[int], int, Hidden], nn.Module]] = {
  "checkerboard": _checkerboard,
  "linear_attention": _linear_attention,
  "wavefront": _wavefront,
  "attention": _attention,
}


def build_context(
  name: str, slices: Sequence[int], outputs: int, hidden: Hidden
) -> nn.Module:
  """Builds a context.

  Args:
    name: a key of `CONTEXTS`.
    slices: channels of each slice; a single one where a context codes all
      channels at once.
    outputs: numbers a latent (the prior's).
    hidden: width inside; a sequence of two for "attention", of five for
      "linear_attention".

  Raises:
    ValueError: there is no such context, or it takes other sizes.
  """
  if name not in CONTEXTS:
    known = ", ".join(CONTEXTS)
    raise ValueError(f"context is {name!r}; there are: {known}")
  return CONTEXTS[name](slices, outputs, hidden)
