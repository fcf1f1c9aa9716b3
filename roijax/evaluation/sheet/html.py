"""A sheet as one HTML page that holds all its pictures and asks no network."""

import base64
import html
import io
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from roijax import files
from roijax.evaluation import bits_map
from roijax.evaluation.sheet.columns import Column, Sheet
from roijax.evaluation.sheet.page import POLICY, SCRIPT, STYLE
from roijax.evaluation.sheet.png import draw_region

ORIGINAL = "original"
HEADINGS = (
  *("codec", "quality", "bytes", "to the first", "bpp", "PSNR", "ROI"),
  *("background", "weighted", "MS-SSIM"),
)
KEY = (96, 8)

_HOW = (
  "Figures are of the written files, PSNR in dB; weighted counts the"
  " background's error 1/16. Drag over a photo to compare the two that lie"
  " there; click one below to lay it on the right."
)
_VIEWER = """<div class="viewer" hidden>
<div class="bar">
<label>left <select></select></label>
<input type="range" min="0" max="100" step="0.1" value="50" \
aria-label="where the left picture ends">
<label>right <select></select></label>
<button type="button">flip</button>
</div>
<div class="stage"><img alt=""><img class="over" alt=""><i></i></div>
</div>"""


def write_html(
  path: str | os.PathLike, sheets: Sequence[Sheet], subtitle: str
) -> None:
  """Writes sheets as one page, below each other.

  Args:
    path: the page to write.
    sheets: measured; all of the same contenders.
    subtitle: what they have in common.

  Raises:
    RoijaxError: the file cannot be written.
  """
  title = ", ".join(sheet.name for sheet in sheets[:3])
  if len(sheets) > 3:
    title += f" and {len(sheets) - 3} more"
  title = html.escape(f"Side by side: {title}")
  head = (
    '<meta charset="utf-8">',
    f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
    '<meta name="viewport" content="width=device-width, initial-scale=1">',
    f"<title>{title}</title>",
    f"<style>{STYLE}</style>",
  )
  body = (
    f"<h1>{title}</h1>",
    f"<p>{html.escape(subtitle[:1].upper() + subtitle[1:])}. {_HOW}</p>",
    *(_write_section(sheet) for sheet in sheets),
    f"<script>{SCRIPT}</script>",
  )
  page = "\n".join(
    (
      '<!DOCTYPE html>\n<html lang="en">\n<head>',
      *head,
      "</head>\n<body>",
      *body,
      "</body>\n</html>\n",
    )
  )
  # A file's name may hold bytes that are no text.
  files.write_whole(path, page.encode("utf-8", "replace"))


def embed(image: np.ndarray) -> str:
  """A picture, uint8 [H, W, 3], as the address that holds it whole."""
  stream = io.BytesIO()
  Image.fromarray(image).save(stream, "PNG", optimize=True)
  return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()


def _write_section(sheet: Sheet) -> str:
  height, width = sheet.image.shape[:2]
  place = f"{width}x{height} pixels; {sheet.region_line}"
  return "\n".join(
    (
      "<section>",
      f"<h2>{html.escape(sheet.name)}</h2>",
      f"<p>{html.escape(place)}</p>",
      '<div class="top">',
      _VIEWER,
      f'<div class="scroll">{_write_table(sheet.columns)}</div>',
      "</div>",
      *_write_photos(sheet),
      *_write_crops(sheet),
      "</section>",
    )
  )


def _write_table(columns: Sequence[Column]) -> str:
  rows = [HEADINGS, *(_list_figures(column) for column in columns)]
  lines = []
  for row in rows:
    kind = "th" if row is HEADINGS else "td"
    first, *rest = map(html.escape, row)
    cells = "".join(f"<{kind}>{text}</{kind}>" for text in rest)
    lines.append(f"<tr><th>{first}</th>{cells}</tr>")
  return "<table>\n" + "\n".join(lines) + "\n</table>"


def _list_figures(column: Column) -> list[str]:
  found = column.figures
  return [
    column.title,
    _round(column.quality, 2),
    f"{len(column.data):,}",
    f"{100 * column.excess:+.1f} %",
    _round(column.bpp, 4),
    *(
      _round(found[name], 2)
      for name in ("psnr", "psnr_roi", "psnr_bg", "psnr_weighted")
    ),
    _round(found["ms_ssim"], 4),
  ]


def _round(value: Any, digits: int) -> str:
  return "-" if value is None else f"{value:.{digits}f}"


def _write_photos(sheet: Sheet) -> list[str]:
  """Two rows: photos; below them the region, and where bits are."""
  photos = [_write_figure(sheet.image, ORIGINAL, (), "view")]
  height, width = sheet.image.shape[:2]
  region = draw_region(sheet, sheet.region.shape[1])
  maps = [_write_figure(region, "", (sheet.region_line,))]
  key = embed(bits_map.draw_key(*KEY))
  for column in sheet.columns:
    lines = (column.size_line, column.psnr_line)
    photos.append(_write_figure(column.image, column.title, lines, "view"))
    if column.density is None:
      maps.append("<div></div>")
      continue
    drawn = bits_map.draw_map(column.density, width, height, sheet.top)
    legend = (
      f'<span class="key">bits per pixel: 0 <img src="{key}" alt="to">'
      f" {sheet.top:.3g}</span>"
    )
    maps.append(_write_figure(drawn, "", (), "map", legend))
  return _write_grid(sheet, [photos, maps])


def _write_crops(sheet: Sheet) -> list[str]:
  lines = []
  for number, crop in enumerate(sheet.crops, 1):
    lines.append(f"<h3>{number}: {html.escape(str(crop))}</h3>")
    row = [_write_figure(crop.cut(sheet.image), "", (ORIGINAL,), "crop")]
    for column in sheet.columns:
      cut = crop.cut(column.image)
      row.append(_write_figure(cut, "", (column.title,), "crop"))
    lines += _write_grid(sheet, [row])
  return lines


def _write_grid(sheet: Sheet, rows: Sequence[Sequence[str]]) -> list[str]:
  count = len(sheet.columns) + 1
  cells = [cell for row in rows for cell in row]
  return [f'<div class="grid" style="--columns:{count}">', *cells, "</div>"]


def _write_figure(
  image: np.ndarray,
  name: str,
  lines: Sequence[str],
  kind: str = "",
  legend: str = "",
) -> str:
  """A picture under its caption.

  Args:
    image: uint8 [H, W, 3].
    name: stands in bold; may be empty.
    lines: stand below it.
    kind: `view` for what may be laid over others, `crop`, `map`.
    legend: markup below the lines.
  """
  given = {"view": " data-view", "": ""}.get(kind, f' class="{kind}"')
  told = f"<b>{html.escape(name)}</b>" if name else ""
  told += "".join(f"<span>{html.escape(line)}</span>" for line in lines)
  alt = html.escape(name or " ".join(lines) or "where the bits are")
  return (
    f"<figure{given}><figcaption>{told}{legend}</figcaption>"
    f'<img src="{embed(image)}" alt="{alt}"></figure>'
  )
