import jax
import jax.numpy as jnp
import numpy as np
import pytest

from roijax.executables import Executables


def double(x):
  return {"twice": 2 * x}


@pytest.fixture(name="traces")
def _traces():
  """Makes programs afresh, as new processes do, and counts their traces."""
  count = []

  def make():
    def traced(x):
      count.append(1)
      return double(x)

    return jax.jit(traced)

  return make, count


def run(folder, program, x, identity="model"):
  found = Executables(folder, identity).get("double", program, (x,))
  return np.asarray(found(x)["twice"])


X = np.arange(6, dtype=np.float32)


def test_a_stored_program_computes_without_being_traced_again(tmp_path, traces):
  make, count = traces
  np.testing.assert_array_equal(run(tmp_path, make(), X), 2 * X)
  again = jax.jit(lambda x: pytest.fail("traced"))
  np.testing.assert_array_equal(run(tmp_path, again, X + 1), 2 * X + 2)
  assert len(count) == 1


@pytest.mark.parametrize(
  ("x", "identity"),
  [(X[:3], "model"), (X.astype(np.int32), "model"), (X, "another")],
)
def test_other_sizes_types_and_models_are_other_programs(
  tmp_path, traces, x, identity
):
  make, count = traces
  run(tmp_path, make(), X)
  np.testing.assert_array_equal(run(tmp_path, make(), x, identity), 2 * x)
  assert len(count) == 2


def test_float64_is_another_program(tmp_path, traces):
  make, count = traces
  run(tmp_path, make(), X)
  with jax.enable_x64(True):
    found = Executables(tmp_path, "model").get("double", make(), (X / 3,))
    assert found(X / 3)["twice"].dtype == jnp.float32
  assert len(count) == 2


@pytest.mark.parametrize("content", [b"", b"noise", None])
def test_a_damaged_or_shared_file_is_made_again(tmp_path, traces, content):
  make, count = traces
  run(tmp_path, make(), X)
  (file,) = tmp_path.glob("*.program")
  if content is None:
    file.chmod(0o666)  # Others could have written it.
  else:
    file.write_bytes(content)
  np.testing.assert_array_equal(run(tmp_path, make(), X), 2 * X)
  assert len(count) == 2
  assert file.stat().st_mode & 0o077 == 0


def test_a_folder_that_cannot_be_written_costs_nothing_but_time(
  tmp_path, traces
):
  make, _ = traces
  blocked = tmp_path / "file"
  blocked.write_bytes(b"")
  np.testing.assert_array_equal(run(blocked / "folder", make(), X), 2 * X)


def test_a_value_is_computed_once_and_again_for_another_model(tmp_path):
  made = []

  def make():
    made.append(1)
    return {"made": len(made)}

  def get(identity, name="value"):
    return Executables(tmp_path, identity).get_value(name, make)

  assert get("model") == get("model") == {"made": 1}
  assert get("another") == {"made": 2}
  assert get("model", "another") == {"made": 3}
  for file in tmp_path.glob("*.value"):
    file.write_bytes(b"noise")
  assert get("model") == {"made": 4}
