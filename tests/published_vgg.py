"""VGG-16 and LPIPS's heads in the published layouts, tiny, and by SciPy."""

import numpy as np
from scipy import signal

from roijax.weights.perceptual import PLACES

WIDTHS = (2, 3, 2, 3, 2)


def make_published(widths=WIDTHS):
  """Random weights in the layouts of torchvision and of LPIPS."""
  rng = np.random.default_rng(0)
  network, channels = {}, 3
  for width, places in zip(widths, PLACES, strict=True):
    for place in places:
      shape = (width, channels, 3, 3)
      kernel = rng.standard_normal(shape) / np.sqrt(4 * channels)
      network[f"features.{place}.weight"] = kernel.astype(np.float32)
      bias = 0.1 * rng.standard_normal(width)
      network[f"features.{place}.bias"] = bias.astype(np.float32)
      channels = width
  network["classifier.0.weight"] = np.zeros((4, 4), np.float32)
  heads = {
    f"lin{i}.model.1.weight": rng.random((1, width, 1, 1), np.float32)
    for i, width in enumerate(widths)
  }
  return network, heads


def look(network, x):
  """torchvision's VGG-16 by SciPy, on its own layout: x is [H, W, 3]."""
  mean, spread = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
  x = ((x - np.array(mean)) / np.array(spread)).transpose(2, 0, 1)
  found = []
  for places in PLACES:
    if found:
      c, h, w = x.shape
      x = x[:, : h // 2 * 2, : w // 2 * 2]
      x = x.reshape(c, h // 2, 2, w // 2, 2).max(axis=(2, 4))
    for place in places:
      kernel = network[f"features.{place}.weight"].astype(np.float64)
      bias = network[f"features.{place}.bias"]
      x = np.stack(
        [
          sum(
            signal.correlate2d(plane, taps, mode="same")
            for plane, taps in zip(x, kernels, strict=True)
          )
          + shift
          for kernels, shift in zip(kernel, bias, strict=True)
        ]
      )
      x = np.maximum(x, 0)
    found.append(x.transpose(1, 2, 0))
  return found


def write_files(folder) -> None:
  """`vgg.npz` and `heads.npz`."""
  for name, arrays in zip(("vgg", "heads"), make_published(), strict=True):
    np.savez(folder / f"{name}.npz", **arrays)
