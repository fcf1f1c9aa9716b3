import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roijax.coding.coder import Decoder, Encoder
from roijax.coding.tables import Tables, load_tables, make_tables
from roijax.errors import BitstreamError

GOLDEN_SIZE = 1488
GOLDEN_HEAD = "12fcf1ffc32378043ad6069effdc72ff"
GOLDEN_TAIL = "18bff6c0009995a1"


def draw(tables: Tables, indexes: np.ndarray, rng) -> np.ndarray:
  """Symbols that follow their tables; an escape goes a little outside."""
  symbols = np.empty(indexes.size, np.int64)
  for index in np.unique(indexes):
    where = indexes == index
    begin, size = tables.starts[index], tables.sizes[index]
    row = tables.frequencies[begin : begin + size] / 65536
    symbols[where] = rng.choice(size, where.sum(), p=row)
    symbols[where] += tables.offsets[index]
  return symbols.astype(np.int32)


def round_trip(calls) -> bytes:
  """Codes (symbols, indexes, tables) calls, checks them, returns the bytes."""
  encoder = Encoder()
  for symbols, indexes, tables in calls:
    encoder.encode(symbols, indexes, tables)
  data = encoder.finish()
  decoder = Decoder(data)
  for symbols, indexes, tables in calls:
    decoded = decoder.decode(indexes, tables)
    assert decoded.dtype == np.int32
    np.testing.assert_array_equal(decoded, symbols)
  decoder.finish()
  return data


def test_symbols_return_and_cost_what_the_tables_say():
  tables = load_tables()
  rng = np.random.default_rng(0)
  for live in (1, 7, 200):
    numbers = rng.choice(len(tables), live)
    calls = []
    for _ in range(8):
      indexes = rng.choice(numbers, 4000)
      calls.append((draw(tables, indexes, rng), indexes, tables))
    bits = sum(tables.bits(s, i).sum() for s, i, _ in calls)
    size = len(round_trip(calls))
    assert abs(size - bits / 8) <= 1e-3 * bits / 8 + 16


_TABLES = load_tables()
_SYMBOLS = st.one_of(
  st.integers(-3, 3), st.integers(-2000, 2000), st.integers(-(2**31), 2**31 - 1)
)
_CALLS = st.lists(
  st.lists(st.tuples(_SYMBOLS, st.integers(0, len(_TABLES) - 1)), max_size=40),
  max_size=5,
)


@given(_CALLS)
def test_whatever_is_coded_returns(calls):
  arrays = []
  for call in calls:
    pairs = np.array(call, np.int64).reshape(-1, 2)
    symbols, indexes = pairs[:, 0].astype(np.int32), pairs[:, 1]
    arrays.append((symbols, indexes, _TABLES))
  round_trip(arrays)


@given(st.binary(max_size=64), _CALLS)
def test_any_bytes_decode_or_raise(data, calls):
  try:
    decoder = Decoder(data)
    for call in calls:
      indexes = np.array([index for _, index in call], np.int64)
      assert decoder.decode(indexes, _TABLES).shape == indexes.shape
    decoder.finish()
  except BitstreamError as error:
    assert "\n" not in str(error)


def test_escapes_return_from_anywhere_in_int32():
  tables = load_tables()
  rng = np.random.default_rng(1)
  magnitudes = 2.0 ** rng.uniform(0, 31, 3000)
  symbols = np.floor(magnitudes * rng.choice([-1, 1], 3000)).astype(np.int64)
  symbols = np.clip(symbols, -(2**31), 2**31 - 1)
  symbols[:4] = [-(2**31), 2**31 - 1, 0, 1]
  indexes = rng.integers(0, len(tables), 3000)
  indexes[:2] = 0
  bits = tables.bits(symbols, indexes).sum()
  size = len(round_trip([(symbols, indexes, tables)]))
  assert abs(size - bits / 8) <= 1e-3 * bits / 8 + 16


def test_escapes_return_at_the_ends_of_int32_with_offset_tables():
  low, high = -(2**31), 2**31 - 1
  tables = make_tables([[0.5, 0.5], [0.9]], [high - 1, low])
  symbols = np.array([low, high, high - 1, low, high, low + 1])
  round_trip([(symbols, np.array([0, 0, 0, 1, 1, 1]), tables)])


def test_calls_may_use_different_tables():
  rng = np.random.default_rng(2)
  factorized = make_tables([[0.2, 0.7], [0.1, 0.1, 0.5, 0.2]], [3, -900])
  first = rng.integers(0, 2, 500)
  second = rng.integers(0, 1280, 500)
  round_trip(
    [
      (draw(factorized, first, rng), first, factorized),
      (draw(load_tables(), second, rng), second, load_tables()),
    ]
  )


def test_nothing_gives_no_bytes():
  none = np.zeros(0, np.int32)
  assert round_trip([]) == b""
  assert round_trip([(none, none, load_tables())]) == b""


def test_empty_calls_change_nothing():
  none = np.zeros(0, np.int64)
  call = (np.array([5, -3]), np.array([700, 20]), load_tables())
  empty = (none, none, load_tables())
  assert round_trip([empty, call, empty]) == round_trip([call])


def test_the_stream_is_fixed_by_the_format():
  """The bytes that version 1 of the format has always had.

  Made by this same code with constriction 0.5.0; a change breaks old files.
  """
  tables = load_tables()
  position = np.arange(1200)
  indexes = position * 1103 % 1280
  symbols = (position * position * 7919 % 41 - 20) * (indexes % 64) // 24
  data = round_trip([(symbols, indexes, tables)])
  assert len(data) == GOLDEN_SIZE
  assert data[:16].hex() == GOLDEN_HEAD
  assert data[-8:].hex() == GOLDEN_TAIL


def test_intervals_are_the_documented_ones():
  """Entry k begins at floor(c (2^24 - N) / 65536) + k, see docs/format.md."""
  tables = load_tables()
  for number in (0, 640, 1279):
    begin, size = tables.starts[number], int(tables.sizes[number])
    row = tables.frequencies[begin : begin + size].tolist()
    below = 0
    for entry, frequency in enumerate(row[:-1]):
      # A stream whose first word points at the interval's first probability.
      left = below * (2**24 - size) // 65536 + entry
      point = left * ((2**64 - 1) >> 24)
      decoder = Decoder(np.array([point >> 32, point % 2**32], "<u4").tobytes())
      symbol = decoder.decode(np.array([number]), tables)
      assert symbol[0] == tables.offsets[number] + entry
      below += frequency


def test_left_over_data_is_told():
  rng = np.random.default_rng(3)
  indexes = rng.integers(300, 340, 2000)
  encoder = Encoder()
  encoder.encode(draw(load_tables(), indexes, rng), indexes, load_tables())
  decoder = Decoder(encoder.finish())
  decoder.decode(indexes[:1000], load_tables())
  with pytest.raises(BitstreamError, match="left over"):
    decoder.finish()


def test_a_broken_word_is_told():
  with pytest.raises(BitstreamError, match="7 bytes"):
    Decoder(b"1234567")


def test_garbage_never_escapes_as_another_error():
  tables = load_tables()
  rng = np.random.default_rng(4)
  for _ in range(200):
    decoder = Decoder(rng.bytes(4 * int(rng.integers(0, 60))))
    try:
      decoded = decoder.decode(rng.integers(0, 1280, 300), tables)
      assert decoded.dtype == np.int32
      decoder.finish()
    except BitstreamError:
      pass


def test_a_flipped_bit_changes_the_symbols_or_raises():
  tables = load_tables()
  rng = np.random.default_rng(5)
  indexes = rng.integers(0, 1280, 400)
  symbols = draw(tables, indexes, rng)
  encoder = Encoder()
  encoder.encode(symbols, indexes, tables)
  data = encoder.finish()
  # The last word is padding that only has to fall into the final interval.
  for bit in rng.integers(0, 8 * (len(data) - 8), 100):
    damaged = bytearray(data)
    damaged[bit // 8] ^= 1 << (bit % 8)
    try:
      decoded = Decoder(bytes(damaged)).decode(indexes, tables)
      assert not np.array_equal(decoded, symbols)
    except BitstreamError:
      pass


def test_bad_arguments_are_refused_before_anything_is_coded():
  encoder = Encoder()
  for symbols, indexes, message in [
    ([[1]], [[1]], "2-dimensional"),
    ([1, 2], [1], "shape"),
    ([1], [1280], "1280"),
    ([2**31], [3], "32 bits"),
    ([0.5], [3], "integers"),
  ]:
    with pytest.raises(ValueError, match=message):
      encoder.encode(np.array(symbols), np.array(indexes), load_tables())
  assert encoder.finish() == b""
  with pytest.raises(ValueError, match="2-dimensional"):
    Decoder(b"").decode(np.zeros((1, 1), int), load_tables())
