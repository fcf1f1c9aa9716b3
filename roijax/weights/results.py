"""An evaluation's results.json, as a card shows it."""

import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from roijax.errors import CheckpointError
from roijax.weights import index
from roijax.weights.archive import read_identity
from roijax.weights.public import publish_path, publish_spec

OURS = "roijax"
ANCHOR = "jpeg"

# Columns of the table, and the keys of a point.
_COLUMNS = (
  ("PSNR", "psnr", ".2f"),
  ("ROI", "psnr_roi", ".2f"),
  ("background", "psnr_bg", ".2f"),
  ("weighted", "psnr_weighted", ".2f"),
  ("MS-SSIM", "ms_ssim", ".3f"),
)
_ANCHOR_COLUMNS = (
  ("JPEG ROI", "psnr_roi", ".2f"),
  ("JPEG weighted", "psnr_weighted", ".2f"),
)
_MEASURES = {
  "psnr_roi": "ROI",
  "psnr_weighted": "weighted",
  "psnr": "whole",
  "psnr_bg": "background",
}


class Results(NamedTuple):
  """What results.json holds, without the single photos.

  Attributes:
    settings: what was evaluated, and how.
    points: means, one a codec and quality.
    differences: Bjontegaard differences, one a rival and measure.
  """

  settings: Mapping[str, Any]
  points: Sequence[Mapping[str, Any]]
  differences: Sequence[Mapping[str, Any]]

  @property
  def own_points(self) -> list[Mapping[str, Any]]:
    """The means of roijax itself."""
    return [point for point in self.points if point["codec"] == OURS]


def read_results(path: str | os.PathLike, fingerprint: bytes) -> Results:
  """Reads the results of one evaluation.

  Args:
    path: a results.json, or the folder that holds one.
    fingerprint: of the weights that they must be of.

  Raises:
    CheckpointError: the file is missing or something else, or its figures are
      of other weights, or it cannot be told of which.
  """
  path = pathlib.Path(path)
  if path.is_dir():
    path = path / "results.json"
  try:
    content = json.loads(path.read_bytes())
    results = Results(content["settings"], content["summary"], content["bd"])
    low_high_bpp([results])
    make_section(results)
  except OSError as error:
    raise CheckpointError(f"cannot read {path}: {error.strerror}") from error
  except (ValueError, KeyError, TypeError, AttributeError) as error:
    raise CheckpointError(
      f"{path} holds no figures of roijax: give the results.json of an"
      " evaluation"
    ) from error
  _check_fingerprint(path, results.settings, fingerprint)
  return results


def _check_fingerprint(path, settings, fingerprint: bytes) -> None:
  """Refuses figures of other weights.

  Where the settings do not name the fingerprint, the checkpoint that they name
  is read.
  """
  found = settings.get("fingerprint")
  if found is None:
    checkpoint = settings.get("checkpoint")
    try:
      found = read_identity(index.find(checkpoint)).fingerprint.hex()
    except CheckpointError as error:
      raise CheckpointError(
        f"{path} does not say whose figures it holds, and its checkpoint"
        f" {checkpoint!r} is not here: evaluate again"
      ) from error
  if found != fingerprint.hex():
    raise CheckpointError(
      f"{path} holds the figures of {found}, not of {fingerprint.hex()}:"
      " evaluate the weights that are exported"
    )


def low_high_bpp(results: Sequence[Results]) -> tuple[float, float]:
  """The lowest and highest rate of roijax in all the evaluations."""
  rates = [p["bpp"] for result in results for p in result.own_points]
  return round(min(rates), 3), round(max(rates), 3)


def find_bd_rate(results: Results) -> int | None:
  """BD-rate of weighted PSNR against JPEG in whole percent, if measured.

  Without regions every pixel weighs the same: that of plain PSNR.
  """
  found = {
    item["measure"]: item["bd_rate"]
    for item in results.differences
    if item["anchor"] == ANCHOR and item["bd_rate"] is not None
  }
  rate = found.get("psnr_weighted", found.get("psnr"))
  return None if rate is None else round(rate)


def make_section(results: Results) -> str:
  """The table of one evaluation in Markdown, with what it was made of."""
  rivals = {
    point["quality"]: point
    for point in results.points
    if point["codec"] == ANCHOR
  }
  heads = ["quality", "bpp", *(title for title, _, _ in _COLUMNS)]
  if rivals:
    heads += [title for title, _, _ in _ANCHOR_COLUMNS]
  lines = [_row(heads), _row(["---"] * len(heads))]
  for point in results.own_points:
    cells = [f"{point['quality']:g}", f"{point['bpp']:.3f}"]
    cells += [_figure(point[key], form) for _, key, form in _COLUMNS]
    if rivals:
      rival = rivals.get(point["quality"], {})
      cells += [
        _figure(rival.get(key), form) for _, key, form in _ANCHOR_COLUMNS
      ]
    lines.append(_row(cells))
  parts = [_title(results), "\n".join(lines)]
  off = sum(point["unmatched"] for point in rivals.values())
  if off:
    count = sum(point["photos"] for point in rivals.values())
    parts.append(
      f"{off} of {count} JPEG files are more than 3 % off the bytes that they"
      " were to match."
    )
  parts += _differences(results)
  return "\n\n".join(parts)


def make_command(results: Results, name: str) -> str:
  """The command that evaluates again what is shipped under `name`."""
  settings = results.settings
  words = ["roijax eval", f"--checkpoint={name}"]
  words.append(f"--data={publish_spec(settings['data'])}")
  if settings.get("data_dir"):
    words.append(f"--data_dir={publish_path(settings['data_dir'])}")
  if settings["roi"] is not None:
    words.append(f"--roi={publish_spec(settings['roi'])}")
  qualities = ",".join(f"{quality:g}" for quality in settings["qualities"])
  words.append(f"--qualities={qualities}")
  words.append(f"--background={settings['background']:g}")
  if settings.get("limit") is not None:
    words.append(f"--limit={settings['limit']}")
  if settings["anchors"]:
    words.append(f"--anchors={','.join(settings['anchors'])}")
  return " ".join(words)


def _title(results: Results) -> str:
  settings = results.settings
  roi = settings["roi"]
  if roi is None:
    region = "their own regions"
  elif roi in ("all", "none"):
    region = "coded without a region"
  else:
    region = f"region `{publish_spec(roi)}`"
  count = settings["photos"]
  return (
    f"`{publish_spec(settings['data'])}`, {count} photo"
    f"{'' if count == 1 else 's'}, {region}, background"
    f" {settings['background']:g}:"
  )


def _differences(results: Results) -> list[str]:
  lines = []
  for anchor in dict.fromkeys(d["anchor"] for d in results.differences):
    figures = {
      d["measure"]: d["bd_rate"]
      for d in results.differences
      if d["anchor"] == anchor and d["bd_rate"] is not None
    }
    told = [
      f"{title} {figures[measure]:+.0f} %"
      for measure, title in _MEASURES.items()
      if measure in figures
    ]
    if told:
      name = "JPEG" if anchor == ANCHOR else f"`{anchor}`"
      lines.append(f"BD-rate against {name}: {', '.join(told)}.")
  return lines


def _row(cells: Sequence[str]) -> str:
  return f"| {' | '.join(cells)} |"


def _figure(value: float | None, form: str) -> str:
  return "-" if value is None else format(value, form)
