"""Does a file decode on every machine, how near is it to failing, what is paid?

    python -m benchmarks.exactness
    python -m benchmarks.exactness --wavefront=RUN --photo=KODAK/kodim23.png \\
      --photos=KODAK --out=runs/exactness

Table indexes come from float networks, and one that differs between encoder and
decoder ruins all that follows. So they are computed in float64 on the CPU, and
what lies within 1e-9 of a boundary is listed in the file. Four measurements
(`--parts`):

  machines  processes compiled for several instruction sets, and of one thread
            and of many, encode a photo and decode each other's files
  noise     decoding with noise in every entropy parameter of every pass
  drift     table positions and means of two machines, pass by pass
  cost      bytes of the list over `--photos`; seconds of float64 and float32

All of it also for weights with a serial context (`--wavefront`, trained with
`configs/ggm.py:wavefront`), which feeds means back from pass to pass far more
often than the slices of a checkerboard.
"""

import argparse
import dataclasses
import json
import pathlib
import shutil
import sys

from benchmarks.claims.report import print_table
from benchmarks.codec import write_photo
from benchmarks.exactness import cost, drift, machines, noise, report
from roijax.cli import exit_code
from roijax.codec import Codec
from roijax.data.images import read_image
from roijax.data.sources import open_source
from roijax.files import write_whole
from roijax.weights import index

PARTS = ("machines", "noise", "drift", "cost")
DRIFT_SETS = ("AVX512", "SSE4_2")


def _parse():
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("--checkpoint", help="the default weights if absent")
  parser.add_argument("--wavefront", help="weights with a serial context")
  parser.add_argument("--photo", help="a bundled one at 768x512 by default")
  parser.add_argument(
    "--photos", default="sample:val", help="to count lists and flips"
  )
  parser.add_argument("--data_dir", default=None)
  parser.add_argument("--qualities", default="1,3.5,6")
  parser.add_argument("--repeats", type=int, default=3, help="a noise amount")
  parser.add_argument("--parts", default=",".join(PARTS))
  parser.add_argument("--out", default="runs/exactness")
  settings = parser.parse_args()
  settings.parts = settings.parts.split(",")
  unknown = set(settings.parts) - set(PARTS)
  if unknown:
    parser.error(f"unknown parts: {', '.join(sorted(unknown))}")
  return settings


def _cross(contexts, photo) -> dict:
  chosen = machines.list_machines()
  results, rows = {}, []
  for name, (path, _) in contexts.items():
    found = results[name] = machines.cross(path, str(photo), chosen)
    shown = {k: v for k, v in found.items() if k not in ("machines", "bytes")}
    rows.append({"context": name, **shown, "errors": len(found["errors"])})
  print_table(f"machines: {', '.join(x.name for x in chosen)}", rows)
  return results


def _measure_noise(settings, name, codec, image) -> list[dict]:
  rows = noise.decode_with_noise(codec, image, repeats=settings.repeats)
  print_table(f"{name}: decoding with noise", rows)
  return [dataclasses.asdict(row) for row in rows]


def _measure_drifts(contexts, image, source, out) -> dict:
  pair = [machines.Machine(x, f"--xla_cpu_max_isa={x}") for x in DRIFT_SETS]
  images = [image, *(source[i]["image"] for i in range(len(source)))]
  found = {
    name: drift.measure_drift(path, [codec.compress(x) for x in images], pair)
    for name, (path, codec) in contexts.items()
  }
  first = {name: drifts.pop(0) for name, drifts in found.items()}
  report.draw_drift(out / "drift.png", first)
  rows = []
  for name, drifts in found.items():
    rows += report.summarise_drift(name, drifts)
  print_table("the same symbols on two machines", rows)
  for name, drifts in found.items():
    print(report.describe_distances(name, drifts))
  curves = {name: dataclasses.asdict(one) for name, one in first.items()}
  return {"photos": rows, "photo": curves}


def _measure_costs(settings, contexts, image, source) -> dict:
  qualities = [float(x) for x in settings.qualities.split(",")]
  results, rows = {}, []
  for name, (_, codec) in contexts.items():
    lists = cost.measure_list(codec, source, qualities)
    seconds = cost.measure_seconds(codec, codec.compress(image))
    both = {**dataclasses.asdict(lists), **dataclasses.asdict(seconds)}
    results[name] = both
    rows.append({"context": name, **both})
  print_table("the list, and seconds of a photo's entropy networks", rows)
  return results


def main() -> None:
  """Measures what is asked for; prints, saves and draws."""
  settings = _parse()
  source = open_source(settings.photos, settings.data_dir)
  out = pathlib.Path(settings.out)
  out.mkdir(parents=True, exist_ok=True)
  photo = out / "photo.png"
  if settings.photo:
    shutil.copyfile(settings.photo, photo)
  else:
    write_photo(photo)
  image = read_image(photo)
  contexts = {}
  named = [settings.checkpoint]
  if settings.wavefront:
    named.append(settings.wavefront)
  for one in named:
    path = pathlib.Path(index.find(one)).resolve()
    contexts[one or path.stem] = (str(path), Codec.load(path))
  results = {}
  if "machines" in settings.parts:
    results["machines"] = _cross(contexts, photo.resolve())
  if "noise" in settings.parts:
    results["noise"] = {
      name: _measure_noise(settings, name, codec, image)
      for name, (_, codec) in contexts.items()
    }
  if "drift" in settings.parts:
    results["drift"] = _measure_drifts(contexts, image, source, out)
  if "cost" in settings.parts:
    results["cost"] = _measure_costs(settings, contexts, image, source)
  write_whole(out / "exactness.json", json.dumps(results, indent=1).encode())
  print(f"figures and plot: {out}")


if __name__ == "__main__":
  sys.exit(exit_code(main))
