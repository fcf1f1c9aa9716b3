"""Rivals code, know the region where they say so, and stand in one table."""

import csv
import io
import json
import math
import shutil
import sys

import hypothesis
import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
from hypothesis import strategies as st
from jpeg_codec import JpegCodec
from PIL import Image
from rich.console import Console
from scipy import ndimage

from benchmarks import classical as command
from roijax.cli import exit_code
from roijax.errors import ConfigError, RoijaxError
from roijax.evaluation import (
  blur,
  contest,
  hevc,
  maxshift,
  report,
  reuse,
  rivals,
  rivals_plot,
  standings,
  standings_report,
  summary,
  vvc,
)
from roijax.metrics import psnr as ps

SIZE = (70, 97)
MASKS = arrays.arrays(
  bool,
  st.tuples(st.integers(1, 70), st.integers(1, 70)),
  elements=st.booleans(),
  fill=st.just(False),
)


def _image(seed=0, size=SIZE):
  """Smooth shapes with some grain, as photos have."""
  rng = np.random.default_rng(seed)
  rows, columns = np.mgrid[: size[0], : size[1]]
  waves = [np.sin(rows / (5 + c) + columns / (9 - c) + c) for c in range(3)]
  image = 128 + 60 * np.stack(waves, -1) + rng.normal(0, 9, (*size, 3))
  return image.clip(0, 255).astype(np.uint8)


def _roi(size=SIZE):
  roi = np.zeros(size, np.float32)
  roi[16:48, 32:80] = 1
  return roi


@pytest.fixture(name="folder")
def _folder(tmp_path):
  folder = tmp_path / "photos"
  folder.mkdir()
  for seed in range(2):
    Image.fromarray(_image(seed)).save(folder / f"{seed}.png")
  return folder


@pytest.fixture(name="few")
def _few(monkeypatch):
  """Two quick rivals, a stand-in for roijax, and no plot."""
  codecs = {name: rivals.RIVALS[name] for name in ("jpeg", "webp")}
  monkeypatch.setattr(contest, "RIVALS", codecs)
  monkeypatch.setattr(contest, "NAMES", ("roijax", "uniform", *codecs))
  monkeypatch.setattr(rivals_plot, "write_plot", lambda *_: None)
  monkeypatch.setattr("roijax.codec.Codec", JpegCodec)


@hypothesis.given(MASKS)
@hypothesis.settings(deadline=None)
def test_rectangles_are_the_runs_of_touched_blocks(mask):
  height, width = mask.shape
  count = np.zeros(mask.shape, int)
  rectangles = hevc.cover(mask)
  for x, y, w, h in rectangles:
    assert 0 < w <= width - x
    assert h == min(16, height - y)
    assert x % 16 == y % 16 == 0
    count[y : y + h, x : x + w] += 1
    # A run that ended earlier would go on.
    assert (x + w, y) not in {(r.x, r.y) for r in rectangles}
  for y in range(0, height, 16):
    for x in range(0, width, 16):
      block = slice(y, y + 16), slice(x, x + 16)
      assert (count[block] == mask[block].any()).all()


@pytest.mark.parametrize("size", [SIZE, (16, 33)])
def test_hevc_keeps_odd_sizes_and_colours(size):
  pytest.importorskip("imageio_ffmpeg")
  image = _image(size=size)
  data = hevc.encode(image, None, 2, preset="ultrafast")
  x_hat = hevc.decode(data)
  assert b"x265" not in data
  assert x_hat.shape == image.shape
  assert ps.psnr(image, x_hat) > 44
  bias = (x_hat.astype(float) - image).mean((0, 1))
  assert np.abs(bias).max() < 0.15


@pytest.mark.parametrize("size", [SIZE, (48, 33), (35, 64)])
def test_vvc_keeps_odd_sizes_and_colours(size):
  pytest.importorskip("imageio_ffmpeg")
  image = _image(size=size)
  small, large = (vvc.encode(image, qp, preset="faster") for qp in (40, 16))
  assert len(small) < len(large)
  x_hat = vvc.decode(large)
  assert x_hat.shape == image.shape
  # Colours at half the resolution, which VVenC asks for.
  bias = (x_hat.astype(float) - image).mean((0, 1))
  assert np.abs(bias).max() < 0.5
  assert ps.psnr(image, x_hat) > ps.psnr(image, vvc.decode(small)) + 3


def test_addroi_moves_quality_into_the_region_at_equal_bytes():
  pytest.importorskip("imageio_ffmpeg")
  image, roi = _image(size=(128, 128)), _roi((128, 128))
  plain = [
    hevc.encode(image, None, crf, preset="ultrafast") for crf in range(24, 34)
  ]
  steered = hevc.encode(image, roi, 32, preset="ultrafast")
  # At least the bytes of the steered file.
  equal = min((d for d in plain if len(d) >= len(steered)), key=len)
  assert len(equal) < 1.25 * len(steered)
  ours, theirs = hevc.decode(steered), hevc.decode(equal)
  assert ps.psnr_roi(image, ours, roi) > ps.psnr_roi(image, theirs, roi) + 2
  assert ps.psnr_bg(image, ours, roi) < ps.psnr_bg(image, theirs, roi)
  everywhere = np.zeros_like(roi)
  nowhere = hevc.encode(image, everywhere, 32, preset="ultrafast")
  assert nowhere == hevc.encode(image, None, 32, preset="ultrafast")


def test_ffmpeg_s_failure_is_one_line():
  pytest.importorskip("imageio_ffmpeg")
  with pytest.raises(RoijaxError, match=r"^ffmpeg failed: .+") as told:
    hevc.decode(b"no stream")
  assert "\n" not in str(told.value)


def test_blur_leaves_the_region_exactly_and_blurs_the_rest():
  image, roi = _image(), _roi()
  blurred = blur.blur_background(image, roi, sigma=2, fade=5)
  inside = roi >= 0.5
  assert (blurred[inside] == image[inside]).all()
  distance = ndimage.distance_transform_edt(~inside)
  far = distance >= 5
  smooth = ndimage.gaussian_filter(image.astype(float), (2, 2, 0))
  assert np.abs(blurred[far] - smooth[far]).max() <= 0.51
  # In between it is neither.
  near = distance == 1
  assert 0 < np.abs(blurred[near] - image[near].astype(float)).mean() < 4
  for nothing in (None, np.zeros_like(roi)):
    assert (blur.blur_background(image, nothing) == image).all()


@pytest.mark.parametrize("name", rivals.RIVALS)
def test_every_rival_grows_with_its_settings_and_comes_back(name):
  rival = rivals.RIVALS[name]
  try:
    rival.check()
  except RoijaxError as error:
    pytest.skip(str(error))
  image, roi = _image(), _roi()
  # The two largest: so small a photo has no room for JPEG 2000's headers.
  first, last = (
    rival.encode(image, roi, setting) for setting in rival.settings[-2:]
  )
  assert len(first) < len(last)
  x_hat = rival.decode(last)
  assert x_hat.dtype == np.uint8
  assert x_hat.shape == image.shape
  assert ps.psnr_roi(image, x_hat, roi) > 22
  plain = rival.encode(image, None, rival.settings[-1])
  assert (plain == last) != rival.uses_region
  if rival.uses_region:
    gain, usual = (
      ps.psnr_roi(image, x, roi) - ps.psnr_bg(image, x, roi)
      for x in (x_hat, rival.decode(plain))
    )
    assert gain > usual + 0.5


def test_what_is_missing_is_told_in_one_line(monkeypatch):
  monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
  monkeypatch.setitem(sys.modules, "pillow_heif", None)
  monkeypatch.setenv(maxshift.JAR_VARIABLE, "/nowhere/jj2000.jar")
  chosen, left_out = contest.choose(None)
  assert set(chosen) | set(left_out) == set(contest.NAMES)
  assert {"hevc", "hevc_roi", "heic", "maxshift"} <= set(left_out)
  for name in ("hevc", "hevc_roi", "heic"):
    assert "pip install 'roijax[rivals]'" in left_out[name]
    with pytest.raises(RoijaxError, match=r"roijax\[rivals\]"):
      contest.choose(["jpeg", name])
  assert "names no file" in left_out["maxshift"]
  monkeypatch.delenv(maxshift.JAR_VARIABLE)
  monkeypatch.setattr(shutil, "which", lambda name: None)
  with pytest.raises(RoijaxError, match="needs a JDK and JJ2000"):
    contest.choose(["maxshift"])
  with pytest.raises(ConfigError, match="no codec 'jpg': choose from roijax"):
    contest.choose(["jpg"])


def test_java_s_failure_is_one_line(monkeypatch, tmp_path):
  if not shutil.which("javac"):
    pytest.skip("no JDK")
  jar = tmp_path / "not.jar"
  jar.write_bytes(b"")
  monkeypatch.setenv(maxshift.JAR_VARIABLE, str(jar))
  with pytest.raises(RoijaxError, match=r"^JJ2000 failed: .*") as told:
    maxshift.encode(_image(), None, 1)
  assert "\n" not in str(told.value)


def _points(codec, factor, slope=6.0):
  """A curve that is a straight line over the logarithm of the rate."""
  points = []
  for index, bpp in enumerate((0.1, 0.3, 0.5, 0.9, 1.3)):
    psnr = 30 + slope * math.log2(bpp)
    points.append(
      summary.Point(
        codec=codec,
        quality=index,
        photos=3,
        roi_photos=3,
        bpp=factor * bpp,
        bytes=100.0,
        psnr=psnr,
        psnr_roi=psnr + 2,
        psnr_roi_pooled=psnr,
        psnr_bg=psnr - 1,
        psnr_weighted=psnr + 1,
        ms_ssim=0.9,
        encode_s=0.5,
        decode_s=0.1,
        unmatched=0,
      )
    )
  return points


def test_half_the_bits_are_a_bd_rate_of_minus_fifty_percent():
  points = _points("hevc", 1) + _points("roijax", 0.5) + _points("webp", 2)
  found = {
    (c.codec, c.anchor, c.measure): c.bd_rate for c in standings.compare(points)
  }
  assert len(found) == 2 * 4
  for measure in summary.MEASURES:
    assert found["roijax", "hevc", measure] == pytest.approx(-50)
    assert found["webp", "hevc", measure] == pytest.approx(100)


def test_curves_are_interpolated_and_not_extrapolated():
  inside, outside = standings.at_rates(_points("jpeg", 1), (0.7, 1.4))
  assert inside.psnr_weighted == pytest.approx(31 + 6 * math.log2(0.7), abs=0.1)
  assert inside.psnr_roi == pytest.approx(inside.psnr_weighted + 1)
  assert outside == ("jpeg", 1.4, None, None, None, None)
  alone = standings.at_rates(_points("jpeg", 1)[:1], (0.1,))
  assert alone[0].psnr is None


def _print(*arguments):
  stream = io.StringIO()
  standings_report.print_standings(*arguments, Console(file=stream))
  return stream.getvalue()


def test_the_table_names_everyone_and_what_is_stored():
  points = [p for name in contest.NAMES for p in _points(name, 1)]
  rates = standings.at_rates(points)
  told = _print(points, rates, standings.compare(points), {})
  assert "…" not in told
  assert "stored" not in told
  for title in standings_report.TITLES.values():
    assert told.count(title) >= 2
  points = _points("roijax", 0.5) + _points("jpeg", 1)[:3]
  told = _print(
    points,
    standings.at_rates(points),
    standings.compare(points),
    {"maxshift": "no Java", "heic": "no package"},
  )
  assert "JPEG 2000 MAXSHIFT (stored)" in told
  assert "not measured here" in told
  assert "left out: HEIC 4:4:4: no package" in told
  # Three points make no Bjontegaard difference, and that is said.
  assert "has 3 points" in told


def test_the_plot_has_a_line_for_every_codec(tmp_path):
  assert set(rivals_plot.LINES) == set(contest.NAMES)
  points = [p for name in contest.NAMES for p in _points(name, 1)]
  rivals_plot.write_plot(tmp_path / "rd.png", points, "title")
  with Image.open(tmp_path / "rd.png") as image:
    assert image.width > 1000


def test_a_contest_writes_rows_and_means(few, folder, tmp_path):
  settings = contest.Settings(str(folder), roi="center", qualities=(0, 2, 4, 6))
  found = contest.hold(settings, tmp_path / "out")
  assert list(dict.fromkeys(row["codec"] for row in found.rows)) == [
    *("roijax", "uniform", "jpeg", "webp")
  ]
  assert len(found.rows) == 2 * (4 + 4 + 6 + 6)
  ours, uniform = found.rows[0], found.rows[4]
  assert ours["bytes"] < uniform["bytes"]
  assert ours["roi_pixels"] == uniform["roi_pixels"] > 0
  jpeg = [row for row in found.rows if row["codec"] == "jpeg"]
  assert [row["quality"] for row in jpeg[:6]] == [4, 8, 16, 32, 55, 75]
  assert [row["first_call"] for row in jpeg] == [True] + [False] * 11
  with open(found.folder / "results.csv", encoding="utf-8") as file:
    assert len(list(csv.DictReader(file))) == len(found.rows)
  content = json.loads((found.folder / "results.json").read_text("utf-8"))
  assert content["settings"]["photos"] == 2
  assert {d["codec"] for d in content["bd"]} == {"roijax", "uniform", "webp"}


def test_rows_come_back_from_their_file(few, folder, tmp_path):
  settings = contest.Settings(str(folder), codecs=["jpeg", "roijax"])
  rows = contest.hold(settings, tmp_path).rows
  rows[0]["psnr"] = math.inf
  report.write_csv(tmp_path / "rows.csv", rows)
  assert rows[0]["psnr_roi"] is None
  assert reuse.read_rows(tmp_path / "rows.csv") == rows
  assert len(reuse.by_key(rows)) == len(rows)


def test_rivals_are_not_coded_again(few, folder, tmp_path, monkeypatch):
  first = contest.Settings(str(folder), roi="center", codecs=["jpeg"])
  before = contest.hold(first, tmp_path).rows
  again = contest.Settings(
    str(folder), roi="center", reuse=str(tmp_path / "results.csv")
  )
  coded = []
  encode = rivals.AsCodec.compress

  def compress(codec, image, roi, **settings):
    coded.append(codec)
    return encode(codec, image, roi, **settings)

  monkeypatch.setattr(rivals.AsCodec, "compress", compress)
  rows = contest.hold(again, tmp_path).rows
  assert [row for row in rows if row["codec"] == "jpeg"] == before
  # WebP's alone.
  assert len(coded) == 2 * 6
  contest.hold(again, tmp_path)
  assert len(coded) == 2 * 6
  # Another region is another row.
  other = contest.Settings(
    str(folder),
    roi="box:0,0,9,9",
    codecs=["jpeg"],
    reuse=str(tmp_path / "results.csv"),
  )
  contest.hold(other, tmp_path / "other")
  assert len(coded) == 4 * 6


@pytest.mark.parametrize("change", [{"codecs": ["webp"]}, {"limit": 1}])
def test_reuse_never_throws_slow_rows_away(few, folder, tmp_path, change):
  contest.hold(contest.Settings(str(folder), codecs=["jpeg"]), tmp_path)
  file = str(tmp_path / "results.csv")
  settings = contest.Settings(str(folder), reuse=file, **change)
  with pytest.raises(ConfigError, match="would lose: name another --out"):
    contest.hold(settings, tmp_path)


@pytest.mark.parametrize(
  ("text", "line"),
  [
    (None, "cannot read"),
    ("name,codec\n", "its columns differ"),
    ("HEADER\na,b,c", r"line 2: "),
    ("HEADER\n" + "x," * 40, r"line 2: "),
  ],
)
def test_a_file_that_holds_no_rows_is_told(tmp_path, text, line):
  file = tmp_path / "rows.csv"
  if text is not None:
    header = ",".join(reuse.COLUMNS)
    file.write_text(text.replace("HEADER", header), "utf-8")
  with pytest.raises(RoijaxError, match=line):
    reuse.read_rows(file)


def test_the_command_prints_the_table(folder, tmp_path, monkeypatch, capsys):
  arguments = ["--photos", str(folder), "--roi=center", "--codecs=jpeg,webp"]
  out = ["--out", str(tmp_path / "out")]
  monkeypatch.setattr(sys, "argv", ["classical", *arguments, *out])
  assert exit_code(command.main) == 0
  printed = capsys.readouterr().out
  assert "WebP" in printed
  assert "results.csv" in printed
  assert (tmp_path / "out" / "rd.png").stat().st_size > 10_000
  for bad in (arguments, [*arguments, *out, "--limit=0"], [*out, "--photo=x"]):
    monkeypatch.setattr(sys, "argv", ["classical", *bad])
    assert exit_code(command.main) == 2
