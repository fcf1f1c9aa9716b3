"""Mask-guided feature enhancement: where the encoder learns what matters.

    roi --conv3 conv3 sigmoid--> a                     RAA: f' = f * a
    f' --rfft2 1x1 GELU 1x1 irfft2--> u_f   global     FSCA
       --depthwise3 GELU 1x1-------> u_s    local
    f' + 1x1 [u_f * sigmoid(1x1 u_s), u_s * sigmoid(1x1 u_f)]

The importance map reaches the encoder alone. `a` is soft: the background is
attenuated, never erased, so the latents keep the statistics that the entropy
model was fitted to (implicit allocation).

Source: arXiv 2511.08918 for the idea and RAA's formula; FSCA's inside is not
public and is ours. So are: a map for every channel, 32 hidden channels, the
Fourier transform over fixed windows (so that tiles and sizes agree), and
FSCA's narrow inner width.
"""

import math
from collections.abc import Mapping
from typing import Literal

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from roijax.layers.depthwise import DepthwiseConv


class RegionAdaptiveAttention(nn.Module):
  """RAA: multiplies features by a soft map made from the importance map.

  Attributes:
    hidden: channels between the two convolutions.
    per_channel: a map for every channel, or one for all.
    residual: f * a + f in place of f * a.
    start: the map's value everywhere at the start, in (0, 1).
    dtype: of the computation.
  """

  hidden: int = 32
  per_channel: bool = True
  residual: bool = False
  start: float = 0.95
  dtype: jnp.dtype | None = None

  @nn.compact
  def __call__(
    self, x: Float[Array, "B H W C"], roi: Float[Array, "B H W 1"]
  ) -> Float[Array, "B H W C"]:
    """Attenuates what the map says matters less."""
    width = x.shape[-1] if self.per_channel else 1
    hidden = nn.Conv(self.hidden, (3, 3), padding="SAME", dtype=self.dtype)(roi)
    bias = math.log(self.start / (1 - self.start))
    logits = nn.Conv(
      width,
      (3, 3),
      kernel_init=nn.initializers.zeros,
      bias_init=nn.initializers.constant(bias),
      dtype=self.dtype,
    )(hidden)
    attention = nn.sigmoid(logits)
    return x * (1 + attention) if self.residual else x * attention


def window_spectrum(
  x: Float[Array, "B H W C"], window: int
) -> Float[Array, "B H2 W2 F D"]:
  """Real Fourier coefficients of windows; real and imaginary stacked.

  H and W must be multiples of `window`. Orthonormal.
  """
  batch, height, width, channels = x.shape
  x = x.reshape(
    batch, height // window, window, width // window, window, channels
  ).transpose(0, 1, 3, 2, 4, 5)
  spectrum = jnp.fft.rfft2(x, axes=(3, 4), norm="ortho")
  stacked = jnp.concatenate([spectrum.real, spectrum.imag], axis=-1)
  rows, columns = height // window, width // window
  return stacked.reshape(batch, rows, columns, -1, 2 * channels)


def window_signal(
  spectrum: Float[Array, "B H2 W2 F D"], window: int
) -> Float[Array, "B H W C"]:
  """Inverts `window_spectrum`."""
  batch, rows, columns, _, width = spectrum.shape
  half = window // 2 + 1
  spectrum = spectrum.reshape(batch, rows, columns, window, half, width)
  real, imaginary = jnp.split(spectrum, 2, axis=-1)
  x = jnp.fft.irfft2(
    real + 1j * imaginary, s=(window, window), axes=(3, 4), norm="ortho"
  )
  return x.transpose(0, 1, 3, 2, 4, 5).reshape(
    batch, rows * window, columns * window, width // 2
  )


class FrequencySpatialAttention(nn.Module):
  """FSCA: a frequency and a spatial branch that gate each other.

  Attributes:
    width: channels inside both branches; 0 takes the input's.
    window: side of the Fourier windows, or "full" for the whole field.
    dtype: of the computation; the transform itself is float32.
  """

  width: int = 0
  window: int | Literal["full"] = 8
  dtype: jnp.dtype | None = None

  @nn.compact
  def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B H W C"]:
    """Adds what the branches agree on; zero at the start."""
    channels = x.shape[-1]
    width = self.width or channels
    inner = x
    if width != channels:
      inner = nn.Dense(width, dtype=self.dtype, name="reduce")(x)
    frequency = self._frequency(inner, width)
    spatial = nn.gelu(DepthwiseConv(dtype=self.dtype)(inner))
    spatial = nn.Dense(width, dtype=self.dtype, name="spatial")(spatial)
    gate_frequency = nn.Dense(width, dtype=self.dtype, name="gate_f")(spatial)
    gate_spatial = nn.Dense(width, dtype=self.dtype, name="gate_s")(frequency)
    both = jnp.concatenate(
      [
        frequency * nn.sigmoid(gate_frequency),
        spatial * nn.sigmoid(gate_spatial),
      ],
      axis=-1,
    )
    return x + nn.Dense(
      channels,
      kernel_init=nn.initializers.zeros,
      dtype=self.dtype,
      name="join",
    )(both)

  def _frequency(self, x, width):
    height, length = x.shape[1:3]
    if self.window == "full":
      spectrum = jnp.fft.rfft2(x.astype(jnp.float32), axes=(1, 2), norm="ortho")
      flat = jnp.concatenate([spectrum.real, spectrum.imag], axis=-1)
    else:
      rows, columns = -height % self.window, -length % self.window
      pads = ((0, 0), (0, rows), (0, columns), (0, 0))
      padded = x.astype(jnp.float32)
      if rows or columns:
        # Padding by nothing is not free: its gradient is as wide as x.
        padded = jnp.pad(padded, pads, mode="edge")
      flat = window_spectrum(padded, self.window)
    flat = nn.Dense(2 * width, dtype=self.dtype, name="spectrum_in")(flat)
    flat = nn.Dense(2 * width, dtype=self.dtype, name="spectrum_out")(
      nn.gelu(flat)
    )
    flat = flat.astype(jnp.float32)
    if self.window == "full":
      real, imaginary = jnp.split(flat, 2, axis=-1)
      signal = jnp.fft.irfft2(
        real + 1j * imaginary, s=(height, length), axes=(1, 2), norm="ortho"
      )
    else:
      signal = window_signal(flat, self.window)[:, :height, :length]
    return signal.astype(x.dtype)


class MGFE(nn.Module):
  """RAA, then FSCA; each can be left out for an ablation.

  Attributes:
    attention: keywords of `RegionAdaptiveAttention`, or None.
    collaboration: keywords of `FrequencySpatialAttention`, or None.
    dtype: of the computation.
  """

  attention: Mapping | None = None
  collaboration: Mapping | None = None
  dtype: jnp.dtype | None = None

  @nn.compact
  def __call__(
    self, x: Float[Array, "B H W C"], roi: Float[Array, "B H W 1"]
  ) -> Float[Array, "B H W C"]:
    """Enhances features where the importance map, at their size, says so."""
    if self.attention is not None:
      x = RegionAdaptiveAttention(
        **self.attention, dtype=self.dtype, name="attention"
      )(x, roi)
    if self.collaboration is not None:
      x = FrequencySpatialAttention(
        **self.collaboration, dtype=self.dtype, name="collaboration"
      )(x)
    return x
