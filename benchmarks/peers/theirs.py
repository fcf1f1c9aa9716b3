"""One of CompressAI's models in a process of its own; prints JSON.

    ENV/bin/python -m benchmarks.peers.theirs \\
      '{"model": "mbt2018-mean", "layout": "channels_last", ...}'

Imports nothing of roijax, whose packages that environment need not have. The
step is that of CompressAI's training example: Adam for the network, another
for the quantiles.
"""

import json
import os
import sys

import numpy as np
import torch
from compressai.losses import RateDistortionLoss
from compressai.zoo import image_models
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.training import meters

LMBDA = 0.0067


def time_median(call, case: dict) -> float:
  """Median seconds of a call, by the clock."""
  return meters.median(
    meters.time_calls(call, case["repeats"], case["seconds"])
  ).wall


def build(case: dict):
  """The model, and what brings a batch into its layout."""
  torch.manual_seed(0)
  model = image_models[case["model"]](case["quality"], pretrained=False)
  layout = torch.contiguous_format
  if case["layout"] == "channels_last":
    layout = torch.channels_last
  return model.to(memory_format=layout), lambda x: x.to(memory_format=layout)


def measure_coding(case: dict) -> dict:
  """Size, one forward pass, and strings made and read."""
  model, place = build(case)
  model.eval().update(force=True)
  with Image.open(case["photo"]) as photo:
    pixels = np.asarray(photo.convert("RGB"), np.float32) / 255
  x = place(torch.from_numpy(pixels).permute(2, 0, 1)[None])
  # The counter follows gradients.
  with FlopCounterMode(display=False) as counter:
    model(x)
  with torch.inference_mode():
    coded = model.compress(x)
    return {
      "parameters": sum(p.numel() for p in model.parameters()),
      "macs": counter.get_total_flops() // 2,
      "forward_s": time_median(lambda: model(x), case),
      "encode_s": time_median(lambda: model.compress(x), case),
      "decode_s": time_median(
        lambda: model.decompress(coded["strings"], coded["shape"]), case
      ),
    }


def measure_step(case: dict) -> dict:
  """Seconds of a training step, and the memory that steps need."""
  model, place = build(case)
  model.train()
  quantiles = [
    p for name, p in model.named_parameters() if name.endswith("quantiles")
  ]
  others = [
    p for name, p in model.named_parameters() if not name.endswith("quantiles")
  ]
  optimizer = torch.optim.Adam(others, 1e-4)
  auxiliary = torch.optim.Adam(quantiles, 1e-3)
  criterion = RateDistortionLoss(lmbda=LMBDA)
  x = place(torch.rand(case["batch"], 3, case["crop"], case["crop"]))

  def step():
    optimizer.zero_grad()
    auxiliary.zero_grad()
    loss = criterion(model(x), x)["loss"]
    loss.backward()
    torch.nn.utils.clip_grad_norm_(others, 1.0)
    optimizer.step()
    model.aux_loss().backward()
    auxiliary.step()

  step()
  meters.forget_peak()
  return {"step_s": time_median(step, case), "step_peak_mib": meters.peak_mib()}


def main() -> None:
  """Measures the case given as JSON."""
  case = json.loads(sys.argv[1])
  torch.set_num_threads(len(os.sched_getaffinity(0)))
  tasks = {"code": measure_coding, "step": measure_step}
  print(json.dumps(tasks[case["task"]](case)))


if __name__ == "__main__":
  main()
