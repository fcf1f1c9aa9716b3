"""What is compared: a CPU-sized GGM with one thing changed at a time.

The groups are decisions; every arm of a group differs from the base in that
alone. The base is `configs/ggm.py:small` as it was when the table was made. The
last group is the five systems, as their configs are now.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from benchmarks.budget import Part
from benchmarks.contexts.arms import Blind
from roijax.models import contexts
from roijax.training.recipe import LMBDAS

BASE = "base"
"""What all others are compared with, but for the systems."""

SYSTEM = "system: ggm"
"""What the other systems are compared with."""

SHORT = 0.2
"""The share of a budget that an arm's beginning or ending takes."""


class Arm(NamedTuple):
  """One line of the table.

  Attributes:
    group: the decision it belongs to.
    changes: of the base's config, by dotted key.
    beginning: of the config in the first `SHORT` of the budget.
    ending: of the config in the last `SHORT` of the budget.
    frozen: parameters that stay at their start: a part of their path.
    config: the file in `configs/` that it is of.
    seed: of the run.
  """

  group: str
  changes: Mapping[str, Any] = {}
  beginning: Mapping[str, Any] | None = None
  ending: Mapping[str, Any] | None = None
  frozen: str | None = None
  config: str = "ggm"
  seed: int = 0

  @property
  def reference(self) -> str:
    """The arm that it is compared with."""
    return SYSTEM if self.group == "system" else BASE

  @property
  def settings(self) -> Mapping[str, Any]:
    """What is changed of the config as it is now."""
    dated = self.config == "ggm" and self.reference == BASE
    return {**(BEFORE if dated else {}), **self.changes}

  @property
  def parts(self) -> Sequence[Part]:
    """For `budget.train`."""
    first = [] if self.beginning is None else [Part(SHORT, self.beginning)]
    last = [] if self.ending is None else [Part(SHORT, self.ending)]
    rest = 1 - SHORT * len(first + last)
    return [*first, Part(rest, {}), *last]


def _patchify(channels, blocks, factors=(4, 2, 2)):
  return dict(
    name="patchify", channels=channels, blocks=blocks, factors=factors
  )


def _latent(channels: int, slices: tuple[int, ...]) -> dict[str, Any]:
  return {"model.latent_channels": channels, "model.slices": slices}


BEFORE = {
  "model.trunk": _patchify((64, 128), (1, 3, 1)),
  **_latent(256, (16, 32, 48, 64, 96)),
}
"""What today's config had when the table was made, by dotted key."""

NARROW = _latent(160, (16, 32, 48, 64))

SKIPPING = {**_patchify((64, 128), (1, 3, 1)), "skip": True}

# Eight, as `recipe.LMBDAS`, with half its highest.
LOWER_RATES = (0.0018, 0.0031, 0.0055, 0.0096, 0.0168, 0.0294, 0.0514, 0.09)

TWICE_AS_FINE = tuple(2 * lmbda for lmbda in LMBDAS)
HALF_AS_FINE = tuple(lmbda / 2 for lmbda in LMBDAS)

ARMS: dict[str, Arm] = {
  BASE: Arm("seed"),
  "another seed": Arm("seed", seed=1),
  "Adam, 5e-4": Arm("optimizer", {"optimizer.learning_rate": 5e-4}),
  "Adam, 2e-3": Arm("optimizer", {"optimizer.learning_rate": 2e-3}),
  "Adam, 4e-3": Arm("optimizer", {"optimizer.learning_rate": 4e-3}),
  "Muon, 1e-3": Arm("optimizer", {"optimizer.name": "muon"}),
  "Muon, 3e-3": Arm(
    "optimizer", {"optimizer.name": "muon", "optimizer.learning_rate": 3e-3}
  ),
  "crops 128, then 256": Arm(
    "crops", ending={"data.crop": 256, "data.batch_size": 1}
  ),
  "crops 256, one at a time": Arm(
    "crops", {"data.crop": 256, "data.batch_size": 1}
  ),
  "batch 2": Arm("crops", {"data.batch_size": 2}),
  "batch 8": Arm("crops", {"data.batch_size": 8}),
  "M 160": Arm("width", NARROW),
  "M 320": Arm("width", _latent(320, (16, 32, 48, 96, 128))),
  "channels 96-192": Arm(
    "width", {"model.trunk.channels": (96, 192), "model.context_hidden": 192}
  ),
  "context trains on noise": Arm("rounding", {"model.rounds_context": False}),
  "rates of rounded latents at the end": Arm(
    "rounding", ending={"model.rounds_rate": True}
  ),
  "prior: Gaussian": Arm("prior", {"model.prior": dict(kind="gaussian")}),
  "prior: GGM-m": Arm("prior", {"model.prior": dict(kind="ggm_m")}),
  "prior: GGM-c": Arm("prior", {"model.prior": dict(kind="ggm_c")}),
  "context: none": Arm(
    "context", {"model.context": "none", "model.slices": (256,)}
  ),
  "context: checkerboard alone": Arm("context", {"model.slices": (256,)}),
  "context: 3 slices": Arm("context", {"model.slices": (32, 64, 160)}),
  "balance 0": Arm("loss", {"loss.balance": 0.0}),
  "balance 1": Arm("loss", {"loss.balance": 1.0}),
  "background 0.25 only": Arm(
    "loss",
    {
      "loss.background_low": 0.25,
      "loss.background_high": 0.25,
      "loss.background_extremes": 0.0,
    },
  ),
  "background 1 in 3 of 10": Arm("loss", {"loss.background_extremes": 0.3}),
  "rates 0.0018 to 0.09": Arm("loss", {"model.lmbdas": LOWER_RATES}),
  "trade-offs begin twice as fine": Arm(
    "schedule", beginning={"model.lmbdas": TWICE_AS_FINE}
  ),
  "trade-offs begin half as fine": Arm(
    "schedule", beginning={"model.lmbdas": HALF_AS_FINE}
  ),
  "gains stay at their start": Arm("schedule", frozen="log_gain"),
  "skip": Arm("trunk", {"model.trunk": SKIPPING}),
  "skip, M 320": Arm(
    "trunk", {"model.trunk": SKIPPING, **_latent(320, (16, 32, 48, 64, 160))}
  ),
  "blocks 0-2-1": Arm(
    "trunk", {"model.trunk": _patchify((64, 128), (0, 2, 1))}
  ),
  "blocks 1-3-2, 48-160": Arm(
    "trunk", {"model.trunk": _patchify((48, 160), (1, 3, 2))}
  ),
  "patchify by 8, 192, blocks 4-1": Arm(
    "trunk", {"model.trunk": _patchify((192,), (4, 1), (8, 2))}
  ),
  "residual/GDN 48": Arm(
    "trunk", {"model.trunk": dict(name="residual_gdn", channels=48)}
  ),
  "Swin at 1/8 and 1/16 (SwinROI)": Arm(
    "trunk",
    {
      "model.slices": (16, 32, 48, 64, 96),
      "model.stages.channels": (64, 128, 256),
      "model.context": "checkerboard",
      "model.context_hidden": (128,),
      "model.prior": dict(kind="ggm_e"),
    },
    config="swin",
  ),
  SYSTEM: Arm("system"),
  "system: swin": Arm("system", config="swin"),
  "system: implicit": Arm("system", config="implicit"),
  "system: custom": Arm("system", config="custom"),
  "system: tlic": Arm("system", config="tlic"),
}


def know_blind_context() -> None:
  """Adds the context "none", which no shipped model has, to the registry."""
  contexts.CONTEXTS["none"] = lambda slices, outputs, hidden: Blind(
    sum(slices), outputs, hidden
  )
