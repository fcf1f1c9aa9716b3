"""Evaluation measures real bytes, matches rivals, and writes whole reports."""

import csv
import io
import json
import math
import os
import subprocess
import sys

import numpy as np
import pytest
from jpeg_codec import JpegCodec
from PIL import Image
from rich.console import Console

from roijax.errors import (
  ConfigError,
  DataError,
  NothingFoundError,
  RoijaxError,
)
from roijax.evaluation import (
  classical,
  plot,
  progress,
  rate_distortion,
  report,
  run,
  search,
  summary,
)
from roijax.evaluation.rows import COLUMNS, Codec
from roijax.metrics import psnr as ps
from roijax.roi import spec

SIZE = (80, 112)


def _image(seed: int) -> np.ndarray:
  """Smooth shapes with some grain, as photos have."""
  rng = np.random.default_rng(seed)
  rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
  waves = [
    np.sin(rows / rng.uniform(3, 12) + columns / rng.uniform(3, 12) + c)
    for c in range(3)
  ]
  image = 128 + 70 * np.stack(waves, -1) + rng.normal(0, 6, (*SIZE, 3))
  return image.clip(0, 255).astype(np.uint8)


def _left_half() -> np.ndarray:
  roi = np.zeros(SIZE, np.float32)
  roi[:, : SIZE[1] // 2] = 1
  return roi


@pytest.fixture(name="photos", scope="module")
def _photos():
  return [
    {"name": "a.png", "image": _image(0), "roi": _left_half()},
    {"name": "b.png", "image": _image(1), "roi": np.zeros(SIZE, np.float32)},
    {"name": "c.png", "image": _image(2), "roi": None},
  ]


class _Listed(list):
  """A source made of a list."""

  name = "listed"


@pytest.fixture(name="rows", scope="module")
def _rows(photos):
  return rate_distortion.evaluate(
    JpegCodec(), photos, qualities=[1, 5], anchors=["uniform", "webp"]
  )


def test_the_stand_in_is_a_codec():
  assert isinstance(JpegCodec(), Codec)


def test_rows_tell_the_bytes_and_their_reconstruction(photos):
  codec = JpegCodec()
  rows = rate_distortion.evaluate(codec, photos, qualities=[0, 2.5, 6])
  assert codec.decoded == len(rows) == 9
  photo, row = photos[0], rows[1]
  data = codec.compress(photo["image"], photo["roi"], quality=2.5)
  x_hat = codec.decompress(data)
  assert tuple(row) == COLUMNS
  assert row["bytes"] == len(data)
  assert row["bpp"] == 8 * len(data) / (SIZE[0] * SIZE[1])
  assert row["psnr"] == ps.psnr(photo["image"], x_hat)
  assert row["psnr_roi"] == ps.psnr_roi(photo["image"], x_hat, photo["roi"])
  assert row["psnr_bg"] == ps.psnr_bg(photo["image"], x_hat, photo["roi"])
  assert row["roi_pixels"] == SIZE[0] * SIZE[1] // 2
  assert 0 < row["container_bytes"] < 40
  assert (row["width"], row["height"]) == (112, 80)
  assert row["bits_tables"] is None


def test_photos_without_a_region_have_no_roi_figure(rows):
  for row in rows:
    has_region = row["name"] == "a.png"
    assert (row["psnr_roi"] is not None) == has_region
    assert math.isfinite(row["psnr_weighted"])
    if row["name"] == "c.png":
      assert row["psnr_bg"] is None
      assert row["roi_pixels"] is None
    if not has_region:
      assert row["psnr_weighted"] == pytest.approx(row["psnr"])


def test_only_a_size_s_first_call_is_marked(rows):
  marked = [row for row in rows if row["first_call"]]
  assert [row["codec"] for row in marked] == ["roijax", "uniform", "webp"]
  assert all(row["name"] == "a.png" for row in marked)


def test_rivals_are_coded_at_our_bytes(rows):
  for row in rows:
    if row["codec"] == "roijax":
      budget = row["bytes"]
    else:
      assert row["budget"] == budget
  # A stand-in with integer JPEG qualities comes within a few percent.
  uniform = [row for row in rows if row["codec"] == "uniform"]
  assert all(abs(r["bytes"] / r["budget"] - 1) < 0.06 for r in uniform)


def test_a_region_beats_the_same_codec_without_at_equal_bytes(rows):
  ours, uniform = rows[3], rows[4]
  assert (ours["codec"], uniform["codec"]) == ("roijax", "uniform")
  assert ours["psnr_roi"] > uniform["psnr_roi"] + 0.3
  assert ours["psnr_bg"] < uniform["psnr_bg"]


def test_without_use_roi_the_region_is_measured_but_not_coded(photos):
  photo = photos[0]
  (row,) = rate_distortion.evaluate(
    JpegCodec(), [photo], qualities=[3], use_roi=False
  )
  plain = JpegCodec().compress(photo["image"], None, quality=3)
  assert row["bytes"] == len(plain)
  assert row["psnr_roi"] is not None


def test_detailed_rows_carry_what_tables_and_likelihood_foretell(photos):
  (row,) = rate_distortion.evaluate(
    JpegCodec(), photos[:1], qualities=[3], detailed=True
  )
  assert row["bits_tables"] == 8 * (row["bytes"] - row["container_bytes"])
  assert row["bits_roi"] + row["bits_bg"] == pytest.approx(row["bits_tables"])
  assert row["bits_likelihood"] < row["bits_tables"]


def test_default_qualities_span_the_range_on_the_header_s_grid():
  assert rate_distortion.default_qualities(0) == [0]
  assert rate_distortion.default_qualities(6) == [0, 2, 4, 6]
  spread = rate_distortion.default_qualities(7)
  assert len(spread) == 4
  assert spread[-1] == 7
  assert all(32 * quality % 1 == 0 for quality in spread)


@pytest.mark.parametrize(
  ("change", "line"),
  [
    ({"qualities": [3, 6.5]}, r"quality 6.5 .* 0 to 6"),
    ({"qualities": []}, "name at least one"),
    ({"background": 0}, "background level 0 "),
    ({"anchors": ["jpg"]}, "no anchor 'jpg': choose from uniform, jpeg"),
  ],
)
def test_bad_settings_are_told_before_any_photo_is_coded(change, line):
  def no_photos():
    raise AssertionError("a photo was asked for")
    yield

  with pytest.raises(ConfigError, match=line):
    rate_distortion.evaluate(JpegCodec(), no_photos(), **change)


@pytest.mark.parametrize("target", [1, 400, 5000, 12345, 10**7])
def test_quality_search_finds_the_nearest_size(target):
  calls = []

  def encode(quality):
    calls.append(quality)
    return bytes(1000 + round(300 * quality**2))

  quality, data = search.quality_for_bytes(encode, 6, target, tolerance=0)
  every = [1000 + round(300 * (code / 32) ** 2) for code in range(6 * 32 + 1)]
  nearest = min(every, key=lambda size: abs(size - target))
  assert abs(len(data) - target) == abs(nearest - target)
  assert len(data) == 1000 + round(300 * quality**2)
  assert len(calls) <= 8


def test_quality_search_stops_within_tolerance_and_with_one_quality():
  calls = []

  def encode(quality):
    calls.append(quality)
    return bytes(1000)

  assert search.quality_for_bytes(encode, 6, 1004) == (3.0, bytes(1000))
  assert search.quality_for_bytes(encode, 0, 50) == (0.0, bytes(1000))
  assert len(calls) == 2
  with pytest.raises(ConfigError, match="at least 1"):
    search.quality_for_bytes(encode, 6, 0)


@pytest.mark.parametrize(("budget", "size"), [(5, 10), (10, 10), (39, 30)])
def test_largest_within_keeps_the_budget_where_it_can(budget, size):
  setting, data = search.largest_within(bytes, [10, 20, 30, 40], budget)
  assert setting == len(data) == size


@pytest.mark.parametrize("name", classical.CODECS)
def test_classical_codecs_fill_a_budget(name):
  image = _image(3)
  budget = 4000 if name == "jpeg2000" else 3000
  if name == "avif":
    from PIL import features

    if not features.check("avif"):
      pytest.skip("this Pillow has no AVIF")
  setting, data = classical.encode_within(name, image, budget)
  codec = classical.CODECS[name]
  assert 0.8 * budget < len(data) <= budget
  assert data == codec.encode(image, setting)
  x_hat = codec.decode(data)
  assert x_hat.shape == image.shape
  assert ps.psnr(image, x_hat) > 18


def test_a_classical_codec_out_of_reach_gives_its_smallest_file():
  image = _image(3)
  setting, data = classical.encode_within("jpeg", image, 10)
  assert setting == 1
  assert len(data) > 10
  with pytest.raises(ConfigError, match="no classical codec 'heic'"):
    classical.encode_within("heic", image, 10)


def test_summaries_average_and_count_what_has_no_region(rows):
  points = summary.summarise(rows)
  assert [(p.codec, p.quality) for p in points] == [
    (codec, quality)
    for codec in ("roijax", "uniform", "webp")
    for quality in (1, 5)
  ]
  ours = [r for r in rows if r["codec"] == "roijax" and r["quality"] == 1]
  point = points[0]
  assert (point.photos, point.roi_photos) == (3, 1)
  assert point.bpp == pytest.approx(np.mean([r["bpp"] for r in ours]))
  assert point.psnr_roi == ours[0]["psnr_roi"]
  assert point.psnr_bg == pytest.approx(
    (ours[0]["psnr_bg"] + ours[1]["psnr_bg"]) / 2
  )
  # The first call compiled: it does not tell the speed.
  assert point.encode_s == pytest.approx(
    np.mean([r["encode_s"] for r in ours[1:]])
  )


def test_the_pooled_figure_is_one_error_over_all_regions(photos):
  small = np.zeros(SIZE, np.float32)
  small[10:20, 60:110] = 1
  pair = [photos[0], {**photos[1], "roi": small}]
  codec = JpegCodec()
  rows = rate_distortion.evaluate(codec, pair, qualities=[3])
  errors = []
  for photo in pair:
    data = codec.compress(photo["image"], photo["roi"], quality=3)
    error = ps.squared_error(photo["image"], codec.decompress(data))
    errors.append(error[photo["roi"] == 1])
  (point,) = summary.summarise(rows)
  assert point.psnr_roi_pooled == pytest.approx(
    ps.decibels(np.concatenate(errors).mean())
  )
  assert point.psnr_roi == pytest.approx(
    np.mean([ps.decibels(error.mean()) for error in errors])
  )


def _made_up_points():
  """Four codecs on curves that rise, five decibels a doubling."""
  points = []
  for codec, gain in (
    ("roijax", 0.0),
    ("uniform", -0.9),
    ("avif", -0.4),
    ("jpeg", -3.1),
  ):
    for quality, bpp in enumerate((0.12, 0.24, 0.46, 0.83)):
      psnr = 32 + 4.5 * math.log2(bpp / 0.3) + gain
      bpp *= 1.0 if codec == "roijax" else 0.995
      points.append(
        summary.Point(
          codec,
          float(quality),
          24,
          23,
          bpp,
          bpp * 49152,
          psnr + (0 if codec == "roijax" else 0.6),
          psnr + (2.4 if codec == "roijax" else 0.3),
          psnr + 1.9,
          psnr - (1.2 if codec == "roijax" else -0.7),
          psnr + (0.9 if codec == "roijax" else 0),
          0.97 - 0.01 / bpp,
          0.28,
          0.31,
          2 if (codec, quality) == ("jpeg", 0) else 0,
        )
      )
  return points


def test_differences_have_the_sign_of_the_better_codec():
  differences = summary.compare(_made_up_points())
  assert len(differences) == 3 * 4
  found = {(d.anchor, d.measure): d for d in differences}
  assert found["jpeg", "psnr"].bd_rate < -20
  assert found["uniform", "psnr_roi"].bd_psnr == pytest.approx(3.0, abs=0.1)
  assert found["uniform", "psnr_bg"].bd_rate > 0


def test_differences_say_why_there_is_none(rows):
  (first, *_) = summary.compare(summary.summarise(rows))
  assert first.bd_rate is None
  assert "at least 4" in first.reason


def test_reports_hold_every_row(tmp_path, rows):
  points = summary.summarise(rows)
  rows = [*rows[:-1], {**rows[-1], "psnr": math.inf}]
  report.write_csv(tmp_path / "out" / "results.csv", rows)
  report.write_json(tmp_path / "r.json", {"data": "x"}, rows, points, [])
  with open(tmp_path / "out" / "results.csv", newline="") as file:
    read = list(csv.DictReader(file))
  assert len(read) == len(rows) == 18
  assert float(read[0]["bpp"]) == rows[0]["bpp"]
  assert read[0]["bits_tables"] == ""
  content = json.loads((tmp_path / "r.json").read_text())
  assert content["settings"] == {"data": "x"}
  assert content["photos"][0] == rows[0]
  assert content["photos"][-1]["psnr"] is None
  assert content["summary"][0]["psnr"] == points[0].psnr


def test_the_table_names_codecs_figures_and_what_is_left_out():
  text = io.StringIO()
  points = _made_up_points()
  report.print_report(
    points, summary.compare(points), Console(file=text, width=60)
  )
  lines = text.getvalue().splitlines()
  table = [line for line in lines if line.startswith(" roijax  ")]
  assert len(table) == 4
  assert max(map(len, table)) <= 80
  assert "0.460" in table[2]
  joined = " ".join(text.getvalue().split())
  assert "1 without a region of interest" in joined
  assert "3 % off those bytes (compare bpp too): jpeg 2 of 96." in joined
  (difference,) = [line for line in lines if "%" in line and "jpeg  " in line]
  assert difference.split()[1].startswith("-")


def test_the_plot_is_a_picture(tmp_path):
  path = tmp_path / "deep" / "rd.png"
  plot.write_plot(path, _made_up_points(), "made up")
  with Image.open(path) as image:
    assert image.format == "PNG"
    assert min(image.size) > 600


def test_the_plot_takes_one_point_and_missing_regions(tmp_path, photos):
  rows = rate_distortion.evaluate(JpegCodec(), photos[2:], qualities=[3])
  plot.write_plot(tmp_path / "rd.png", summary.summarise(rows))
  assert (tmp_path / "rd.png").stat().st_size > 5000


@pytest.mark.parametrize("missing", ["psnr_roi", "psnr_bg"])
def test_the_plot_of_whole_photos_has_one_panel(missing):
  points = _made_up_points()
  shown = []

  def draw(axes, points, measure, name):
    shown.append(measure)

  assert len(plot.draw_panels(9, 7, points, draw, "").axes) == 4
  assert set(shown) == set(plot.PANELS)
  shown.clear()
  whole = [point._replace(**{missing: None}) for point in points]
  assert len(plot.draw_panels(9, 7, whole, draw, "").axes) == 1
  assert shown == ["psnr"]


def test_progress_in_a_log_prints_lines_with_the_time_left(monkeypatch):
  text = io.StringIO()
  clock = iter(range(0, 10000, 20))
  monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
  console = Console(file=text, force_terminal=False)
  with progress.PhotoProgress(3, console) as photo_done:
    photo_done("a.png")
    photo_done("b.png")
  assert "1/3 photos, 20.0 s each, 0:00:40 left (a.png)" in text.getvalue()


def test_a_run_writes_results_and_limits_photos(tmp_path, photos):
  settings = run.Settings(
    "listed", limit=2, qualities=[1, 3], anchors=["jpeg"], roi="box:0,0,40,30"
  )
  evaluation = run.evaluate_codec(
    JpegCodec(),
    _Listed(photos),
    settings,
    tmp_path / "out",
    checkpoint="weights",
  )
  names = sorted(path.name for path in (tmp_path / "out").iterdir())
  assert names == ["rd.png", "results.csv", "results.json"]
  assert len(evaluation.rows) == 2 * 2 * 2
  assert {row["roi_pixels"] for row in evaluation.rows} == {1200}
  told = json.loads((tmp_path / "out" / "results.json").read_text())
  assert told["settings"]["checkpoint"] == "weights"
  assert told["settings"]["photos"] == 2


def test_target_rates_are_met_or_out_of_reach(tmp_path, photos):
  codec = JpegCodec()

  def evaluate(**settings):
    settings = run.Settings("listed", limit=2, **settings)
    return run.evaluate_codec(codec, _Listed(photos), settings, tmp_path)

  ends = evaluate(qualities=[0, codec.max_quality]).points
  low, high = (point.bpp for point in ends)
  wanted = [low * (high / low) ** share for share in (0.4, 0.7)]
  found = evaluate(target_bpp=wanted)
  assert [one.target for one in found.targets] == wanted
  for point, one in zip(found.points, found.targets, strict=True):
    assert (point.quality, point.bpp) == (one.quality, one.bpp)
    others = evaluate(
      qualities=[max(one.quality + i / 32, 0) for i in (-1, 1)]
    ).points
    gaps = [abs(p.bpp - one.target) for p in others]
    assert abs(one.bpp - one.target) <= min(gaps)
    assert one.is_met == (abs(one.bpp / one.target - 1) <= 0.01)
    assert f"quality {one.quality:g} gives" in str(one)
  with pytest.raises(ConfigError, match=r"out of reach: these weights code"):
    evaluate(target_bpp=[high * 1.1])
  with pytest.raises(ConfigError, match="exclude each other"):
    evaluate(target_bpp=[low], qualities=[1])
  with pytest.raises(ConfigError, match="-1: it must be above 0"):
    evaluate(target_bpp=[-1.0])


def test_roi_none_keeps_the_data_s_regions_in_the_figures(tmp_path, photos):
  settings = run.Settings("listed", limit=1, qualities=[3], roi="none")
  (row,) = run.evaluate_codec(
    JpegCodec(), _Listed(photos), settings, tmp_path
  ).rows
  assert row["roi_pixels"] == SIZE[0] * SIZE[1] // 2
  plain = JpegCodec().compress(photos[0]["image"], None, quality=3)
  assert row["bytes"] == len(plain)


def test_a_photo_in_which_nothing_is_found_has_no_region(
  tmp_path, photos, monkeypatch
):
  def find(image, name):
    if name == photos[0]["name"]:
      raise NothingFoundError(f"no thing found in {name}")
    return np.ones(image.shape[:2], np.float32)

  monkeypatch.setitem(spec.DETECTORS, "face", find)
  settings = run.Settings("listed", limit=2, qualities=[3], roi="face")
  evaluation = run.evaluate_codec(
    JpegCodec(), _Listed(photos), settings, tmp_path
  )
  assert [row["roi_pixels"] is None for row in evaluation.rows] == [True, False]
  assert evaluation.points[0].roi_photos == 1


def test_a_run_refuses_a_limit_of_none_and_a_bad_region(tmp_path, photos):
  for change, error in (
    ({"limit": 0}, ConfigError),
    ({"roi": "bxo:1,2"}, DataError),
  ):
    settings = run.Settings("listed", qualities=[3], **change)
    with pytest.raises(error):
      run.evaluate_codec(JpegCodec(), _Listed(photos), settings, tmp_path)
  assert not list(tmp_path.iterdir())


def test_a_results_folder_that_cannot_be_made_is_told_first(tmp_path, photos):
  (tmp_path / "file").write_text("")
  codec = JpegCodec()
  with pytest.raises(RoijaxError, match="cannot write results to"):
    run.evaluate_codec(
      codec, _Listed(photos), run.Settings("listed"), tmp_path / "file" / "out"
    )
  assert codec.decoded == 0


@pytest.mark.parametrize(
  ("arguments", "line"),
  [
    (["--dta=x"], "No such option: --dta"),
    (["--checkpoint=x"], "Missing option '--data'"),
    (["--data=x", "--qualities=a"], "'a' is not a list of numbers"),
    (["--checkpoint=x", "--data=/no/such"], "no folder of photos '/no/such'"),
  ],
)
def test_eval_py_tells_misuse_in_one_line(arguments, line):
  root = os.path.dirname(os.path.dirname(__file__))
  done = subprocess.run(
    [sys.executable, os.path.join(root, "eval.py"), *arguments],
    cwd=root,
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 2
  assert done.stderr.startswith("error: ")
  assert done.stderr.count("\n") == 1
  assert line in done.stderr
