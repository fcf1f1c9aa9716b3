"""Lines, tables and files of a run's rows."""

import csv
import io
import json
import os
import pathlib
import platform
import sys

from rich.table import Table

from roijax.files import write_whole

PARTS = (
  "analysis",
  "synthesis",
  "entropy networks",
  "likelihood",
  "optimizer, average",
)


def describe(row: dict) -> str:
  """A line: the case, its time, its floor, its largest part."""
  name = (
    f"{row['variant']} {row['framework']}, {row['dtype']}, "
    f"{row['batch']} x {row['crop']}, {row['devices']} device(s): "
  )
  if "failed" in row:
    return name + row["failed"]
  name += f"{row['step_s']:.4g} s a step"
  if "floor_s" in row:
    name += (
      f"; floor {row['floor_s']:.3g} s ({row['flops'] / 1e9:.4g} GFLOP at "
      f"{row['peak_flops'] / 1e9:.4g} GFLOP/s)"
    )
  if "parts" in row:
    largest = max(row["parts"], key=row["parts"].__getitem__)
    share = row["parts"][largest] / row[row["parts_clock"]]
    name += f"; largest part: {largest}, {share:.0%}"
  if "gradient_error" in row:
    name += (
      f"; same loss to {row['loss_error']:.0e}, gradients to "
      f"{row['gradient_error']:.0e}"
    )
  return name


def write_rows(out: pathlib.Path, rows: list[dict]) -> None:
  """Writes OUT.json and OUT.csv whole, as far as the run is."""
  machine = {
    "platform": platform.platform(),
    "cores": len(os.sched_getaffinity(0)),
    "load": os.getloadavg(),
    "command": sys.argv,
  }
  text = json.dumps({"machine": machine, "rows": rows}, indent=2)
  write_whole(out.with_suffix(".json"), text.encode())
  flat = []
  for row in rows:
    parts = {f"{k}_s": v for k, v in row.get("parts", {}).items()}
    flat.append({k: v for k, v in row.items() if k != "parts"} | parts)
  names = dict.fromkeys(name for row in flat for name in row)
  file = io.StringIO()
  writer = csv.DictWriter(file, list(names))
  writer.writeheader()
  writer.writerows(flat)
  write_whole(out.with_suffix(".csv"), file.getvalue().encode())


def _cell(value, form: str, unit: float = 1.0) -> str:
  return format(value / unit, form) if value is not None else ""


def _name_cells(row: dict) -> list[str]:
  by = "" if row["framework"] == "jax" else f", torch {row['framework']}"
  kind = {"float32": "f32", "bfloat16": "bf16"}[row["dtype"]]
  return [
    f"{row['variant']}{by}",
    f"{row['batch']} x {row['crop']}",
    kind,
    str(row["devices"]),
  ]


def _make_table(title: str, columns) -> Table:
  table = Table(title=title)
  for name in ("variant", "batch", "type", "dev."):
    table.add_column(name, no_wrap=True)
  for name in columns:
    table.add_column(name, justify="right")
  return table


# Title: key, format, unit.
SPEED = {
  "step s": ("step_s", ".4g", 1),
  "CPU s": ("step_cpu_s", ".4g", 1),
  "loop s": ("loop_s", ".4g", 1),
  "images/s": ("images_s", ".3g", 1),
  "GFLOP": ("flops", ".4g", 1e9),
  "GFLOP/s": ("flops_s", ".4g", 1e9),
  "of peak": ("utilisation", ".1%", 1),
  "floor s": ("floor_s", ".3g", 1),
}
COSTS = {
  "trace s": ("trace_s", ".1f", 1),
  "compile s": ("compile_s", ".1f", 1),
  "CPU s": ("compile_cpu_s", ".1f", 1),
  "program MiB": ("program_mib", ".0f", 1),
  "before": ("base_mib", ".0f", 1),
  "stepping": ("stepping_mib", ".0f", 1),
  "process": ("process_peak_mib", ".0f", 1),
}
PIPELINE = {
  "batch alone": ("next_alone_s", ".3g", 1e-3),
  "batch waited": ("next_in_loop_s", ".3g", 1e-3),
  "loop with data": ("data_loop_s", ".3g", 1e-3),
}


def _fill(table: Table, rows: list[dict], columns: dict) -> Table:
  for row in rows:
    cells = [
      _cell(row.get(key), form, unit) for key, form, unit in columns.values()
    ]
    if "failed" in row:
      # The whole line was printed before, and is in the files.
      is_short = len(row["failed"]) < 20
      cells = [row["failed"] if is_short else "failed: see above"]
    table.add_row(*_name_cells(row), *cells)
  return table


def make_tables(rows: list[dict]) -> list[Table]:
  """The tables of speed, of what a step needs, and of its parts."""
  device = next((row["device"] for row in rows if "device" in row), "no device")
  cores, load = len(os.sched_getaffinity(0)), os.getloadavg()[1]
  title = f"A training step on {device}, {cores} core(s), load {load:.1f}"
  done = [row for row in rows if "failed" not in row]
  tables = [_fill(_make_table(title, SPEED), rows, SPEED)]
  if done:
    table = _make_table("What it needs first, and memory", COSTS)
    tables.append(_fill(table, done, COSTS))
  if any("parts" in row for row in done):
    tables.append(_make_parts_table(done))
  if any("next_alone_s" in row for row in done):
    table = _make_table("The input pipeline, milliseconds a batch", PIPELINE)
    with_data = [row for row in done if "next_alone_s" in row]
    tables.append(_fill(table, with_data, PIPELINE))
  return tables


def _make_parts_table(rows: list[dict]) -> Table:
  title = "Milliseconds of the parts, and share of the step"
  table = _make_table(title, (*PARTS, "sum", "step"))
  for row in rows:
    if "parts" not in row:
      continue
    # Busy seconds on a CPU, the clock's elsewhere.
    whole = row[row["parts_clock"]]
    seconds = [*(row["parts"][name] for name in PARTS), row["parts_sum_s"]]
    cells = [f"{1e3 * part:.3g} ({part / whole:.0%})" for part in seconds]
    table.add_row(*_name_cells(row), *cells, f"{1e3 * whole:.4g}")
  return table
