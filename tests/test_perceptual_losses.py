"""The perceptual losses against NumPy and SciPy, in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage, special

from roijax.losses import adversarial, perceptual

RNG = np.random.default_rng(0)
X, X_HAT = (RNG.random((2, 32, 48, 3), np.float32) for _ in range(2))


def _features(seed):
  rng = np.random.default_rng(seed)
  sizes = ((8, 6, 5), (4, 3, 7))
  return [
    np.maximum(rng.standard_normal((2, *size)), 0).astype(np.float32)
    for size in sizes
  ]


ONE, OTHER = _features(1), _features(2)
HEADS = [np.float32(RNG.random(n)) for n in (5, 7)]


def _jax(tree):
  return jax.tree.map(jnp.asarray, tree)


def test_l1_is_weighed_by_pixel():
  weight = RNG.random((2, 32, 48, 1), np.float32)
  found = perceptual.weighted_l1(*_jax((X, X_HAT, weight)))
  expected = np.mean(weight * np.abs(X - X_HAT), axis=(1, 2, 3))
  np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_lpips_is_the_distance_between_directions():
  expected = np.zeros(2)
  for one, other, head in zip(ONE, OTHER, HEADS, strict=True):
    for sample in range(2):
      total = 0.0
      for place in np.ndindex(one.shape[1:3]):
        units = [
          f / (np.linalg.norm(f) + 1e-10)
          for f in (one[sample][place], other[sample][place])
        ]
        total += np.dot(head, (units[0] - units[1]) ** 2)
      expected[sample] += total / np.prod(one.shape[1:3])
  found = perceptual.lpips(*_jax((ONE, OTHER, HEADS)))
  np.testing.assert_allclose(found, expected, rtol=1e-5)
  same = perceptual.lpips(*_jax((ONE, ONE, HEADS)))
  np.testing.assert_array_equal(same, 0)


def test_lpips_has_a_gradient_where_no_feature_fires():
  one, other, heads = _jax((ONE, OTHER, HEADS))
  silent = [other[0].at[0, 0].set(0.0), other[1] * 0]

  def total(features):
    return jnp.sum(perceptual.lpips(one, features, heads))

  gradient = jax.jit(jax.grad(total))(silent)
  assert all(np.isfinite(g).all() for g in gradient)
  assert np.abs(gradient[0]).max() > 0


def test_style_is_the_error_of_gram_matrices():
  expected = np.zeros(2)
  for one, other in zip(ONE, OTHER, strict=True):
    for sample in range(2):
      grams = [
        f[sample].reshape(-1, f.shape[-1]).astype(np.float64)
        for f in (one, other)
      ]
      grams = [f.T @ f / f.size for f in grams]
      expected[sample] += np.mean((grams[0] - grams[1]) ** 2)
  found = perceptual.style(*_jax((ONE, OTHER)))
  np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_style_does_not_see_where_things_are():
  rolled = [np.roll(f, 1, axis=1)[:, :, ::-1] for f in ONE]
  np.testing.assert_allclose(
    perceptual.style(*_jax((ONE, rolled))), 0, atol=1e-12
  )


def _reduce(x):
  for axis in (1, 2):
    x = ndimage.correlate1d(x, perceptual.TAPS, axis=axis, mode="nearest")
  return x[:, ::2, ::2]


def _expand(x):
  """By the book: zeros between the pixels of a repeated edge, then a blur."""
  x = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
  wide = np.zeros((x.shape[0], 2 * x.shape[1], 2 * x.shape[2], x.shape[3]))
  wide[:, ::2, ::2] = x
  taps = 2 * np.array(perceptual.TAPS)
  for axis in (1, 2):
    wide = ndimage.correlate1d(wide, taps, axis=axis, mode="constant")
  return wide[:, 2:-2, 2:-2]


def test_the_laplacian_pyramid_is_burt_and_adelson_s():
  pyramids = []
  for x in (X, X_HAT):
    rest, levels = x.astype(np.float64), []
    for _ in range(4):
      smaller = _reduce(rest)
      levels.append(rest - _expand(smaller))
      rest = smaller
    pyramids.append([*levels, rest])
  expected = sum(
    2**i * np.mean(np.abs(one - other), axis=(1, 2, 3))
    for i, (one, other) in enumerate(zip(*pyramids, strict=True))
  )
  found = jax.jit(perceptual.laplacian)(*_jax((X, X_HAT)))
  np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_a_flat_error_is_in_the_last_level_alone():
  found = jax.jit(perceptual.laplacian)(*_jax((X, X + np.float32(0.125))))
  np.testing.assert_allclose(found, 16 * 0.125, rtol=1e-4)


def test_a_size_that_does_not_halve_is_refused():
  with pytest.raises(ValueError, match="32x40 pixels do not halve 4 times"):
    perceptual.laplacian(*_jax((X[:, :, :40], X_HAT[:, :, :40])))


def test_adversarial_losses_are_cross_entropies():
  real, fake = (
    np.float32(5 * RNG.standard_normal((2, 4, 3))) for _ in range(2)
  )
  chances = [special.expit(x.astype(np.float64)) for x in (real, fake)]
  of_real, of_fake = adversarial.discriminator_losses(*_jax((real, fake)))
  wanted = -np.log(chances[0]), -np.log1p(-chances[1])
  np.testing.assert_allclose(of_real, wanted[0].mean((1, 2)), rtol=1e-5)
  np.testing.assert_allclose(of_fake, wanted[1].mean((1, 2)), rtol=1e-5)
  found = adversarial.generator_loss(_jax(fake))
  wanted = -np.log(chances[1]).mean((1, 2))
  np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_adversarial_losses_do_not_overflow():
  sure = jnp.full((1, 2, 2), 300.0)
  losses = [*adversarial.discriminator_losses(-sure, sure)]
  losses.append(adversarial.generator_loss(-sure))
  np.testing.assert_allclose(losses, 300.0)
