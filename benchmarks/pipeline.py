"""Can the input pipeline keep a device fed? Images a second of Grain alone.

  python -m benchmarks.pipeline [--data=coco_roi:train --data_dir=DIR]

prints two tables and writes them as runs/pipeline.csv and
runs/pipeline_stages.csv:

- images a second that the training iterator gives to a loop which does nothing
  else, after a warm-up, for each number of reader processes and each crop;
  without reader processes also for each second of CPU time, which is what a
  core does whatever else the machine is doing;
- where one core's time goes, stage by stage, in one thread: reading, decoding,
  the window, crop and resize, random maps, the rest, stacking a batch. Below
  stands the floor: opening and decoding the same files with Pillow alone.
  (The sample photos are decoded once and kept, so they cost none of it.)
"""

import argparse
import collections
import functools
import io
import pathlib
import sys
import time

import numpy as np
from PIL import Image
from rich.console import Console
from rich.progress import track
from rich.table import Table

from roijax.cli import exit_code
from roijax.data import augment, coco, images, random_maps
from roijax.data.pipeline import BUFFERED_BATCHES, make_train_iterator
from roijax.data.sources import open_source
from roijax.files import write_whole

REPEATS = 3
TARGET = 1000
# What belongs to which stage; reading and the rest are what remains.
STAGES = {
  "decode photo": (images, "decode_image"),
  "decode mask": (coco, "_decode_mask"),
  "choose window": (augment, "_draw_window"),
  "crop, resize": (augment, "_cut"),
  "random map": (random_maps, "draw"),
}


def measure_iterator(source, crop, workers, options):
  """Images a second of wall time, and of CPU time when it reads itself."""
  iterator = make_train_iterator(
    source, crop=crop, batch_size=options.batch_size, seed=0, workers=workers
  )
  # What lies ready after the start must not count.
  for _ in range((BUFFERED_BATCHES + 2) * max(workers, 1)):
    next(iterator)
  count, wall, cpu = 0, time.perf_counter(), time.process_time()
  while time.perf_counter() - wall < options.seconds:
    next(iterator)
    count += options.batch_size
  cpu = time.process_time() - cpu
  wall = time.perf_counter() - wall
  iterator.close()
  return count / wall, None if workers else count / cpu


class Stopwatch:
  """Adds up the thread's seconds inside the functions of `STAGES`."""

  def __init__(self):
    self.seconds = collections.Counter()
    self.files = []
    for stage, (module, name) in STAGES.items():
      setattr(module, name, self._watch(stage, getattr(module, name)))

  def _watch(self, stage, function):
    @functools.wraps(function)
    def timed(*arguments, **options):
      if stage == "decode photo":
        self.files.append(arguments[0])
      start = time.thread_time()
      try:
        return function(*arguments, **options)
      finally:
        self.seconds[stage] += time.thread_time() - start

    return timed


def measure_stages(source, crop, options, watch):
  """Milliseconds a photo of each stage; the best of a few rounds each."""
  order = np.random.default_rng(0).permutation(len(source))
  order = np.resize(order, max(options.photos, options.batch_size))
  rounds = []
  for turn in range(REPEATS + 1):
    watch.seconds.clear()
    watch.files.clear()
    samples, start = [], time.thread_time()
    reading = stacking = 0.0
    for place, index in enumerate(order):
      began = time.thread_time()
      photo = source[int(index)]
      reading += time.thread_time() - began
      generator = np.random.default_rng(place)
      samples.append(augment.augment(photo, crop, generator))
      if len(samples) == options.batch_size:
        began = time.thread_time()
        for key in ("image", "roi"):
          np.stack([sample[key] for sample in samples])
        stacking += time.thread_time() - began
        samples = []
    whole = time.thread_time() - start
    seconds = {stage: watch.seconds[stage] for stage in STAGES}
    decoding = seconds["decode photo"] + seconds["decode mask"]
    rest = whole - stacking - reading - sum(seconds.values()) + decoding
    # The first turn warms up, and reads what a source keeps.
    if turn:
      rounds.append(
        {
          "read": reading - decoding,
          **seconds,
          "flip, to float": rest,
          "stack": stacking,
          "all": whole,
          "Pillow alone": measure_floor(watch.files),
        }
      )
  return {
    stage: 1000 * min(seconds[stage] for seconds in rounds) / len(order)
    for stage in rounds[0]
  }


def measure_floor(files):
  """Seconds to open and decode the files, without any array."""
  start = time.thread_time()
  for data in files:
    with Image.open(io.BytesIO(data)) as image:
      image.load()
  return time.thread_time() - start


def print_rates(title, rates, options):
  """The first table: a row for each number of readers."""
  table = Table("readers", title=title)
  for crop in options.crops:
    table.add_column(f"{crop}: images/s", justify="right")
    table.add_column("per CPU second", justify="right")
  lines = ["workers,crop,images_per_second,images_per_cpu_second"]
  for workers in options.workers:
    cells = []
    for crop in options.crops:
      wall, cpu = rates[workers, crop]
      cells += [f"{wall:.0f}", f"{cpu:.0f}" if cpu else ""]
      lines.append(f"{workers},{crop},{wall:.1f},{cpu or ''}")
    table.add_row(str(workers), *cells)
  Console(width=100).print(table)
  return lines


def print_stages(title, stages, options):
  """The second table: milliseconds of a core, and what a core can feed."""
  table = Table("stage", title=title)
  for crop in options.crops:
    table.add_column(f"{crop}: ms", justify="right")
    table.add_column("share", justify="right")
  for stage in stages[options.crops[0]]:
    cells = []
    for crop in options.crops:
      value = stages[crop][stage]
      cells += [f"{value:.3f}", f"{value / stages[crop]['all']:.0%}"]
    table.add_row(stage, *cells, end_section=stage in ("stack", "all"))
  Console(width=100).print(table)
  for crop in options.crops:
    rate, floor = (
      1000 / max(stages[crop][key], 1e-9) for key in ("all", "Pillow alone")
    )
    words = f"; decoding alone would be {floor:.0f}" if floor < 1e6 else ""
    print(
      f"crop {crop}: {rate:.0f} images/s a core{words}; "
      f"{TARGET} images/s need {TARGET / rate:.1f} cores"
    )
  crops = ",".join(f"ms_{crop}" for crop in options.crops)
  return [f"stage,{crops}"] + [
    ",".join(
      [stage.replace(",", ""), *(f"{stages[c][stage]:.4f}" for c in stages)]
    )
    for stage in stages[options.crops[0]]
  ]


def main():
  """Measures, prints and saves."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--data", default="sample:train")
  parser.add_argument("--data_dir", default=None)
  parser.add_argument("--crops", type=int, nargs="+", default=[128, 256])
  parser.add_argument("--workers", type=int, nargs="*", default=[0, 1, 2, 4, 8])
  parser.add_argument("--batch_size", type=int, default=16)
  parser.add_argument("--seconds", type=float, default=8.0)
  parser.add_argument("--photos", type=int, default=320)
  parser.add_argument("--out", default="runs/pipeline.csv")
  options = parser.parse_args()
  source = open_source(options.data, options.data_dir)
  title = f"{source.name}, batches of {options.batch_size}"

  rates = {}
  cases = [(w, c) for w in options.workers for c in options.crops]
  for workers, crop in track(cases, "iterator", transient=True):
    rates[workers, crop] = measure_iterator(source, crop, workers, options)
  out = pathlib.Path(options.out)
  if rates:
    lines = print_rates(title, rates, options)
    write_whole(out, "\n".join(lines).encode() + b"\n")

  watch = Stopwatch()
  stages = {
    crop: measure_stages(source, crop, options, watch)
    for crop in track(options.crops, "stages", transient=True)
  }
  lines = print_stages(f"one core, {source.name}", stages, options)
  out = out.with_stem(out.stem + "_stages")
  write_whole(out, "\n".join(lines).encode() + b"\n")


# Reader processes import this file.
if __name__ == "__main__":
  sys.exit(exit_code(main))
