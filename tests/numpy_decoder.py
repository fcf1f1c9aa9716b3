"""A second decoder of `.roij` files, in NumPy and Python's integers.

It is written from docs/format.md and docs/decoder.md alone, and kept
independent of the package on purpose: it imports nothing of roijax, neither
constriction nor JAX. What it decodes, the documentation suffices to decode.
"""

import bisect
import hashlib
import io
import itertools
import json
import math
import zlib

import numpy as np
from scipy import special

# In cells, rows x columns; the first that holds an array is its canvas.
CANVASES = [(2, 2), (4, 4), (8, 8), (8, 12), (12, 8)]
CANVASES += [(8, 16), (16, 8), (12, 12), (16, 16)]
HALO = 1
CLASSES = [32760, 16380, 8190, 4095, 2047, *(2**k for k in range(10, 0, -1))]
CLASSES += [1] * 18
# The 12 neighbours up to two away at an odd distance, and the 3x3 around.
ODD = [(r, c) for r in range(-2, 3) for c in range(-2, 3) if (r + c) % 2]
NEAR = [(r, c) for r in range(-1, 2) for c in range(-1, 2)]
# Of the mask's contexts.
MASK_NEAR = [(0, -1), (-1, -1), (-1, 0), (-1, 1)]
MASK_NEAR += [(0, -2), (-2, 0), (-1, 2), (-2, 1)]
BOUND = [
  *(-2.3989403606339947, 0.71149084349936231, -0.13835435024584961),
  *(-0.0091894100201496704, 0.0090144236601583765, -0.0019858525630563279),
  *(0.00034502607448210095, -5.5381038334567526e-05, 3.2524715144636764e-06),
  *(3.0343301999578528e-08, 2.6645045213070915e-07, -2.6370877196152262e-08),
  -1.3770304661194625e-08,
]


def varint(source: io.BytesIO) -> int:
  """Reads seven bits a byte, low bits first."""
  value, shift, byte = 0, 0, 128
  while byte > 127:
    byte = source.read(1)[0]
    value, shift = value | (byte & 127) << shift, shift + 7
  assert shift <= 35 and (byte or shift == 7), "not the shortest varint"
  return value


def parse(data: bytes) -> tuple:
  """Takes a file apart and checks its CRC; groups come with their streams."""
  crc = int.from_bytes(data[-4:], "little")
  assert zlib.crc32(data[:-4]) == crc, "wrong file CRC"
  source, boundary, position, last = io.BytesIO(data[:-4]), {}, -1, 0
  assert source.read(5) == b"ROIJ\x01", "not a .roij file of version 1"
  fingerprint, width, height = source.read(8), varint(source), varint(source)
  quality, background, flags = source.read(3)
  assert max(width, height) < 65536 and flags < 16, "a header out of bounds"
  assert width and height and background, "a header with zeros"
  for _ in range(varint(source) if flags & 2 else 0):
    position += 1 + varint(source)
    boundary[position] = varint(source)
  for _ in range(varint(source) if flags & 4 else 0):
    number, length = varint(source), varint(source)
    assert number > last and len(source.read(length)) == length, "wrong boxes"
    last = number
  assert bool(boundary) * 2 + bool(last) * 4 == flags & 6, "an empty list"
  mask = source.read(varint(source)) if flags & 8 else None
  sides = parts(-(-height // 64)), parts(-(-width // 64))
  groups = list(itertools.product(*sides))
  streams = [source.read(4 * varint(source)) for _ in groups]
  streams = [np.frombuffer(stream, "<u4").tolist() for stream in streams]
  symbols_crc = source.read()
  assert all(streams) and len(symbols_crc) == 4, "ends early, or goes on"
  rest = boundary, mask, list(zip(streams, groups, strict=True)), symbols_crc
  return fingerprint, (height, width), quality / 32, flags & 1, *rest


def parts(count: int) -> list[tuple[int, int]]:
  """Begin and end of each group along a side of `count` cells."""
  p = -(-count // 16)
  return list(itertools.pairwise(i * count // p for i in range(p + 1)))


def windows(count: int) -> list[tuple[int, int, int, int]]:
  """Begin and end of windows along a side, and of the cells that each gives."""
  starts = range(0, max(count - 2 * HALO, 1), 16 - 2 * HALO)
  spans = [(begin, min(begin + 16, count)) for begin in starts]
  return [(b, e, b + HALO * (b > 0), e - HALO * (e < count)) for b, e in spans]


def on_canvas(x: np.ndarray, scale: int) -> np.ndarray:
  """Zeros behind and below `x`, which has `scale` positions a cell's side."""
  need = -(-x.shape[0] // scale), -(-x.shape[1] // scale)
  fit = next(s for s in CANVASES if s[0] >= need[0] and s[1] >= need[1])
  more = fit[0] * scale - x.shape[0], fit[1] * scale - x.shape[1]
  return np.pad(x, ((0, more[0]), (0, more[1]), (0, 0)))


class RangeDecoder:
  """Decodes one group's words."""

  def __init__(self, words: list[int]):
    self.words, self.next, self.lower, self.range = words, 2, 0, 2**64 - 1
    self.point = words[0] << 32 | (words[1] if len(words) > 1 else 0)

  def take(self, begins) -> int:
    """The next entry; `begins` has each one's begin and 2^24 at the end."""
    step, mask = self.range >> 24, 2**64 - 1
    q = ((self.point - self.lower) & mask) // step
    assert q < 2**24, "a damaged stream"
    entry = bisect.bisect_right(begins, q) - 1
    self.lower = (self.lower + step * begins[entry]) & mask
    self.range = step * (begins[entry + 1] - begins[entry])
    if self.range < 2**32:
      word = self.words[self.next] if self.next < len(self.words) else 0
      self.next += 1
      self.lower, self.range = (self.lower << 32) & mask, self.range << 32
      self.point = (self.point << 32) & mask | word
    return entry

  def digits(self, count: int) -> int:
    """The next `count` binary digits, at even odds."""
    return self.take(range(0, 2**24 + 1, 2 ** (24 - count))) if count else 0


def begins_of(frequencies) -> list[int]:
  """Where each entry begins, of 2^24; 2^24 at the end."""
  sums, count = np.cumsum(frequencies, dtype=np.int64), len(frequencies)
  assert sums[-1] == 65536, "frequencies of a wrong sum"
  begins = (sums - frequencies) * (2**24 - count) // 65536 + np.arange(count)
  return [*begins.tolist(), 2**24]


def decode_call(coder: RangeDecoder, tables: list, numbers) -> np.ndarray:
  """One call's symbols; `numbers` are their (offset, begins) in `tables`."""
  symbols, escaped = np.zeros(numbers.size, np.int64), []
  used = [tables[number] for number in numbers.flat]
  for i in np.argsort(numbers.ravel(), kind="stable").tolist():
    entry = coder.take(used[i][1])
    symbols[i] = used[i][0] + entry
    if entry == len(used[i][1]) - 2:
      escaped.append(i)
  escaped.sort()
  sizes = [len(used[i][1]) - 1 for i in escaped]
  spare = [max(0, size.bit_length() - 4) for size in sizes]
  signs = [coder.digits(1) for _ in escaped]
  counts = [coder.take(begins_of(CLASSES)) + r for r in spare]
  lows = [coder.digits(min(n, 16)) for n in counts]
  highs = [coder.digits(max(n - 16, 0)) for n in counts]
  for k, i in enumerate(escaped):
    excess = (1 << counts[k]) + (highs[k] << 16) + lows[k] - (1 << spare[k])
    below, above = -1 - excess, sizes[k] - 1 + excess
    symbols[i] = used[i][0] + (above if signs[k] else below)
  assert (abs(symbols) <= 2**30).all(), "a symbol beyond 2^30"
  return symbols.reshape(numbers.shape)


def decode_mask(data: bytes, size: tuple[int, int], start: bytes) -> np.ndarray:
  """Cells of the mask, 0 or 1; `start` are the 256 counts to begin with."""
  cells = np.zeros((size[0] + 2, size[1] + 4), int)
  if len(data) == 1:
    assert data in (b"\x00", b"\x01"), "no such mask"
    return np.full(size, data[0])
  words = np.frombuffer(data + bytes(-len(data) % 4), "<u4").tolist()
  coder, ones = RangeDecoder(words), list(start)
  zeros = [256 - count for count in ones]
  for row, column in np.ndindex(*size):
    near = (cells[2 + row + r, 2 + column + c] for r, c in MASK_NEAR)
    k = sum(cell << i for i, cell in enumerate(near))
    p = min(max(4096 * ones[k] // (ones[k] + zeros[k]), 1), 4095)
    cell = coder.take(begins_of([65536 - 16 * p, 16 * p]))
    cells[2 + row, 2 + column] = cell
    counts = ones if cell else zeros
    counts[k] += 16
    if ones[k] + zeros[k] > 65536:
      ones[k], zeros[k] = -(-ones[k] // 2), -(-zeros[k] // 2)
  return cells[2:, 2:-2]


def enlarge(cells: np.ndarray, s: int) -> np.ndarray:
  """Linear between the centres of cells, s pixels a side, edges repeated."""
  for axis in (0, 1):
    count = cells.shape[axis]
    place = np.clip((np.arange(count * s) + 0.5) / s - 0.5, 0, count - 1)
    low = place.astype(int)
    high = np.minimum(low + 1, count - 1)
    part = (place - low).reshape((-1, 1) if axis == 0 else (1, -1))
    cells = cells.take(low, axis) * (1 - part) + cells.take(high, axis) * part
  return cells


def y_tables(path) -> list[tuple[int, list[int]]]:
  """Offset and begins of the 1280 tables of y."""
  with np.load(path) as stored:
    halves, supports = stored["halves"].astype(int), stored["supports"]
  tables = []
  for half in np.split(halves, np.cumsum(supports + 2)[:-1]):
    side = half[1:-1]
    frequencies = [*side[::-1], 2 * half[0], *side, 2 * half[-1]]
    tables.append((-len(side), begins_of(frequencies)))
  return tables


class Weights:
  """A file of weights, and the layers that networks are made of."""

  def __init__(self, path):
    with np.load(path) as stored:
      arrays = {name: stored[name] for name in stored.files}
    config = arrays.pop("config").tobytes()
    self.model = json.loads(config)["model"]
    digest = hashlib.sha256(b"roij 1 " + config)
    for name in sorted(arrays):
      kind = "<f2" if name.startswith("weights/") else "<i8"
      digest.update(f"{name} {arrays[name].shape}".encode())
      digest.update(arrays[name].astype(kind).tobytes())
    self.fingerprint = digest.digest()[:8]
    ends = np.cumsum(arrays["tables/sizes"])[:-1]
    begins = map(begins_of, np.split(arrays["tables/frequencies"], ends))
    offsets = arrays["tables/offsets"].tolist()
    self.tables = list(zip(offsets, begins, strict=True))
    named = (k for k in arrays if k.startswith("weights/"))
    self.arrays = {k[8:]: arrays[k].astype(np.float64) for k in named}
    self.unit = np.exp(self.arrays["log_unit"])
    # Numbers of the entropy model a symbol: a Gaussian's shape is 2.
    self.numbers = {"gaussian": 2, "ggm_e": 3}[self.model["prior"]["kind"]]
    self.slices = np.cumsum([0, *self.model["slices"]]).tolist()

  def dense(self, name: str, x: np.ndarray) -> np.ndarray:
    """A dense layer over channels, in the type of `x`."""
    bias = self.arrays.get(f"{name}/bias", np.zeros(1)).astype(x.dtype)
    return x @ self.arrays[f"{name}/kernel"].astype(x.dtype) + bias

  def block(self, name: str, x: np.ndarray) -> np.ndarray:
    """A depthwise filter and two dense layers, added to `x`."""
    taps = self.arrays[f"{name}/DepthwiseConv_0/kernel"].astype(x.dtype)
    views = zip(taps.reshape(9, -1), around(x, NEAR), strict=True)
    t = self.dense(f"{name}/Dense_0", sum(tap * v for tap, v in views))
    return x + self.dense(f"{name}/Dense_1", np.where(t > 0, t, 0.1 * t))


def around(x: np.ndarray, offsets: list) -> list[np.ndarray]:
  """What lies at each offset from every position; 0 outside."""
  rows, columns = x.shape[:2]
  x = np.pad(x, ((2, 2), (2, 2), (0, 0)))
  return [x[2 + r :, 2 + c :][:rows, :columns] for r, c in offsets]


def spread(x: np.ndarray, b: int) -> np.ndarray:
  """b b c channels at a position become c at b by b positions."""
  rows, columns, channels = x.shape
  x = x.reshape(rows, columns, b, b, channels // b**2)
  return x.transpose(0, 2, 1, 3, 4).reshape(rows * b, columns * b, -1)


def gelu(v: np.ndarray) -> np.ndarray:
  """The form with a hyperbolic tangent."""
  return v / 2 * (1 + np.tanh((2 / np.pi) ** 0.5 * (v + 0.044715 * v**3)))


def context(w: Weights, i: int, second: bool, h, y, where) -> np.ndarray:
  """The raw numbers a channel of slice `i` at the positions `where`."""
  low, high = w.slices[i : i + 2]
  t = w.dense(f"context/from_h_{i}", h[where])
  if second:
    n = np.concatenate(around(y[..., low:high] / w.unit[low:high], ODD), -1)
    t = t + w.dense(f"context/from_anchors_{i}", n[where])
  if i:
    n = np.concatenate(around(y[..., :low] / w.unit[:low], NEAR), -1)
    t = t + w.dense(f"context/from_slices_{i}", n[where])
  t = gelu(w.dense(f"context/middle_{i}", gelu(t)))
  return w.dense(f"context/head_{i}", t).reshape(-1, high - low, w.numbers)


def distribution(raw: np.ndarray, unit: np.ndarray) -> tuple:
  """Means, and which of the 1280 tables codes each symbol."""
  shape = np.full(raw.shape[:-1], 2.0)
  if raw.shape[-1] == 3:
    shape = np.logaddexp(0, raw[..., 2] + math.log(math.exp(1.5) - 1))
    shape = np.clip(shape, 0.5, 3)
  place = (2 * np.log(shape) - math.log(0.5) - math.log(3)) / math.log(6)
  bound = np.exp(np.polynomial.polynomial.polyval(place, BOUND))
  scale = np.logaddexp(0, raw[..., 1] + 0.5413) * unit
  return raw[..., 0] * unit, table_numbers(np.clip(scale, bound, 256), shape)


def table_numbers(scale: np.ndarray, shape: np.ndarray) -> np.ndarray:
  """Which of the 1280 tables codes each symbol."""
  b = 0.5 * 6 ** (np.arange(20) / 19)
  alpha = 0.5 / special.gammainccinv(1 / b, 1e-4) ** (1 / b)
  floors = alpha * (special.gamma(3 / b) / special.gamma(1 / b)) ** 0.5
  level = np.rint(np.log(shape / 0.5) / (math.log(6) / 19))
  level = np.clip(level, 0, 19).astype(np.int64)
  floor = floors[level]
  place = np.rint(np.log(scale / floor) / (np.log(256 / floor) / 63))
  return 64 * level + np.clip(place, 0, 63).astype(np.int64)


def decode_group(w, tables, words, y, h, boundary, calls):
  """Fills in `y` and `h`; appends to `calls`, takes from `boundary`."""
  coder, z_size = RangeDecoder(words), (h.shape[0] // 4, h.shape[1] // 4)
  channels = np.arange(w.model["hyper_channels"])
  calls.append(decode_call(coder, w.tables, np.tile(channels, (*z_size, 1))))
  x = on_canvas(calls[-1].astype(np.float64), 1)
  for i in range(2):
    x = spread(w.dense(f"hyper_synthesis/up_{i}", x), 2)
    x = w.block(f"hyper_synthesis/block_{i}", x)
  h[:] = x[: h.shape[0], : h.shape[1]]
  parity = np.add.outer(*map(np.arange, y.shape[:2])) % 2
  for i, second in np.ndindex(len(w.slices) - 1, 2):
    where = np.nonzero(parity == 1 - second)
    part = slice(*w.slices[i : i + 2])
    raw = context(w, i, second, h, y, where)
    mean, numbers = distribution(raw, w.unit[part])
    begin = sum(call.size for call in calls)
    for at in [p - begin for p in boundary if 0 <= p - begin < numbers.size]:
      numbers.flat[at] = boundary.pop(begin + at)
    calls.append(decode_call(coder, tables, numbers))
    y[*where, part] = mean + calls[-1]
  assert coder.next >= len(words), "a stream is not used up"


def synthesise(w: Weights, y, h, quality: float, name: str) -> np.ndarray:
  """RGB of one window by decoder `name`; `y` and `h` are the window's."""
  rows, low = w.arrays["gain/log_gain"], math.floor(quality)
  gain = rows[low] + (quality - low) * (rows[math.ceil(quality)] - rows[low])
  y = (np.rint(y * 4096) / 4096).astype(np.float32)
  y, h = on_canvas(y, 4), on_canvas(h.astype(np.float32), 4)
  restored = np.clip(w.dense(f"{name}/restore", h), -5, 5)
  x = y / np.exp(gain).astype(np.float32) * np.exp(restored)
  straight = np.float32(0)
  for i, factor in ((2, 2), (1, 2), (0, 4)):
    for k in range(w.model["trunk"]["blocks"][i]):
      x = w.block(f"{name}/trunk/block_{i}_{k}", x)
    if i == 2 and w.model["trunk"].get("skip"):
      straight = spread(w.dense(f"{name}/trunk/skip", x), 16) / 10
    x = spread(w.dense(f"{name}/trunk/up_{i}", x), factor)
  return x + straight


def composite(w: Weights, y, h, quality: float, m) -> np.ndarray:
  """RGB of one window; `m` are its cells of the mask, None for one decoder."""
  if m is None:
    return synthesise(w, y, h, quality, "synthesis")
  front = synthesise(w, y, h, quality, "synthesis/foreground")
  behind = synthesise(w, y, h, quality, "synthesis/background")
  m = enlarge(m, w.model["mask_stride"])
  edges = [(0, a - b) for a, b in zip(front.shape, m.shape, strict=False)]
  m = np.pad(m, edges, "edge")[..., None]
  return m * front + (1 - m) * behind


def decode(
  data: bytes, weights_path, tables_path, start: bytes = b""
) -> tuple[bool, np.ndarray]:
  """Decodes a `.roij` file.

  Args:
    data: The file.
    weights_path: The weights that wrote it.
    tables_path: The tables of y.
    start: The counts that a mask's contexts begin with.

  Returns:
    Whether the symbols' CRC is right, and the photo: [rows, columns, 3] or, of
    a grey one, [rows, columns].
  """
  fingerprint, size, quality, grey, boundary, mask, *rest = parse(data)
  groups, crc = rest
  w, tables, calls = Weights(weights_path), y_tables(tables_path), []
  assert fingerprint == w.fingerprint, "other weights wrote this file"
  cells, y_size = ([-(-n // side) for n in size] for side in (64, 16))
  y = np.zeros((*y_size, w.model["latent_channels"]))
  h = np.zeros((4 * cells[0], 4 * cells[1], w.model["hyper_features"]))
  for words, ((top, end), (left, right)) in groups:
    cut = np.s_[4 * top : 4 * end, 4 * left : 4 * right]
    decode_group(w, tables, words, y[cut], h[cut], boundary, calls)
  assert not boundary, "the list names symbols that are not there"
  if mask is not None:
    side = w.model["mask_stride"]
    mask = decode_mask(mask, (-(-size[0] // side), -(-size[1] // side)), start)
    calls.insert(0, mask)
  symbols = np.concatenate([call.ravel() for call in calls]).astype("<i4")
  photo = np.zeros((*size, 3), np.float32)
  spans = itertools.product(*map(windows, cells))
  for (top, end, low, high), (left, right, start, stop) in spans:
    cut = np.s_[4 * top : 4 * end, 4 * left : 4 * right]
    m = mask
    if mask is not None:
      n = 64 // w.model["mask_stride"]
      m = mask[n * top : n * end, n * left : n * right]
    x = composite(w, y[cut], h[cut], quality, m)
    x = x[64 * (low - top) :, 64 * (start - left) :]
    view = photo[64 * low : 64 * high, 64 * start : 64 * stop]
    view[:] = x[: view.shape[0], : view.shape[1]]
  photo = photo.mean(axis=-1) if grey else photo
  pixels = np.rint(np.clip(photo, 0, 1) * 255).astype(np.uint8)
  return zlib.crc32(symbols).to_bytes(4, "little") == crc, pixels
