"""What every test shares: eight virtual devices, strict arrays, a cache.

And one small codec, made once: `smoke` is the model, `smoke_codec` codes
with it.
"""

import os
import pathlib
import tempfile

# Compiling is most of what the tests do, and optimising a third of compiling.
# Files made by optimised programs (tests/golden) decode all the same.
os.environ.setdefault(
  "XLA_FLAGS",
  "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true",
)

import jax
import numpy as np
import pytest
import smoke_model
from jax.experimental.compilation_cache import compilation_cache
from jaxtyping import install_import_hook

# Shapes are checked where arrays are; before any of it is imported.
install_import_hook(
  [
    f"roijax.{part}"
    for part in ("ops", "entropy", "layers", "models", "losses")
  ],
  "beartype.beartype",
)
jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")
CACHE = (
  pathlib.Path(os.environ.get("ROIJAX_TEST_CACHE", tempfile.gettempdir()))
  / "roijax-test-cache"
)
jax.config.update("jax_compilation_cache_dir", str(CACHE))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)


@pytest.fixture(autouse=True)
def _no_debug(monkeypatch):
  monkeypatch.delenv("ROIJAX_DEBUG", raising=False)


@pytest.fixture(autouse=True)
def _keep_the_compilation_cache():
  """Commands switch it off for their process, which here is all tests'."""
  yield
  if not jax.config.jax_enable_compilation_cache:
    jax.config.update("jax_enable_compilation_cache", True)
    compilation_cache.reset_cache()


@pytest.fixture(name="smoke", scope="session")
def _smoke():
  """Config, model and stirred parameters of ggm:smoke."""
  return smoke_model.make_smoke()


@pytest.fixture(name="smoke_path", scope="session")
def _smoke_path(smoke, tmp_path_factory):
  """The folder that holds its weights file."""
  from roijax.weights.archive import FILE_NAME, save_weights

  folder = tmp_path_factory.mktemp("smoke")
  model = smoke.config.model.to_dict()
  save_weights(folder / FILE_NAME, smoke.config.system, model, smoke.params)
  return folder


@pytest.fixture(name="smoke_codec", scope="session")
def _smoke_codec(smoke_path):
  """A codec that compiles its programs once for all tests."""
  from roijax.codec import Codec

  return Codec.load(smoke_path)


@pytest.fixture(name="photo", scope="session")
def _photo():
  """A piece of a bundled photo."""
  return smoke_model.read_photo(100, 128)


@pytest.fixture(name="roi", scope="session")
def _roi():
  """A rectangle in it."""
  roi = np.zeros((100, 128), np.float32)
  roi[20:70, 30:90] = 1
  return roi
