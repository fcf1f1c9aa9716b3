"""What a mask in a file costs: raw bits against the adaptive coder.

  python -m benchmarks.mask [--data=coco_roi:val] [--data_dir=data_dir]

Masks are the photos' regions as a file holds them: means over the cells of
one stride, at least one half. Rates are bits over the photo's own pixels,
means over the photos. Every mask is decoded again and compared.

`--start` prints `roijax.coding.mask.START` instead, counted in the photos of
`--data` (it was made of coco_roi:train).
"""

import argparse
import sys
import time

import numpy as np

from roijax.cli import exit_code
from roijax.coding import mask as coder
from roijax.data.sources import open_source
from roijax.errors import RoijaxError
from roijax.tiling import pool_mask

STRIDES = (16, 8)


def read_masks(source, stride: int):
  """Every photo's pixels and mask at a stride."""
  for index in range(len(source)):
    roi = source[index]["roi"]
    yield roi.size, pool_mask(roi, stride)


def measure(source, stride: int) -> dict[str, float]:
  """Mean bits a pixel, raw and ours, and microseconds a cell.

  Raises:
    AssertionError: a mask does not come back.
  """
  raw, ours, seconds, cells, plain = [], [], [0.0, 0.0], 0, 0
  for pixels, mask in read_masks(source, stride):
    start = time.perf_counter()
    data = coder.encode_mask(mask)
    middle = time.perf_counter()
    back = coder.decode_mask(data, *mask.shape)
    end = time.perf_counter()
    assert np.array_equal(back, mask), "a mask does not come back"
    raw.append(8 * -(-mask.size // 8) / pixels)
    ours.append(8 * len(data) / pixels)
    seconds[0] += middle - start
    seconds[1] += end - middle
    cells += mask.size
    plain += len(data) == 1
  return {
    "raw": float(np.mean(raw)),
    "ours": float(np.mean(ours)),
    "worst": max(ours),
    "plain": plain,
    "photos": len(ours),
    "encode_us": 1e6 * seconds[0] / cells,
    "decode_us": 1e6 * seconds[1] / cells,
  }


def count_start(source) -> np.ndarray:
  """Of 256 cells in each context, those that are ones; over both strides."""
  counts = np.zeros((2, 1 << len(coder.NEIGHBOURS)), np.int64)
  for stride in STRIDES:
    for _, mask in read_masks(source, stride):
      # Masks that are all alike are not coded cell by cell.
      if mask.any() and not mask.all():
        contexts = coder.find_contexts(mask)
        for value in (0, 1):
          chosen = contexts[mask == value]
          counts[value] += np.bincount(chosen, minlength=counts.shape[1])
  zeros, ones = counts
  share = (ones + 0.5) / (ones + zeros + 1)
  return np.clip(np.round(256 * share), 1, 255).astype(np.uint8)


def main() -> int:
  """Runs the command; returns its exit code."""
  parser = argparse.ArgumentParser(
    prog="python -m benchmarks.mask", description="What a mask costs."
  )
  parser.add_argument("--data", default="coco_roi:val")
  parser.add_argument("--data_dir", default="data_dir")
  parser.add_argument(
    "--start", action="store_true", help="count where contexts start"
  )
  options = parser.parse_args()
  try:
    source = open_source(options.data, options.data_dir)
  except RoijaxError as error:
    print(f"error: {error}", file=sys.stderr)
    return 2
  if options.start:
    print(count_start(source).tobytes().hex())
    return 0
  print(
    f"{'stride':>6}{'raw bpp':>10}{'ours':>10}{'worst':>10}"
    f"{'encode':>12}{'decode':>12}"
  )
  for stride in STRIDES:
    found = measure(source, stride)
    print(
      f"{stride:6}{found['raw']:10.5f}{found['ours']:10.5f}"
      f"{found['worst']:10.5f}{found['encode_us']:6.1f} us/cell"
      f"{found['decode_us']:5.1f} us/cell"
    )
  print(f"{found['photos']} photos, {found['plain']} all alike at stride 8")
  return 0


if __name__ == "__main__":
  sys.exit(exit_code(main))
