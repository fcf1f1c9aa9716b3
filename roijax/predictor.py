"""A photo in, the chance of each pixel to be of interest out.

    photo --shrink--> square --HRNet, also mirrored--> mean --enlarge--> map

The network sees a square of one size, whatever the photo's: one program for
all photos, kept between processes, and objects of like size for like shares of
a photo.
"""

import os
from typing import cast

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from roijax.executables import Executables
from roijax.models.hrnet import build_hrnet
from roijax.programs import cache_folder, use_compilation_cache
from roijax.roi.similarity import resize
from roijax.weights.predictor import PredictorWeights, load_predictor


class Predictor:
  """Predicts regions with one set of weights.

  Attributes:
    weights: what it was made of.
    side: of the square that the network sees, in pixels.
  """

  def __init__(
    self, weights: PredictorWeights, executables: Executables | None = None
  ):
    """Takes loaded weights; `Predictor.load` reads a file.

    Args:
      weights: a trained predictor's.
      executables: where the compiled program is kept between processes.
    """
    self.weights = weights
    model = build_hrnet(**weights.model)
    self.side = model.side
    self._params = jax.device_put(weights.params)
    self._executables = executables

    def predict(params, image):
      x = jnp.stack([image, image[:, ::-1]]).astype(jnp.float32) / 255
      logits = cast(jax.Array, model.apply({"params": params}, x))
      likely = jax.nn.sigmoid(logits)
      return (likely[0] + likely[1, :, ::-1]) / 2

    self._program = jax.jit(predict)

  @classmethod
  def load(
    cls,
    path: str | os.PathLike | None = None,
    *,
    keep_programs: bool = False,
  ) -> "Predictor":
    """Reads weights.

    Args:
      path: a predictor's `model.npz`, or the folder of its training run; None
        for the shipped ones (or what ROIJAX_PREDICTOR names).
      keep_programs: keep the compiled program in the user's cache folder, as
        `Codec.load` does.

    Raises:
      CheckpointError: missing, damaged, or a codec's.
    """
    weights = load_predictor(path)
    if not keep_programs or jax.default_backend() != "cpu":
      use_compilation_cache()
      return cls(weights)
    identity = f"predictor {sorted(weights.model.items())}"
    return cls(weights, Executables(cache_folder() / "programs", identity))

  def predict_square(self, image: np.ndarray) -> np.ndarray:
    """The map that `__call__` resizes.

    Args:
      image: uint8 [H, W, 3], RGB, or [H, W], grey; of any size.

    Returns:
      float32 [side, side] in [0, 1].
    """
    photo = Image.fromarray(image).convert("RGB")
    small = photo.resize(
      (self.side, self.side), Image.Resampling.BILINEAR, reducing_gap=2.0
    )
    arguments = (self._params, np.asarray(small))
    program = self._program
    if self._executables is not None:
      program = self._executables.get("predict", program, arguments)
    return np.asarray(program(*arguments))

  def __call__(self, image: np.ndarray) -> np.ndarray:
    """Predicts.

    Args:
      image: as `predict_square` takes it.

    Returns:
      float32 [H, W] in [0, 1]: how likely each pixel belongs to an object that
      people would outline.
    """
    return resize(self.predict_square(image), (image.shape[0], image.shape[1]))
