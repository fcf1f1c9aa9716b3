"""The one flow: every system is this pipeline with other parts.

    x, roi --analysis--> * gain --> y --hyper_analysis--> z --Q--> z_hat
                                    |                                |
                                    Q <-- prior <-- context <-- h <--+
                                    |                   (hyper_synthesis)
                            y_hat / gain, h [, mask] --synthesis--> x_hat

Training calls the module; coding calls its methods one after the other, on
the same weights. From y on everything is float32 (float64 when coding), and
in the gained domain; only synthesis sees y_hat / gain.
"""

from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from roijax.coding.passes import Order
from roijax.entropy.factorized import FactorizedPrior
from roijax.entropy.grid import select_tables
from roijax.entropy.priors import Parameters, Prior
from roijax.layers.gain import Gain
from roijax.ops.quantize import add_noise, round_centred, round_ste
from roijax.ops.resample import average_pool, threshold_cells

Mask = Float[Array, "B p q 1"] | str | None


class Layers(NamedTuple):
  """What two decoders make of one latent.

  Attributes:
    foreground: [B, H, W, 3], not clipped.
    background: likewise.
    share: the foreground's share of every pixel [B, H, W, 1].
    logits: of the mask, where the decoder predicts it [B, p, q, 1].
  """

  foreground: Array
  background: Array
  share: Array
  logits: Array | None = None

  def join(self) -> Array:
    """The composite."""
    return self.share * self.foreground + (1 - self.share) * self.background


class FlowOutput(NamedTuple):
  """What training sees.

  Attributes:
    x_hat: reconstruction [B, H, W, 3], not clipped.
    bits_y: bits of each latent [B, H/16, W/16, M].
    bits_z: bits of each hyper-latent.
    y_hat: the decoded latent, gained [B, H/16, W/16, M].
  """

  x_hat: Array
  bits_y: Array
  bits_z: Array
  y_hat: Array


class LayeredOutput(NamedTuple):
  """What training sees of two decoders: `FlowOutput`, and its `layers`."""

  x_hat: Array
  bits_y: Array
  bits_z: Array
  y_hat: Array
  layers: Layers


class Flow(nn.Module):
  """A codec: transforms, an entropy model, and the order they meet in.

  Attributes:
    analysis: (x, roi) -> y before the gain, stride 16.
    synthesis: (y_hat / gain, h) -> x_hat; with a mask, see `mask_stride`.
    hyper_analysis: features of y and the importance map -> z, stride 64.
    hyper_synthesis: z_hat -> h, at the size of y.
    context: h and the decoded part of y_hat -> raw prior parameters.
    prior: what a latent costs.
    z_prior: what a hyper-latent costs.
    gain: the quality's gain.
    latent_channels: channels of y (M).
    halo: cells of 64 pixels, around its own, that synthesis gets to see for a
      pixel of a large photo.
    fit: (params, photos) -> params, standard deviations of y's channels; fits
      fresh transforms to photos [B, H, W, 3]. None: they start at random.
    mask_stride: pixels on a side of the mask's cells, where synthesis takes a
      mask as well and gives `Layers`; 0 where it takes none.
    mask_in_file: whether decoders need the mask, so that files carry it.
    rounds_context: whether in training the context reads a latent that is
      rounded, as decoders will, or one with noise. Rounding takes a pass of
      the context more, whose means the latent is rounded about.
    rounds_rate: whether in training y's rate is that of rounded latents,
      straight-through, or of noisy ones; for the end of a training.
  """

  analysis: nn.Module
  synthesis: nn.Module
  hyper_analysis: nn.Module
  hyper_synthesis: nn.Module
  context: nn.Module
  prior: Prior
  z_prior: FactorizedPrior
  gain: Gain
  latent_channels: int
  halo: int
  fit: Callable[..., tuple[dict, np.ndarray]] | None = None
  mask_stride: int = 0
  mask_in_file: bool = False
  rounds_context: bool = False
  rounds_rate: bool = False

  STRIDE = 64

  def setup(self):
    """Declares the flow's own parameter."""
    # The usual size of each channel of y at a middle quality; the data set
    # it at the start. Entropy networks see and predict multiples of it.
    self.log_unit = self.param(
      "log_unit", nn.initializers.zeros, (self.latent_channels,)
    )

  def _unit(self):
    return jnp.exp(self.log_unit)

  def _normalised(self, y):
    return y / self._unit().astype(y.dtype).reshape(1, 1, 1, -1)

  def transform(
    self,
    x: Float[Array, "B H W 3"],
    roi: Float[Array, "B H W 1"],
    quality: Float[Array, " B"],
  ) -> Float[Array, "B h w M"]:
    """The gained latent y, not quantised.

    Args:
      x: photos in [0, 1]; 64 divides H and W.
      roi: the importance map in [0, 1], the background level applied.
      quality: a float a sample.
    """
    return self.analysis(x, roi).astype(jnp.float32) * self.gain(quality)

  def hyper_analyse(
    self, y: Float[Array, "B h w M"], pooled: Float[Array, "B h w 1"]
  ) -> Float[Array, "B p q N"]:
    """The hyper-latent z, not quantised.

    Args:
      y: the gained latent.
      pooled: means of the importance map, at the size of y.
    """
    features = jnp.concatenate([self._normalised(y), pooled], axis=-1)
    return self.hyper_analysis(features)

  def analyse(
    self,
    x: Float[Array, "B H W 3"],
    roi: Float[Array, "B H W 1"],
    quality: Float[Array, " B"],
  ) -> tuple[Float[Array, "B h w M"], Float[Array, "B p q N"]]:
    """Both latents of whole photos: `transform`, then `hyper_analyse`."""
    y = self.transform(x, roi, quality)
    return y, self.hyper_analyse(y, average_pool(roi, x.shape[1] // y.shape[1]))

  def hyper_synthesise(
    self, z_hat: Float[Array, "B p q N"]
  ) -> Float[Array, "B h w D"]:
    """What z_hat tells of y."""
    return self.hyper_synthesis(z_hat)

  def parameters(
    self,
    h: Float[Array, "B h w D"],
    y_hat: Float[Array, "B h w M"],
    size: Int[Array, "2"] | None = None,
  ) -> Parameters:
    """The prior's parameters of every latent, in one parallel pass.

    Args:
      h: what `hyper_synthesise` gave.
      y_hat: the latent, gained.
      size: rows and columns of the latent, where it lies at the upper left
        of a canvas, zeros around; None: it has no canvas.
    """
    raw = self.context.parameters(h, self._normalised(y_hat), size)
    return self.prior.split(raw, self._unit())

  def means(
    self,
    h: Float[Array, "B h w D"],
    y_hat: Float[Array, "B h w M"],
    size: Int[Array, "2"] | None = None,
  ) -> Float[Array, "B h w M"]:
    """What the prior expects of y; arguments as for `parameters`."""
    return self.parameters(h, y_hat, size).mean

  @property
  def order(self) -> Order:
    """The order in which latents are coded."""
    return self.context.order

  def tables_at(
    self,
    h: Float[Array, "1 h w D"],
    y_hat: Float[Array, "1 h w M"],
    rows: Int[Array, " P"],
    columns: Int[Array, " P"],
    local: Float[Array, ""],
    size: Int[Array, "2"],
    group: int,
  ) -> tuple[Array, Array, Array]:
    """Means, table indexes and close calls of one pass, each [P, S].

    Coding calls this in float64; `Pass` gives the arguments.
    """
    unit = self._unit().astype(h.dtype)
    raw = self.context.parameters_at(
      h, self._normalised(y_hat), rows, columns, local, size, group
    )
    channels = slice(*self.order.bounds(group))
    found = self.prior.split(raw, unit[channels], channels)
    indexes, close = select_tables(found.scale, found.shape)
    return found.mean, indexes, close

  def estimate_bits(
    self,
    z_hat: Float[Array, "1 p q N"],
    y_hat: Float[Array, "1 h w M"],
    size: Int[Array, "2"],
  ) -> tuple[Float[Array, "1 h w"], Float[Array, "1 p q"]]:
    """Bits of quantised latents by the float likelihoods, by position.

    Args:
      z_hat: the hyper-latent, on a canvas.
      y_hat: the latent, likewise.
      size: its rows and columns, of which the canvas may have more.
    """
    h = self.hyper_synthesis(z_hat)
    bits_y = self.prior.bits(y_hat, self.parameters(h, y_hat, size))
    return jnp.sum(bits_y, axis=-1), jnp.sum(self.z_prior(z_hat), axis=-1)

  def synthesise(
    self,
    y_hat: Float[Array, "B h w M"],
    h: Float[Array, "B h w D"],
    quality: Float[Array, " B"],
    mask: Mask = None,
  ) -> Float[Array, "B H W 3"]:
    """The reconstruction, not clipped.

    Args:
      y_hat: the decoded latent, gained.
      h: what `hyper_synthesise` gave.
      quality: a float a sample.
      mask: 1 for cells of the foreground, where synthesis takes a mask;
        `FOREGROUND` or `BACKGROUND` run that decoder alone. None: foreground.
    """
    return self._synthesise(y_hat, h, quality, mask)[0]

  def _synthesise(self, y_hat, h, quality, mask):
    """The reconstruction, and its layers where there are any."""
    scaled = y_hat / self.gain(quality)
    if not self.mask_stride:
      return self.synthesis(scaled, h).astype(jnp.float32), None
    found = self.synthesis(scaled, h, mask)
    if isinstance(found, Layers):
      return found.join(), found
    return found, None

  def __call__(
    self,
    x: Float[Array, "B H W 3"],
    roi: Float[Array, "B H W 1"],
    quality: Float[Array, " B"],
    keys: Key[Array, " B"],
    mask: Float[Array, "B p q 1"] | None = None,
  ) -> FlowOutput | LayeredOutput:
    """One training pass: rates on noise (by default), the rest on rounding.

    Args:
      x: photos in [0, 1]; 64 divides H and W.
      roi: the importance map, the background level applied.
      quality: a float a sample.
      keys: a PRNG key a sample, for the noise.
      mask: as for `synthesise`; ones by default, and ignored by systems that
        take none.
    """
    if self.mask_stride and mask is None:
      mask = threshold_cells(jnp.ones_like(roi), self.mask_stride)
    keys = jax.vmap(jax.random.split, out_axes=1)(keys)
    y, z = self.analyse(x, roi, quality)
    bits_z = self.z_prior(add_noise(z, keys[0]))
    h = self.hyper_synthesis(round_ste(z))
    noisy = add_noise(y, keys[1])
    seen = noisy
    if self.rounds_context:
      guess = jax.lax.stop_gradient(self.parameters(h, noisy).mean)
      seen = round_centred(y, guess)
    parameters = self.parameters(h, seen)
    y_hat = round_centred(y, parameters.mean)
    bits_y = self.prior.bits(y_hat if self.rounds_rate else noisy, parameters)
    x_hat, layers = self._synthesise(y_hat, h, quality, mask)
    if layers is None:
      return FlowOutput(x_hat, bits_y, bits_z, y_hat)
    return LayeredOutput(x_hat, bits_y, bits_z, y_hat, layers)
