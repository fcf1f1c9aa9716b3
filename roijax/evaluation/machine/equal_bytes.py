"""Codecs at equal bytes: each codes a photo as near to a budget as it can.

The file nearest to the budget is taken, above or below, so that no codec loses
by the coarseness of its settings. A codec that cannot get so low gives its
smallest file: compare the bytes.
"""

import math
import pathlib
import zlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from roijax import files
from roijax.errors import ConfigError
from roijax.evaluation import classical, search
from roijax.evaluation.machine.scenes import Scene
from roijax.evaluation.rivals import RIVALS, Encode
from roijax.evaluation.rows import Codec

# How near to the budget ends a search.
TOLERANCE = 0.01
# Where guesses have not closed in after so many files, halving does.
GUESSES = 6
# In the order in which files grow. x265 rounds its factor, 51 at most, to whole
# quantisers where its own adaptation is off.
_CRF = tuple(range(51, 4, -1))
_QP = tuple(range(63, 4, -1))
_PERCENT = tuple(range(101))
SETTINGS: dict[str, Sequence[float]] = {
  **{name: codec.settings for name, codec in classical.CODECS.items()},
  "avif_blurred": _PERCENT,
  "heic": _PERCENT,
  "hevc": _CRF,
  "hevc_roi": _CRF,
  "vvc": _QP,
  "maxshift": tuple(np.geomspace(0.02, 8, 300).tolist()),
}


class Entrant(NamedTuple):
  """A codec that takes part.

  Attributes:
    name: for reports.
    key: says of a file that it made whether it would make the same again.
    settings: in the order in which files grow.
    encode: image, map or None, setting -> a file.
    decode: a file -> uint8 [H, W, 3].
  """

  name: str
  key: str
  settings: Sequence[float]
  encode: Encode
  decode: Callable[[bytes], np.ndarray]


def enter_rival(name: str) -> Entrant:
  """One of `rivals.RIVALS`.

  Raises:
    ConfigError: there is none of that name.
    RoijaxError: it cannot run here.
  """
  if name not in RIVALS:
    raise ConfigError(f"no rival {name!r}: choose from {', '.join(RIVALS)}")
  rival = RIVALS[name]
  rival.check()
  return Entrant(name, name, SETTINGS[name], rival.encode, rival.decode)


def enter_checkpoint(
  name: str, codec: Codec, background: float, fingerprint: str
) -> list[Entrant]:
  """Learned weights, with the region and without.

  Args:
    name: of the weights.
    codec: loaded.
    background: the importance of the background.
    fingerprint: of the weights.
  """
  steps = math.floor(codec.max_quality / search.QUALITY_STEP)
  settings = [code * search.QUALITY_STEP for code in range(steps + 1)]

  def encode(image: np.ndarray, roi: np.ndarray | None, quality: float):
    return codec.compress(image, roi, quality=quality, background=background)

  def encode_blind(image: np.ndarray, roi: np.ndarray | None, quality: float):
    return codec.compress(image, None, quality=quality)

  return [
    Entrant(
      name, f"{fingerprint}-{background:g}", settings, encode, codec.decompress
    ),
    Entrant(
      f"{name}, no region",
      f"{fingerprint}-none",
      settings,
      encode_blind,
      codec.decompress,
    ),
  ]


def code(
  entrant: Entrant,
  scene: Scene,
  budgets: Sequence[int],
  folder: pathlib.Path | None = None,
) -> list[bytes]:
  """Codes a photo at several budgets, or finds the files of an earlier run.

  Args:
    entrant: the codec.
    scene: the photo.
    budgets: bytes.
    folder: where files are kept; None keeps none.

  Returns:
    One file a budget.
  """
  stem = f"{pathlib.PurePath(scene.name).stem}-{_checksum(scene):08x}"
  made: dict[int, bytes] = {}

  def encode(index: int) -> bytes:
    return entrant.encode(scene.image, scene.roi, entrant.settings[index])

  found = []
  for budget in budgets:
    path = folder and folder / entrant.key / f"{stem}-{budget}"
    if path and path.is_file():
      found.append(path.read_bytes())
      continue
    found.append(find_nearest(encode, len(entrant.settings), budget, made))
    if path:
      files.write_whole(path, found[-1])
  return found


def find_nearest(
  encode: Callable[[int], bytes],
  count: int,
  budget: int,
  made: dict[int, bytes] | None = None,
) -> bytes:
  """Finds the file nearest to a budget, by as few codings as may be.

  The logarithm of the size is taken to grow with the setting, about evenly
  between two that are known.

  Args:
    encode: setting, from 0 to `count` - 1 -> a file.
    count: how many settings there are.
    budget: bytes.
    made: files of settings that are known; those made here are added.
  """
  made = {} if made is None else made
  target = math.log(budget)

  def miss(index: int) -> float:
    return math.log(max(1, len(made[index]))) - target

  for round_number in range(count):
    low = max((i for i in made if miss(i) <= 0), default=-1)
    high = min((i for i in made if miss(i) > 0 and i > low), default=count)
    near = [i for i in made if abs(miss(i)) <= TOLERANCE]
    if near or high - low <= 1:
      break
    guess = (low + high) // 2
    if low in made and high in made and round_number < GUESSES:
      share = -miss(low) / (miss(high) - miss(low))
      guess = round(low + share * (high - low))
    guess = min(max(guess, low + 1), high - 1)
    made[guess] = encode(guess)
  return made[min(made, key=lambda i: (abs(miss(i)), i))]


def budget_of(scene: Scene, bpp: float) -> int:
  """The bytes of a photo at a rate in bits a pixel."""
  height, width = scene.image.shape[:2]
  return max(1, round(bpp * height * width / 8))


def _checksum(scene: Scene) -> int:
  pixels = zlib.crc32(scene.image.tobytes())
  if scene.roi is None:
    return pixels
  return zlib.crc32(scene.roi.tobytes(), pixels)
