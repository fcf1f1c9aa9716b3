"""Machine tasks at equal bytes: weights and classical codecs side by side.

  python -m benchmarks.machine --photos=coco/val2017 --out=DIR \\
    --annotations=coco/annotations/instances_val2017.json --bpp=0.3,0.6

Every codec codes every annotated photo at the same bytes, as near as it gets;
detectors look at what the files decode to, and at the originals. At hand are
`hog`, OpenCV's people (average precision), and `predictor`, the shipped
predictor of regions (mean intersection over union with the annotated objects,
and with its own region in the original); any ONNX file that
`roijax eval --task=detection` takes is another. Codecs that know a region get
the annotated objects.

Writes results.csv (one line a photo, codec, rate and detector), results.json
and machine.png to --out, and prints the tables. Coded files are kept in
--out/files: a run that was stopped goes on, and another detector looks at the
same files.
"""

import argparse
import dataclasses
import pathlib
import sys
from collections.abc import Iterator

from roijax.cli import exit_code
from roijax.data.sources import open_source
from roijax.errors import ConfigError
from roijax.evaluation.machine import equal_bytes, plot, report, run
from roijax.evaluation.machine.equal_bytes import Entrant
from roijax.evaluation.machine.judges import PREDICTOR, make_judge
from roijax.evaluation.machine.looks import ORIGINAL, Judge, Look
from roijax.evaluation.machine.scenes import Scene, Scenes, find_annotations
from roijax.evaluation.progress import PhotoProgress
from roijax.evaluation.run import check_writable
from roijax.roi.coco import read_annotations

RIVALS = ("jpeg", "webp", "jpeg2000", "avif", "hevc", "hevc_roi")


class _Parser(argparse.ArgumentParser):
  """Argparse that leaves printing and exiting to `exit_code`."""

  def error(self, message: str):
    raise ConfigError(f"{message} (see --help)")


@dataclasses.dataclass(frozen=True)
class Settings:
  """What the command line asks for."""

  photos: str
  data_dir: str | None
  annotations: str
  checkpoints: list[str]
  codecs: list[str]
  detectors: list[str]
  bpp: list[float]
  roi: str | None
  background: float
  limit: int | None


def _names(text: str) -> list[str]:
  return [name.strip() for name in text.split(",") if name.strip()]


def _rates(text: str) -> list[float]:
  try:
    rates = [float(number) for number in text.split(",")]
  except ValueError:
    rates = []
  if not rates or not all(0 < rate <= 24 for rate in rates):
    raise argparse.ArgumentTypeError(
      f"{text!r} is not a list of bits a pixel such as 0.3,0.6"
    )
  return rates


def make_parser() -> argparse.ArgumentParser:
  """The command line of this script."""
  parser = _Parser(
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )
  add = parser.add_argument
  add("--photos", metavar="PHOTOS", help="a folder, or coco_roi:SPLIT")
  add("--out", metavar="DIR", help="for results")
  add("--data_dir", metavar="DIR", help="where prepared datasets lie")
  add(
    "--annotations",
    metavar="JSON",
    help="COCO's; X/annotations/instances_val2017.json of X/val2017 by default",
  )
  add(
    "--checkpoints",
    metavar="NAME_OR_PATH,...",
    type=_names,
    help="weights, with the region and without; the shipped ones by default",
  )
  add(
    "--codecs",
    metavar="NAME,...",
    type=_names,
    default=list(RIVALS),
    help="rivals, by default " + ",".join(RIVALS),
  )
  add(
    "--detectors",
    metavar="NAME_OR_PATH,...",
    type=_names,
    default=["hog", PREDICTOR],
    help="hog,predictor by default; ONNX files",
  )
  add(
    "--bpp",
    metavar="BPP,...",
    type=_rates,
    default=[0.3, 0.6],
    help="bits a pixel of every photo (0.3,0.6)",
  )
  add("--roi", metavar="SPEC", help="in place of the annotated objects")
  add(
    "--background",
    metavar="LEVEL",
    type=float,
    default=0.25,
    help="importance that weights give the background (0.25)",
  )
  add("--limit", metavar="N", type=int, help="only the first N photos")
  return parser


def main() -> None:
  """Parses the command line, codes, looks, prints."""
  options = vars(make_parser().parse_args())
  # Not argparse's `required`, which hides a misspelled flag behind itself.
  for name in ("photos", "out"):
    if not options[name]:
      raise ConfigError(f"--{name} is missing (see --help)")
  out = pathlib.Path(options.pop("out"))
  if options["annotations"] is None:
    options["annotations"] = find_annotations(options["photos"])
  found = measure(Settings(**options), out)
  report.print_report(found.points, found.judges, found.left_out)
  print(f"results: {found.folder}/results.csv, results.json, machine.png")


def measure(settings: Settings, out: pathlib.Path) -> run.Evaluation:
  """Codes every photo by every codec at every rate, and looks.

  Args:
    settings: what to measure.
    out: the folder for results.

  Raises:
    RoijaxError: something is missing or unfit.
  """
  plot.check_matplotlib()
  annotations = read_annotations(settings.annotations)
  judges = [
    make_judge(
      "segmentation" if name.startswith(PREDICTOR) else "detection",
      name,
      None,
      annotations,
    )
    for name in settings.detectors
  ]
  scenes = Scenes(
    open_source(settings.photos, settings.data_dir),
    settings.annotations,
    annotations,
    roi=settings.roi,
    limit=settings.limit,
  )
  rivals = [equal_bytes.enter_rival(name) for name in settings.codecs]
  entrants = [*_enter_checkpoints(settings), *rivals]
  for kind, named in (("detectors", judges), ("codecs", entrants)):
    names = [one.name for one in named]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
      raise ConfigError(
        f"two {kind} are called {twice[0]}: rename the file of one"
      )
  check_writable(out)
  seen: list[Look] = []
  with PhotoProgress(scenes.total) as progress:
    for scene in scenes:
      seen += _measure_scene(scene, entrants, judges, settings.bpp, out)
      progress(scene.name)
  told = {"data": settings.photos, **dataclasses.asdict(settings)}
  return run.finish(seen, judges, scenes, out, "machine", told)


def _enter_checkpoints(settings: Settings) -> Iterator[Entrant]:
  # JAX takes a second to load.
  from roijax.codec import Codec
  from roijax.weights import index

  for name in settings.checkpoints or [index.default().name]:
    codec = Codec.load(name)
    yield from equal_bytes.enter_checkpoint(
      pathlib.PurePath(name).stem,
      codec,
      settings.background,
      codec.weights.fingerprint.hex(),
    )


def _measure_scene(
  scene: Scene,
  entrants: list[Entrant],
  judges: list[Judge],
  rates: list[float],
  out: pathlib.Path,
) -> Iterator[Look]:
  for judge in judges:
    yield run.look_at(judge, scene, ORIGINAL, scene.image)
  budgets = [equal_bytes.budget_of(scene, bpp) for bpp in rates]
  for entrant in entrants:
    coded = equal_bytes.code(entrant, scene, budgets, out / "files")
    for bpp, budget, data in zip(rates, budgets, coded, strict=True):
      x_hat = entrant.decode(data)
      for judge in judges:
        yield run.look_at(
          judge,
          scene,
          entrant.name,
          x_hat,
          setting=bpp,
          data=data,
          budget=budget,
        )


if __name__ == "__main__":
  sys.exit(exit_code(main))
