"""Regions on the command line, and what `roijax info` tells of files."""

import dataclasses
import json
import os
import pathlib

import command_runner
import numpy as np
import pytest
import weights_box
from command_runner import HEIGHT, WIDTH, write_photo
from PIL import Image
from rich.console import Console

from roijax.coding import container
from roijax.commands import engine
from roijax.evaluation import bits_map
from roijax.roi import preview, spec
from roijax.weights import index
from roijax.weights.archive import load_weights


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


@pytest.mark.parametrize("command", ["compress", "info"])
def test_help_lists_every_spelling_of_a_region(roijax, command):
  _, out, _ = roijax(command, "--help")
  lines = out.partition("SPEC is one of\n")[2].splitlines()
  for line, (spelling, what) in zip(
    lines, spec.SPELLINGS.items(), strict=False
  ):
    assert line.split(maxsplit=1) == [spelling, what]
  assert not lines[len(spec.SPELLINGS)]
  assert out.count("Examples:") == 1
  assert max(map(len, out.splitlines())) <= 80


def test_help_has_the_numbers_of_the_code(roijax):
  told = " ".join(roijax("compress", "--help")[1].split())
  assert f"at most {preview.LONGEST_SIDE} pixels on the long side" in told
  for command in ("compress", "eval"):
    told = " ".join(roijax(command, "--help")[1].split())
    assert f"at most 1; {container.DEFAULT_BACKGROUND:g} when absent" in told
  _compress(roijax)
  code = pathlib.Path("a.roij").read_bytes()
  _compress(roijax, "--background", str(container.DEFAULT_BACKGROUND))
  assert pathlib.Path("a.roij").read_bytes() == code


def test_info_tells_every_header_field(roijax):
  _compress(roijax, "--quality", "2.5", "--background", "0.5")
  code, out, _ = roijax("info", "--brief", "a.roij")
  assert code == 0
  content = container.read(pathlib.Path("a.roij").read_bytes())
  assert len(out.splitlines()) == 12
  for text in (
    "format version    1",
    f"weights           {content.header.fingerprint.hex()}",
    "size              60x44 pixels, RGB",
    "quality           2.5 (code 80)",
    "background level  0.502 (code 128)",
    "means             not rounded",
    "boundary list     0 entries",
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


def test_info_tells_what_the_mask_of_two_decoders_costs(roijax):
  _compress(roijax)
  found = container.read(pathlib.Path("a.roij").read_bytes())
  assert (
    json.loads(roijax("info", "--brief", "--json", "a.roij")[1])["mask_bytes"]
    is None
  )
  made = dataclasses.replace(found, mask=b"thirty-three bytes of a mask code")
  pathlib.Path("a.roij").write_bytes(container.write(made))
  told = json.loads(roijax("info", "--brief", "--json", "a.roij")[1])
  assert told["mask_bytes"] == 33
  assert told["overhead_bytes"] + sum(told["streams"]) + 33 == told["bytes"]
  out = roijax("info", "--brief", "a.roij")[1]
  assert (
    f"mask              33 bytes ({8 * 33 / WIDTH / HEIGHT:.4f} bpp)" in out
  )


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


@pytest.mark.parametrize("value", [0, 255])
def test_a_kept_mask_that_splits_nothing_leaves_the_map(roijax, value):
  _compress(roijax)
  Image.new("L", (WIDTH, HEIGHT), value).save("m.png")
  _write_boxes(container.Box("mask", pathlib.Path("m.png").read_bytes()))
  code, out, _ = roijax("info", "a.roij")
  assert code == 0
  assert "inside the region" not in out
  assert out.endswith("bits per pixel\n")
  told = json.loads(roijax("info", "a.roij", "--json")[1])
  assert np.shape(told["bits_per_pixel"]) == (3, 4)


def test_a_region_of_everything_leaves_the_map(roijax):
  _compress(roijax, "--roi", f"box:0,0,{WIDTH},{HEIGHT}", "--keep-mask")
  for more in ((), ("--roi", "all")):
    code, out, _ = roijax("info", "a.roij", *more)
    assert code == 0
    assert out.endswith("bits per pixel\n")


def test_without_a_region_info_draws_the_bits(roijax):
  write_photo("photo.png", size=(64, 64))
  _compress(roijax)
  code, out, _ = roijax("info", "a.roij", "--bits-map", "map.png")
  assert code == 0
  drawn = out.split("\n\n")[1].splitlines()
  # 64x64 pixels are 4x4 cells, two rows of them a line.
  assert drawn[:2] == ["████", "████"]
  assert drawn[2].endswith("bits per pixel")
  with Image.open("map.png") as image:
    assert image.width >= 320
  told = json.loads(roijax("info", "a.roij", "--json")[1])
  assert np.shape(told["bits_per_pixel"]) == (4, 4)


def test_shipped_weights_have_their_name_wherever_one_s_own_lie(monkeypatch):
  entry = index.default()
  for folder in ("/nonexistent", ""):
    monkeypatch.setenv("ROIJAX_WEIGHTS", folder)
    assert engine.name_weights(entry.fingerprint) == (entry.name, True)
    assert engine.name_weights(b"8 bytes!") == (None, False)


def test_weights_of_one_s_own_have_their_file_s_name(tmp_path, monkeypatch):
  run = weights_box.make_run(tmp_path / "run")
  monkeypatch.setenv("ROIJAX_WEIGHTS", str(run))
  fingerprint = load_weights(run / "model.npz").fingerprint
  assert engine.name_weights(fingerprint) == ("model", True)


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
    (b"no PNG", "is no PNG\n"),
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


@pytest.mark.parametrize("size", [(1, 1), (65, 65), (160, 200), (64, 128)])
@pytest.mark.parametrize("unit", [16, 64])
def test_the_map_counts_all_bits(size, unit):
  height, width = size
  # As many positions as touch the photo, or as whole cells have.
  dims = [-(-side // unit) * unit // 16 for side in size]
  cells = np.random.default_rng(0).uniform(0, 500, dims)
  density = bits_map.bits_per_pixel(cells, height, width)
  assert density.shape == (-(-height // 16), -(-width // 16))
  # Each pixel with the density of its cell.
  photo = density.repeat(16, 0).repeat(16, 1)[:height, :width]
  assert photo.mean() == pytest.approx(cells.sum() / (height * width))
  if height > 16:
    assert density[0, 0] == pytest.approx(cells[0, 0] / 256)


def test_a_shrunk_map_keeps_the_mean_of_the_photo():
  height, width = 33, 16 * 99 + 1
  cells = np.random.default_rng(0).uniform(0, 500, (3, 100))
  density = bits_map.bits_per_pixel(cells, height, width)
  console = Console(record=True, width=80, color_system=None)
  with open(os.devnull, "w", encoding="utf-8") as nowhere:
    console.file = nowhere
    bits_map.print_map(density, height, width, console)
  told = float(console.export_text().split()[-4])
  # 50 columns of two cells; the highest mean is the legend's end.
  means = [
    cells[r : r + 2, c : c + 2].sum()
    / (min(32, height - 16 * r) * min(32, width - 16 * c))
    for r in (0, 2)
    for c in range(0, 100, 2)
  ]
  assert told == pytest.approx(max(means), rel=1e-2)


def test_a_wide_map_is_shrunk_by_means():
  density = np.zeros((30, 300))
  density[:, 150:] = 1
  console = Console(record=True, width=200, color_system=None)
  with open(os.devnull, "w", encoding="utf-8") as nowhere:
    console.file = nowhere
    bits_map.print_map(density, 480, 4800, console)
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
    bits_map.print_map(np.eye(6), 96, 96, console)
  *lines, _ = console.export_text().splitlines()
  assert lines == ["▀" * 6] * 3
