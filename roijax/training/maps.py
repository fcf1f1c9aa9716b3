"""Predicts the regions of a dataset, for codecs that train on them.

  python -m roijax.training.maps --data=coco_roi:train --data_dir=DIR --out=MAPS

Maps are soft: `--config.data.masks=predicted:0.2` and `predicted:0.5` read the
same folder.
"""

import argparse
import sys
from collections.abc import Sequence

import numpy as np

from roijax.errors import RoijaxError


def predict_maps(
  data: str, data_dir: str | None, out: str, predictor: str | None = None
) -> int:
  """Writes a folder of maps, see `data.predicted`.

  Args:
    data: photos, as `roijax.data.sources.open_source` takes them.
    data_dir: where prepared datasets lie.
    out: the folder.
    predictor: a predictor's weights; None for the shipped ones.

  Returns:
    The number of photos.

  Raises:
    RoijaxError: photos or weights are missing, or nothing can be written.
  """
  from roijax.data.predicted import close_maps, open_maps
  from roijax.data.sources import open_source
  from roijax.predictor import Predictor

  source = open_source(data, data_dir)
  predict = Predictor.load(predictor)
  maps = open_maps(out, len(source), predict.side)
  for index in range(len(source)):
    square = predict.predict_square(source[index]["image"])
    maps[index] = np.rint(255 * square)
  close_maps(out, maps, source.name, predict.weights.fingerprint.hex())
  return len(source)


def main(arguments: Sequence[str] | None = None) -> int:
  """Runs the command line.

  Args:
    arguments: instead of `sys.argv[1:]`.

  Returns:
    The exit code: 0, or 2 after one line on stderr.
  """
  parser = argparse.ArgumentParser(
    prog="python -m roijax.training.maps",
    description="Predict the regions of a dataset.",
  )
  parser.add_argument("--data", required=True, help="such as coco_roi:train")
  parser.add_argument("--data_dir", help="where prepared datasets lie")
  parser.add_argument("--out", required=True, help="the folder of maps")
  parser.add_argument(
    "--predictor", help="a model.npz or a training run; else the shipped one"
  )
  given = parser.parse_args(arguments)

  try:
    count = predict_maps(given.data, given.data_dir, given.out, given.predictor)
  except RoijaxError as error:
    print(f"error: {error}", file=sys.stderr)
    return 2
  print(f"maps of {count} photos: {given.out}")
  return 0


if __name__ == "__main__":
  sys.exit(main())
