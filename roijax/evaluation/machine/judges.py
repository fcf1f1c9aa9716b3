"""From the words of a command line to who looks and scores."""

from roijax.errors import ConfigError
from roijax.evaluation.machine.average_precision import AveragePrecision
from roijax.evaluation.machine.hog import HogDetector
from roijax.evaluation.machine.looks import Judge
from roijax.evaluation.machine.onnx_detector import OnnxDetector
from roijax.evaluation.machine.region_overlap import RegionOverlap
from roijax.roi import coco

TASKS = ("detection", "segmentation")
HOG, PREDICTOR = "hog", "predictor"
AT_HAND = {"detection": HOG, "segmentation": PREDICTOR}


def make_judge(
  task: str,
  detector: str | None,
  layout: str | None,
  annotations: coco.Annotations,
) -> Judge:
  """Makes the judge of a task.

  Args:
    task: from `TASKS`.
    detector: `hog`, OpenCV's people, for detection; `predictor`, the shipped
      predictor of regions, for segmentation, `predictor:0.2` with another
      threshold; or the path of an ONNX file, for both.
    layout: of that file, from `onnx_detector.LAYOUTS`; None to find out.
    annotations: the truth.

  Raises:
    RoijaxError: there is no such task or detector, it cannot do the task, or
      a package that it needs is missing.
  """
  check_task(task, detector, layout)
  assert detector is not None
  if task == "segmentation" and detector.partition(":")[0] == PREDICTOR:
    return _make_predictor(detector)
  found = HogDetector() if detector == HOG else OnnxDetector(detector, layout)
  return AveragePrecision(found, annotations, task)


def check_task(task: str, detector: str | None, layout: str | None) -> None:
  """Refuses what does not go together, before anything is read.

  Raises:
    ConfigError: no such task, no detector, or one for another task.
  """
  if task not in TASKS:
    raise ConfigError(f"no task {task!r}: choose from none, {', '.join(TASKS)}")
  if not detector:
    raise ConfigError(
      f"--task={task} needs --detector: an ONNX file, made with"
      " `yolo export model=yolo11n-seg.pt format=onnx` or with"
      " torch.onnx.export from torchvision (docs/machine.md has the lines),"
      f" or {AT_HAND[task]}, which is at hand"
    )
  kind = detector.partition(":")[0]
  for other in TASKS:
    if other != task and kind == AT_HAND[other]:
      raise ConfigError(
        f"{kind} is for --task={other}: --task={task} takes {AT_HAND[task]} or"
        " an ONNX file"
      )
  if layout is not None and kind in AT_HAND.values():
    raise ConfigError(f"--detector-layout is of ONNX files, not of {kind}")


def _make_predictor(detector: str) -> Judge:
  from roijax.roi import predictor

  _, colon, text = detector.partition(":")
  threshold = predictor.parse_threshold(text) if colon else predictor.THRESHOLD
  return RegionOverlap(predictor.predict, threshold, detector)
