"""Imports point down only; this reads them."""

import ast
import os
import subprocess
import sys

import pytest
from smoke_model import ROOT

PACKAGE = ROOT / "roijax"
FILES = sorted(PACKAGE.rglob("*.py"))

# What each part may import of roijax, beside itself. `grid` is the one
# thing of coding that probability models share with it, `passes` the one that
# contexts do.
LOW = {"roijax.errors", "roijax.files"}
MATHS = {"roijax.ops", "roijax.coding.grid", "roijax.entropy", "roijax.layers"}
ALLOWED = {
  "roijax": {"roijax.api"},
  "roijax.errors": set(),
  "roijax.files": {"roijax.errors"},
  "roijax.onnx_file": {"roijax.errors"},
  "roijax.coding": {"roijax.errors"},
  "roijax.ops": set(),
  "roijax.entropy": {"roijax.ops", "roijax.coding.grid"},
  "roijax.layers": {"roijax.ops", "roijax.entropy", "roijax.coding.passes"},
  "roijax.models": {
    "roijax.coding.mask",
    "roijax.coding.passes",
    "roijax.errors",
    *MATHS,
  },
  "roijax.losses": {"roijax.ops"},
  "roijax.metrics": {"roijax.ops", "roijax.errors"},
  # Some sources of regions are networks.
  "roijax.roi": {
    "roijax.data.images",
    "roijax.data.pillow_limits",
    "roijax.onnx_file",
    "roijax.predictor",
    "roijax.weights",
    *LOW,
  },
  "roijax.predictor": {
    "roijax.executables",
    "roijax.models",
    "roijax.programs",
    "roijax.roi.similarity",
    "roijax.weights",
    *LOW,
  },
  "roijax.data": {"roijax.roi", *LOW},
  # The version stands on the cards.
  "roijax.weights": {"roijax", "roijax.coding", "roijax.entropy", *LOW},
  "roijax.tiling": {"roijax.coding", "roijax.programs", *LOW},
  "roijax.walk": {
    "roijax.coding",
    "roijax.programs",
    "roijax.tiling",
    *LOW,
  },
  "roijax.directions": {
    "roijax.coding",
    "roijax.tiling",
    "roijax.walk",
    *LOW,
  },
  "roijax.checks": {"roijax.coding", *LOW},
  "roijax.codec": {
    "roijax.checks",
    "roijax.coding",
    "roijax.directions",
    "roijax.efforts",
    "roijax.executables",
    "roijax.models",
    "roijax.programs",
    "roijax.refinement",
    "roijax.tiling",
    "roijax.walk",
    "roijax.weights",
    *LOW,
  },
  "roijax.boxed": {"roijax.coding", "roijax.data", *LOW},
  "roijax.api": {
    "roijax.boxed",
    "roijax.codec",
    "roijax.coding",
    "roijax.data",
    "roijax.roi",
    "roijax.weights",
    *LOW,
  },
  "roijax.efforts": set(LOW),
  "roijax.programs": {
    "roijax.coding.passes",
    "roijax.executables",
    "roijax.models",
    *LOW,
  },
  "roijax.refinement": {
    "roijax.coding.groups",
    "roijax.models.flow",
    "roijax.ops",
    "roijax.programs",
    "roijax.tiling",
  },
  "roijax.executables": set(LOW),
  "roijax.training": {
    "roijax.coding.mask",
    "roijax.data",
    "roijax.losses",
    "roijax.metrics",
    "roijax.models",
    "roijax.predictor",
    "roijax.weights",
    *LOW,
    *MATHS,
  },
  "roijax.evaluation": {
    "roijax.codec",
    "roijax.coding",
    "roijax.data",
    "roijax.layers",
    "roijax.losses.perceptual",
    "roijax.metrics",
    "roijax.models.vgg",
    "roijax.onnx_file",
    "roijax.predictor",
    "roijax.roi",
    "roijax.weights.perceptual",
    *LOW,
  },
  "roijax.commands": {
    "roijax.boxed",
    "roijax.codec",
    "roijax.coding",
    "roijax.data",
    "roijax.efforts",
    "roijax.evaluation",
    "roijax.roi",
    "roijax.weights",
    *LOW,
  },
  "roijax.cli": {"roijax", "roijax.commands", *LOW},
  "roijax.__main__": {"roijax.cli"},
}


def _name(path):
  parts = path.relative_to(ROOT).with_suffix("").parts
  return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imported(tree):
  """Names of all modules that a file imports, wherever in it."""
  for node in ast.walk(tree):
    if isinstance(node, ast.Import):
      yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
      assert node.level == 0, "relative imports hide where they point"
      for alias in node.names:
        yield f"{node.module}.{alias.name}"


def _tree(path):
  return ast.parse(path.read_text(encoding="utf-8"))


def _is_in(name, part):
  return name == part or name.startswith(part + ".")


def _part(name):
  return ".".join(name.split(".")[:2])


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_imports_point_down(path):
  name = _name(path)
  own = _part(name)
  allowed = {own, *ALLOWED[own]}
  for target in _imported(_tree(path)):
    if not _is_in(target, "roijax"):
      continue
    # `import roijax` gives the version; it is no way to reach the rest.
    reached = "roijax" in allowed and target == "roijax"
    assert reached or any(
      _is_in(target, part) for part in allowed - {"roijax"}
    ), f"{name} imports {target}"


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_coding_and_evaluation_s_figures_need_no_jax(path):
  name = _name(path)
  alone = ("coding", "metrics", "roi", "data")
  if not any(_is_in(name, f"roijax.{part}") for part in alone):
    return
  for target in _imported(_tree(path)):
    for package in ("jax", "flax", "optax"):
      assert not _is_in(target, package), f"{name} imports {target}"


def test_one_file_names_pmap():
  names = {
    _name(path)
    for path in FILES
    for node in ast.walk(_tree(path))
    if "pmap" in (getattr(node, "attr", ""), getattr(node, "id", ""))
  }
  assert names == {"roijax.training.parallel"}


def test_no_file_is_a_drawer_for_what_fits_nowhere():
  drawers = {"utils", "helpers", "common", "misc"}
  assert not drawers & {path.stem for path in FILES}


def test_no_file_is_long():
  assert [
    _name(path)
    for path in FILES
    if len(path.read_text(encoding="utf-8").splitlines()) > 400
  ] == []


@pytest.mark.parametrize(
  "modules", ["roijax", "roijax.coding.coder", "roijax.cli", "roijax.metrics"]
)
def test_light_parts_import_nothing_heavy(modules):
  script = (
    f"import sys, {modules}\n"
    "heavy = {'jax', 'flax', 'optax', 'tensorflow', 'orbax', 'grain',\n"
    "         'tensorflow_datasets', 'matplotlib', 'skimage'}\n"
    "print(*sorted(heavy & set(sys.modules)))"
  )
  done = subprocess.run(
    [sys.executable, "-c", script],
    cwd=ROOT,
    capture_output=True,
    text=True,
    check=True,
  )
  assert done.stdout.strip() == ""


def test_coding_photos_needs_nothing_that_training_needs():
  script = (
    "import sys, roijax.codec\n"
    "training = {'optax', 'orbax', 'grain', 'ml_collections', 'skimage',\n"
    "            'tensorflow_datasets', 'pycocotools', 'tensorboardX'}\n"
    "print(*sorted(training & set(sys.modules)))"
  )
  done = subprocess.run(
    [sys.executable, "-c", script],
    cwd=ROOT,
    capture_output=True,
    text=True,
    check=True,
  )
  assert done.stdout.strip() == ""


def test_coding_again_needs_no_flax(smoke_path, tmp_path):
  # Importing Flax takes a third of a second.
  script = (
    "import sys, numpy as np\n"
    "from roijax.codec import Codec\n"
    f"codec = Codec.load({str(smoke_path)!r}, keep_programs=True)\n"
    "photo = np.zeros((64, 64, 3), np.uint8)\n"
    "codec.decompress(codec.compress(photo, effort=1))\n"
    "print('flax' in sys.modules)"
  )
  environment = {
    **os.environ,
    "XDG_CACHE_HOME": str(tmp_path),
    # Elsewhere programs are not kept whole.
    "JAX_PLATFORMS": "cpu",
  }
  first, second = (
    subprocess.run(
      [sys.executable, "-c", script],
      cwd=ROOT,
      env=environment,
      capture_output=True,
      text=True,
      check=True,
    ).stdout.strip()
    for _ in range(2)
  )
  assert (first, second) == ("True", "False")
