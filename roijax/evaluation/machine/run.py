"""One machine task from end to end: open, code, look, score, write."""

import dataclasses
import os
import pathlib
import time
from collections.abc import Iterator, Sequence

import numpy as np

from roijax.coding.container import DEFAULT_BACKGROUND
from roijax.data.sources import open_source
from roijax.evaluation import classical, rate_distortion
from roijax.evaluation.machine import looks, plot, report
from roijax.evaluation.machine.judges import check_task, make_judge
from roijax.evaluation.machine.looks import ORIGINAL, Judge, Look
from roijax.evaluation.machine.scenes import Scene, Scenes, find_annotations
from roijax.evaluation.progress import PhotoProgress
from roijax.evaluation.rows import OURS, Codec
from roijax.evaluation.run import check_writable, default_folder
from roijax.metrics.psnr import region
from roijax.roi import coco
from roijax.roi.choices import NO_CHOICES, Choices


@dataclasses.dataclass(frozen=True)
class Settings:
  """What to evaluate.

  Attributes:
    data: photos, as `roijax.data.sources.open_source` takes them.
    task: from `judges.TASKS`.
    detector: as `judges.make_judge` takes it.
    detector_layout: likewise.
    annotations: a COCO annotations file; None to find it beside a folder, see
      `scenes.find_annotations`.
    data_dir: where prepared datasets lie.
    roi: a spec for every photo's region (see `roijax.roi.spec.parse_roi`);
      None for what is annotated. `none` and `all` code without a region.
    choices: what the spec goes by.
    qualities: None for four over the checkpoint's range.
    background: the importance of the background, in (0, 1].
    limit: only the first so many photos that are scored.
    anchors: rivals at equal bytes, from `rate_distortion.ANCHORS`.
  """

  data: str
  task: str
  detector: str | None
  detector_layout: str | None = None
  annotations: str | None = None
  data_dir: str | None = None
  roi: str | None = None
  choices: Choices = NO_CHOICES
  qualities: Sequence[float] | None = None
  background: float = DEFAULT_BACKGROUND
  limit: int | None = None
  anchors: Sequence[str] = ()


@dataclasses.dataclass(frozen=True)
class Evaluation:
  """What came out.

  Attributes:
    looks: one a photo, codec and quality; originals first.
    points: scores, one a codec and quality.
    judges: who looked.
    left_out: names of photos that were not scored, by the reason.
    folder: where results.json, results.csv and TASK.png were written.
  """

  looks: list[Look]
  points: list[looks.Point]
  judges: Sequence[Judge]
  left_out: dict[str, list[str]]
  folder: pathlib.Path


def evaluate_checkpoint(
  checkpoint: str | os.PathLike,
  settings: Settings,
  out: str | os.PathLike | None = None,
) -> Evaluation:
  """Evaluates a checkpoint on a task and writes the results.

  Args:
    checkpoint: as in `roijax.evaluation.run.evaluate_checkpoint`.
    settings: what to evaluate.
    out: the folder for results; by default that of an ordinary evaluation, in
      it a folder of the task's name.

  Returns:
    The figures; `report.print_report` prints them.

  Raises:
    RoijaxError: photos, annotations, detector, checkpoint, settings or the
      folder for results are missing or unfit.
  """
  out = pathlib.Path(out or default_folder(checkpoint) / settings.task)
  plot.check_matplotlib()
  judge, scenes = open_task(settings)
  # JAX takes a second to load: what does not exist is told before.
  from roijax.codec import Codec as LearnedCodec

  codec = LearnedCodec.load(checkpoint)
  qualities = settings.qualities
  if qualities is None:
    qualities = rate_distortion.default_qualities(codec.max_quality)
  settings = dataclasses.replace(settings, qualities=list(qualities))
  rate_distortion.check_settings(
    codec.max_quality, qualities, settings.background, settings.anchors
  )
  check_writable(out)
  seen = []
  with PhotoProgress(scenes.total) as progress:
    for scene in scenes:
      seen += _evaluate_scene(codec, scene, judge, settings)
      progress(scene.name)
  return finish(
    seen,
    [judge],
    scenes,
    out,
    settings.task,
    dataclasses.asdict(settings)
    | {
      "checkpoint": str(checkpoint),
      "fingerprint": codec.weights.fingerprint.hex(),
    },
  )


def open_task(settings: Settings) -> tuple[Judge, Scenes]:
  """Opens detector, annotations and photos.

  Raises:
    RoijaxError: one of them is missing or unfit.
  """
  check_task(settings.task, settings.detector, settings.detector_layout)
  path = settings.annotations or find_annotations(settings.data)
  annotations = coco.read_annotations(path)
  judge = make_judge(
    settings.task, settings.detector, settings.detector_layout, annotations
  )
  source = open_source(settings.data, settings.data_dir)
  scenes = Scenes(
    source,
    path,
    annotations,
    roi=settings.roi,
    choices=settings.choices,
    limit=settings.limit,
  )
  return judge, scenes


def look_at(
  judge: Judge,
  scene: Scene,
  codec: str,
  image: np.ndarray,
  *,
  setting: float | None = None,
  data: bytes | None = None,
  budget: int | None = None,
) -> Look:
  """Shows a judge one picture.

  Args:
    judge: looks.
    scene: the photo.
    codec: who coded it.
    image: what its file decodes to, or the photo itself.
    setting: as in `looks.Look`.
    data: the file.
    budget: the bytes that it was to match.
  """
  start = time.perf_counter()
  found = judge.look(scene, image)
  seconds = time.perf_counter() - start
  height, width = image.shape[:2]
  pixels = None if scene.roi is None else int(region(scene.roi).sum())
  return Look(
    scene.name,
    codec,
    setting,
    judge.name,
    width,
    height,
    pixels,
    None if data is None else len(data),
    budget,
    None if data is None else 8 * len(data) / (height * width),
    seconds,
    judge.count(found),
    found,
  )


def finish(
  seen: Sequence[Look],
  judges: Sequence[Judge],
  scenes: Scenes,
  out: pathlib.Path,
  name: str,
  told: dict,
) -> Evaluation:
  """Scores, and writes results.csv, results.json and NAME.png.

  Args:
    seen: all looks.
    judges: who looked.
    scenes: at what.
    out: the folder.
    name: of the plot.
    told: what results.json is to say of the run.
  """
  points = looks.summarise(seen, judges)
  report.write_csv(out / "results.csv", seen)
  report.write_json(out / "results.json", told, points, seen, scenes.left_out)
  title = f"{told['data']}, {points[0].photos} photos"
  plot.write_plot(out / f"{name}.png", points, judges, title)
  return Evaluation(list(seen), points, judges, scenes.left_out, out)


def _evaluate_scene(
  codec: Codec, scene: Scene, judge: Judge, settings: Settings
) -> Iterator[Look]:
  """The original first: a model that cannot do it says so before coding."""
  yield look_at(judge, scene, ORIGINAL, scene.image)
  for quality in settings.qualities or ():
    data = codec.compress(
      scene.image,
      scene.roi,
      quality=quality,
      background=settings.background,
    )
    yield look_at(
      judge,
      scene,
      OURS,
      codec.decompress(data),
      setting=quality,
      data=data,
    )
    for anchor in settings.anchors:
      budget = len(data)
      rival, x_hat = _code_anchor(anchor, codec, scene.image, budget)
      yield look_at(
        judge, scene, anchor, x_hat, setting=quality, data=rival, budget=budget
      )


def _code_anchor(
  anchor: str, codec: Codec, image: np.ndarray, budget: int
) -> tuple[bytes, np.ndarray]:
  """A rival's file at the bytes of ours, and what it decodes to."""
  if anchor == rate_distortion.UNIFORM:
    _, data = rate_distortion.match_bytes(codec, image, None, budget)
    return data, codec.decompress(data)
  _, data = classical.encode_within(anchor, image, budget)
  return data, classical.CODECS[anchor].decode(data)
