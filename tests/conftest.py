"""What every test shares: eight virtual devices, strict arrays, a cache."""

import os
import pathlib
import tempfile

import jax
import pytest

jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")
CACHE = pathlib.Path(
  os.environ.get("ROIJAX_TEST_CACHE", tempfile.gettempdir())
) / "roijax-test-cache"
jax.config.update("jax_compilation_cache_dir", str(CACHE))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)


@pytest.fixture(autouse=True)
def _no_debug(monkeypatch):
  monkeypatch.delenv("ROIJAX_DEBUG", raising=False)
