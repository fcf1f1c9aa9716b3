"""Attention in windows: which way is quickest, and what remat saves.

  python -m benchmarks.attention
  python -m benchmarks.attention --memory

Every way starts from what the layer's first product gives, [B, K, N, 3 A D],
and ends in what its last one takes, [B, K, N, A D]: `ours` is
`roijax.layers.swin.attend`; `jax` is `jax.nn.dot_product_attention`, which
chooses by itself; `cudnn` its fused kernel (bfloat16, on a GPU); `mapped` is
ours for one row of windows after the other (`lax.map`). With a bias, and with
the mask of windows that are moved, as in every second block. Seconds are busy
ones on a CPU, the clock's elsewhere; the least of the repeats, for a machine
that others use too.

With --memory: what a training step of a Swin model needs, with its blocks kept
and computed again (`stages.remat`). `kept` is what the forward pass hands to
the backward one, by JAX; `plan` what the compiler sets aside for temporaries,
which may undo the former: XLA's CPU compiler does. Nothing is run.
"""

import argparse
import functools
import sys
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.training import meters
from roijax.cli import exit_code
from roijax.layers.swin import attend, window_groups

WINDOW = 8


class Shape(NamedTuple):
  """A picture's features, and the heads that read them."""

  name: str
  batch: int
  height: int
  width: int
  channels: int
  heads: int


SHAPES = (
  Shape("768x512 at 1/4", 1, 128, 192, 192, 8),
  Shape("768x512 at 1/8", 1, 64, 96, 192, 8),
  Shape("768x512 at 1/16", 1, 32, 48, 192, 8),
  Shape("768x512 at 1/8, 4 heads", 1, 64, 96, 128, 4),
  Shape("8 crops of 256 at 1/8", 8, 32, 32, 192, 8),
  Shape("4 crops of 128 at 1/8, 4 heads", 4, 16, 16, 128, 4),
)


def ours(joined, bias, mask, heads):
  """As `WindowAttention` does it."""
  batch, count, area, _ = joined.shape
  parts = joined.reshape(batch, count, area, 3, heads, -1)
  query, key, value = parts.transpose(3, 0, 1, 4, 2, 5)
  out = attend(query, key, value, bias, mask)
  return out.swapaxes(2, 3).reshape(batch, count, area, -1)


def dot_product(joined, bias, mask, heads, implementation=None):
  """As the library does it; windows are its batch."""
  batch, count, area, _ = joined.shape
  parts = joined.reshape(batch * count, area, 3, heads, -1)
  if mask is not None:
    mask = jnp.broadcast_to(mask[None], (batch, *mask.shape))
    mask = mask.reshape(batch * count, 1, area, area)
  out = jax.nn.dot_product_attention(
    *(parts[:, :, i] for i in range(3)),
    bias=bias[None].astype(joined.dtype),
    mask=mask,
    implementation=implementation,
  )
  return out.reshape(batch, count, area, -1)


def mapped(joined, bias, mask, heads, columns):
  """Ours, for one row of windows after the other."""
  batch, count, area, width = joined.shape
  rows = joined.reshape(batch, count // columns, columns, area, width)
  rows = rows.swapaxes(0, 1)
  if mask is None:
    out = jax.lax.map(lambda row: ours(row, bias, None, heads), rows)
  else:
    masks = mask.reshape(-1, columns, area, area)
    out = jax.lax.map(
      lambda both: ours(both[0], bias, both[1], heads), (rows, masks)
    )
  return out.swapaxes(0, 1).reshape(batch, count, area, -1)


def list_ways(shape: Shape, dtype: str) -> dict[str, Callable]:
  """Every way that this machine offers."""
  ways = {
    "ours": functools.partial(ours, heads=shape.heads),
    "jax": functools.partial(dot_product, heads=shape.heads),
    "mapped": functools.partial(
      mapped, heads=shape.heads, columns=shape.width // WINDOW
    ),
  }
  if jax.default_backend() == "gpu" and dtype == "bfloat16":
    ways["cudnn"] = functools.partial(
      dot_product, heads=shape.heads, implementation="cudnn"
    )
  return ways


def measure(shape: Shape, dtype: str, moved: bool, repeats: int) -> list[dict]:
  """Seconds of every way, forward and with its gradient.

  Raises:
    AssertionError: two ways do not give the same.
  """
  rng = np.random.default_rng(0)
  area, count = WINDOW**2, shape.height * shape.width // WINDOW**2

  def draw(*dims):
    return jnp.asarray(rng.standard_normal(dims), dtype)

  joined = draw(shape.batch, count, area, 3 * shape.channels)
  bias = draw(shape.heads, area, area)
  pull = draw(shape.batch, count, area, shape.channels)
  mask = None
  if moved:
    groups = window_groups(shape.height, shape.width, WINDOW, WINDOW // 2)
    asks, is_asked = map(jnp.asarray, groups)
    mask = asks[:, :, None] == is_asked[:, None, :]
  rows, expected = [], None
  for name, way in list_ways(shape, dtype).items():
    row = {"shape": shape.name, "dtype": dtype, "moved": moved, "way": name}
    forward = jax.jit(way)

    def backward(joined, bias, pull, mask, way=way):
      _, pullback = jax.vjp(lambda *a: way(*a, mask), joined, bias)
      return pullback(pull)

    try:
      found = np.asarray(forward(joined, bias, mask), np.float32)
    except (RuntimeError, ValueError, NotImplementedError) as error:
      rows.append({**row, "failed": " ".join(str(error).split())[:100]})
      continue
    expected = found if expected is None else expected
    np.testing.assert_allclose(
      found, expected, atol=1e-4 if dtype == "float32" else 0.1
    )
    row["forward_s"] = _time(forward, (joined, bias, mask), repeats)
    program = jax.jit(backward)
    row["gradient_s"] = _time(program, (joined, bias, pull, mask), repeats)
    rows.append(row)
  return rows


def _time(program, arguments, repeats) -> float:
  calls = meters.time_calls(
    lambda: jax.block_until_ready(program(*arguments)), repeats, 30.0
  )
  on_cpu = jax.default_backend() == "cpu"
  return min(one.cpu if on_cpu else one.wall for one in calls)


def plan_memory(variant: str, batch: int, crop: int, dtype: str) -> list[dict]:
  """What a training step needs, with blocks kept and computed again."""
  from configs.swin import get_config
  from roijax.models.registry import build_model
  from roijax.training.objective import make_loss_fn

  def floats(*dims):
    return jax.ShapeDtypeStruct(dims, jnp.float32)

  image, roi = (floats(batch, crop, crop, channels) for channels in (3, 1))
  keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), batch))
  rows = []
  for remat in (False, True):
    config = get_config(variant)
    config.model.stages.remat = remat
    config.model.dtype = dtype
    model = build_model(config.system, config.model)
    params = jax.eval_shape(
      model.init, jax.random.key(0), image, roi, floats(batch), keys
    )["params"]
    loss_fn = make_loss_fn(model, config)

    def forward(params, batch, keys, loss_fn=loss_fn):
      return loss_fn(params, {}, batch, keys)[0]

    arguments = (params, {"image": image, "roi": roi}, keys)
    _, pullback = jax.eval_shape(
      lambda params, *rest, f=forward: jax.vjp(lambda p: f(p, *rest), params),
      *arguments,
    )
    kept = sum(
      leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(pullback)
    )
    step = jax.jit(jax.value_and_grad(forward))
    compiled = step.lower(*arguments).compile()
    rows.append(
      {
        "remat": remat,
        "kept_mib": kept / 2**20,
        "plan_mib": compiled.memory_analysis().temp_size_in_bytes / 2**20,
        "tflop": compiled.cost_analysis()["flops"] / 1e12,
      }
    )
  return rows


def main() -> None:
  """Measures and prints."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("--repeats", type=int, default=15)
  parser.add_argument("--only", default="", help="part of a shape's name")
  parser.add_argument("--dtype", default="float32", help="or bfloat16")
  parser.add_argument("--memory", action="store_true")
  parser.add_argument("--variant", default="", help="of configs/swin.py")
  parser.add_argument("--batch", type=int, default=8)
  parser.add_argument("--crop", type=int, default=256)
  settings = parser.parse_args()
  print(f"on {jax.devices()[0].device_kind} ({jax.default_backend()})")
  if settings.memory:
    name = f"swin:{settings.variant or 'default'}"
    print(
      f"{name}, {settings.batch} crops of {settings.crop}, {settings.dtype}"
    )
    print(f"{'blocks':18}{'kept, MiB':>12}{'plan, MiB':>12}{'TFLOP':>8}")
    for row in plan_memory(
      settings.variant, settings.batch, settings.crop, settings.dtype
    ):
      again = "computed again" if row["remat"] else "kept"
      print(
        f"{again:18}{row['kept_mib']:12,.0f}{row['plan_mib']:12,.0f}"
        f"{row['tflop']:8.2f}"
      )
    return
  print(f"{'':34}{'windows':>8}{'way':>8}{'forward':>12}{'gradient':>12}  ms")
  for shape in SHAPES:
    if settings.only not in shape.name:
      continue
    for moved in (False, True):
      for row in measure(shape, settings.dtype, moved, settings.repeats):
        where = "moved" if moved else "plain"
        told = row.get("failed") or (
          f"{1e3 * row['forward_s']:12.2f}{1e3 * row['gradient_s']:12.2f}"
        )
        print(f"{shape.name:34}{where:>8}{row['way']:>8}{told}", flush=True)


if __name__ == "__main__":
  sys.exit(exit_code(main))
