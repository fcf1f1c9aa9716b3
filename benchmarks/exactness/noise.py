"""(b) How much noise in the decoder's entropy parameters a file bears."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from benchmarks.exactness import probes
from roijax.codec import Codec
from roijax.errors import BitstreamError

AMOUNTS = (1e-11, 1e-10, 1e-9, 1e-8, 1e-7, 1e-6)


@dataclasses.dataclass(frozen=True)
class Row:
  """Decodings of one file with noise of one amount.

  Attributes:
    amount: deviation of the noise, relative (means: absolute too).
    decodings: how many, each with other noise in every pass.
    same_symbols: how many gave the symbols that were written.
    same_pixels: how many of them gave the very same picture.
    most_values_off: in a picture, of all its 8-bit values.
    largest_difference: of a value, in levels.
    raised: what the others said.
  """

  amount: float
  decodings: int
  same_symbols: int
  same_pixels: int
  most_values_off: int
  largest_difference: int
  raised: tuple[str, ...]


def decode_with_noise(
  codec: Codec,
  image: np.ndarray,
  amounts: Sequence[float] = AMOUNTS,
  repeats: int = 3,
) -> list[Row]:
  """Encodes without noise, decodes with it; a row an amount."""
  data = codec.compress(image)
  expected = codec.decompress(data)
  noisy = probes.make_noisy(codec)
  rows = []
  for amount in amounts:
    apart, raised = [], []
    for seed in range(repeats):
      probes.set_noise(noisy, amount, seed)
      try:
        # Raises unless every symbol is the one that was written.
        back = noisy.decompress(data)
      except BitstreamError as error:
        raised.append(str(error))
        continue
      apart.append(np.abs(back.astype(int) - expected))
    off = [int((one > 0).sum()) for one in apart]
    rows.append(
      Row(
        amount,
        repeats,
        len(apart),
        off.count(0),
        max(off, default=0),
        max((int(one.max()) for one in apart), default=0),
        tuple(sorted(set(raised))),
      )
    )
  return rows
