"""Regions on the command line, and what `roijax info` tells of files."""

import json
import os
import pathlib

import command_runner
import numpy as np
import pytest
from command_runner import HEIGHT, WIDTH, write_photo
from PIL import Image
from rich.console import Console

from roijax.coding import container
from roijax.commands import bits_map, options
from roijax.roi import spec


@pytest.fixture(name="roijax")
def _roijax(tmp_path, monkeypatch, capfdbinary):
  return command_runner.start(tmp_path, monkeypatch, capfdbinary)


def _compress(run, *more):
  return run("compress", "photo.png", "-o", "a.roij", "--overwrite", *more)


def _write_boxes(*boxes):
  """The file again, with boxes put in."""
  found = container.read(pathlib.Path("a.roij").read_bytes())
  made = container.Container(
    found.header, (), found.streams, found.symbols_crc, boxes
  )
  pathlib.Path("a.roij").write_bytes(container.write(made))


def test_regions_are_united_and_their_bits_told(roijax):
  code, out, _ = _compress(
    roijax, "--roi", "box:0,0,30,44", "--roi", "box:15,0,30,44"
  )
  assert code == 0
  inside, outside = out.splitlines()[1].split("; ")
  assert inside.startswith("inside the region (75.0% of the photo): ")
  assert inside.endswith("bytes (75.0%)")
  assert outside.endswith("(25.0%)")


@pytest.mark.parametrize("spec", ["all", "none"])
def test_a_region_without_contrast_is_an_ordinary_file(roijax, spec):
  _compress(roijax)
  plain = pathlib.Path("a.roij").read_bytes()
  _, out, _ = _compress(roijax, "--roi", spec)
  assert pathlib.Path("a.roij").read_bytes() == plain
  assert len(out.splitlines()) == 1


def test_dilating_and_feathering_widen_the_region(roijax):
  shares = []
  for more in ((), ("--dilate", 4), ("--dilate", 4, "--feather", 8)):
    _, out, _ = _compress(roijax, "--json", "--roi", "box:20,15,10,10", *more)
    shares.append(json.loads(out)["roi"]["share"])
  assert shares[0] == pytest.approx(100 / (WIDTH * HEIGHT), rel=1e-4)
  assert shares[0] < shares[1] < shares[2]


def test_a_preview_shows_what_the_region_took(roijax):
  region = ("--roi", "box:10,10,20,20", "--preview", "p.png")
  assert _compress(roijax, *region)[0] == 0
  with (
    Image.open("p.png") as preview,
    Image.open("photo.png") as photo,
  ):
    shown, taken = np.asarray(preview, int), np.asarray(photo, int)
  assert (shown[14:26, 14:26] == taken[14:26, 14:26]).all()
  assert shown[35:].mean() < 0.6 * taken[35:].mean()


@pytest.mark.parametrize(
  ("arguments", "words"),
  [
    (["photo.png", "--roi", "empty.png"], "empty mask"),
    (["photo.png", "--roi", "bxo:1,2,3,4"], "did you mean 'box'"),
    (["photo.png", "--roi", "box:99,0,5,5"], "covers no pixel"),
    (["photo.png", "--roi", "center", "--dilate", "-3"], "dilate -3"),
    (["photo.png", "--roi", "center", "--preview", "p.jpg"], "end it in .png"),
    (["photo.png", "--roi", "center", "--preview", "p"], "end it in .png"),
    (
      ["photo.png", "--roi", "center", "--preview", "./photo.png"],
      "is the input or output itself",
    ),
    (
      ["photo.png", "--roi", "center", "--preview", "empty.png"],
      "empty.png exists",
    ),
    (
      ["photo.png", "b.png", "--roi", "center", "--preview", "p.png"],
      "--preview draws one photo",
    ),
  ],
)
def test_wrong_regions_are_one_line_and_write_nothing(roijax, arguments, words):
  Image.new("L", (60, 44)).save("empty.png")
  write_photo("b.png")
  before = sorted(os.listdir())
  code, out, err = roijax("compress", *arguments)
  assert (code, out) == (2, "")
  assert err.startswith("error: ")
  assert err.count("\n") == 1
  assert words in err
  assert sorted(os.listdir()) == before


def test_help_lists_every_spelling_of_a_region():
  listed = {line.split("  ")[1] for line in options.ROI_HELP.splitlines()[2:]}
  words = {word for part in listed for word in part.split(", ")}
  assert words == set(spec.SPELLINGS)


def test_info_tells_every_header_field(roijax):
  _compress(roijax, "--quality", "2.5", "--background", "0.5")
  code, out, _ = roijax("info", "--brief", "a.roij")
  assert code == 0
  content = container.read(pathlib.Path("a.roij").read_bytes())
  assert len(out.splitlines()) == 11
  for text in (
    "format version    1",
    f"weights           {content.header.fingerprint.hex()}",
    "size              60x44 pixels, RGB",
    "quality           2.5 (code 80)",
    "background level  0.502 (code 128)",
    "boundary entries  0",
    f"{content.coded_bytes:,} coded in 1 stream, ",
    f"{8 * os.path.getsize('a.roij') / WIDTH / HEIGHT:.4f} bpp",
    "symbols checksum  00000007",
    "(correct)",
  ):
    assert text in out


def test_info_lists_boxes_with_their_sizes(roijax):
  _compress(roijax)
  plain = os.path.getsize("a.roij")
  _write_boxes(container.Box("exif", b"II*\0" + bytes(500)))
  _, out, _ = roijax("info", "--brief", "--json", "a.roij")
  told = json.loads(out)
  (box,) = told["boxes"].values()
  assert box["bytes"] == 504
  assert box["stored_bytes"] < 40
  assert told["bytes"] == os.path.getsize("a.roij") > plain
  coded = sum(told["streams"])
  assert told["overhead_bytes"] + coded + box["stored_bytes"] == told["bytes"]
  assert "box exif" in roijax("info", "--brief", "a.roij")[1]


def test_a_kept_mask_splits_the_bits(roijax):
  region = ("--roi", "box:0,0,15,44", "--keep-mask")
  _, told, _ = _compress(roijax, *region)
  _, out, _ = roijax("info", "a.roij")
  assert out.splitlines()[-1] == told.splitlines()[-1]
  assert "(25.0% of the photo)" in out
  _, out, _ = roijax("info", "a.roij", "--roi", "box:0,0,30,44")
  assert "(50.0% of the photo)" in out


def test_a_given_region_splits_the_bits(roijax):
  _compress(roijax)
  _, out, _ = roijax("info", "a.roij", "--json", "--roi", "box:0,0,30,44")
  told = json.loads(out)
  assert told["roi"]["share"] == 0.5
  assert told["roi"]["bits_inside"] == told["roi"]["bits_outside"] > 0


def test_without_a_region_info_draws_the_bits(roijax):
  _compress(roijax)
  code, out, _ = roijax("info", "a.roij", "--bits-map", "map.png")
  assert code == 0
  drawn = out.split("\n\n")[1].splitlines()
  # 60x44 pixels are 4x3 cells, two rows of them a line.
  assert drawn[:2] == ["████", "████"]
  assert drawn[2].endswith("bits per pixel")
  with Image.open("map.png") as image:
    assert image.width >= 320
  told = json.loads(roijax("info", "a.roij", "--json")[1])
  assert np.shape(told["bits_per_pixel"]) == (3, 4)


def test_weights_that_are_not_at_hand_leave_the_fields(roijax):
  _compress(roijax)
  found = container.read(pathlib.Path("a.roij").read_bytes())
  header = container.Header(b"8 bytes!", WIDTH, HEIGHT, 96, 64)
  other = container.Container(header, (), found.streams, 7)
  pathlib.Path("b.roij").write_bytes(container.write(other))
  code, out, _ = roijax("info", "b.roij")
  assert code == 0
  assert "unknown here" in out
  assert "note: where the bits are cannot be told: made with weights" in out
  code, out, err = roijax("info", "b.roij", "--roi", "center")
  assert (code, out) == (2, "")
  assert err.startswith("error: b.roij: made with weights")


@pytest.mark.parametrize(
  ("plane", "words"),
  [
    (b"no PNG", "is damaged"),
    ((60, 40), "is 60x40"),
    ((61, 44), "is larger"),
    ((600, 600), "is larger"),
  ],
)
def test_a_mask_that_does_not_fit_is_told(roijax, tmp_path, plane, words):
  _compress(roijax)
  if isinstance(plane, tuple):
    Image.new("1", plane).convert("L").save("m.png")
    plane = pathlib.Path("m.png").read_bytes()
  _write_boxes(container.Box("mask", plane))
  code, out, err = roijax("info", "a.roij")
  assert (code, out) == (2, "")
  assert err.startswith(f"error: a.roij: the file's mask box {words}")


def test_info_of_many_files_goes_on_past_bad_ones(roijax):
  for name in ("b", "c"):
    assert roijax("compress", "photo.png", "-o", f"d/{name}.roij")[0] == 0
  pathlib.Path("d/bad.roij").write_bytes(b"ROIJ")
  code, out, err = roijax("info", "--brief", "d")
  assert code == 2
  assert out.count("format version") == 2
  assert err.count("\n") == 1
  assert err.startswith("error: d/bad.roij: ")
  code, out, _ = roijax("info", "--brief", "--json", "d")
  told = list(map(json.loads, out.splitlines()))
  assert ["error" in one for one in told] == [False, True, False]


def test_the_map_leaves_padding_out_and_counts_all_bits():
  cells = np.arange(64.0).reshape(8, 8)
  density = bits_map.bits_per_pixel(cells, 100, 65)
  assert (density * 256 == cells[:7, :5]).all()


def test_a_wide_map_is_shrunk_by_means():
  density = np.zeros((30, 300))
  density[:, 150:] = 1
  console = Console(record=True, width=200, color_system=None)
  with open(os.devnull, "w", encoding="utf-8") as nowhere:
    console.file = nowhere
    bits_map.print_map(density, console)
  *lines, legend = console.export_text().splitlines()
  assert len(lines) == 3
  assert {line.rstrip() for line in lines} == {" " * 30 + "█" * 30}
  assert legend.endswith("1 bits per pixel")


def test_a_colour_terminal_gets_half_blocks():
  console = Console(
    record=True, width=80, force_terminal=True, color_system="truecolor"
  )
  with open(os.devnull, "w", encoding="utf-8") as nowhere:
    console.file = nowhere
    bits_map.print_map(np.eye(6), console)
  *lines, _ = console.export_text().splitlines()
  assert lines == ["▀" * 6] * 3
