"""System A in PyTorch, weight for weight: what `--torch` times.

    x, roi --analysis--> * gain --> y --hyper_analysis--> z --> h
    h, slices of y --checkerboard--> GGM-e bits     y_hat / gain --> x_hat

The flow of `roijax.models.flow` and the loss of `roijax.training.objective`
with PyTorch's own layers, NCHW. It serves both variants (residual/GDN trunk
with a convolutional hyper path; patchify trunk with a depthwise one). Weights
keep their Flax paths, in PyTorch's layouts; `torch_case.py` holds it to the
loss and the gradients of the original before it is timed.
"""

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.training.torch_likelihood import (
  factorized_bits,
  ggm_e_bits,
  lower_bound,
)
from roijax.layers.checkerboard import CROSS, NEAR
from roijax.layers.gdn import BETA_MIN
from roijax.models.trunks.patchify import FACTORS, SKIP_SCALE

_PEDESTAL = 2.0**-36


def to_torch(path: str, value: np.ndarray) -> np.ndarray:
  """A Flax array in PyTorch's layout; every dense layer is a 1x1 kernel."""
  if path.endswith("/kernel"):
    if value.ndim == 4:
      return value.transpose(3, 2, 0, 1)
    if value.ndim == 3:
      return value.transpose(2, 0, 1)[:, None]
    return value.T[:, :, None, None]
  return value


def from_torch(path: str, value: np.ndarray, ndim: int) -> np.ndarray:
  """Inverts `to_torch`, for an array that had `ndim` dimensions."""
  if path.endswith("/kernel"):
    if ndim == 4:
      return value.transpose(2, 3, 1, 0)
    if ndim == 3:
      return value[:, 0].transpose(1, 2, 0)
    return value[:, :, 0, 0].T
  return value


def space_to_depth(x: Tensor, block: int) -> Tensor:
  """Patches into channels, in the order of `roijax.ops.resample`."""
  batch, channels, height, width = x.shape
  x = x.reshape(batch, channels, height // block, block, width // block, block)
  return x.permute(0, 3, 5, 1, 2, 4).reshape(
    batch, block * block * channels, height // block, width // block
  )


def _without_means(patches: Tensor) -> Tensor:
  """`patchify.without_means`."""
  pixels = patches.unflatten(1, (-1, 3))
  return (pixels - pixels.mean(1, keepdim=True)).flatten(1, 2)


def depth_to_space(x: Tensor, block: int) -> Tensor:
  """Inverts `space_to_depth`."""
  batch, channels, height, width = x.shape
  depth = channels // block**2
  x = x.reshape(batch, block, block, depth, height, width)
  return x.permute(0, 3, 4, 1, 5, 2).reshape(
    batch, depth, height * block, width * block
  )


def _gelu(x):
  return functional.gelu(x, approximate="tanh")


def _interpolate(table, quality):
  last = table.shape[0] - 1
  place = quality.clamp(0, last)
  low = place.floor().clamp(0, max(last - 1, 0)).long()
  weight = (place - low)[:, None]
  high = (low + 1).clamp(max=last)
  return table[low] * (1 - weight) + table[high] * weight


def _round_ste(x):
  return x + (x.round() - x).detach()


class Twin(nn.Module):
  """The network and its loss.

  Attributes:
    weights: parameters by their Flax paths.
  """

  def __init__(self, model: dict, loss: dict, params: dict[str, np.ndarray]):
    """Takes `config.model`, `config.loss` and Flax parameters by path."""
    super().__init__()
    self.model = model
    self.balance = loss["balance"]
    self.dtype = getattr(torch, model["dtype"])
    self.weights = nn.ParameterDict(
      {
        path: nn.Parameter(
          torch.tensor(np.ascontiguousarray(to_torch(path, value)))
        )
        for path, value in params.items()
      }
    )
    lmbdas = torch.tensor(model["lmbdas"], dtype=torch.float32)
    self.register_buffer("log_lmbdas", lmbdas.log()[:, None])

  def conv(self, name, x, dtype=torch.float32, stride=1):
    """A convolution with Flax's "SAME" padding; depthwise if so weighted."""
    weight = self.weights[f"{name}/kernel"].to(dtype)
    bias = f"{name}/bias"
    bias = self.weights[bias].to(dtype) if bias in self.weights else None
    padding = weight.shape[-1] // 2
    if stride > 1 and padding:
      # Flax puts the odd pixel behind.
      x = functional.pad(x, (0, padding, 0, padding))
      padding = 0
    elif stride > 1:
      # The same pixels; the strided kernel's gradient writes beyond its memory
      # for 3 channels in channels_last (PyTorch 2.13, CPU).
      x, stride = x[:, :, ::stride, ::stride], 1
    groups = x.shape[1] // weight.shape[1]
    return functional.conv2d(
      x.to(dtype), weight, bias, stride, padding, groups=groups
    )

  def gdn(self, name, x, inverse=False):
    """`roijax.layers.gdn`."""
    beta = lower_bound(
      self.weights[f"{name}/root_beta"], (BETA_MIN + _PEDESTAL) ** 0.5
    )
    gamma = lower_bound(self.weights[f"{name}/root_gamma"], _PEDESTAL**0.5)
    gamma = gamma**2 - _PEDESTAL
    energy = functional.conv2d(
      x.float() ** 2, gamma[:, :, None, None], beta**2 - _PEDESTAL
    )
    return (x * (energy.sqrt() if inverse else energy.rsqrt())).to(x.dtype)

  def depthwise_block(self, name, x, dtype=torch.float32):
    """`DepthwiseBlock`."""
    hidden = self.conv(f"{name}/DepthwiseConv_0", x, dtype)
    hidden = self.conv(f"{name}/Dense_0", hidden, dtype)
    hidden = functional.leaky_relu(hidden, 0.1)
    return x + self.conv(f"{name}/Dense_1", hidden, dtype)

  def residual_block(self, name, x):
    """`ResidualBlock` where the width stays."""
    hidden = _gelu(self.conv(f"{name}/Conv_0", x, self.dtype))
    return x + _gelu(self.conv(f"{name}/Conv_1", hidden, self.dtype))

  def mgfe(self, name, x, roi, dtype):
    """`MGFE`: attention, then collaboration."""
    options = self.model["mgfe"]
    hidden = self.conv(f"{name}/attention/Conv_0", roi, dtype)
    attention = self.conv(f"{name}/attention/Conv_1", hidden, dtype).sigmoid()
    x = (
      x * (1 + attention)
      if options["attention"]["residual"]
      else (x * attention)
    )
    name = f"{name}/collaboration"
    inner = x
    if f"{name}/reduce/kernel" in self.weights:
      inner = self.conv(f"{name}/reduce", x, dtype)
    frequency = self._frequency(name, inner, dtype)
    spatial = _gelu(self.conv(f"{name}/DepthwiseConv_0", inner, dtype))
    spatial = self.conv(f"{name}/spatial", spatial, dtype)
    both = (
      frequency * self.conv(f"{name}/gate_f", spatial, dtype).sigmoid(),
      spatial * self.conv(f"{name}/gate_s", frequency, dtype).sigmoid(),
    )
    return x + self.conv(f"{name}/join", torch.cat(both, 1), dtype)

  def _frequency(self, name, x, dtype):
    window = self.model["mgfe"]["collaboration"]["window"]
    height, width = x.shape[2:]
    padded, pads = x.float(), (0, -width % window, 0, -height % window)
    if any(pads):
      padded = functional.pad(padded, pads, mode="replicate")
    batch, channels, rows, columns = padded.shape
    tiles = padded.reshape(
      batch, channels, rows // window, window, columns // window, window
    )
    spectrum = torch.fft.rfft2(tiles.transpose(3, 4), norm="ortho")
    places = spectrum.shape[2:]
    flat = torch.cat((spectrum.real, spectrum.imag), 1)
    # Which window and which frequency a number belongs to is nothing to it.
    flat = flat.reshape(batch, 2 * channels, places[0] * places[1], -1)
    flat = _gelu(self.conv(f"{name}/spectrum_in", flat, dtype))
    flat = self.conv(f"{name}/spectrum_out", flat, dtype).float()
    real, imaginary = flat.reshape(batch, 2 * channels, *places).chunk(2, 1)
    signal = torch.fft.irfft2(
      torch.complex(real, imaginary), (window, window), norm="ortho"
    )
    signal = signal.transpose(3, 4).reshape(batch, channels, rows, columns)
    return signal[:, :, :height, :width].to(x.dtype)

  def analysis(self, x, roi):
    """The latent before the gain; what makes it is float32."""
    patchify = self.model["trunk"]["name"] == "patchify"
    photo = x
    for i, factor in enumerate(FACTORS if patchify else (2, 2, 2, 2)):
      last = i == (len(FACTORS) - 1 if patchify else 3)
      dtype = torch.float32 if last else self.dtype
      if patchify:
        x = self.conv(f"analysis/down_{i}", space_to_depth(x, factor), dtype)
        if last and "analysis/skip/kernel" in self.weights:
          patches = _without_means(space_to_depth(photo, math.prod(FACTORS)))
          x = x + SKIP_SCALE * self.conv("analysis/skip", patches, dtype)
        for j in range(self.model["trunk"]["blocks"][i]):
          x = self.depthwise_block(f"analysis/block_{i}_{j}", x, dtype)
      elif last:
        x = self.conv("analysis/last", x, dtype, stride=2)
      else:
        name = f"analysis/down_{i}"
        hidden = _gelu(self.conv(f"{name}/Conv_0", x, dtype, stride=2))
        hidden = self.conv(f"{name}/Conv_1", hidden, dtype)
        skip = self.conv(f"{name}/Conv_2", x, dtype, stride=2)
        x = self.gdn(f"{name}/GDN_0", hidden) + skip
        x = self.residual_block(f"analysis/block_{i}", x)
      roi = functional.avg_pool2d(roi, factor)
      x = self.mgfe(f"analysis/condition_{i}", x, roi, dtype)
    return x.float()

  def synthesis(self, y, h):
    """x_hat from y_hat / gain."""
    logits = self.conv("synthesis/restore", h)
    x = y * logits.clamp(-5.0, 5.0).exp()
    name = "synthesis/trunk"
    if self.model["trunk"]["name"] == "patchify":
      straight = 0
      for i in reversed(range(len(FACTORS))):
        for j in range(self.model["trunk"]["blocks"][i]):
          x = self.depthwise_block(f"{name}/block_{i}_{j}", x, self.dtype)
        if i == len(FACTORS) - 1 and f"{name}/skip/kernel" in self.weights:
          skip = self.conv(f"{name}/skip", x, self.dtype)
          straight = SKIP_SCALE * depth_to_space(skip, math.prod(FACTORS))
        x = self.conv(f"{name}/up_{i}", x, self.dtype)
        x = depth_to_space(x, FACTORS[i])
      return (x + straight).float()

    def subpixel(name, x):
      return depth_to_space(self.conv(f"{name}/Conv_0", x, self.dtype), 2)

    x = self.residual_block(f"{name}/first", x)
    for i in range(3):
      up = f"{name}/up_{i}"
      hidden = _gelu(subpixel(f"{up}/SubpixelConv_0", x))
      hidden = self.conv(f"{up}/Conv_0", hidden, self.dtype)
      skip = subpixel(f"{up}/SubpixelConv_1", x)
      x = self.gdn(f"{up}/GDN_0", hidden, inverse=True) + skip
      x = self.residual_block(f"{name}/block_{i}", x)
    return subpixel(f"{name}/last", x).float()

  def hyper_analysis(self, x):
    """The hyper-latent from the features of y."""
    name = "hyper_analysis"
    if self.model["hyper"] == "depthwise":
      x = self.conv(f"{name}/in", x)
      for i in range(2):
        x = self.depthwise_block(f"{name}/block_{i}", x)
        x = self.conv(f"{name}/down_{i}", space_to_depth(x, 2))
      return x
    for i, stride in enumerate((1, 1, 2, 1, 2)):
      x = _gelu(x) if i else x
      x = self.conv(f"{name}/conv_{i}", x, stride=stride)
    return x

  def hyper_synthesis(self, z):
    """What z_hat tells of y."""
    name, x = "hyper_synthesis", z
    if self.model["hyper"] == "depthwise":
      for i in range(2):
        x = depth_to_space(self.conv(f"{name}/up_{i}", x), 2)
        x = self.depthwise_block(f"{name}/block_{i}", x)
      return x
    for i, factor in enumerate((1, 2, 1, 2, 1)):
      x = _gelu(x) if i else x
      x = self.conv(f"{name}/conv_{i}", x)
      x = depth_to_space(x, factor) if factor > 1 else x
    return x

  def _neighbours(self, name, x, offsets):
    reach = max(max(abs(r), abs(c)) for r, c in offsets)
    height, width = x.shape[2:]
    padded = functional.pad(x, (reach,) * 4)
    taps = [
      padded[:, :, reach + r :, reach + c :][:, :, :height, :width]
      for r, c in offsets
    ]
    return self.conv(name, torch.cat(taps, 1))

  def context(self, h, y):
    """The numbers [B, M, 3, h, w] that the prior wants."""
    batch, _, height, width = h.shape
    rows = torch.arange(height, device=h.device)[:, None]
    local = ((rows + torch.arange(width, device=h.device)) % 2 == 0).to(h.dtype)
    parts, start = [], 0
    for i, size in enumerate(self.model["slices"]):
      name = "context"
      own = y[:, start : start + size]
      hidden = self.conv(f"{name}/from_h_{i}", h)
      hidden = hidden + local * self._neighbours(
        f"{name}/from_anchors_{i}", own, CROSS
      )
      if i:
        hidden = hidden + self._neighbours(
          f"{name}/from_slices_{i}", y[:, :start], NEAR
        )
      hidden = _gelu(self.conv(f"{name}/middle_{i}", _gelu(hidden)))
      raw = self.conv(f"{name}/head_{i}", hidden)
      parts.append(raw.reshape(batch, size, 3, height, width))
      start += size
    return torch.cat(parts, 1)

  def _z_layers(self):
    layers = []
    for i in range(5):
      names = (f"z_prior/{kind}_{i}" for kind in ("matrix", "bias", "factor"))
      layers.append(tuple(self.weights.get(x) for x in names))
    return layers

  def forward(self, x, roi, quality, background, noise_y, noise_z):
    """The loss of a batch, NCHW, with everything random given."""
    importance = torch.maximum(roi, background[:, None, None, None])
    gain = _interpolate(self.weights["gain/log_gain"], quality).exp()
    gain = gain[:, :, None, None]
    unit = self.weights["log_unit"].exp()[None, :, None, None]
    y = self.analysis(x, importance) * gain
    pooled = functional.avg_pool2d(importance, x.shape[2] // y.shape[2])
    z = self.hyper_analysis(torch.cat((y / unit, pooled), 1))
    bits_z = factorized_bits(z + noise_z, self._z_layers())
    h = self.hyper_synthesis(_round_ste(z))
    noisy, step = y + noise_y, self.model["prior"]["step"]
    raw = self.context(h, noisy / unit)
    if self.model["rounds_context"]:
      with torch.no_grad():
        guess = ggm_e_bits(noisy, raw, unit, step)[1]
      raw = self.context(h, (_round_ste(y - guess) + guess) / unit)
    bits_y, mean = ggm_e_bits(noisy, raw, unit, step)
    y_hat = _round_ste(y - mean) + mean
    x_hat = self.synthesis(y_hat / gain, h)
    bits = bits_y.flatten(1).sum(1) + bits_z.flatten(1).sum(1)
    bpp = bits / (x.shape[2] * x.shape[3])
    mse = (importance**2 * (x - x_hat) ** 2).mean((1, 2, 3))
    lmbda = _interpolate(self.log_lmbdas, quality)[:, 0].exp()
    middle = self.log_lmbdas.mean().exp()
    loss = lmbda * 255**2 * mse + bpp
    return (loss * (middle / lmbda) ** self.balance).mean()
