"""Shipping a predictor of regions: its file, its card, `predictor.json`.

  python -m benchmarks.predictor --predictor=RUN --out=RUN/eval
  python -m roijax.weights.predictor_export RUN roi-predictor-2 \\
    --results=RUN/eval --data=TEXT --limits=TEXT --command=TEXT

From then on `--roi auto` takes it. Files that were shipped before stay: their
names are theirs.
"""

import argparse
import hashlib
import json
import os
import pathlib
import sys
import textwrap
from collections.abc import Sequence
from typing import NamedTuple

import roijax
from roijax.errors import CheckpointError, RoijaxError
from roijax.files import write_whole
from roijax.weights.archive import count_parameters, find_file, read_bytes
from roijax.weights.predictor import INDEX_NAME, load_predictor
from roijax.weights.shipped import FOLDER, check_name

MAX_BYTES = 6 << 20
WIDTH = 80


class Words(NamedTuple):
  """What no file knows.

  Attributes:
    data: what the training photos are, and under which licences.
    limits: what the predictor is not good for.
    command: what trains it again.
  """

  data: str
  limits: str
  command: str


def export_predictor(
  run: str | os.PathLike,
  name: str,
  results: str | os.PathLike,
  words: Words,
  out: str | os.PathLike = FOLDER,
) -> pathlib.Path:
  """Ships a predictor under a name that is its own for ever.

  Args:
    run: a training run's folder, or a `model.npz`.
    name: lower-case words, digits and hyphens.
    results: the folder where `benchmarks.predictor` wrote `agreement.json` of
      these very weights.
    words: what else the card says.
    out: where to.

  Returns:
    The file.

  Raises:
    CheckpointError: the name belongs to other weights, the file is too large or
      no predictor's, or the results are of others.
    RoijaxError: nothing can be written.
  """
  check_name(name)
  weights = load_predictor(run)
  data = read_bytes(find_file(run))
  if len(data) > MAX_BYTES:
    raise CheckpointError(
      f"{run} is {len(data) / (1 << 20):.1f} MiB; at most "
      f"{MAX_BYTES >> 20} MiB are shipped"
    )
  out = pathlib.Path(out)
  path = out / f"{name}.npz"
  if path.exists() and path.read_bytes() != data:
    raise CheckpointError(
      f"{name} is shipped already, with other weights; what is shipped never"
      " changes: take another name"
    )
  fingerprint = weights.fingerprint.hex()
  rows = _read_rows(pathlib.Path(results) / "agreement.json", fingerprint)
  facts = {
    "file": f"`{name}.npz`, {len(data):,} bytes, float16",
    "fingerprint": f"`{fingerprint}`",
    "parameters": f"{count_parameters(weights.params):,}",
    "photos are made": f"{weights.model['side']} pixels square",
    "licence": "Apache-2.0",
    "comes with": f"roijax {roijax.__version__}",
  }
  index = {"name": name, "sha256": hashlib.sha256(data).hexdigest()}
  write_whole(path, data)
  write_whole(out / f"{name}.md", _make_card(name, facts, rows, words).encode())
  write_whole(out / INDEX_NAME, (json.dumps(index, indent=2) + "\n").encode())
  return path


def _read_rows(path: pathlib.Path, fingerprint: str) -> list[dict]:
  try:
    results = json.loads(path.read_bytes())
    theirs, rows = results["fingerprint"], results["rows"]
  except (OSError, ValueError, KeyError, TypeError) as error:
    raise CheckpointError(
      f"no figures in {path}: measure with python -m benchmarks.predictor"
    ) from error
  if theirs != fingerprint:
    raise CheckpointError(
      f"{path} was measured with {theirs}, not with {fingerprint}: measure "
      "these weights"
    )
  return rows


def _make_card(name: str, facts: dict, rows: list[dict], words: Words) -> str:
  table = "\n".join(
    [
      "| `--roi` | mIoU | at the best threshold |",
      "| --- | --- | --- |",
      *(
        f"| `{row['setting']}` | {row['miou']:.3f} | {row['best_miou']:.3f} |"
        for row in rows
      ),
    ]
  )
  parts = [
    f"# {name}",
    _fill("What `--roi auto` takes: a small HRNet that marks objects."),
    "\n".join(
      ["| | |", "| --- | --- |", *(f"| {k} | {v} |" for k, v in facts.items())]
    ),
    "## Training data",
    _fill(words.data),
    "## How to train it again",
    f"```\n{words.command}\n```",
    "## Measured",
    _fill(
      "Intersection over union with the annotated objects, mean over photos of"
      " `coco_roi:val` (`python -m benchmarks.predictor`). The best threshold"
      " is the best on these very photos; for `center`, the best size."
    ),
    table,
    "## What it is not good for",
    _fill(words.limits),
  ]
  return "\n\n".join(parts) + "\n"


def _fill(text: str) -> str:
  return textwrap.fill(text, WIDTH, break_on_hyphens=False)


def main(arguments: Sequence[str] | None = None) -> int:
  """Runs the command line.

  Args:
    arguments: instead of `sys.argv[1:]`.

  Returns:
    The exit code: 0, or 2 after one line on stderr.
  """
  parser = argparse.ArgumentParser(
    prog="python -m roijax.weights.predictor_export",
    description="Ship a trained predictor of regions.",
  )
  parser.add_argument("run", help="a training run's folder, or a model.npz")
  parser.add_argument("name", help="such as roi-predictor-2")
  parser.add_argument("--results", required=True, help="of the benchmark")
  for word in Words._fields:
    parser.add_argument(f"--{word}", required=True, help="for the card")
  given = parser.parse_args(arguments)
  words = Words(given.data, given.limits, given.command)
  try:
    path = export_predictor(given.run, given.name, given.results, words)
  except RoijaxError as error:
    print(f"error: {error}", file=sys.stderr)
    return 2
  print(f"{path}: {path.stat().st_size:,} bytes")
  return 0


if __name__ == "__main__":
  sys.exit(main())
