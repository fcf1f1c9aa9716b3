import dataclasses
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roijax.coding import boxes, container, groups
from roijax.coding.boxes import Box
from roijax.coding.container import Container, Header
from roijax.coding.cursor import put_varint
from roijax.errors import BitstreamError, ConfigError

HEADER = Header(b"\x01\x02\x03\x04\x05\x06\x07\x08", 768, 512, 96, 64)
FULL = Container(
  HEADER,
  ((0, 5), (7, 1279), (300_000, 0)),
  (b"payload!",),
  0xABCD,
  (Box("exif", b"Exif" * 9), Box("mask", b"a PNG")),
)


def with_crc(data: bytes) -> bytes:
  return data + struct.pack("<I", zlib.crc32(data))


@st.composite
def _containers(draw):
  sides = st.integers(1, container.MAX_SIDE)
  header = Header(
    draw(st.binary(min_size=8, max_size=8)),
    draw(st.integers(1, 3000)),
    draw(st.integers(1, 3000)) if draw(st.booleans()) else 1,
    draw(st.integers(0, 255)),
    draw(st.integers(1, 255)),
    draw(st.booleans()),
  )
  positions = sorted(draw(st.sets(st.integers(0, 2**34), max_size=9)))
  stream = st.binary(max_size=40).map(lambda data: data[: len(data) // 4 * 4])
  count = groups.count_groups(header.height, header.width)
  kinds = draw(
    st.sets(st.sampled_from([*boxes.KINDS, "unknown 77", "unknown 1000"]))
  )
  return Container(
    header,
    tuple((position, draw(sides)) for position in positions),
    tuple(draw(stream) for _ in range(count)),
    draw(st.integers(0, 2**32 - 1)),
    tuple(Box(kind, draw(st.binary(max_size=60))) for kind in sorted(kinds)),
    draw(st.none() | st.binary(max_size=60)),
  )


@given(_containers())
def test_containers_return(one):
  back = container.read(container.write(one))
  # Boxes come back in the order of their numbers.
  assert sorted(back.boxes, key=lambda box: box.kind) == list(one.boxes)
  assert dataclasses.replace(back, boxes=one.boxes) == one
  assert container.write(back) == container.write(one)


@given(_containers(), st.data())
def test_no_mutation_does_anything_but_raise(one, data):
  whole = bytearray(container.write(one))
  body = whole[:-4]
  place = data.draw(st.integers(0, len(body) - 1))
  body[place] ^= data.draw(st.integers(1, 255))
  cut = data.draw(st.integers(0, len(body)))
  for mutated in (bytes(body) + whole[-4:], with_crc(bytes(body[:cut]))):
    try:
      container.read(mutated)
    except BitstreamError as error:
      assert "\n" not in str(error)
  with pytest.raises(BitstreamError):
    container.read(bytes(body) + whole[-4:])


def test_bytes_are_those_of_the_format():
  one = Container(HEADER, ((3, 200),), (b"data",), 0x01020304)
  expected = (
    b"ROIJ\x01\x01\x02\x03\x04\x05\x06\x07\x08"  # magic, version, fingerprint
    b"\x80\x06\x80\x04\x60\x40\x02"  # 768, 512, quality, background, flags
    b"\x01\x03\xc8\x01"  # one boundary entry: position 3, table 200
    b"\x01data\x04\x03\x02\x01"
  )
  assert container.write(one) == with_crc(expected)
  icc = zlib.compress(b"profile", 9)
  one = Container(
    dataclasses.replace(HEADER, grey=True, rounded=True),
    (),
    (b"",),
    0,
    (Box("alpha", b"PNG"), Box("icc", b"profile")),
  )
  expected = (
    b"ROIJ\x01\x01\x02\x03\x04\x05\x06\x07\x08"
    b"\x80\x06\x80\x04\x60\x40\x15"
    b"\x02\x01" + bytes([len(icc)]) + icc + b"\x03\x03PNG"
    b"\x00" + bytes(4)
  )
  assert container.write(one) == with_crc(expected)


def test_a_mask_lies_between_boxes_and_streams_behind_a_flag_of_its_own():
  for mask in (b"\x01", b"cells", b""):
    box = (Box("alpha", b"PNG"),)
    one = Container(HEADER, (), (b"data",), 0, box, mask)
    expected = (
      b"ROIJ\x01\x01\x02\x03\x04\x05\x06\x07\x08"
      b"\x80\x06\x80\x04\x60\x40\x0c"
      b"\x01\x03\x03PNG" + bytes([len(mask)]) + mask + b"\x01data" + bytes(4)
    )
    assert container.write(one) == with_crc(expected)
    assert container.read(with_crc(expected)).mask == mask
    assert one.coded_bytes == 4
  for end in range(len(expected)):
    with pytest.raises(BitstreamError):
      container.read(with_crc(expected[:end]))


def test_flags_that_nobody_knows_raise():
  start = b"ROIJ\x01" + bytes(8) + b"\x01\x01\x00\x01"
  for flags in (32, 48, 128):
    with pytest.raises(BitstreamError, match="flags that this one does not"):
      container.read(with_crc(start + bytes([flags]) + b"\x00" + bytes(4)))


def test_overhead_of_a_photo_stays_below_32_bytes():
  for width, height, payload in ((768, 512, 200_000), (1024, 1024, 4_000_000)):
    header = dataclasses.replace(HEADER, width=width, height=height)
    data = container.write(Container(header, (), (bytes(payload),), 1 << 31))
    assert len(data) - payload < 32


def test_a_large_photo_has_a_stream_for_each_group():
  header = dataclasses.replace(HEADER, width=1025, height=2049)
  streams = tuple(bytes(4 * i) for i in range(6))
  one = Container(header, (), streams, 0)
  assert container.read(container.write(one)).streams == streams
  with pytest.raises(ValueError, match="one stream for each group"):
    container.write(dataclasses.replace(one, streams=streams[1:]))
  with pytest.raises(ValueError, match="whole words"):
    container.write(dataclasses.replace(one, streams=(b"odd",) * 6))


def test_boxes_that_no_writer_writes_raise():
  start = b"ROIJ\x01" + bytes(8) + b"\x01\x01\x00\x01\x04"
  end = b"\x00" + bytes(4)
  bomb = zlib.compress(bytes(boxes.MAX_INFLATED + 1), 9)
  for content, message in (
    (b"\x00", "without entries"),
    (b"\x02\x03\x00\x03\x00", "out of order"),
    (b"\x01\x00\x00", "out of order"),
    (b"\x01\x01\x03abc", "icc box is damaged"),
    (b"\x01\x02\x80\x80\x04", "truncated"),
  ):
    with pytest.raises(BitstreamError, match=message):
      container.read(with_crc(start + content + end))
  content = bytearray(b"\x01\x01")
  put_varint(content, len(bomb))
  with pytest.raises(BitstreamError, match="holds more than"):
    container.read(with_crc(start + content + bomb + end))
  with pytest.raises(ValueError, match="one box of a kind"):
    twice = (Box("icc", b""), Box("icc", b""))
    container.write(dataclasses.replace(FULL, boxes=twice))
  with pytest.raises(ValueError, match="no box"):
    container.write(dataclasses.replace(FULL, boxes=(Box("gps", b""),)))


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
    # Not refused here, but nothing is allocated for its 4,096 groups.
    (b"\xff\xff\x03", b"\xff\xff\x03", "truncated"),
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
