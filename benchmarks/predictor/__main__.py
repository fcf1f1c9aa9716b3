"""Does the predictor find what people would outline, and what is that worth?

    python -m benchmarks.predictor --data_dir=data_dir
    python -m benchmarks.predictor --data_dir=data_dir --codec=ggm-small-2

Without `--codec`: intersection over union with the annotated objects, mean over
photos, of the predictor, OpenCV's saliency and central ellipses, each at its
own setting and at the one that is best on these very photos; and a sheet of
failures and successes. With it: photos coded with regions from every guess at
equal qualities, as real files, and the PSNR inside the true region.
"""

import argparse
import json
import pathlib
import sys

from benchmarks.predictor import agreement, coding
from roijax.cli import exit_code
from roijax.data.sources import open_source
from roijax.files import write_whole
from roijax.predictor import Predictor


def _parse() -> argparse.Namespace:
  parser = argparse.ArgumentParser(
    prog="python -m benchmarks.predictor",
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  parser.add_argument("--predictor", help="a run or a model.npz; else shipped")
  parser.add_argument("--data", default="coco_roi:val")
  parser.add_argument("--data_dir", default=None)
  parser.add_argument("--codec", help="weights; codes photos with them")
  parser.add_argument("--limit", type=int, default=30, help="photos to code")
  parser.add_argument("--background", type=float, default=0.25)
  parser.add_argument("--out", default="runs/predictor")
  return parser.parse_args()


def main() -> None:
  """Measures, prints and writes tables and the sheet."""
  settings = _parse()
  out = pathlib.Path(settings.out)
  source = open_source(settings.data, settings.data_dir)
  predictor = Predictor.load(settings.predictor)
  if settings.codec is None:
    results = agreement.measure(predictor, source)
    agreement.print_rows(results["rows"])
    agreement.draw_sheet(predictor, source, results["photos"], out)
    name = "agreement.json"
  else:
    results = coding.measure(
      predictor, source, settings.codec, settings.limit, settings.background
    )
    coding.print_rows(results["rows"])
    name = f"coding-{pathlib.Path(settings.codec).name}.json"
  results["fingerprint"] = predictor.weights.fingerprint.hex()
  results["data"] = settings.data
  write_whole(out / name, (json.dumps(results, indent=1) + "\n").encode())
  print(f"results: {out / name}")


if __name__ == "__main__":
  sys.exit(exit_code(main))
