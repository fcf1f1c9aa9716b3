import jax.numpy as jnp
import numpy as np

from roijax.losses.rate_distortion import (
  bits_per_pixel,
  importance_map,
  rate_distortion,
  weighted_mse,
)

RNG = np.random.default_rng(0)
X, X_HAT = (RNG.random((2, 6, 5, 3), np.float32) for _ in range(2))


def test_uniform_weights_give_the_plain_mean_squared_error():
  plain = np.mean((X - X_HAT) ** 2, axis=(1, 2, 3))
  found = weighted_mse(
    jnp.asarray(X), jnp.asarray(X_HAT), jnp.ones((2, 6, 5, 1))
  )
  np.testing.assert_allclose(found, plain, rtol=1e-6)


def test_an_error_counts_by_the_weight_of_its_place():
  weight = np.full((1, 4, 4, 1), 1 / 16, np.float32)
  weight[0, 1, 2] = 1
  for place, expected in (((0, 1, 2), 1.0), ((0, 3, 3), 1 / 16)):
    x_hat = np.zeros((1, 4, 4, 3), np.float32)
    x_hat[place] = 1
    found = weighted_mse(
      jnp.zeros((1, 4, 4, 3)), jnp.asarray(x_hat), jnp.asarray(weight)
    )
    np.testing.assert_allclose(found, [expected / 16], rtol=1e-6)


def test_rates_count_every_bit_over_the_pixels():
  y, z = np.full((2, 2, 2, 7), 3.0), np.full((2, 1, 1, 5), 2.0)
  found = bits_per_pixel(jnp.asarray(X), jnp.asarray(y), jnp.asarray(z))
  np.testing.assert_allclose(found, np.full(2, (84 + 10) / 30), rtol=1e-6)


def test_the_trade_off_is_on_the_scale_of_eight_bits():
  mse = jnp.asarray([1 / 255**2, 4 / 255**2])
  found = rate_distortion(mse, jnp.asarray([0.5, 0.25]), jnp.asarray([0.01, 1]))
  np.testing.assert_allclose(found, [0.51, 4.25], rtol=1e-6)


def test_the_importance_map_lifts_each_sample_to_its_background():
  roi = np.array([0.0, 0.2, 1.0], np.float32).reshape(1, 1, 3, 1)
  roi = jnp.asarray(np.repeat(roi, 2, axis=0))
  found = importance_map(roi, jnp.asarray([0.25, 1.0]))
  np.testing.assert_allclose(found[0].ravel(), [0.25, 0.25, 1.0])
  np.testing.assert_allclose(found[1].ravel(), [1.0, 1.0, 1.0])
