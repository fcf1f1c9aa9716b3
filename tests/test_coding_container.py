import dataclasses
import struct
import zlib

import numpy as np
import pytest

from roijax.coding import container
from roijax.coding.container import Container, Header
from roijax.errors import BitstreamError, ConfigError

HEADER = Header(b"\x01\x02\x03\x04\x05\x06\x07\x08", 768, 512, 96, 64)
FULL = Container(HEADER, ((0, 5), (7, 1279), (300_000, 0)), b"payload!", 0xABCD)


def with_crc(data: bytes) -> bytes:
  return data + struct.pack("<I", zlib.crc32(data))


def test_containers_return():
  for boundary in ((), FULL.boundary):
    for payload in (b"", b"payload!", bytes(70_000)):
      one = Container(HEADER, boundary, payload, 0xFFFFFFFF)
      assert container.read(container.write(one)) == one


def test_bytes_are_those_of_the_format():
  data = container.write(Container(HEADER, ((3, 200),), b"data", 0x01020304))
  expected = (
    b"ROIJ\x01\x01\x02\x03\x04\x05\x06\x07\x08"  # magic, version, fingerprint
    b"\x80\x06\x80\x04\x60\x40"  # 768, 512, quality, background
    b"\x01\x03\xc8\x01"  # one boundary entry: position 3, table 200
    b"\x04data\x04\x03\x02\x01"
  )
  assert data == with_crc(expected)


def test_overhead_of_a_photo_stays_below_32_bytes():
  payload = bytes(100_000)
  data = container.write(Container(HEADER, (), payload, 1 << 31))
  assert len(data) - len(payload) < 32


def test_every_truncation_raises():
  data = container.write(FULL)
  for length in range(len(data)):
    with pytest.raises(BitstreamError, match=r"truncated|empty"):
      container.read(data[:length])


def test_every_flipped_bit_raises():
  data = container.write(FULL)
  for bit in range(8 * len(data)):
    damaged = bytearray(data)
    damaged[bit // 8] ^= 1 << (bit % 8)
    with pytest.raises(BitstreamError):
      container.read(bytes(damaged))


def test_random_bytes_raise():
  rng = np.random.default_rng(0)
  for _ in range(300):
    tail = rng.bytes(int(rng.integers(0, 80)))
    for start in (b"", b"ROIJ", b"ROIJ\x01"):
      with pytest.raises(BitstreamError):
        container.read(start + tail)


@pytest.mark.parametrize(
  ("data", "message"),
  [
    (b"", "is empty"),
    (b"\x89PNG\r\n\x1a\n", "does not begin with ROIJ"),
    (b"RO", "truncated"),
    (b"ROIJ\x02" + bytes(40), "format version 2.*update"),
    (b"ROIJ\x00" + bytes(40), "format version 0"),
    (container.write(FULL)[:-3], "truncated"),
    (container.write(FULL)[:-1] + b"\x00", "damaged"),
    (container.write(FULL) + b"xyz", "3 trailing bytes"),
  ],
)
def test_each_fault_has_its_own_line(data, message):
  with pytest.raises(BitstreamError, match=message) as raised:
    container.read(data)
  assert "\n" not in str(raised.value)


def test_absurd_sizes_raise_even_with_a_right_checksum():
  for width, height, message in [
    (b"\x80\x80\x04", b"\x01", "width is 65536"),
    (b"\x01", b"\x00", "height is 0"),
    (b"\xff\xff\x03", b"\xff\xff\x03", "too many"),
  ]:
    data = b"ROIJ\x01" + bytes(8) + width + height + b"\x00\x01\x00\x00"
    with pytest.raises(BitstreamError, match=message):
      container.read(with_crc(data + bytes(4)))


def test_a_number_has_one_form_only():
  data = b"ROIJ\x01" + bytes(8) + b"\x90\x00\x10\x00\x01\x00\x00" + bytes(4)
  with pytest.raises(BitstreamError, match="malformed"):
    container.read(with_crc(data))


@pytest.mark.parametrize(
  ("field", "value"),
  [
    ("fingerprint", b"short"),
    ("width", 0),
    ("height", 65536),
    ("quality_code", 256),
    ("quality_code", -1),
    ("background_code", 0),
  ],
)
def test_header_fields_out_of_range_raise(field, value):
  with pytest.raises(BitstreamError):
    dataclasses.replace(HEADER, **{field: value})


def test_boundary_positions_must_ascend():
  twice = dataclasses.replace(FULL, boundary=((4, 1), (4, 2)))
  with pytest.raises(ValueError, match="varint"):
    container.write(twice)


def test_quality_and_background_return_within_half_a_step():
  for quality in np.linspace(0, 255 / 32, 77):
    code = container.quantize_quality(quality)
    header = dataclasses.replace(HEADER, quality_code=code)
    assert abs(header.quality - quality) <= 0.5 / 32
  for background in np.linspace(0.01, 1, 77):
    code = container.quantize_background(background)
    header = dataclasses.replace(HEADER, background_code=code)
    assert abs(header.background - background) <= 0.5 / 255
  assert container.quantize_background(1e-9) == 1
  assert container.quantize_background(1.0) == 255


@pytest.mark.parametrize("value", [-0.1, 8.0, float("nan"), float("inf")])
def test_quality_out_of_range_is_a_clear_error(value):
  with pytest.raises(ConfigError, match="quality is"):
    container.quantize_quality(value)


@pytest.mark.parametrize("value", [0.0, -1.0, 1.01, float("nan")])
def test_background_out_of_range_is_a_clear_error(value):
  with pytest.raises(ConfigError, match="background is"):
    container.quantize_background(value)


def test_symbols_crc_sees_numbers_and_order_alone():
  numbers = np.arange(-6, 6, dtype=np.int32)
  whole = container.symbols_crc([numbers])
  assert whole == zlib.crc32(numbers.astype("<i4").tobytes())
  assert whole == container.symbols_crc([numbers[:5], numbers[5:]])
  assert whole == container.symbols_crc([numbers.reshape(3, 4)])
  assert whole == container.symbols_crc([numbers.astype(np.int64)])
  assert whole != container.symbols_crc([numbers[::-1]])
  assert container.symbols_crc([]) == 0
