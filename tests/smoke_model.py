"""The smallest whole model, for the tests that need one.

Fitted to bundled photos, then stirred: what starts as zero or as the identity
would hide mistakes.
"""

import importlib.util
import pathlib
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

ROOT = pathlib.Path(__file__).parents[1]


class Smoke(NamedTuple):
  config: Any
  model: Any
  params: dict


def load_config_file(path: str | pathlib.Path):
  """Imports a config file, which is no part of the package."""
  path = pathlib.Path(path)
  spec = importlib.util.spec_from_file_location(f"config_{path.stem}", path)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


def read_crops(count: int, size: int, seed: int = 0) -> dict:
  """A batch of crops of the bundled photos, with their regions."""
  from roijax.data.sample import SampleSource

  source = SampleSource("train")
  rng = np.random.default_rng(seed)
  images, rois = [], []
  for i in range(count):
    photo = source[i % len(source)]
    height, width = photo["roi"].shape
    row = int(rng.integers(height - size + 1))
    column = int(rng.integers(width - size + 1))
    place = np.s_[row : row + size, column : column + size]
    images.append(photo["image"][place].astype(np.float32) / 255)
    rois.append(photo["roi"][place][..., None].astype(np.float32))
  return {"image": np.stack(images), "roi": np.stack(rois)}


def read_photo(height: int, width: int, seed: int = 0) -> np.ndarray:
  """A piece of a bundled photo, uint8."""
  size = max(height, width)
  image = read_crops(1, size, seed)["image"][0, :height, :width]
  return np.round(255 * image).astype(np.uint8)


def stir(params, seed: int = 0):
  """Adds noise to every array, in proportion to its fan-in."""
  rng = np.random.default_rng(seed)

  def one(x):
    x = np.asarray(x)
    spread = 0.15 / np.sqrt(np.prod(x.shape[:-1])) if x.ndim > 1 else 0.03
    return jnp.asarray(x + spread * rng.standard_normal(x.shape), x.dtype)

  return jax.tree.map(one, params)


def jit_once(function):
  """`jax.jit` for what runs once: compiled in half the time, and slower."""
  return jax.jit(
    function, compiler_options={"xla_backend_optimization_level": 0}
  )


def make_params(model, seed: int = 0) -> dict:
  """Random parameters of the right shapes, without compiling `init`."""
  image, roi = jnp.zeros((1, 64, 64, 3)), jnp.zeros((1, 64, 64, 1))
  keys = jax.random.split(jax.random.key(0), 1)
  shapes = jax.eval_shape(
    model.init, jax.random.key(0), image, roi, jnp.zeros(1), keys
  )["params"]
  return draw_params(shapes, seed)


def draw_params(shapes, seed: int = 0):
  """Random parameters of the shapes that `jax.eval_shape` gave."""
  rng = np.random.default_rng(seed)

  def one(path, leaf):
    x = rng.standard_normal(leaf.shape)
    x /= np.sqrt(np.prod(leaf.shape[:-1])) if leaf.ndim > 1 else 10
    # Divisors are near one, as they start.
    x += "root_beta" in path[-1].key
    return jnp.asarray(x, leaf.dtype)

  return jax.tree_util.tree_map_with_path(one, shapes)


def make_smoke() -> Smoke:
  """Builds ggm:smoke, fits its start, stirs it."""
  from roijax.models.registry import build_model
  from roijax.training.objective import init_model

  config = load_config_file(ROOT / "configs" / "ggm.py").get_config("smoke")
  model = build_model(config.system, config.model)
  params, _ = init_model(
    model, config, jax.random.key(0), read_crops(16, config.data.crop)
  )
  return Smoke(config, model, stir(params))
