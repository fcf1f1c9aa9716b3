"""Evaluates a checkpoint on photos with real files.

  python eval.py --checkpoint=runs/sample --data=sample:val
  python eval.py --checkpoint=runs/small --data=coco_roi:val \\
    --data_dir=data_dir --limit=100 --anchors=uniform,jpeg,avif
  python eval.py --checkpoint=runs/small --data=photos/kodak --roi=center

Writes results.json, results.csv (one line a photo, codec and quality) and
rd.png to --out, and prints the means.
"""

import argparse
import sys

from roijax.cli import exit_code
from roijax.errors import ConfigError
from roijax.evaluation import report
from roijax.evaluation.rate_distortion import ANCHORS
from roijax.evaluation.run import Settings, evaluate_checkpoint


class _Parser(argparse.ArgumentParser):
  """Argparse that leaves printing and exiting to `exit_code`."""

  def error(self, message: str):
    raise ConfigError(f"{message} (see --help)")


def _numbers(text: str) -> list[float]:
  try:
    return [float(number) for number in text.split(",")]
  except ValueError as error:
    raise argparse.ArgumentTypeError(
      f"{text!r} is not a list of numbers such as 0,2,4"
    ) from error


def _names(text: str) -> list[str]:
  return [name.strip() for name in text.split(",") if name.strip()]


def make_parser() -> argparse.ArgumentParser:
  """The command line of this script."""
  parser = _Parser(
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )
  add = parser.add_argument
  add("--checkpoint", metavar="DIR", help="holds model.npz; or that file")
  add(
    "--data",
    metavar="PHOTOS",
    help="a folder of photos, coco_roi:SPLIT or sample:SPLIT; joined by +",
  )
  add("--data_dir", metavar="DIR", help="where prepared datasets lie")
  add(
    "--roi",
    metavar="SPEC",
    help="one region for every photo (see `roijax compress --help`) in place"
    " of the data's own; none: code without regions, measure in the data's own",
  )
  add(
    "--qualities",
    metavar="Q,Q,...",
    type=_numbers,
    help="four over the checkpoint's range by default",
  )
  add(
    "--background",
    metavar="LEVEL",
    type=float,
    default=0.25,
    help="importance of the background, above 0, at most 1 (0.25)",
  )
  add("--limit", metavar="N", type=int, help="only the first N photos")
  add(
    "--anchors",
    metavar="NAME,...",
    type=_names,
    default=[],
    help="rivals at equal bytes: " + ", ".join(ANCHORS),
  )
  add(
    "--detailed",
    action="store_true",
    help="also record the bits that tables and likelihood foretell",
  )
  add(
    "--out",
    metavar="DIR",
    help="for results; CHECKPOINT/eval, for a file runs/NAME/eval",
  )
  return parser


def main() -> None:
  """Parses the command line, evaluates, prints."""
  settings = vars(make_parser().parse_args())
  # Not argparse's `required`, which hides a misspelled flag behind itself.
  for name in ("checkpoint", "data"):
    if not settings[name]:
      raise ConfigError(f"--{name} is missing (see --help)")
  checkpoint, out = settings.pop("checkpoint"), settings.pop("out")
  evaluation = evaluate_checkpoint(checkpoint, Settings(**settings), out)
  report.print_report(evaluation.points, evaluation.differences)
  print(f"results: {evaluation.folder}/results.json, results.csv, rd.png")


if __name__ == "__main__":
  sys.exit(exit_code(main))
