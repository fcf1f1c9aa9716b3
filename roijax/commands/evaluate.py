"""`roijax eval`: what a checkpoint is worth on photos, with real files."""

from typing import Annotated, Any

import typer

from roijax import efforts
from roijax.commands import options
from roijax.errors import ConfigError

EPILOG = """\b
Examples:
  roijax eval --data=photos/kodak --roi=center
  roijax eval --checkpoint=runs/small --data=coco_roi:val \\
    --data_dir=data_dir --limit=100 --anchors=uniform,jpeg,avif
  roijax eval --task=detection --detector=yolo11n.onnx --data=coco/val2017 \\
    --annotations=coco/annotations/instances_val2017.json --limit=500
  roijax eval --data=coco_roi:val --data_dir=data_dir --by-category

Writes results.json, results.csv (one line a photo, codec and quality) and
rd.png, or TASK.png, to --out, and prints the means."""
TASKS = ("none", "detection", "segmentation")


def evaluate(
  data: Annotated[
    str,
    typer.Option(
      metavar="PHOTOS",
      help="A folder of photos, coco_roi:SPLIT or sample:SPLIT; joined by +.",
      show_default=False,
    ),
  ],
  checkpoint: options.Checkpoint = None,
  data_dir: Annotated[
    str | None,
    typer.Option(
      "--data_dir",
      "--data-dir",
      metavar="DIR",
      help="Where prepared datasets lie.",
    ),
  ] = None,
  roi: Annotated[
    str | None,
    typer.Option(
      metavar="SPEC",
      help="One region for every photo (see `roijax compress --help`) in place"
      " of the data's own; none: code without regions, measure in the data's"
      " own.",
    ),
  ] = None,
  roi_threshold: options.RoiThreshold = None,
  text_model: options.TextModel = None,
  qualities: Annotated[
    str | None,
    typer.Option(
      metavar="Q,Q,...", help="Four over the weights' range when absent."
    ),
  ] = None,
  target_bpp: Annotated[
    str | None,
    typer.Option(
      "--target-bpp",
      "--target_bpp",
      metavar="BPP,BPP,...",
      help="In place of qualities: those at which the photos' mean rate is"
      " nearest to these bits a pixel.",
    ),
  ] = None,
  background: options.Background = None,
  effort: options.Effort = 0,
  limit: Annotated[
    int | None, typer.Option(metavar="N", help="Only the first N photos.")
  ] = None,
  anchors: Annotated[
    str,
    typer.Option(
      metavar="NAME,...",
      help="Rivals at equal bytes: uniform (these weights without a region),"
      " jpeg, webp, jpeg2000, avif, and more, which a wrong name lists.",
    ),
  ] = "",
  task: Annotated[
    str,
    typer.Option(
      metavar="|".join(TASKS),
      help="What a detector still finds in decoded photos, by COCO's scores, in"
      " place of PSNR.",
    ),
  ] = "none",
  detector: Annotated[
    str | None,
    typer.Option(
      metavar="PATH|hog|predictor",
      help="For a task: an ONNX file (docs/machine.md), OpenCV's people, or the"
      " shipped predictor of regions.",
    ),
  ] = None,
  detector_layout: Annotated[
    str | None,
    typer.Option(
      "--detector-layout",
      "--detector_layout",
      metavar="torchvision|yolo",
      help="Of that file; found out when absent.",
    ),
  ] = None,
  annotations: Annotated[
    str | None,
    typer.Option(
      metavar="JSON",
      help="For a task: COCO's file; of a folder X/val2017 when absent"
      " X/annotations/instances_val2017.json. Also for --roi text: without"
      " --text-model, which then names one of its categories.",
    ),
  ] = None,
  by_category: Annotated[
    bool,
    typer.Option(
      "--by-category",
      "--by_category",
      help="Each photo once for each of its categories, which then is the"
      " region; a table by category, and categories.csv.",
    ),
  ] = False,
  detailed: Annotated[
    bool,
    typer.Option(
      "--detailed",
      help="Also record the bits that tables and likelihood foretell.",
    ),
  ] = False,
  lpips: Annotated[
    str | None,
    typer.Option(
      metavar="FILE",
      help="Also measure LPIPS, with what `roijax weights perceptual` made.",
    ),
  ] = None,
  out: Annotated[
    str | None,
    typer.Option(
      metavar="DIR", help="For results; CHECKPOINT/eval, else runs/NAME/eval."
    ),
  ] = None,
) -> None:
  """Measures weights on photos: rates of real files, PSNR, rivals."""
  if task not in TASKS:
    raise ConfigError(f"no task {task!r}: choose from {', '.join(TASKS)}")
  from roijax.weights import index

  checkpoint = checkpoint or index.default().name
  efforts.count_steps(effort)
  specs = [] if roi is None else [roi]
  named = any(spec.startswith("text:") for spec in specs)
  choices = options.make_choices(
    specs,
    roi_threshold,
    text_model,
    # A task has annotations to score by, whoever looks for the phrase.
    annotations if named and not (text_model and task != "none") else None,
  )
  settings: dict[str, Any] = {
    "data": data,
    "data_dir": data_dir,
    "roi": roi,
    "choices": choices,
    "qualities": _numbers("qualities", qualities),
    "background": options.background_level(background),
    "limit": limit,
    "anchors": [name.strip() for name in anchors.split(",") if name.strip()],
  }
  of_tasks = {
    "detector": detector,
    "detector_layout": detector_layout,
    "annotations": annotations,
  }
  if task == "none":
    for name, value in of_tasks.items():
      if value is not None and not (name == "annotations" and named):
        option = name.replace("_", "-")
        raise ConfigError(f"--{option} needs --task=detection or segmentation")
    settings |= {
      "detailed": detailed,
      "by_category": by_category,
      "target_bpp": _numbers("target-bpp", target_bpp),
      "lpips": lpips,
      "effort": effort,
    }
    _evaluate_distortion(checkpoint, settings, out)
  else:
    for name, given in (
      ("detailed", detailed),
      ("by-category", by_category),
      ("target-bpp", target_bpp),
      ("lpips", lpips is not None),
      ("effort", effort > 0),
    ):
      if given:
        raise ConfigError(f"--{name} is of no use with --task={task}")
    _evaluate_task(checkpoint, settings | of_tasks | {"task": task}, out)


def _evaluate_distortion(
  checkpoint: str, settings: dict[str, Any], out: str | None
) -> None:
  from roijax.evaluation import report
  from roijax.evaluation.run import Settings, evaluate_checkpoint

  evaluation = evaluate_checkpoint(checkpoint, Settings(**settings), out)
  if evaluation.categories:
    report.print_categories(evaluation.categories)
    print()
  report.print_report(evaluation.points, evaluation.differences)
  for found in evaluation.targets:
    print(found)
  print(f"results: {evaluation.folder}/results.json, results.csv, rd.png")


def _evaluate_task(
  checkpoint: str, settings: dict[str, Any], out: str | None
) -> None:
  from roijax.evaluation.machine import report
  from roijax.evaluation.machine.run import Settings, evaluate_checkpoint

  evaluation = evaluate_checkpoint(checkpoint, Settings(**settings), out)
  report.print_report(evaluation.points, evaluation.judges, evaluation.left_out)
  plot = f"{settings['task']}.png"
  print(f"results: {evaluation.folder}/results.json, results.csv, {plot}")


def _numbers(option: str, text: str | None) -> list[float] | None:
  try:
    return None if text is None else [float(n) for n in text.split(",")]
  except ValueError as error:
    raise ConfigError(
      f"--{option}: {text!r} is not a list of numbers such as 0.5,2"
    ) from error
