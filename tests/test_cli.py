"""The command line codes, decodes, and says what it did."""

import io
import json
import os
import pathlib
import subprocess
import sys
import types

import command_runner
import numpy as np
import pytest
from command_runner import HEIGHT, WIDTH, write_photo
from jpeg_codec import FINGERPRINT, JpegCodec
from PIL import Image

from roijax.coding import container
from roijax.data import images
from roijax.weights import index


@pytest.fixture(name="roijax")
def _roijax(tmp_path, monkeypatch, capfdbinary):
  return command_runner.start(tmp_path, monkeypatch, capfdbinary)


def _compress(run, *more):
  return run("compress", "photo.png", "-o", "a.roij", "--overwrite", *more)


def _read(name="a.roij"):
  return container.read(pathlib.Path(name).read_bytes())


def _open(file):
  """A picture whose file is closed again."""
  with Image.open(file) as picture:
    picture.load()
    return picture


def _error(before: str, after: str) -> float:
  """Root mean square difference of two pictures."""
  arrays = [np.asarray(_open(name), float) for name in (before, after)]
  assert arrays[0].shape == arrays[1].shape
  return float(np.sqrt(np.mean((arrays[0] - arrays[1]) ** 2)))


def test_a_photo_goes_to_a_file_and_back(roijax):
  code, out, err = _compress(roijax, "--quality", "6")
  assert (code, err) == (0, "")
  size = os.path.getsize("a.roij")
  assert out == (
    f"a.roij: {size:,} bytes, {8 * size / WIDTH / HEIGHT:.4f} bpp\n"
  )
  code, out, err = roijax("decompress", "a.roij", "-o", "new/back.png")
  assert (code, out, err) == (0, "new/back.png: 60x44 pixels\n", "")
  assert _error("photo.png", "new/back.png") < 12


def test_without_an_output_files_lie_beside_their_inputs(roijax):
  write_photo("d/e.f/shot.1.JPG", seed=1, format="JPEG")
  write_photo("d/shot.2", seed=2, format="PNG")
  assert roijax("compress", "d/e.f/shot.1.JPG")[0] == 0
  assert roijax("compress", "d/shot.2")[0] == 0
  # What is no picture's suffix is a part of the name.
  assert sorted(os.listdir("d")) == ["e.f", "shot.2", "shot.2.roij"]
  os.remove("d/e.f/shot.1.JPG")
  assert roijax("decompress", "d/e.f/shot.1.roij")[0] == 0
  assert sorted(os.listdir("d/e.f")) == ["shot.1.png", "shot.1.roij"]


def test_an_output_that_exists_is_replaced_when_asked(roijax):
  pathlib.Path("photo.roij").write_text("old")
  code, out, err = roijax("compress", "photo.png")
  assert (code, out) == (2, "")
  assert err.startswith("error: photo.roij exists: --overwrite")
  assert pathlib.Path("photo.roij").read_text() == "old"
  assert roijax("compress", "photo.png", "--overwrite")[0] == 0
  assert _read("photo.roij").header.width == WIDTH


@pytest.mark.parametrize("folder", ["out/", "weights"])
def test_a_folder_takes_the_input_s_name(roijax, folder):
  assert roijax("compress", "photo.png", "-o", folder)[0] == 0
  assert pathlib.Path(folder, "photo.roij").is_file()


def test_standard_streams_carry_files_and_words_go_elsewhere(
  roijax, monkeypatch
):
  assert _compress(roijax)[0] == 0
  plain = pathlib.Path("a.roij").read_bytes()

  def pipe(data, *arguments):
    stdin = types.SimpleNamespace(buffer=io.BytesIO(data))
    monkeypatch.setattr(sys, "stdin", stdin)
    return roijax(*arguments, text=False)

  photo = pathlib.Path("photo.png").read_bytes()
  code, made, err = pipe(photo, "compress", "-")
  assert (code, made) == (0, plain)
  assert err.startswith(f"-: {len(plain):,} bytes")
  assert err.count("\n") == 1
  assert pipe(photo, "compress", "-", "-o", "-")[1] == plain
  assert roijax("compress", "photo.png", "-o", "-", text=False)[1] == plain
  assert pipe(photo, "compress", "-", "-o", "b.roij")[0] == 0
  assert pathlib.Path("b.roij").read_bytes() == plain
  code, png, err = pipe(plain, "decompress", "-")
  assert (code, err) == (0, "-: 60x44 pixels\n")
  assert _open(io.BytesIO(png)).format == "PNG"
  jpeg = pipe(plain, "decompress", "-", "-o", "-", "--format", "jpg")[1]
  assert _open(io.BytesIO(jpeg)).format == "JPEG"
  code, out, _ = pipe(plain, "info", "--brief", "-")
  assert code == 0
  assert b"standard input" in out
  code, out, err = pipe(b"", "decompress", "-")
  assert (code, out) == (2, b"")
  assert err.startswith("error: standard input: ")


def test_devices_are_written_to_not_replaced(roijax):
  before = os.stat(os.devnull)
  assert _compress(roijax)[0] == 0
  assert roijax("compress", "photo.png", "-o", os.devnull)[0] == 0
  assert roijax("decompress", "a.roij", "-o", os.devnull)[0] == 0
  assert os.stat(os.devnull).st_ino == before.st_ino


def test_grey_is_coded_as_grey(roijax):
  write_photo("grey.png", mode="L")
  assert roijax("compress", "grey.png")[0] == 0
  assert _read("grey.roij").header.grey
  assert roijax("decompress", "grey.roij", "-o", "back.png")[0] == 0
  assert _open("back.png").mode == "L"
  assert _error("grey.png", "back.png") < 25


def _write_rich_photo():
  """A photo with alpha, a colour profile and Exif."""
  from PIL import ImageCms

  profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
  exif = Image.Exif()
  exif[0x010F] = "Maker"
  photo = _open("photo.png")
  alpha = np.arange(WIDTH * HEIGHT, dtype=np.uint8).reshape(HEIGHT, WIDTH)
  photo.putalpha(Image.fromarray(alpha))
  photo.save("rich.png", icc_profile=profile, exif=exif)
  return profile, alpha


def test_alpha_profile_and_exif_come_back(roijax):
  profile, alpha = _write_rich_photo()
  assert roijax("compress", "rich.png")[0] == 0
  assert roijax("decompress", "rich.roij", "-o", "back.png")[0] == 0
  back = _open("back.png")
  assert back.info["icc_profile"] == profile
  assert back.getexif()[0x010F] == "Maker"
  assert (np.asarray(back)[..., 3] == alpha).all()
  code, _, err = roijax("decompress", "rich.roij", "-o", "back.jpg")
  assert code == 2
  assert "transparency" in err
  _, out, _ = roijax("decompress", "rich.roij", "-o", "back.jp2")
  assert "note: its colour profile is left out" in out


@pytest.mark.parametrize("when", ["compress", "decompress"])
def test_strip_leaves_profile_and_exif_out_and_keeps_alpha(roijax, when):
  _, alpha = _write_rich_photo()
  strip = {when: ["--strip"]}
  assert roijax("compress", "rich.png", *strip.get("compress", []))[0] == 0
  kinds = {box.kind for box in _read("rich.roij").boxes}
  assert kinds == {"alpha"} | (
    {"icc", "exif"} if "decompress" in strip else set()
  )
  more = strip.get("decompress", [])
  assert roijax("decompress", "rich.roij", "-o", "b.png", *more)[0] == 0
  back = _open("b.png")
  assert "icc_profile" not in back.info
  assert not back.getexif()
  assert (np.asarray(back)[..., 3] == alpha).all()


def test_what_a_picture_loses_is_told(roijax):
  deep = np.arange(WIDTH * HEIGHT, dtype=np.uint16).reshape(HEIGHT, WIDTH)
  Image.fromarray(deep * 20).save("deep.png")
  code, out, _ = roijax("compress", "deep.png")
  assert code == 0
  assert "note: its 16 bits a channel became 8" in out


def test_json_is_one_object_and_nothing_else(roijax):
  code, out, err = _compress(roijax, "--json", "--quality", "2.5")
  assert (code, err) == (0, "")
  told = json.loads(out)
  size = os.path.getsize("a.roij")
  expected = {
    "input": "photo.png",
    "output": "a.roij",
    "bytes": size,
    "bpp": round(8 * size / (WIDTH * HEIGHT), 6),
    "width": WIDTH,
    "height": HEIGHT,
    "grey": False,
    "quality": 2.5,
    "weights": FINGERPRINT.hex(),
    "roi": None,
    "notes": [],
  }
  assert {key: told[key] for key in expected} == expected
  code, out, err = roijax("decompress", "a.roij", "--json")
  assert (code, err) == (0, "")
  assert json.loads(out)["output"] == "a.png"


@pytest.mark.parametrize("option", ["--target-size", "--target-bpp"])
def test_a_target_gives_the_largest_file_that_stays_within(roijax, option):
  with Image.open("photo.png") as photo:
    image = np.asarray(photo)
  codec = JpegCodec()
  sizes = [len(codec.compress(image, quality=code / 32)) for code in range(193)]
  for target in (1500, 2222, 2900):
    amount = {
      "--target-size": f"{target / 1000}k",
      # Half a byte more, that rounding cannot matter.
      "--target-bpp": 8 * (target + 0.5) / WIDTH / HEIGHT,
    }[option]
    code, out, _ = _compress(roijax, option, amount)
    assert code == 0
    assert os.path.getsize("a.roij") == max(x for x in sizes if x <= target)
    assert len(out.splitlines()) == 1


def test_a_target_out_of_reach_is_told(roijax):
  code, out, err = roijax("compress", "photo.png", "--target-size", "100")
  assert (code, out) == (2, "")
  assert "out of reach" in err
  assert not os.path.exists("photo.roij")
  code, out, _ = roijax("compress", "photo.png", "--target-size", "1M")
  assert code == 0
  assert _read("photo.roij").header.quality == 6
  assert "note: the target was not used up" in out


def _write_heavy_photo():
  """Transparency that does not shrink, and a long description."""
  exif = Image.Exif()
  exif[0x010E] = np.random.default_rng(0).bytes(400).hex()
  photo = _open("photo.png")
  photo.putalpha(Image.effect_noise(photo.size, 90))
  photo.save("heavy.png", exif=exif)


def test_boxes_that_keep_a_target_out_of_reach_are_told(roijax):
  _write_heavy_photo()
  region = ("--roi", "center", "--keep-mask")
  assert roijax("compress", "heavy.png", "--quality", 0, *region)[0] == 0
  sizes = {box.kind: box.size or 0 for box in _read("heavy.roij").boxes}
  # With half of what the boxes take, it could be met.
  target = os.path.getsize("heavy.roij") - sum(sizes.values()) // 2
  again = ("compress", "heavy.png", "--overwrite", "--target-size", target)
  code, _, err = roijax(*again, *region)
  assert code == 2
  for told in (
    f"{sizes['exif']:,} of them are colour profile and Exif (--strip",
    f"{sizes['alpha']:,} of them are transparency (",
    f"{sizes['mask']:,} of them are the region (leave --keep-mask out)",
  ):
    assert told in err
  assert "fewer pixels" not in err
  assert "Exif" not in roijax(*again, *region, "--strip")[2]
  # Boxes are not what makes this one hopeless.
  _write_rich_photo()
  code, _, err = roijax("compress", "rich.png", "--target-size", 20, "--strip")
  assert code == 2
  assert "fewer pixels" in err


@pytest.mark.parametrize("suffix", images.SUFFIXES)
@pytest.mark.parametrize("block", [b"garbage", b"II*\0", b"x" * 99])
def test_a_damaged_exif_box_keeps_no_format_from_being_written(
  roijax, suffix, block
):
  _compress(roijax)
  found = _read()
  boxes = (container.Box("exif", block),)
  made = container.Container(found.header, (), found.streams, 7, boxes)
  pathlib.Path("a.roij").write_bytes(container.write(made))
  code, out, err = roijax("decompress", "a.roij", "-o", f"b{suffix}")
  assert (code, err) == (0, "")
  kept = suffix in (".png", ".jpg", ".jpeg", ".webp")
  assert ("note: its" in out and "Exif block is left out" in out) != kept
  assert _open(f"b{suffix}").size == (WIDTH, HEIGHT)


@pytest.mark.parametrize(
  ("text", "size"),
  [
    ("40k", 40000),
    ("1.5M", 1500000),
    ("7", 7),
    ("7B", 7),
    *((text, 3 * 10**3) for text in ("3k", "3K", "3kB")),
    *((text, 3 * 10**6) for text in ("3m", "3M", "3 MB")),
    *((text, 3 * 10**9) for text in ("3g", "3G", "3GB")),
    *((text, 3 << 10) for text in ("3ki", "3Ki", "3KiB")),
    *((text, 3 << 20) for text in ("3mi", "3Mi", "3MiB")),
    *((text, 3 << 30) for text in ("3gi", "3Gi", "3GiB")),
  ],
)
def test_sizes_are_read_as_people_write_them(text, size):
  from roijax.commands.options import parse_bytes

  assert parse_bytes(text) == size


def test_weights_are_listed_with_the_default_marked(roijax):
  default = index.default().name
  code, out, _ = roijax("weights")
  assert code == 0
  assert f"{default} *" in out
  rows = [json.loads(x) for x in roijax("weights", "--json")[1].splitlines()]
  assert [row["name"] for row in rows if row["is_default"]] == [default]


def test_help_and_version_need_nothing(roijax):
  for arguments in ((), ("--help",), ("compress", "--help"), ("--version",)):
    code, out, err = roijax(*arguments)
    assert (code, err) == (0, "")
    assert "roijax" in out
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize(
  "arguments",
  [
    ["--help"],
    ["compress", "--help"],
    ["--version"],
    ["weights"],
    ["compress", "photo.png", "--qualty", "3"],
    ["compress", "nothing.png"],
    ["decompress", "photo.png"],
    ["info", "--brief", "a.roij"],
  ],
)
def test_what_is_quick_never_loads_jax(roijax, arguments):
  _compress(roijax)
  script = (
    "import sys; from roijax import cli\n"
    "code = cli.exit_code(lambda: cli.run(sys.argv[1:]))\n"
    "print(code, sorted({'jax', 'flax', 'matplotlib', 'cv2'} & {*sys.modules}))"
  )
  done = subprocess.run(
    [sys.executable, "-c", script, *arguments],
    env=os.environ | {"PYTHONPATH": str(command_runner.ROOT)},
    capture_output=True,
    text=True,
    check=True,
  )
  wrong = {"--qualty", "nothing.png", "photo.png"} & {*arguments}
  assert done.stdout.splitlines()[-1] == f"{2 if wrong else 0} []"
