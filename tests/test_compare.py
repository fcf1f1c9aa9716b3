"""`roijax plot compare`: what its sheets show, and what it refuses."""

import base64
import html.parser
import io
import pathlib
import re

import command_runner
import numpy as np
import pytest
from command_runner import HEIGHT, WIDTH, write_photo
from jpeg_codec import JpegCodec
from PIL import Image
from smoke_model import read_photo

from roijax.errors import DataError
from roijax.evaluation import classical
from roijax.evaluation.machine import equal_bytes
from roijax.evaluation.sheet import coding, png
from roijax.evaluation.sheet.coding import Target
from roijax.evaluation.sheet.crops import choose_crops
from roijax.evaluation.sheet.html import write_html

NAME = '<img src=x onerror="alert(1)">&\'.png'


def _make_photo(height=90, width=120):
  roi = np.zeros((height, width), np.float32)
  roi[20:70, 10:60] = 1
  return {"image": read_photo(height, width), "roi": roi, "name": NAME}


def _measure(codec, photo, anchors=("jpeg",), target=None, **more):
  contenders = coding.enter([("<b>ours", codec)], anchors, 0.25)
  target = target or Target(quality=1.0)
  return coding.measure_sheet(photo, contenders, target, **more)


@pytest.fixture(name="sheet", scope="module")
def _sheet(smoke_codec):
  return _measure(smoke_codec, _make_photo(), ("uniform", "jpeg"))


def _psnr(x, x_hat):
  return -10 * np.log10(np.mean((x / 255 - x_hat / 255) ** 2))


def test_columns_are_what_files_decode_to(sheet, smoke_codec):
  photo = _make_photo()
  ours, uniform, jpeg = sheet.columns
  assert [c.title for c in sheet.columns] == [
    "<b>ours",
    "<b>ours, no region",
    "JPEG",
  ]
  made = smoke_codec.compress(photo["image"], photo["roi"], quality=1.0)
  assert ours.data == made
  for column in (ours, uniform):
    decoded = smoke_codec.decompress(column.data)
    np.testing.assert_array_equal(column.image, decoded)
  blind = smoke_codec.compress(photo["image"], quality=uniform.quality)
  assert uniform.data == blind
  with Image.open(io.BytesIO(jpeg.data)) as image:
    assert image.format == "JPEG"
    np.testing.assert_array_equal(jpeg.image, image.convert("RGB"))


def test_figures_are_those_of_the_region_and_the_rest(sheet):
  inside = _make_photo()["roi"] == 1
  for column in sheet.columns:
    pairs = {
      "psnr": (sheet.image, column.image),
      "psnr_roi": (sheet.image[inside], column.image[inside]),
      "psnr_bg": (sheet.image[~inside], column.image[~inside]),
    }
    for name, pair in pairs.items():
      assert column.figures[name] == pytest.approx(_psnr(*pair))
    bits = 8 * len(column.data)
    assert column.bpp == bits / (90 * 120)


def test_maps_hold_the_bits_of_the_files(sheet, smoke_codec):
  photo = _make_photo()
  detailed = smoke_codec.compress_detailed(
    photo["image"], photo["roi"], quality=1.0
  )
  ours, uniform, jpeg = sheet.columns
  density = ours.density.repeat(16, 0).repeat(16, 1)[:90, :120]
  assert density.sum() == pytest.approx(detailed.bits_tables)
  assert jpeg.density is None
  assert sheet.top == max(ours.density.max(), uniform.density.max())


def test_no_setting_comes_nearer_to_the_first_file():
  photo = _make_photo()
  sheet = _measure(JpegCodec(), photo, ("uniform", "jpeg", "webp"))
  budget = len(sheet.columns[0].data)
  codec = JpegCodec()
  sizes = {
    "<b>ours, no region": [
      len(codec.compress(photo["image"], quality=code / 32))
      for code in range(6 * 32 + 1)
    ],
    **{
      title: [
        len(classical.CODECS[name].encode(photo["image"], setting))
        for setting in classical.CODECS[name].settings
      ]
      for name, title in (("jpeg", "JPEG"), ("webp", "WebP"))
    },
  }
  assert sheet.columns[0].excess == 0
  for column in sheet.columns[1:]:
    miss = abs(np.log(len(column.data) / budget))
    best = min(abs(np.log(size / budget)) for size in sizes[column.title])
    assert miss == pytest.approx(best) or miss <= equal_bytes.TOLERANCE
    assert column.excess == len(column.data) / budget - 1


def test_a_rate_is_met():
  target = Target(bpp=2.0)
  (ours,) = _measure(JpegCodec(), _make_photo(), (), target).columns
  assert ours.bpp == pytest.approx(2.0, rel=0.03)


def test_a_file_that_comes_no_nearer_is_told():
  photo = _make_photo()
  noise = np.random.default_rng(0).integers(0, 255, photo["image"].shape)
  photo["image"] = noise.astype(np.uint8)
  photo["roi"] = np.zeros((90, 120), np.float32)
  photo["roi"][:4, :4] = 1
  _, webp = _measure(JpegCodec(), photo, ("webp",), Target(quality=0.0)).columns
  assert webp.excess > 0.03
  assert f"(+{100 * webp.excess:.1f} %, no nearer)" in webp.size_line


@pytest.mark.parametrize("roi", [None, 0.0, 1.0])
def test_a_region_without_contrast_splits_nothing(roi):
  photo = _make_photo()
  photo["roi"] = None if roi is None else np.full((90, 120), roi, np.float32)
  sheet = _measure(JpegCodec(), photo)
  assert sheet.mask is None
  assert sheet.region_line == "no region"
  np.testing.assert_array_equal(sheet.region, photo["image"])
  assert {crop.share for crop in sheet.crops} == {None}
  for column in sheet.columns:
    assert "ROI" not in column.psnr_line
  plain = JpegCodec().compress(photo["image"], quality=1.0)
  assert sheet.columns[0].data == plain


def _speckle(image, row, column):
  """Detail in one place."""
  spots = np.indices((60, 80)).sum(0) % 2 * 255
  image[row : row + 60, column : column + 80] = spots[..., None]


def test_crops_lie_inside_and_outside_where_detail_is():
  image = np.full((400, 600, 3), 90, np.uint8)
  mask = np.zeros((400, 600), bool)
  mask[50:350, 300:550] = True
  _speckle(image, 80, 420)
  _speckle(image, 300, 20)
  inside, outside = choose_crops(image, mask)
  assert (inside.share, outside.share) == (1.0, 0.0)
  for crop in (inside, outside):
    assert crop.cut(image).shape == (90, 120, 3)
    # The whole of the detail is seen: half its pixels are white.
    assert (crop.cut(image) == 255).sum() == 60 * 80 // 2 * 3
  assert inside.cut(mask).all() and not outside.cut(mask).any()
  assert str(inside).startswith("inside the region: 120x90 pixels from ")


def test_crops_without_a_region_are_apart():
  image = np.full((400, 600, 3), 90, np.uint8)
  _speckle(image, 80, 420)
  _speckle(image, 300, 20)
  first, second = choose_crops(image, None)
  assert abs(first.x - second.x) >= 120 or abs(first.y - second.y) >= 90
  for crop in (first, second):
    assert (crop.cut(image) == 255).sum() == 60 * 80 // 2 * 3


def test_a_region_smaller_than_a_crop_is_seen_whole():
  image = read_photo(200, 300)
  mask = np.zeros((200, 300), bool)
  mask[90:120, 100:130] = True
  inside, outside = choose_crops(image, mask)
  assert inside.cut(mask).sum() >= 0.95 * mask.sum()
  assert str(inside).startswith(f"{inside.share:.0%} in the region: ")
  assert outside.share == 0


def test_points_are_the_middles_of_crops_up_to_the_edge():
  image = np.zeros((400, 600, 3), np.uint8)
  middle, corner = choose_crops(image, None, [(300, 200), (599, 399)])
  assert middle[:4] == (240, 155, 120, 90)
  assert corner[:4] == (480, 310, 120, 90)


def test_a_tiny_photo_has_no_crops():
  with pytest.raises(DataError, match="40x31 pixels are too few for crops"):
    choose_crops(np.zeros((31, 40, 3), np.uint8), None)


def _find_rows(drawn, picture, left):
  """Where a picture's upper edge may lie in a column of the sheet."""
  height, width = picture.shape[:2]
  column = drawn[:, left : left + width]
  first = (column == picture[0]).all((1, 2))
  return [
    y
    for y in np.flatnonzero(first)
    if np.array_equal(column[y : y + height], picture)
  ]


def test_the_png_shows_decoded_pixels_in_rows(sheet):
  drawn = np.asarray(png.draw_sheet(sheet, "all"))
  step = png.WIDE + png.GAP
  assert drawn.shape[1] == 4 * step + png.GAP
  images = [sheet.image, *(column.image for column in sheet.columns)]
  tops = []
  for i, image in enumerate(images):
    left = png.GAP + i * step
    shown = [image.repeat(4, 0).repeat(4, 1)]
    for crop in sheet.crops:
      factor = png.WIDE // crop.width
      shown.append(crop.cut(image).repeat(factor, 0).repeat(factor, 1))
    found = [_find_rows(drawn, picture, left) for picture in shown]
    assert all(len(rows) == 1 for rows in found)
    tops.append(found)
  assert all(found == tops[0] for found in tops)


def test_a_large_photo_fits_its_column():
  photo = np.zeros((1000, 900, 3), np.uint8)
  assert png.fit_picture(photo, 480).shape == (533, 480, 3)
  tall = np.zeros((3000, 600, 3), np.uint8)
  assert png.fit_picture(tall, 480).shape == (720, 144, 3)


class _Page(html.parser.HTMLParser):
  """Tags with their attributes, figures' pictures, and all text."""

  def __init__(self, text):
    super().__init__()
    self.tags, self.figures, self.text = [], [], []
    self.feed(text)

  def handle_starttag(self, tag, attrs):
    given = dict(attrs)
    self.tags.append((tag, given))
    if tag == "figure":
      self.figures.append((given, []))
    if tag == "img" and self.figures and "src" in given:
      self.figures[-1][1].append(_read_address(given["src"]))

  def handle_data(self, data):
    self.text.append(data)


def _read_address(address):
  head, _, code = address.partition(",")
  assert head == "data:image/png;base64"
  with Image.open(io.BytesIO(base64.b64decode(code, validate=True))) as image:
    return np.asarray(image)


@pytest.fixture(name="page", scope="module")
def _page(sheet, tmp_path_factory):
  path = tmp_path_factory.mktemp("page") / "sheet.html"
  write_html(path, [sheet, sheet], "region: <i>")
  return path.read_text(encoding="utf-8")


def test_a_page_asks_for_nothing_outside(page):
  beside = re.sub(r"data:image/png;base64,[\w+/=]+", "", page)
  assert not re.search(r"https?:|//|url\(|@import|<link|<iframe", beside)
  for tag, given in _Page(page).tags:
    assert not {"href", "srcset", "action", "data"} & set(given), tag
    if "src" in given:
      assert (tag, given["src"][:11]) == ("img", "data:image/")
  assert "default-src 'none'" in page


def test_a_page_holds_the_pixels(page, sheet):
  figures = _Page(page).figures
  images = [sheet.image, *(column.image for column in sheet.columns)]
  views = [each[-1] for given, each in figures if "data-view" in given]
  assert len(views) == 2 * len(images)
  for shown, image in zip(views, images * 2, strict=True):
    np.testing.assert_array_equal(shown, image)
  crops = [each[-1] for given, each in figures if given.get("class") == "crop"]
  wanted = [crop.cut(image) for crop in sheet.crops for image in images]
  for shown, image in zip(crops, wanted * 2, strict=True):
    np.testing.assert_array_equal(shown, image)


def test_a_page_escapes_names(page):
  parsed = _Page(page)
  assert all("onerror" not in given for _, given in parsed.tags)
  assert parsed.text.count(NAME) == 2
  assert parsed.text.count("<b>ours") == 2 * 4
  assert any(text.startswith("Region: <i>.") for text in parsed.text)


@pytest.fixture(name="compare")
def _compare(tmp_path, monkeypatch, capfdbinary):
  run = command_runner.start(tmp_path, monkeypatch, capfdbinary)
  return lambda *arguments: run("plot", "compare", *arguments)


def test_two_checkpoints_and_two_photos_make_one_sheet(compare):
  write_photo("other.png", 1, (90, 40), "L")
  pathlib.Path("run").mkdir()
  pathlib.Path("run/model.npz").write_bytes(b"")
  code, out, err = compare(
    *("photo.png", "other.png", "--roi", "center", "-o", "new/sheet.html"),
    *("--checkpoint=weights/model.npz", "--checkpoint=run", "--quality=4"),
  )
  assert (code, err) == (0, "")
  assert out.splitlines()[-1] == "new/sheet.html"
  lines = [line.split()[0] for line in out.splitlines()]
  assert lines[:-1] == [
    *("photo.png:", "weights", "run", "JPEG"),
    *("other.png:", "weights", "run", "JPEG"),
  ]
  page = _Page(pathlib.Path("new/sheet.html").read_text(encoding="utf-8"))
  views = [each[-1] for given, each in page.figures if "data-view" in given]
  assert [view.shape for view in views] == [(HEIGHT, WIDTH, 3)] * 4 + [
    (40, 90, 3)
  ] * 4


def test_a_sheet_needs_no_region(compare):
  code, out, err = compare("photo.png", "--anchors", "", "--bpp", "9")
  assert (code, err) == (0, "")
  assert "no region" in out.splitlines()[0]
  assert "JPEG" not in out
  with Image.open("compare.png") as drawn:
    assert drawn.width == 2 * (png.WIDE + png.GAP) + png.GAP


@pytest.mark.parametrize(
  ("arguments", "words"),
  [
    ([], "Missing argument 'PHOTO'"),
    (["none.png"], "no such photo: none.png"),
    (["photo.png", "-o", "x.jpg"], "x.jpg: a sheet is PNG or HTML"),
    (["photo.png", "-o", "./photo.png"], "photo.png is a photo itself"),
    (["photo.png", "-o", "folder.png"], "-o folder.png is a folder"),
    (["photo.png", "--quality=1", "--bpp=1"], "exclude each other"),
    (["photo.png", "--quality=7"], "quality 7 is outside this checkpoint's"),
    (["photo.png", "--bpp=0"], "--bpp is 0: it must be above 0"),
    (["photo.png", "--bpp=0.01"], "--bpp 0.01 is out of reach: "),
    (["photo.png", "--bpp=90"], "--bpp 90 is out of reach: "),
    (["photo.png", "--checkpoint=nothing"], "no weights 'nothing'"),
    (["photo.png", *["--checkpoint=weights/model.npz"] * 2], "given twice"),
    (["photo.png", "--anchors=gif"], "no anchor 'gif': choose from uniform"),
    (["photo.png", "--at=here"], "--at: 'here' is no point"),
    (["photo.png", "--at=60,0"], "60,0 lies outside photo.png, 60x44"),
    (["photo.png", "--roi=circle"], "--roi takes"),
    (["photo.png", "--roi=none", "--roi=all"], "give it alone"),
    (["photo.png", "--background=0"], "background"),
    (["tiny.png"], "tiny.png: 20x10 pixels are too few for crops"),
    (["large.png"], "1001x1000 pixels are too many for a sheet: scale"),
  ],
)
def test_what_is_wrong_is_one_line(compare, arguments, words, monkeypatch):
  monkeypatch.setattr(coding, "MAX_PIXELS", 1_000_000)
  write_photo("tiny.png", size=(20, 10))
  if "large.png" in arguments:
    Image.new("L", (1001, 1000)).save("large.png")
  pathlib.Path("folder.png").mkdir()
  code, out, err = compare(*arguments)
  assert (code, out) == (2, "")
  assert err.startswith("error: ")
  assert err.count("\n") == 1
  assert words in err
  assert not pathlib.Path("compare.png").exists()
