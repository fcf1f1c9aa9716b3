"""An endless stream of training batches, the same on any machine.

The order is decided once for all processes:

  photos -> shuffle -> repeat -> augment -> batch -> this process's batches

Every stage is a lazy function of its global index, so a process computes only
its own batches, and sample n of global batch b is the same photo, crop and map
for one process or eight, and for no reader process or four. (Slicing before
the augmentation would seed the crops by each process's own count instead.)
A photo that cannot be read is replaced by the next one and told; see
`skipping`.
"""

import gc
import sys
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from roijax.data.augment import augment
from roijax.data.photo import Source
from roijax.data.skipping import ReplacingReader, SkippedPhotos
from roijax.errors import ConfigError, DataError

Batch = dict[str, np.ndarray]
Augment = Callable[[Any, int, np.random.Generator], Batch]

# Decoding threads inside the training process when there are no readers, and
# batches held ready.
READ_THREADS = 2
BUFFERED_BATCHES = 4

# Samples of a stream: more than anybody draws. Grain cannot count an endless
# repetition in batches of one.
ENDLESS = 1 << 62

# Larger than an ordinary photo's arrays, below glibc's limit of 32 MiB.
HELD_BYTES = 31 << 20

# The entry of a batch that carries what was skipped; taken off before use.
SKIPPED = "skipped"


class TrainIterator:
  """Batches of `image` [B, crop, crop, 3] and `roi` [B, crop, crop, 1].

  Both are float32 in [0, 1]. The iterator never ends. Its state is the number
  of global batches drawn and a description of where they came from, so it may
  be resumed with another number of readers or processes.

  Made by `make_train_iterator`.
  """

  def __init__(self, batches, identity, process_index, process_count, workers):
    self._batches = batches
    self._identity = identity
    self._process_index = process_index
    self._process_count = process_count
    self._workers = workers
    self._skipped = SkippedPhotos(identity["source"], identity["photos"])
    self._finish = None
    self._seek(0)

  def __iter__(self) -> "TrainIterator":
    """Returns itself."""
    return self

  def __next__(self) -> Batch:
    """Returns this process's part of the next global batch.

    Raises:
      DataError: too many photos cannot be read.
    """
    batch = dict(next(self._streams[0]))
    self._drawn += 1
    self._skipped.add(batch.pop(SKIPPED))
    if not self._workers:
      return batch
    # Readers hand over shared memory, which must not outlive them.
    return {key: np.array(value) for key, value in batch.items()}

  @property
  def skipped(self) -> dict[int, str]:
    """What this iterator could not read: a line for each photo's index."""
    return dict(self._skipped.lines)

  def get_state(self) -> dict[str, Any]:
    """Returns what `set_state` needs to go on here; fit for JSON."""
    return {"batches_drawn": self._drawn, "dataset": dict(self._identity)}

  def set_state(self, state: dict[str, Any]) -> None:
    """Goes on where `get_state` was called.

    Args:
      state: from `get_state`, of the same photos, crop, batch and seed.

    Raises:
      DataError: the state belongs to another dataset; names what differs.
    """
    try:
      saved, drawn = dict(state["dataset"]), int(state["batches_drawn"])
    except (KeyError, TypeError, ValueError) as error:
      raise DataError("this is no data-iterator state") from error
    differing = [
      f"{key} was {saved.get(key)!r} and is {value!r}"
      for key, value in self._identity.items()
      if saved.get(key) != value
    ]
    if differing:
      raise DataError(
        f"iterator state of another dataset: {', '.join(differing)}; use the "
        "same data settings or a new workdir"
      )
    self._seek(drawn)

  def close(self) -> None:
    """Stops the reader processes; says on stderr how much was skipped."""
    if self._stop() and self._skipped.lines:
      print(self._skipped.describe(), file=sys.stderr, flush=True)

  def _stop(self) -> bool:
    """Stops reading; says whether it was still going on."""
    if self._finish is None or not self._finish.alive:
      return False
    self._finish()
    return True

  def _seek(self, drawn: int) -> None:
    import grain

    self._stop()
    self._drawn = drawn
    first = drawn * self._process_count + self._process_index
    own = self._batches[first :: self._process_count]
    threads = 1 if self._workers else READ_THREADS
    stream = own.to_iter_dataset(
      grain.ReadOptions(
        num_threads=threads, prefetch_buffer_size=BUFFERED_BATCHES
      )
    )
    if self._workers:
      _allow_workers()
      stream = stream.mp_prefetch(
        grain.MultiprocessingOptions(num_workers=self._workers),
        worker_init_fn=_hold_memory,
      )
    else:
      _hold_memory()
    self._streams = [iter(stream)]
    # Also runs when the interpreter ends, before what readers need is gone.
    self._finish = weakref.finalize(self, _close, self._streams)


def make_train_iterator(
  source: Source,
  *,
  crop: int,
  batch_size: int,
  seed: int,
  process_index: int = 0,
  process_count: int = 1,
  workers: int = 0,
  augment: Augment = augment,
) -> TrainIterator:
  """Builds the stream of training batches.

  Args:
    source: the photos; must be picklable when there are workers.
    crop: side of the square samples, in pixels.
    batch_size: samples in a batch of this process; a global batch holds
      `batch_size * process_count`, this process's part being the contiguous
      samples from `process_index * batch_size` on.
    seed: decides the order, the crops and the random maps.
    process_index: which process this is.
    process_count: how many processes train together.
    workers: reader processes; 0 reads in threads of this process. A script
      that uses them needs an `if __name__ == "__main__"` guard.
    augment: makes a sample of a photo, a crop and a generator; picklable when
      there are workers.

  Returns:
    An endless iterator with `get_state` and `set_state`.

  Raises:
    ConfigError: a number is out of its range.
  """
  import grain

  if min(crop, batch_size, process_count) < 1 or workers < 0:
    raise ConfigError(
      f"crop ({crop}), batch_size ({batch_size}) and process_count "
      f"({process_count}) must be positive, workers ({workers}) not negative"
    )
  if not 0 <= process_index < process_count:
    raise ConfigError(
      f"process_index {process_index} is not below process_count "
      f"{process_count}"
    )
  batches = (
    grain.MapDataset.source(ReplacingReader(source))
    .seed(seed)
    .shuffle()
    .repeat(ENDLESS // max(len(source), 1))
    .random_map(_Augment(augment, crop))
    .batch(batch_size)
  )
  identity = {
    "source": source.name,
    "photos": len(source),
    "crop": crop,
    "batch_size": batch_size * process_count,
    "seed": seed,
  }
  return TrainIterator(batches, identity, process_index, process_count, workers)


class _Augment:
  """An `Augment` of a fixed crop; passes reports of bad photos on."""

  def __init__(self, augment: Augment, crop: int):
    self._augment = augment
    self._crop = crop

  def __call__(self, read, generator):
    photo, report = read
    sample = self._augment(photo, self._crop, generator)
    return {**sample, SKIPPED: np.array(report)}


def _close(streams: list) -> None:
  """Closes and forgets streams, with the cycles that Grain ties them into."""
  while streams:
    streams.pop().close()
  gc.collect()


def _hold_memory(*_: int) -> None:
  """Lets this process keep the memory that it frees between photos.

  glibc gives freed blocks back to the system, to be cleared page by page when
  the next photo asks for them: up to a tenth of the time. It stops doing so
  for blocks as large as the largest one freed so far.
  """
  np.empty(HELD_BYTES, np.uint8)


def _allow_workers() -> None:
  """Marks absl's flags as parsed, which Grain's reader processes insist on."""
  from absl import flags

  if not flags.FLAGS.is_parsed():
    flags.FLAGS.mark_as_parsed()
