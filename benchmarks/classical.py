"""The rivals' table: roijax and classical codecs, with and without a region.

  python -m benchmarks.classical --photos=photos/kodak --roi=center --out=DIR
  python -m benchmarks.classical --photos=coco_roi:val --data_dir=data_dir \\
    --checkpoint=runs/small --out=DIR

Every codec codes every photo at settings of its own, from about 0.1 to 1.2 bits
a pixel, and is measured on what its files decode to. Writes results.csv (one
line a photo, codec and setting), results.json and rd.png to --out, and prints
decibels at equal rates and BD-rates. Codecs whose packages are missing
(pip install 'roijax[rivals]') are left out and said to be, unless --codecs
names them.

The rivals take minutes a photo. --reuse=DIR/results.csv takes their rows from
an earlier run on the same photos and regions, finished or not, and codes only
what is missing there; roijax is always coded anew.
"""

import argparse
import sys

from roijax.cli import exit_code
from roijax.errors import ConfigError
from roijax.evaluation import contest
from roijax.evaluation.standings_report import print_standings


class _Parser(argparse.ArgumentParser):
  """Argparse that leaves printing and exiting to `exit_code`."""

  def error(self, message: str):
    raise ConfigError(f"{message} (see --help)")


def _names(text: str) -> list[str]:
  return [name.strip() for name in text.split(",") if name.strip()]


def _numbers(text: str) -> list[float]:
  try:
    return [float(number) for number in text.split(",")]
  except ValueError as error:
    raise argparse.ArgumentTypeError(
      f"{text!r} is not a list of numbers such as 0,2,4"
    ) from error


def make_parser() -> argparse.ArgumentParser:
  """The command line of this script."""
  parser = _Parser(
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )
  add = parser.add_argument
  add("--photos", metavar="PHOTOS", help="a folder, or coco_roi:SPLIT")
  add("--data_dir", metavar="DIR", help="where prepared datasets lie")
  add(
    "--roi",
    metavar="SPEC",
    help="one region for every photo, such as center; the data's own by"
    " default",
  )
  add("--out", metavar="DIR", help="for results")
  add(
    "--codecs",
    metavar="NAME,...",
    type=_names,
    help="all that can run here, of " + ", ".join(contest.NAMES),
  )
  add("--limit", metavar="N", type=int, help="only the first N photos")
  add(
    "--checkpoint",
    metavar="NAME_OR_PATH",
    help="weights of roijax; the shipped ones by default",
  )
  add(
    "--qualities",
    metavar="Q,Q,...",
    type=_numbers,
    help="of roijax; six over the checkpoint's range by default",
  )
  add(
    "--background",
    metavar="LEVEL",
    type=float,
    default=0.25,
    help="importance that roijax gives the background (0.25)",
  )
  add(
    "--effort",
    metavar="N",
    type=int,
    default=0,
    help="how long roijax looks for a better file, 0 to 3 (0)",
  )
  add("--reuse", metavar="CSV", help="results.csv of an earlier run")
  return parser


def main() -> None:
  """Parses the command line, codes, prints."""
  options = vars(make_parser().parse_args())
  # Not argparse's `required`, which hides a misspelled flag behind itself.
  for name in ("photos", "out"):
    if not options[name]:
      raise ConfigError(f"--{name} is missing (see --help)")
  out = options.pop("out")
  settings = contest.Settings(data=options.pop("photos"), **options)
  found = contest.hold(settings, out)
  print_standings(
    found.points, found.at_rates, found.comparisons, found.left_out
  )
  print(f"results: {found.folder}/results.csv, results.json, rd.png")


if __name__ == "__main__":
  sys.exit(exit_code(main))
