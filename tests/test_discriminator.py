"""The discriminator's layout, its condition and its spectral norms."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from roijax.layers import spectral
from roijax.layers.spectral import SpectralConv
from roijax.models.discriminator import UNetDiscriminator, init_discriminator

RNG = np.random.default_rng(0)
MODEL = UNetDiscriminator(width=4, condition=3)
X = RNG.random((1, 64, 64, 3), np.float32)
Y_HAT = RNG.standard_normal((1, 4, 4, 5), np.float32)


@pytest.fixture(name="started", scope="module")
def _started():
  return init_discriminator(MODEL, jax.random.key(0), 5)


@pytest.fixture(name="judge", scope="module")
def _judge(started):
  """(x, y_hat) -> logits; the parameters are arguments of the program."""
  program = jax.jit(
    lambda params, vectors, x, y_hat: MODEL.apply(
      {"params": params, "spectral": vectors}, x, y_hat
    )
  )
  return lambda x, y_hat: program(*started, jnp.asarray(x), jnp.asarray(y_hat))


def test_every_pixel_gets_a_logit_and_the_widths_are_the_paper_s(judge):
  assert judge(X, Y_HAT).shape == (1, 64, 64)
  shapes = jax.eval_shape(
    lambda key: init_discriminator(UNetDiscriminator(), key, 192),
    jax.random.key(0),
  )[0]
  sizes = {name: layer["kernel"].shape for name, layer in shapes.items()}
  assert sizes == {
    "condition": (3, 3, 192, 12),
    "first": (3, 3, 15, 64),
    "down_0": (4, 4, 64, 128),
    "down_1": (4, 4, 128, 256),
    "down_2": (4, 4, 256, 512),
    "up_2": (3, 3, 512, 256),
    "up_1": (3, 3, 256, 128),
    "up_0": (3, 3, 128, 64),
    "refine_0": (3, 3, 64, 64),
    "refine_1": (3, 3, 64, 64),
    "logits": (3, 3, 64, 1),
  }
  # Spectral norms would undo the scale of a bias, and have none.
  biased = {name for name, layer in shapes.items() if "bias" in layer}
  assert biased == {"condition", "first", "logits"}


def test_the_latent_matters_where_it_lies(judge):
  plain = judge(X, Y_HAT)
  moved = Y_HAT.copy()
  moved[0, 0, 0] += 3
  change = np.abs(judge(X, moved) - plain)[0]
  # Far away only what the coarse levels carry: less than where it is.
  assert change[:32, :32].max() > 1e-3
  assert change[48:, 48:].max() < 0.1 * change.max()


@pytest.mark.parametrize(("size", "stride"), [(3, 1), (4, 2)])
def test_a_kernel_is_divided_by_its_largest_singular_value(size, stride):
  conv = SpectralConv(6, size, stride)
  x = jnp.asarray(RNG.random((2, 8, 8, 3), np.float32))
  made = conv.init(jax.random.key(1), x)
  params = jax.tree.map(lambda kernel: 7 * kernel, made["params"])
  vectors = spectral.advance(params, made["spectral"], steps=200)
  matrix = np.asarray(params["kernel"], np.float64).reshape(-1, 6)
  sigma = np.linalg.svd(matrix, compute_uv=False)[0]
  pad = (size - stride + 1) // 2
  expected = jax.lax.conv_general_dilated(
    x,
    params["kernel"] / sigma,
    (stride, stride),
    ((pad, pad), (pad, pad)),
    dimension_numbers=("NHWC", "HWIO", "NHWC"),
  )
  found = conv.apply({"params": params, "spectral": vectors}, x)
  assert found.shape == (2, 8 // stride, 8 // stride, 6)
  np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_advancing_is_one_step_of_power_iteration():
  kernel = RNG.standard_normal((3, 3, 2, 4), np.float32)
  matrix = kernel.reshape(18, 4).astype(np.float64)
  right = np.full(4, 0.5)
  left = matrix @ right
  left /= np.linalg.norm(left)
  after = left @ matrix
  after /= np.linalg.norm(after)
  vectors = {
    "up": {"left": jnp.zeros(18), "right": jnp.asarray(right, jnp.float32)}
  }
  found = spectral.advance({"up": {"kernel": kernel}, "first": {}}, vectors)
  np.testing.assert_allclose(found["up"]["left"], left, rtol=1e-5)
  np.testing.assert_allclose(found["up"]["right"], after, rtol=1e-5)


def test_the_vectors_have_begun_to_settle(started):
  params, vectors = started
  for name, pair in vectors.items():
    matrix = np.asarray(params[name]["kernel"])
    matrix = matrix.reshape(-1, matrix.shape[-1])
    first = np.linalg.svd(matrix, compute_uv=False)[0]
    sigma = pair["left"] @ matrix @ pair["right"]
    assert 0.8 * first < sigma < 1.0001 * first, name


def test_a_forward_pass_moves_no_vector():
  conv = SpectralConv(4)
  x = jnp.asarray(X[:, :8, :8])
  made = conv.init(jax.random.key(1), x)
  _, changed = conv.apply(made, x, mutable=["spectral"])
  jax.tree.map(
    np.testing.assert_array_equal, changed["spectral"], made["spectral"]
  )


def test_the_norm_has_a_gradient():
  # kernel / sigma does not change with the kernel's length: the gradient is
  # at right angles to it. Without sigma's part it would not be.
  conv = SpectralConv(4)
  x = jnp.asarray(RNG.random((1, 6, 6, 2), np.float32))
  made = conv.init(jax.random.key(2), x)

  def total(params):
    out = conv.apply({**made, "params": params}, x)
    return jnp.sum(nn.tanh(out))

  gradient = jax.jit(jax.grad(total))(made["params"])["kernel"]
  kernel = made["params"]["kernel"]
  length = jnp.linalg.norm(gradient) * jnp.linalg.norm(kernel)
  assert abs(float(jnp.sum(gradient * kernel))) < 1e-5 * float(length)
