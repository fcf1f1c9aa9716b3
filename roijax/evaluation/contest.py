"""roijax and its rivals on the same photos, each at settings of its own.

Results grow photo by photo in results.csv: a run that was stopped goes on with
`reuse`, and new weights are measured without coding the rivals again.
"""

import dataclasses
import importlib.metadata
import importlib.util
import os
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple, cast

from roijax.coding.container import DEFAULT_BACKGROUND
from roijax.data.photo import Photo, Source, with_region
from roijax.data.sources import open_source
from roijax.errors import ConfigError, RoijaxError
from roijax.evaluation import (
  rate_distortion,
  report,
  reuse,
  rivals_plot,
  standings,
  summary,
)
from roijax.evaluation.progress import PhotoProgress
from roijax.evaluation.rate_distortion import UNIFORM
from roijax.evaluation.rivals import RIVALS, AsCodec
from roijax.evaluation.rows import OURS, Codec, Row

# Six qualities of roijax over the checkpoint's range.
QUALITIES = 6
NAMES = (OURS, UNIFORM, *RIVALS)
PACKAGES = ("pillow", "pillow-heif", "imageio-ffmpeg", "python-bioformats")


@dataclasses.dataclass(frozen=True)
class Settings:
  """What to compare.

  Attributes:
    data: photos, as `roijax.data.sources.open_source` takes them.
    data_dir: where prepared datasets lie.
    roi: a spec for every photo (see `roijax.roi.spec.parse_roi`); None for the
      data's own annotations.
    codecs: from `NAMES`; `uniform` is roijax without the region. None for all
      that can run here.
    limit: only the first so many photos.
    checkpoint: whose weights roijax codes with; None for the shipped ones.
    qualities: of roijax; None for six over the checkpoint's range.
    background: the importance that roijax gives the background.
    effort: how long roijax looks for a better file.
    reuse: an earlier results.csv; its rows of the rivals, on the same photos
      and regions, are taken as they are.
  """

  data: str
  data_dir: str | None = None
  roi: str | None = None
  codecs: Sequence[str] | None = None
  limit: int | None = None
  checkpoint: str | None = None
  qualities: Sequence[float] | None = None
  background: float = DEFAULT_BACKGROUND
  effort: int = 0
  reuse: str | None = None


class Contest(NamedTuple):
  """What came out.

  Attributes:
    rows: one a photo, codec and setting.
    points: means, one a codec and setting.
    at_rates: mean curves at a few rates.
    comparisons: Bjontegaard differences to the anchors.
    left_out: codecs that cannot run here, and why.
    folder: where results.csv, results.json and rd.png were written.
  """

  rows: list[Row]
  points: list[summary.Point]
  at_rates: list[standings.AtRate]
  comparisons: list[standings.Comparison]
  left_out: dict[str, str]
  folder: pathlib.Path


def choose(codecs: Sequence[str] | None) -> tuple[list[str], dict[str, str]]:
  """Sorts out which codecs can run here.

  Args:
    codecs: from `NAMES`, or None for all that can.

  Returns:
    Their names, and of those left out why.

  Raises:
    ConfigError: a codec that does not exist.
    RoijaxError: a codec that was named cannot run.
  """
  for name in codecs or ():
    if name not in NAMES:
      raise ConfigError(f"no codec {name!r}: choose from {', '.join(NAMES)}")
  chosen, left_out = [], {}
  for name in NAMES:
    if codecs is not None and name not in codecs:
      continue
    try:
      if name in RIVALS:
        RIVALS[name].check()
    except RoijaxError as error:
      if codecs is not None:
        raise
      left_out[name] = str(error)
    else:
      chosen.append(name)
  if not chosen:
    raise ConfigError(f"no codec to measure: choose from {', '.join(NAMES)}")
  return chosen, left_out


def hold(settings: Settings, out: str | os.PathLike) -> Contest:
  """Codes, measures and writes results.csv, results.json and rd.png.

  Args:
    settings: what to compare.
    out: the folder for results.

  Raises:
    RoijaxError: photos, weights, a codec or the folder are missing or unfit,
      or a codec fails.
  """
  out = pathlib.Path(out)
  chosen, left_out = choose(settings.codecs)
  _check_matplotlib()
  source = open_source(settings.data, settings.data_dir)
  count = len(source)
  if settings.limit is not None:
    if settings.limit < 1:
      raise ConfigError(f"limit {settings.limit} leaves no photo: at least 1")
    count = min(count, settings.limit)
  earlier = _earlier_rows(settings, out, chosen, count)
  table = out / "results.csv"
  # Fails before the first photo where nothing can be written.
  report.write_csv(table, list(earlier.values()))
  stand = _Stand(settings, chosen, earlier)
  with PhotoProgress(count) as progress:
    for index in range(count):
      photo = _photo(source, index, settings.roi)
      stand.measure(photo)
      report.write_csv(table, [*stand.rows, *stand.waiting.values()])
      progress(photo["name"])
  report.write_csv(table, stand.rows)
  contest = _finish(stand, left_out, out)
  told = _told(settings, stand, contest, count)
  # All it asks of a difference is `_asdict`.
  report.write_json(
    out / "results.json",
    told,
    contest.rows,
    contest.points,
    cast(Any, contest.comparisons),
  )
  rivals_plot.write_plot(out / "rd.png", contest.points, _title(told))
  return contest


class _Stand:
  """Codes one photo after the other by every codec; keeps the rows.

  `waiting` has the earlier rows that were not asked for yet.
  """

  def __init__(
    self,
    settings: Settings,
    names: Sequence[str],
    earlier: dict[reuse.Key, Row],
  ):
    self.rows: list[Row] = []
    self.waiting = dict(earlier)
    self.reused = 0
    self.qualities = settings.qualities
    self.background = settings.background
    self._effort = settings.effort
    self._names = names
    self._seen: set[tuple] = set()
    self._ours: Codec | None = None
    if OURS in names or UNIFORM in names:
      # JAX takes a second to load.
      from roijax.codec import Codec as LearnedCodec

      self._ours = LearnedCodec.load(settings.checkpoint)
      if self.qualities is None:
        self.qualities = rate_distortion.default_qualities(
          self._ours.max_quality, QUALITIES
        )
      rate_distortion.check_settings(
        self._ours.max_quality, self.qualities, self.background, ()
      )

  def measure(self, photo: Photo) -> None:
    """Adds a photo's rows of every codec."""
    for name in self._names:
      if name in RIVALS:
        self._measure_rival(name, photo)
      else:
        assert self._ours is not None
        self._add(name, photo, self._ours, self.qualities or ())

  def _measure_rival(self, name: str, photo: Photo) -> None:
    """Takes over what an earlier run has; codes the rest."""
    missing = []
    for setting in RIVALS[name].settings:
      row = self.waiting.pop(reuse.key_of(name, setting, photo), None)
      if row is None:
        missing.append(setting)
      else:
        self.rows.append(row)
        self.reused += 1
    if missing:
      self._add(name, photo, AsCodec(RIVALS[name]), missing)

  def _add(self, name: str, photo: Photo, codec: Codec, qualities) -> None:
    rows = rate_distortion.evaluate(
      codec,
      [photo],
      qualities=qualities,
      background=self.background,
      use_roi=name != UNIFORM,
      effort=0 if name in RIVALS else self._effort,
    )
    size = (name, *photo["image"].shape[:2])
    for row in rows:
      row["codec"] = name
      row["first_call"] = size not in self._seen
      if name != OURS:
        row["background"] = None
      self._seen.add(size)
    self.rows += rows


def _finish(stand: _Stand, left_out, out: pathlib.Path) -> Contest:
  points = summary.summarise(stand.rows)
  return Contest(
    rows=stand.rows,
    points=points,
    at_rates=standings.at_rates(points),
    comparisons=standings.compare(points),
    left_out=left_out,
    folder=out,
  )


def _photo(source: Source, index: int, spec: str | None) -> Photo:
  photo = source[index]
  return photo if spec is None else with_region(photo, spec)


def _earlier_rows(
  settings: Settings, out: pathlib.Path, chosen: Sequence[str], count: int
) -> dict[reuse.Key, Row]:
  """The rivals' rows to take over."""
  if settings.reuse is None:
    return {}
  rows = [
    row for row in reuse.read_rows(settings.reuse) if row["codec"] in RIVALS
  ]
  kept = [row for row in rows if row["codec"] in chosen]
  same = pathlib.Path(settings.reuse).resolve() == (
    out.resolve() / "results.csv"
  )
  names = {row["name"] for row in rows}
  if same and (len(kept) < len(rows) or len(names) > count):
    raise ConfigError(
      f"{settings.reuse} has codecs or photos that this run leaves out and"
      " would lose: name another --out"
    )
  return reuse.by_key(kept)


def _told(settings: Settings, stand: _Stand, contest: Contest, count: int):
  """What results.json says of the run beside its figures."""
  versions = {}
  for package in PACKAGES:
    try:
      versions[package] = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
      continue
  return {
    **dataclasses.asdict(settings),
    "qualities": list(stand.qualities or ()),
    "photos": count,
    "rows_reused": stand.reused,
    "versions": versions,
    "left_out": contest.left_out,
    "curves": "means over photos at each setting",
    "at_rates": [figures._asdict() for figures in contest.at_rates],
  }


def _title(told) -> str:
  region = "own regions" if told["roi"] is None else f"roi {told['roi']}"
  count = told["photos"]
  name = pathlib.PurePath(told["data"]).name
  return f"{name}, {count} photo{'s' if count > 1 else ''}, {region}"


def _check_matplotlib() -> None:
  """Fails now, not after the last photo."""
  if importlib.util.find_spec("matplotlib") is None:
    raise RoijaxError("the plot needs matplotlib: pip install 'roijax[rivals]'")
