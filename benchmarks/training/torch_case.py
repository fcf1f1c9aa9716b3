"""The twin's training step, in a process of its own; prints JSON.

    python -m benchmarks.training.torch_case '{...}' reference.npz

The argument is a `case.Case` with the framework "eager",
"channels_last" or "compile". Before anything is timed, loss and gradients of
the reference must come out the same. The step is what a user of PyTorch would
write: draws, loss, backward, clipping, fused Adam, the parameters' average.
"""

import json
import sys

import numpy as np
import torch

from benchmarks.training import meters
from benchmarks.training.torch_twin import Twin, from_torch

MODES = ("eager", "channels_last", "compile")
# Relative: of the loss, and of the norm of each gradient's error.
TOLERANCES = {"float32": (1e-5, 2e-3), "bfloat16": (2e-2, None)}


def _section(arrays, name) -> dict:
  prefix = f"{name}:"
  return {
    key.removeprefix(prefix): arrays[key]
    for key in arrays.files
    if key.startswith(prefix)
  }


def _set_precision(exact: bool) -> None:
  """TF32 as in JAX, where the device has it; none of it for the check."""
  torch.set_float32_matmul_precision("highest" if exact else "high")
  torch.backends.cudnn.allow_tf32 = not exact


def _to_nchw(value: np.ndarray, device) -> torch.Tensor:
  tensor = torch.from_numpy(np.ascontiguousarray(value)).to(device)
  if tensor.ndim == 4:
    tensor = tensor.permute(0, 3, 1, 2).contiguous()
  return tensor


def compare(twin: Twin, arrays, dtype: str, device) -> dict:
  """Holds the twin to the reference.

  Args:
    twin: with the reference's parameters.
    arrays: what `case.write_reference` wrote.
    dtype: of the transforms.
    device: where the twin lies.

  Returns:
    The relative error of the loss, the largest one of a gradient, and whose.

  Raises:
    SystemExit: it is another network; the line says by how much.
  """
  batch = _section(arrays, "batch")
  names = ("image", "roi", "quality", "background", "noise_y", "noise_z")
  loss = twin(*(_to_nchw(batch[name], device) for name in names))
  loss.backward()
  right = float(arrays["loss"])
  loss_error = abs(loss.item() - right) / abs(right)
  errors = {}
  for path, expected in _section(arrays, "gradient").items():
    gradient = twin.weights[path].grad.float().cpu().numpy()
    gradient = from_torch(path, gradient, expected.ndim)
    norm = np.linalg.norm(expected)
    errors[path] = float(np.linalg.norm(gradient - expected) / (norm + 1e-12))
  worst = max(errors, key=errors.__getitem__)
  most_loss, most_gradient = TOLERANCES[dtype]
  is_same = loss_error <= most_loss
  if most_gradient is not None:
    is_same &= errors[worst] <= most_gradient
  if not is_same:
    sys.exit(
      f"the twin is another network: its loss is off by {loss_error:.1e}, "
      f"the gradient of {worst} by {errors[worst]:.1e}"
    )
  return {
    "loss_error": loss_error,
    "gradient_error": errors[worst],
    "gradient_error_of": worst,
  }


class _Step:
  """One update, with all that `steps.make_train_step` does."""

  def __init__(self, twin: Twin, loss, case: dict, config: dict, device):
    self.loss, self.device = loss, device
    self.params = list(twin.parameters())
    self.average = [p.detach().clone() for p in self.params]
    self.decay = config["ema_decay"]
    self.background = config["loss"]
    self.rates = len(twin.model["lmbdas"])
    self.optimizer = torch.optim.Adam(self.params, lr=1e-4, fused=True)
    size, crop = case["batch"], case["crop"]
    generator = torch.Generator().manual_seed(0)

    def draw(channels, scale):
      dims = (size, channels, crop // scale, crop // scale)
      return torch.rand(dims, generator=generator)

    layout = torch.contiguous_format
    if case["framework"] == "channels_last":
      layout = torch.channels_last
    self.batch = [
      draw(3, 1).contiguous(memory_format=layout),
      (draw(1, 1) < 0.5).float(),
    ]
    self.noise = [
      (size, twin.model["latent_channels"], crop // 16, crop // 16),
      (size, twin.model["hyper_channels"], crop // 64, crop // 64),
    ]

  def __call__(self):
    device, options = self.device, self.background
    x, roi = (a.to(device) for a in self.batch)
    quality = torch.rand(len(x), device=device) * (self.rates - 1)
    level = torch.rand(len(x), device=device)
    low, high = options["background_low"], options["background_high"]
    background = low * (high / low) ** level
    noise = [torch.rand(dims, device=device) - 0.5 for dims in self.noise]
    loss = self.loss(x, roi, quality, background, *noise)
    self.optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(self.params, 1.0, foreach=True)
    self.optimizer.step()
    with torch.no_grad():
      torch._foreach_lerp_(self.average, self.params, 1 - self.decay)
    if device.type == "cuda":
      torch.cuda.synchronize()


def measure(case: dict, arrays, base: float) -> dict:
  """All figures of a case."""
  device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
  config = json.loads(str(arrays["config"]))
  config["model"]["dtype"] = case["dtype"]

  def make_twin():
    params = _section(arrays, "params")
    return Twin(config["model"], config["loss"], params).to(device)

  _set_precision(exact=True)
  found = compare(make_twin(), arrays, case["dtype"], device)
  checking = meters.peak_mib()
  _set_precision(exact=False)
  meters.forget_peak()
  twin = make_twin()
  if case["framework"] == "channels_last":
    twin = twin.to(memory_format=torch.channels_last)
  loss = torch.compile(twin) if case["framework"] == "compile" else twin
  step = _Step(twin, loss, case, config, device)
  first = meters.time_call(step)
  if case["framework"] == "compile":
    found["compile_s"], found["compile_cpu_s"] = first
  seconds = meters.time_calls(step, case["repeats"], case["seconds"])
  found["step_s"], found["step_cpu_s"] = meters.median(seconds)
  cuda = device.type == "cuda"
  return found | {
    "device": torch.cuda.get_device_name() if cuda else "cpu",
    "threads": torch.get_num_threads(),
    "crop": case["crop"],
    "step_min_s": min(one.wall for one in seconds),
    "step_max_s": max(one.wall for one in seconds),
    "base_mib": 0.0 if cuda else base,
    "process_peak_mib": max(checking, meters.peak_mib()),
    "stepping_mib": (
      torch.cuda.max_memory_allocated() / 2**20 if cuda else meters.peak_mib()
    ),
  }


def main() -> None:
  """Measures the case given as JSON, against a reference."""
  case = json.loads(sys.argv[1])
  meters.limit_memory(case["memory_gib"])
  base = meters.resident_mib() or 0.0
  torch.manual_seed(0)
  print(json.dumps(measure(case, np.load(sys.argv[2]), base)))


if __name__ == "__main__":
  main()
