"""One evaluation from end to end: open, code, measure, write."""

import dataclasses
import os
import pathlib
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

from roijax import files
from roijax.coding.container import DEFAULT_BACKGROUND
from roijax.data.categories import PairSource
from roijax.data.photo import Photo, Source, with_region
from roijax.data.sources import open_source
from roijax.errors import ConfigError, RoijaxError
from roijax.evaluation import plot, rate_distortion, report, summary
from roijax.evaluation.progress import PhotoProgress
from roijax.evaluation.rows import Codec, Row
from roijax.evaluation.targets import Found, find_qualities
from roijax.roi.choices import NO_CHOICES, Choices

# Words for "no region": the encoder gets no map, and the figures keep the
# regions that the data has, so that runs with and without a map compare.
UNIFORM_SPECS = ("all", "none")


@dataclasses.dataclass(frozen=True)
class Settings:
  """What to evaluate.

  Attributes:
    data: photos, as `roijax.data.sources.open_source` takes them.
    data_dir: where prepared datasets lie.
    roi: a spec for every photo (see `roijax.roi.spec.parse_roi`); None for the
      data's own annotations. `none` and `all` code without a map and still
      measure inside the data's own.
    choices: what the spec goes by.
    qualities: None for four over the checkpoint's range.
    target_bpp: mean rates of the photos' files, bits a pixel, in place of
      qualities: the nearest qualities are looked for.
    background: the importance of the background, in (0, 1].
    limit: only the first so many photos.
    anchors: rivals at equal bytes, from `rate_distortion.ANCHORS`.
    detailed: see `rate_distortion.evaluate`.
    by_category: each photo once for each of its categories, which then is the
      region (arXiv 2507.00373).
    effort: how long our encoder looks for a better file, 0 to 3.
    lpips: the weights that LPIPS is measured with; None: it is not.
  """

  data: str
  data_dir: str | None = None
  roi: str | None = None
  choices: Choices = NO_CHOICES
  qualities: Sequence[float] | None = None
  background: float = DEFAULT_BACKGROUND
  limit: int | None = None
  anchors: Sequence[str] = ()
  detailed: bool = False
  by_category: bool = False
  target_bpp: Sequence[float] | None = None
  lpips: str | None = None
  effort: int = 0


@dataclasses.dataclass(frozen=True)
class Evaluation:
  """What came out; see `rows.Row`, `summary.Point`, `summary.Difference`.

  Attributes:
    rows: one a photo, codec and quality.
    points: means, one a codec and quality.
    differences: Bjontegaard differences to each rival.
    folder: where results.json, results.csv and rd.png were written.
    categories: means over each category's pairs, where they were asked for;
      categories.csv holds them too.
    targets: the qualities that were found for rates, where those were asked
      for.
  """

  rows: list[Row]
  points: list[summary.Point]
  differences: list[summary.Difference]
  folder: pathlib.Path
  categories: dict[str, list[summary.Point]] = dataclasses.field(
    default_factory=dict
  )
  targets: Sequence[Found] = ()


def evaluate_checkpoint(
  checkpoint: str | os.PathLike,
  settings: Settings,
  out: str | os.PathLike | None = None,
) -> Evaluation:
  """Evaluates a checkpoint and writes results.json, results.csv and rd.png.

  Args:
    checkpoint: a name that `roijax weights` lists, a folder that holds
      model.npz, or that file.
    settings: what to evaluate.
    out: the folder for results; by default `eval` in the checkpoint's folder,
      `runs/NAME/eval` for a file.

  Returns:
    The figures; `report.print_report(it.points, it.differences)` prints them.

  Raises:
    RoijaxError: photos, checkpoint, settings or the folder for results are
      missing or unfit.
  """
  if out is None:
    out = default_folder(checkpoint)
  source = open_source(settings.data, settings.data_dir)
  # JAX takes a second to load: photos that do not exist are told before.
  from roijax.codec import Codec as LearnedCodec

  codec = LearnedCodec.load(checkpoint)
  return evaluate_codec(
    codec,
    source,
    settings,
    out,
    checkpoint=str(checkpoint),
    fingerprint=codec.weights.fingerprint.hex(),
  )


def evaluate_codec(
  codec: Codec,
  source: Source,
  settings: Settings,
  out: str | os.PathLike,
  **names: str,
) -> Evaluation:
  """Evaluates a loaded codec on opened photos; see `evaluate_checkpoint`.

  Args:
    codec: see `rows.Codec`.
    source: the photos.
    settings: `data` and `data_dir` only name the photos here.
    out: the folder for results.
    **names: what else the results are to say of the codec.
  """
  out = pathlib.Path(out)
  if settings.limit is not None and settings.limit < 1:
    raise ConfigError(f"limit {settings.limit} leaves no photo: at least 1")
  if settings.by_category:
    source = _pairs(source, settings)
    count = len(source)
  else:
    count = min(len(source), settings.limit or len(source))
  qualities = settings.qualities
  if qualities is None:
    qualities = rate_distortion.default_qualities(codec.max_quality)
  rate_distortion.check_settings(
    codec.max_quality, qualities, settings.background, settings.anchors
  )
  look = None
  if settings.lpips:
    from roijax.evaluation.lpips import make_lpips

    look = make_lpips(settings.lpips)
  check_writable(out)
  found: Sequence[Found] = ()
  if settings.target_bpp is not None:
    if settings.qualities is not None:
      raise ConfigError("--target-bpp and --qualities exclude each other")
    if settings.effort:
      raise ConfigError(
        "--target-bpp looks for rates, which an effort changes: leave --effort"
        " out"
      )
    found = find_qualities(
      codec,
      lambda: _photos(source, count, settings),
      settings.target_bpp,
      background=settings.background,
      use_roi=settings.roi not in UNIFORM_SPECS,
    )
    qualities = [one.quality for one in found]
  with PhotoProgress(count) as progress:
    rows = rate_distortion.evaluate(
      codec,
      _photos(source, count, settings),
      qualities=qualities,
      background=settings.background,
      use_roi=settings.roi not in UNIFORM_SPECS,
      anchors=settings.anchors,
      detailed=settings.detailed,
      effort=settings.effort,
      look=look,
      progress=progress,
    )
  points = summary.summarise(rows)
  differences = summary.compare(points)
  told: dict[str, Any] = dataclasses.asdict(settings)
  told |= {**names, "qualities": list(qualities), "photos": count}
  report.write_csv(out / "results.csv", rows)
  report.write_json(out / "results.json", told, rows, points, differences)
  plot.write_plot(out / "rd.png", points, _title(settings, count))
  categories = {}
  if settings.by_category:
    categories = summary.summarise_categories(rows)
    report.write_categories(out / "categories.csv", categories)
  return Evaluation(rows, points, differences, out, categories, found)


def _pairs(source: Source, settings: Settings) -> Source:
  if settings.roi is not None and settings.roi not in UNIFORM_SPECS:
    raise ConfigError(
      f"--by-category takes its regions from the annotations: leave --roi "
      f"{settings.roi} out"
    )
  return PairSource(source, settings.limit)


def _photos(source: Source, count: int, settings: Settings) -> Iterator[Photo]:
  """The first photos, with the map of the spec when it names one."""
  spec = settings.roi
  for index in range(count):
    photo = source[index]
    if spec is not None and spec not in UNIFORM_SPECS:
      photo = with_region(photo, spec, settings.choices)
    yield photo


def _title(settings: Settings, count: int) -> str:
  region = "own regions" if settings.roi is None else f"roi {settings.roi}"
  kind = "pair" if settings.by_category else "photo"
  return (
    f"{settings.data}, {count} {kind}{'s' if count > 1 else ''}, {region},"
    f" background level {settings.background:g}"
  )


def default_folder(checkpoint: str | os.PathLike) -> pathlib.Path:
  """Where a checkpoint's results go that were given no folder."""
  # A file has no folder of its own; shipped weights lie in the package.
  path = pathlib.Path(checkpoint)
  workdir = pathlib.Path("runs") / path.stem
  return (path if path.is_dir() else workdir) / "eval"


def check_writable(folder: pathlib.Path) -> None:
  """Fails now, not after the last photo, when results cannot be written.

  Raises:
    RoijaxError: they cannot.
  """
  try:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
      pass
  except OSError as error:
    raise RoijaxError(
      f"cannot write results to {folder}: {files.explain(error)}; name another"
      " folder with --out"
    ) from error
