"""Entropy networks with noise, in other precisions, and under observation.

Nothing here is a hook in the codec: a noisy prior is a prior, and `Probe` is
`Programs` with two methods overridden; `roijax.walk` drives them.
"""

import contextlib
import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from roijax.codec import Codec
from roijax.coding import container, tables
from roijax.directions import Decoding
from roijax.entropy.priors import Parameters, Prior
from roijax.models.flow import Flow
from roijax.programs import Programs
from roijax.walk import Walk


class NoisyPrior(Prior):
  """A prior whose mean, scale and shape are a little off, in every pass.

  `amount` and `seed` are parameters, so that one compiled program serves all
  of them. The noise depends on the pass through the numbers that the network
  gave there.
  """

  def setup(self):
    """Declares the prior's own parameters and the two of the noise."""
    super().setup()
    self.amount = self.param("amount", jax.nn.initializers.zeros, ())
    self.seed = self.param("seed", jax.nn.initializers.zeros, ())

  def split(self, raw, unit, channels=slice(None)) -> Parameters:
    """The prior's parameters, each with noise of its own.

    Normal with a deviation of `amount` relative to each, and for means of
    `amount` itself on top.
    """
    found = super().split(raw, unit, channels)
    words = jax.lax.bitcast_convert_type(jnp.sum(raw), jnp.uint32).ravel()
    key = jax.random.key(self.seed.astype(jnp.uint32))
    key = functools.reduce(jax.random.fold_in, words, key)
    dims = (4, *found.mean.shape)
    noise = self.amount * jax.random.normal(key, dims, found.mean.dtype)
    return Parameters(
      found.mean * (1 + noise[0]) + noise[1],
      found.scale * (1 + noise[2]),
      found.shape * (1 + noise[3]),
    )


def make_noisy(codec: Codec) -> Codec:
  """A codec with the same weights and a `NoisyPrior`; see `set_noise`."""
  noisy = Codec(codec.weights)
  fields = {
    field.name: getattr(codec.model.prior, field.name)
    for field in dataclasses.fields(codec.model.prior)
    if field.init and field.name not in ("parent", "name")
  }
  params = codec.weights.params
  prior = dict(params.get("prior", {}))
  prior.update(amount=np.zeros(()), seed=np.zeros(()))
  model = codec.model.clone(prior=NoisyPrior(**fields))
  noisy.programs = Programs(lambda: model, {**params, "prior": prior})
  return noisy


def set_noise(noisy: Codec, amount: float, seed: int) -> None:
  """Sets what the next file meets."""
  prior = noisy.programs.entropy_params["prior"]
  prior.update(amount=np.float64(amount), seed=np.float64(seed))


class Symbols(NamedTuple):
  """What a file holds: the photo's size, and symbols in order of coding.

  `rounded` is the header's.
  """

  size: tuple[int, int]
  z: list[np.ndarray]
  y: list[np.ndarray]
  rounded: bool


class _Recording(Decoding):
  """Decodes, and keeps the symbols."""

  def __init__(self, walk: Walk, found: container.Container):
    super().__init__(walk, found)
    self.z: list[np.ndarray] = []
    self.y: list[np.ndarray] = []

  def exchange_z(self):
    self.z.append(super().exchange_z())
    return self.z[-1]

  def exchange_y(self, mean, indexes, close, place):
    self.y.append(super().exchange_y(mean, indexes, close, place))
    return self.y[-1]


class Replay:
  """Gives symbols that are known, whatever the tables."""

  def __init__(self, symbols: Symbols):
    self._z, self._y = iter(symbols.z), iter(symbols.y)

  def begin(self, group):
    """Knows already what follows."""
    del group

  def exchange_z(self):
    """The group's hyper-symbols."""
    return next(self._z)

  def exchange_y(self, mean, indexes, close, place):
    """The pass's symbols."""
    del mean, indexes, close, place
    return next(self._y)

  def finish(self):
    """Nothing is left over."""


def make_walk(
  codec: Codec, programs: Programs, size: tuple[int, int], *, rounded: bool
) -> Walk:
  """A walk of a codec's, with programs that need not be its own."""
  z_tables, y_tables = codec.weights.z_tables, tables.load_tables()
  return Walk(programs, z_tables, y_tables, size, rounded=rounded)


def read_symbols(codec: Codec, data: bytes) -> Symbols:
  """Decodes a file as far as its symbols."""
  found = container.read(data)
  size = found.header.height, found.header.width
  rounded = found.header.rounded
  walk = make_walk(codec, codec.programs, size, rounded=rounded)
  direction = _Recording(walk, found)
  walk.run(direction)
  direction.close(found.symbols_crc)
  return Symbols(size, direction.z, direction.y, rounded)


class Note(NamedTuple):
  """What one pass predicted, each [positions, channels]."""

  mean: np.ndarray
  scale: np.ndarray
  shape: np.ndarray
  indexes: np.ndarray


class Probe(Programs):
  """Entropy networks in a precision of choice, under observation.

  Attributes:
    notes: one a pass, where it is told to take them.
  """

  def __init__(self, codec: Codec, precision: str, *, observe: bool = True):
    """Takes a codec and "float64" or "float32"."""
    model = codec.model
    super().__init__(lambda: model, codec.weights.params)
    self._dtype = np.dtype(precision)
    self._precise = jax.tree.map(
      lambda x: np.asarray(x, self._dtype), self.entropy_params
    )
    self._observe = observe
    self.notes: list[Note] = []

    def run(method, params, *arguments, **static):
      return codec.model.apply(
        {"params": params},
        *arguments,
        **static,
        method=method,
        capture_intermediates=lambda _, name: name == "split",
      )

    self._hyper = jax.jit(functools.partial(run, Flow.hyper_synthesise))
    self._tables = jax.jit(
      functools.partial(run, Flow.tables_at), static_argnames="group"
    )

  @contextlib.contextmanager
  def _on_host(self):
    wide = self._dtype.itemsize == 8
    cpu = jax.devices("cpu")[0]
    with jax.enable_x64(wide), jax.default_device(cpu):
      yield

  def hyper_synthesise(self, z_hat):
    """`Programs.hyper_synthesise` in this precision."""
    with self._on_host():
      found, _ = self._hyper(self._precise, np.asarray(z_hat, self._dtype))
      return np.asarray(found)

  def tables_at(self, h, y_hat, one):
    """`Programs.tables_at` in this precision; takes a note."""
    arguments = h, y_hat.astype(self._dtype), one.rows, one.columns
    place = self._dtype.type(one.local), np.asarray(one.size, np.int32)
    with self._on_host():
      out, seen = self._tables(
        self._precise, *arguments, *place, group=one.group
      )
      mean, indexes, close = (np.asarray(x)[: one.count] for x in out)
    if self._observe:
      (found,) = seen["intermediates"]["prior"]["split"]
      scale, shape = (
        np.asarray(x)[: one.count] for x in (found.scale, found.shape)
      )
      self.notes.append(Note(mean, scale, shape, indexes))
    return mean, indexes, close


def replay(codec: Codec, probe: Probe, symbols: Symbols) -> list[Note]:
  """Decodes known symbols with a probe's means; its notes, one a pass.

  Each pass reads the means that the probe itself gave in earlier passes.
  """
  probe.notes = []
  walk = make_walk(codec, probe, symbols.size, rounded=symbols.rounded)
  walk.run(Replay(symbols))
  return probe.notes
