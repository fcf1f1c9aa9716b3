"""Segmenters' pre- and post-processing again, in plain NumPy.

Independent of the package and of Pillow: resizing is the triangle filter,
written as two matrices.
"""

import numpy as np
import text_models as tiny


def make_matrix(old, new):
  """[new, old]: how much each old sample gives to each new one.

  A triangle of half width 1, in new samples where there are fewer of them.
  """
  step = old / new
  reach = max(step, 1)
  centers = (np.arange(new) + 0.5) * step
  distance = np.abs(np.arange(old)[None] + 0.5 - centers[:, None])
  weights = np.maximum(0, 1 - distance / reach)
  return weights / weights.sum(1, keepdims=True)


def resize(plane, size):
  """Float [H, W] to [h, w]."""
  rows, columns = map(make_matrix, plane.shape, size)
  return rows @ plane @ columns.T


def resize_bytes(image, size, axes):
  """uint8 [H, W, 3] to [h, w, 3], rounded after each direction.

  Weights have 22 bits, as images of bytes are resized nearly everywhere: it
  decides what lies halfway between two levels. So does which axis comes first,
  and Pillow's versions differ in that.
  """
  values = image.astype(np.int64)
  for axis in axes:
    matrix = make_matrix(image.shape[axis], size[axis])
    weights = np.floor(matrix * 2**22 + 0.5).astype(np.int64)
    summed = np.moveaxis(np.tensordot(weights, values, (1, axis)), 0, axis)
    values = np.clip((summed + 2**21) >> 22, 0, 255)
  return values


def preprocess(image, size, axes=(1, 0)):
  """float64 [3, h, w]."""
  values = resize_bytes(image, size, axes) / 255
  return ((values - tiny.MEAN) / tiny.STD).transpose(2, 0, 1)


def tokenize(phrase, most=77):
  """A list of tokens."""
  words = phrase.lower().replace("?", "").split()
  ids = [tiny.VOCABULARY.get(word, tiny.UNKNOWN) for word in words]
  return [tiny.START, *ids[: most - 2], tiny.END]


def clipseg(image, phrase, axes=(1, 0)):
  """float64 [H, W]."""
  vector = tiny.CLIPSEG_VECTORS[tokenize(phrase)].sum(0)
  pixels = preprocess(image, tiny.CLIPSEG_SIZE, axes)
  logits = np.einsum("chw,c->hw", pixels, vector.astype(float))
  return resize(1 / (1 + np.exp(-logits)), image.shape[:2])


def lseg(image, phrase, axes=(1, 0), most=9):
  """float64 [H, W]."""
  word = tiny.LSEG_VECTORS[tokenize(phrase, most)].sum(0).astype(float)
  pixels = preprocess(image, tiny.LSEG_SIZE, axes)[:, ::2, ::2]
  features = np.einsum("fc,chw->fhw", tiny.LSEG_MIX.astype(float), pixels)
  lengths = np.sqrt((features**2).sum(0) * (word**2).sum())
  cosine = np.einsum("fhw,f->hw", features, word) / lengths
  return resize(np.maximum(cosine, 0), image.shape[:2])


def assert_one(actual, expect, atol):
  """Compares with what `expect` makes of the two orders of resizing."""
  either = [expect((1, 0)), expect((0, 1))]
  distances = [np.abs(actual - expected).max() for expected in either]
  assert min(distances) <= atol, distances
