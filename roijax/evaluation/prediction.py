"""How well predicted regions agree with annotated ones.

Intersection over union of two masks, averaged over photos. Only photos whose
objects are all annotated count: elsewhere, what lies outside is unknown. Nor
do those without any object, where no overlap is to be had.
"""

import dataclasses
import json
import os
import pathlib
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from roijax.data.objects import ObjectPhoto, ObjectSource
from roijax.data.photo import Source
from roijax.data.sources import open_source
from roijax.errors import ConfigError, DataError
from roijax.files import write_whole
from roijax.metrics.overlap import iou

# Where the union of objects begins in soft annotations.
INSIDE = 0.5


@dataclasses.dataclass(frozen=True)
class Settings:
  """A predictor's `eval` section.

  Attributes:
    data: annotated photos, as `roijax.data.sources.open_source` takes them;
      empty: none.
    thresholds: from which probability on a pixel is inside.
    data_dir: where prepared datasets lie.
  """

  data: str
  thresholds: Sequence[float] = (0.2, 0.5)
  data_dir: str | None = None

  def __post_init__(self):
    if not self.thresholds or not all(0 < t < 1 for t in self.thresholds):
      raise ConfigError(
        "config.eval.thresholds must be numbers between 0 and 1, not "
        f"{tuple(self.thresholds)}"
      )


@dataclasses.dataclass(frozen=True)
class Agreement:
  """How well one photo's region was predicted.

  Attributes:
    name: the photo's.
    share: of the photo that truly is its region.
    ious: intersection over union, one a threshold.
  """

  name: str
  share: float
  ious: tuple[float, ...]


def judged_photos(source: Source) -> Iterator[tuple[ObjectPhoto, np.ndarray]]:
  """The photos that count, each with its true mask, bool [H, W].

  Args:
    source: annotated photos.

  Raises:
    DataError: a photo cannot be read, or none counts.
  """
  found = False
  objects = ObjectSource(source)
  for index in range(len(objects)):
    photo = objects[index]
    truth = photo["objects"] > INSIDE
    if photo["complete"] and truth.any():
      found = True
      yield photo, truth
  if not found:
    raise DataError(
      f"no photo of {source.name} has objects that are annotated in full: "
      "predictions cannot be judged by it"
    )


def judge(
  predict: Callable[[np.ndarray], np.ndarray],
  source: Source,
  thresholds: Sequence[float],
) -> list[Agreement]:
  """Compares a predictor's maps with a source's annotations.

  Args:
    predict: from uint8 [H, W, 3] to float [H, W] in [0, 1].
    source: annotated photos.
    thresholds: from which value on a pixel is inside.

  Raises:
    DataError: see `judged_photos`.
  """
  agreements = []
  for photo, truth in judged_photos(source):
    likely = predict(photo["image"])
    ious = tuple(iou(likely >= t, truth) for t in thresholds)
    agreements.append(Agreement(photo["name"], float(truth.mean()), ious))
  return agreements


def mean_ious(agreements: Sequence[Agreement]) -> np.ndarray:
  """The mean over photos, one a threshold."""
  return np.mean([agreement.ious for agreement in agreements], axis=0)


def evaluate_checkpoint(
  checkpoint: str | os.PathLike, settings: Settings
) -> dict:
  """Judges a training run's predictor; prints and writes `eval/results.json`.

  Args:
    checkpoint: the run's folder.
    settings: on what.

  Returns:
    What was written: `data`, `photos` (how many counted), `fingerprint` and
    `miou`, by threshold.

  Raises:
    RoijaxError: photos or weights are missing, or nothing can be written.
  """
  from roijax.predictor import Predictor

  predictor = Predictor.load(checkpoint)
  source = open_source(settings.data, settings.data_dir)
  agreements = judge(predictor, source, settings.thresholds)
  means = mean_ious(agreements)
  results = {
    "data": settings.data,
    "photos": len(agreements),
    "fingerprint": predictor.weights.fingerprint.hex(),
    "miou": {
      f"{threshold:g}": round(float(mean), 4)
      for threshold, mean in zip(settings.thresholds, means, strict=True)
    },
  }
  folder = pathlib.Path(checkpoint) / "eval"
  text = json.dumps(results, indent=2) + "\n"
  write_whole(folder / "results.json", text.encode())
  for threshold, mean in results["miou"].items():
    print(f"mIoU of {len(agreements)} photos at {threshold}: {mean:.3f}")
  print(f"results: {folder}/results.json")
  return results
