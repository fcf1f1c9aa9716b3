"""Boxes of weights to try things with, beside the package's own."""

import json

import numpy as np
import pytest

from roijax.errors import CheckpointError
from roijax.evaluation import report, summary
from roijax.weights.archive import save_weights
from roijax.weights.export import export_weights

CHANNELS = 2
POINT = summary.Point(
  "roijax", 0.0, 1, 1, 0.25, 900.0, 30.0, 33.0, 33.0, 28.5, 32.0, 0.95, 1, 1, 0
)


def make_params(seed):
  rng = np.random.default_rng(seed)
  widths = (1, 3, 3, 3, 3, 1)
  prior = {}
  for i in range(5):
    size = (CHANNELS, widths[i + 1], widths[i])
    prior[f"matrix_{i}"] = rng.normal(0.2, 0.3, size)
    prior[f"bias_{i}"] = rng.normal(0, 0.3, size[:2])
    if i < 4:
      prior[f"factor_{i}"] = rng.normal(0, 0.1, size[:2])
  return {"z_prior": prior, "gain": rng.normal(size=(2, 3))}


def make_run(folder, seed=0):
  """A run's folder with weights in it, and the results of its evaluation."""
  folder.mkdir()
  save_weights(folder / "model.npz", "ggm", {"lmbdas": [1]}, make_params(seed))
  rival = POINT._replace(codec="jpeg", psnr_roi=27.25, psnr_weighted=26.75)
  settings = {
    "data": "folder:/home/someone/kodak",
    "roi": "center",
    "qualities": [0.0, 1.0],
    "background": 0.25,
    "limit": None,
    "anchors": ["jpeg"],
    "checkpoint": str(folder),
    "photos": 1,
  }
  points = [
    POINT,
    POINT._replace(quality=1.0, bpp=0.75, psnr=float("inf")),
    rival,
  ]
  differences = [
    summary.Difference("jpeg", "psnr_roi", -41.6, 3.0, None),
    summary.Difference("jpeg", "psnr_weighted", -31.62, 2.0, None),
  ]
  path = folder / "results.json"
  report.write_json(path, settings, [], points, differences)
  return folder


def ship(run, name, out, **more):
  return export_weights(run, name, results=[run], out=out, **more)


def edit_index(box, change):
  path = box / "index.json"
  content = json.loads(path.read_text())
  change(content)
  path.write_text(json.dumps(content))


def assert_one_line(call, words, kind=CheckpointError):
  with pytest.raises(kind, match=words) as caught:
    call()
  assert "\n" not in str(caught.value)
