"""A card: what people should know about a set of weights, in Markdown."""

import dataclasses
import textwrap
from collections.abc import Sequence

from roijax.weights.results import (
  Results,
  low_high_bpp,
  make_command,
  make_section,
)
from roijax.weights.run import Run
from roijax.weights.shipped import Entry

_WIDTH = 80


@dataclasses.dataclass(frozen=True)
class Words:
  """What no file knows, and the person who ships weights says.

  Attributes:
    data: what the training photos are, and under which licences.
    limits: what the weights are not good for.
    command: what trains again, where the run's folder does not tell.
  """

  data: str = ""
  limits: str = ""
  command: str = ""


def make_card(
  entry: Entry,
  parameters: int,
  run: Run | None,
  results: Sequence[Results],
  words: Words,
) -> str:
  """Writes the card of an entry.

  Args:
    entry: what the index says.
    parameters: how many numbers the weights are.
    run: how they were trained, as far as it is known.
    results: what was measured.
    words: what else there is to say.
  """
  data = words.data or (
    "Whoever exported these weights did not say what the photos are, nor"
    " under which licences they stand."
  )
  parts = [
    f"# {entry.name}",
    _fill(f"{entry.summary}."),
    _facts(entry, parameters, run),
    "## Training data",
    _fill(data),
    "## How to train it again",
    _training(words.command or (run and run.command) or "", entry.name),
    "## Figures",
    _fill(
      "Means over photos of real files; PSNR in dB, in the region, in the"
      " background, and weighted (background weight 1/16); bpp of the whole"
      " file."
      + (
        " JPEG is 4:2:0, optimised and progressive, at the largest size that"
        " fits the same bytes."
        if any(_has_jpeg(result) for result in results)
        else ""
      )
    ),
  ]
  for result in results:
    parts += [_code(make_command(result, entry.name)), make_section(result)]
  parts += ["## What it is not good for", _limits(words, run, results)]
  return "\n\n".join(parts) + "\n"


def _facts(entry: Entry, parameters: int, run: Run | None) -> str:
  rows = [
    ("system", f"`{entry.system}`"),
    ("parameters", f"{parameters:,}, float16"),
    ("file", f"`{entry.name}.npz`, {entry.size:,} bytes"),
    ("fingerprint", f"`{entry.fingerprint.hex()}`"),
    ("SHA-256", f"`{entry.sha256}`"),
    ("comes with", entry.source),
    ("licence", entry.licence),
  ]
  if run is not None:
    rows.append(("begun with", f"`{run.start_from}`" if run.start_from else ""))
    rows.append(
      ("trained on", f"`{run.photos}`, crops of {run.crop}x{run.crop} pixels")
    )
    if run.step is not None:
      images = run.step * run.batch_size
      planned = "" if run.step == run.planned else f" (of {run.planned:,})"
      rows.append(("steps", f"{run.step:,}{planned} of {run.batch_size} crops"))
      rows.append(("images", f"{images:,} crops"))
    rows.append(("moving average", f"of the parameters, {run.ema_decay:g}"))
    if run.seconds is not None:
      rows.append(("wall time", f"{run.seconds:,.0f} s"))
  lines = ["| | |", "| --- | --- |"]
  lines += [f"| {name} | {told} |" for name, told in rows if told]
  return "\n".join(lines)


def _training(command: str, name: str) -> str:
  if not command:
    return "The command was not kept."
  return (
    _code(command)
    + "\n\n"
    + _fill(
      "The command is for the configs of the commit that `git log"
      f" --diff-filter=A -- roijax/weights/{name}.npz` names. What comes out"
      " has a fingerprint of its own unless every bit comes out the same: it"
      f" is shipped under a new name, and {name} stays what it is."
    )
  )


def _limits(words: Words, run: Run | None, results: Sequence[Results]) -> str:
  low, high = low_high_bpp(results)
  told = (
    f"Rates below {low:.2f} and above {high:.2f} bpp were not measured, nor"
    " photos unlike those above: screenshots, drawings, scans, medical and"
    " scientific images."
  )
  if run is not None:
    told += f" Training saw crops of {run.crop} pixels."
  return "\n\n".join(_fill(text) for text in (words.limits, told) if text)


def _has_jpeg(result: Results) -> bool:
  return any(point["codec"] == "jpeg" for point in result.points)


def _fill(text: str) -> str:
  return textwrap.fill(
    " ".join(text.split()),
    _WIDTH,
    break_long_words=False,
    break_on_hyphens=False,
  )


def _code(command: str) -> str:
  """A command as a block, broken where a line would be too long."""
  lines = textwrap.wrap(
    command,
    _WIDTH - 4,
    subsequent_indent="  ",
    break_long_words=False,
    break_on_hyphens=False,
  )
  return "```\n" + " \\\n".join(lines) + "\n```"
