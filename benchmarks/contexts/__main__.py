"""What does each context save, and what does it cost?

    python -m benchmarks.contexts --data_dir=data_dir --photos=folder:KODAK

A codec's transforms are frozen; contexts are fitted to its latents from
scratch, each for the same CPU seconds, and charged for the latents of other
photos. Then a photo of 768x512 is coded with each, as a real file; causal
attention in wavefronts and, as it was published, position after position.
Two measurements (`--parts`): bits, speed. Give it a core of its own, as with
`taskset -c 0`: seconds are CPU seconds.
"""

import argparse
import dataclasses
import json
import pathlib
import sys

import jax

from benchmarks.claims.latents import (
  draw_held_out_latents,
  draw_training_latents,
  open_frozen,
)
from benchmarks.claims.report import print_table
from benchmarks.codec import write_photo
from benchmarks.contexts import arms, fit, speed
from roijax.cli import exit_code
from roijax.data.images import read_image
from roijax.data.sources import open_source
from roijax.files import write_whole
from roijax.layers.causal_attention import CausalAttention
from roijax.programs import use_compilation_cache
from roijax.weights import index
from roijax.weights.archive import load_weights

PARTS = ("bits", "speed")
CROP = 512
QUALITIES = (1.0, 3.0, 5.0)
SIZE = (32, 48)


def _parse():
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("--checkpoint", default="ggm-small-2")
  parser.add_argument("--data", default="coco_roi:train", help="to fit to")
  parser.add_argument("--data_dir", default=None)
  parser.add_argument(
    "--photos", default="folder:kodak", help="to charge for, 512 a side or more"
  )
  parser.add_argument("--seconds", type=float, default=240, help="CPU, each")
  parser.add_argument("--crops", type=int, default=2048, help="to fit to")
  parser.add_argument("--seed", type=int, default=0)
  parser.add_argument("--contexts", help="names, joined by ';'; all of them")
  parser.add_argument("--parts", default=",".join(PARTS))
  parser.add_argument("--out", default="runs/contexts")
  settings = parser.parse_args()
  settings.parts = settings.parts.split(",")
  unknown = set(settings.parts) - set(PARTS)
  if unknown:
    parser.error(f"unknown parts: {', '.join(sorted(unknown))}")
  return settings


def _choose(settings, frozen):
  """The contexts that are asked for, made."""
  every = arms.make_arms(
    frozen.model.latent_channels,
    frozen.model.prior.outputs,
    frozen.arguments["slices"],
  )
  names = settings.contexts.split(";") if settings.contexts else list(every)
  unknown = set(names) - set(every)
  if unknown:
    raise SystemExit(
      f"unknown contexts {', '.join(sorted(unknown))}; there are: "
      f"{'; '.join(every)}"
    )
  return {name: every[name]() for name in names}


def _fit_all(settings, frozen, contexts) -> tuple[dict, list[dict]]:
  """Fitted parameters by name, and the table's rows."""
  source = open_source(settings.data, settings.data_dir)
  seen = draw_training_latents(
    frozen, source, settings.crops, seed=settings.seed
  )
  photos = open_source(settings.photos, settings.data_dir)
  unseen = draw_held_out_latents(frozen, photos, qualities=QUALITIES, crop=CROP)
  features = [fit.find_h(frozen, latents) for latents in (seen, unseen)]
  fitted, rows = {}, []
  for name, context in contexts.items():
    one = fit.Fit(frozen, context)
    found = one.fit(seen, features[0], settings.seconds, settings.seed)
    rates = one.rates(found.params, unseen, features[1])
    fitted[name] = found.params
    rows.append(
      {
        "context": name,
        "parameters": fit.count_parameters(found.params["context"]),
        "passes": len(context.order.passes(*SIZE)),
        "steps": found.steps,
        "seconds": found.seconds,
        **{f"bpp at {quality:g}": bpp for quality, bpp in rates.items()},
        "bpp": sum(rates.values()) / len(rates),
      }
    )
    rows[-1][f"% of {rows[0]['context']}"] = (
      100 * rows[-1]["bpp"] / rows[0]["bpp"]
    )
    print(f"{name}: {found.steps} steps, {rows[-1]['bpp']:.4f} bpp", flush=True)
  print_table(
    f"{frozen.name}: bits of y of {len(unseen.y)} held-out crops, "
    f"{settings.seconds:g} CPU seconds each",
    rows,
  )
  return fitted, rows


def _time_all(settings, frozen, contexts, fitted, image) -> list[dict]:
  weights = load_weights(index.find(settings.checkpoint))
  rows = []
  for name, context in contexts.items():
    one = fit.Fit(frozen, context)
    params = fitted.get(name)
    if params is None:
      params = one.start(frozen.arguments["hyper_features"], settings.seed)
    orders = {name: context}
    if isinstance(context, CausalAttention):
      orders[f"{name}, serial"] = arms.as_serial(context)
    for title, made in orders.items():
      codec = speed.swap_context(weights, made, one.whole(params))
      rows.append(dataclasses.asdict(speed.measure(title, codec, image)))
  shape = "x".join(map(str, image.shape[1::-1]))
  print_table(f"{frozen.name}: {shape}, CPU seconds", rows)
  return rows


def main() -> None:
  """Measures what is asked for, prints and saves."""
  settings = _parse()
  use_compilation_cache()
  out = pathlib.Path(settings.out)
  out.mkdir(parents=True, exist_ok=True)
  frozen = open_frozen(index.find(settings.checkpoint))
  contexts = _choose(settings, frozen)
  fitted, results = {}, {"seconds": settings.seconds, "jax": jax.__version__}
  if "bits" in settings.parts:
    fitted, results["bits"] = _fit_all(settings, frozen, contexts)
    write_whole(out / "contexts.json", json.dumps(results, indent=1).encode())
  if "speed" in settings.parts:
    write_photo(out / "photo.png")
    image = read_image(out / "photo.png")
    results["speed"] = _time_all(settings, frozen, contexts, fitted, image)
    write_whole(out / "contexts.json", json.dumps(results, indent=1).encode())
  print(f"figures: {out / 'contexts.json'}")


if __name__ == "__main__":
  sys.exit(exit_code(main))
