"""`python -m roijax.models`: what it counts, and what it says of bad input."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest
from smoke_model import ROOT, load_config_file

from roijax.entropy.factorized import FactorizedPrior
from roijax.entropy.priors import Prior
from roijax.errors import ConfigError
from roijax.layers.depthwise import DepthwiseConv
from roijax.layers.gain import Gain
from roijax.layers.swin import SwinPair
from roijax.models.__main__ import main
from roijax.models.flow import Flow
from roijax.models.registry import build_model
from roijax.models.size import PARTS, measure_size

# A photo of 128x64: so many positions of y and of z.
Y, Z = 8 * 4, 2 * 1


class _Analysis(nn.Module):
  remat: bool = False

  @nn.compact
  def __call__(self, x, roi):
    x = jnp.concatenate([x, roi], axis=-1)
    x = nn.Conv(4, (5, 5), strides=8, name="first")(x)
    x = SwinPair(2, window=4, remat=self.remat, name="swin_1")(x)
    return nn.Conv(6, (2, 2), strides=2, name="last")(x)


class _Synthesis(nn.Module):
  @nn.compact
  def __call__(self, y, h):
    y = DepthwiseConv(3, name="filter")(y + 0 * h[..., :1])
    y = nn.Conv(6, (3, 3), feature_group_count=3, name="grouped")(y)
    return nn.ConvTranspose(3, (16, 16), strides=(16, 16), name="up")(y)


class _HyperAnalysis(nn.Module):
  @nn.compact
  def __call__(self, features):
    return nn.Dense(5, name="only")(features[:, ::4, ::4])


class _HyperSynthesis(nn.Module):
  loop: str = "scan"

  @nn.compact
  def __call__(self, z):
    square = self.param("square", nn.initializers.ones, (5, 5))
    if self.loop == "scan":
      z, _ = jax.lax.scan(lambda z, _: (z @ square, None), z, length=3)
    else:
      z = jax.lax.while_loop(lambda z: z.sum() > 0, lambda z: z @ square, z)
    return z.repeat(4, axis=1).repeat(4, axis=2)


class _Context(nn.Module):
  def setup(self):
    self.join = nn.Dense(12)

  def parameters(self, h, y_hat, size=None):
    del y_hat, size
    return self.join(h).reshape(*h.shape[:3], 6, 2)


def _make_flow(remat=False, loop="scan"):
  return Flow(
    analysis=_Analysis(remat),
    synthesis=_Synthesis(),
    hyper_analysis=_HyperAnalysis(),
    hyper_synthesis=_HyperSynthesis(loop),
    context=_Context(),
    prior=Prior("ggm_c", 6),
    z_prior=FactorizedPrior(5),
    gain=Gain(6, (0.01, 0.02, 0.03)),
    latent_channels=6,
    halo=1,
  )


def _measure(**options):
  parts = measure_size(_make_flow(**options), 128, 64, depth=5)
  return {"/".join(path): (size, macs) for path, size, macs in parts}


def test_a_small_model_is_counted_as_by_hand():
  found = _measure()
  # A window of 4x4, 2 heads, MLP of twice the width; 16x8 positions.
  attention = (2 * 7**2 + 4 * 12 + 12 + 4 * 4 + 4, 128 * (4 * 16 + 2 * 16 * 4))
  block = (
    attention[0] + 2 * 2 * 4 + (4 * 8 + 8) + (8 * 4 + 4),
    attention[1] + 128 * 2 * 4 * 8,
  )
  by_hand = {
    "analysis/first": (25 * 4 * 4 + 4, 128 * 25 * 4 * 4),
    "analysis/swin_1/plain/attention": attention,
    "analysis/swin_1/shifted": block,
    "analysis/swin_1": (2 * block[0], 2 * block[1]),
    "analysis/last": (4 * 4 * 6 + 6, Y * 4 * 4 * 6),
    "synthesis/filter": (9 * 6, Y * 9 * 6),
    "synthesis/grouped": (9 * 2 * 6 + 6, Y * 9 * 2 * 6),
    # A pixel of x_hat is one product with one position's six channels.
    "synthesis/up": (256 * 6 * 3 + 3, 128 * 64 * 6 * 3),
    "hyper_analysis/only": (7 * 5 + 5, Z * 7 * 5),
    "hyper_synthesis": (5 * 5, Z * 3 * 5 * 5),
    "context/join": (5 * 12 + 12, Y * 5 * 12),
    "prior": (6, 0),
    # Two ends of each bin, five layers.
    "z_prior": (5 * (33 - 2 + 3 * 4 + 1 + 1 + 13), 2 * Z * 5 * 33),
    "gain": (3 * 6, 0),
    "log_unit": (6, 0),
  }
  by_hand["z_prior"] = (5 * (33 + 13 + 12), by_hand["z_prior"][1])
  assert {name: found[name] for name in by_hand} == by_hand


def test_parts_add_up_to_the_whole_in_the_order_of_the_signal():
  found = _measure()
  tops = [name for name in found if name and "/" not in name]
  assert tops == [*PARTS, "log_unit"]
  assert list(found)[-1] == ""
  for column in (0, 1):
    assert found[""][column] == sum(found[name][column] for name in tops)
    assert found["analysis"][column] == sum(
      found[f"analysis/{name}"][column] for name in ("first", "swin_1", "last")
    )
  params = jax.eval_shape(
    _make_flow().init,
    jax.random.key(0),
    *(jnp.zeros((1, 64, 64, channels)) for channels in (3, 1)),
    jnp.zeros(1),
    jax.random.split(jax.random.key(0), 1),
  )
  assert found[""][0] == sum(leaf.size for leaf in jax.tree.leaves(params))


def test_computing_blocks_again_in_the_backward_pass_changes_nothing():
  assert _measure(remat=True) == _measure()


def test_a_context_that_trains_on_rounding_is_counted_once():
  config = load_config_file(ROOT / "configs" / "ggm.py").get_config("smoke")
  found = []
  for rounds in (True, False):
    config.model.rounds_context = rounds
    model = build_model(config.system, config.model)
    found.append(measure_size(model, 64, 64))
  assert found[0] == found[1]


def test_depth_hides_modules_and_keeps_their_sums():
  flow = _make_flow()
  deep = {part.path: part for part in measure_size(flow, 128, 64, 5)}
  for depth in (0, 1, 2):
    parts = measure_size(flow, 128, 64, depth)
    assert {len(part.path) for part in parts} == set(range(depth + 1))
    for part in parts:
      assert part == deep[part.path]


def test_a_photo_is_padded_to_whole_cells():
  flow = _make_flow()
  assert measure_size(flow, 65, 1, 0) == measure_size(flow, 128, 64, 0)
  with pytest.raises(ConfigError, match="64x0 has no pixels"):
    measure_size(flow, 0, 64)


def test_a_loop_of_unknown_length_is_refused():
  with pytest.raises(ConfigError, match="cannot be counted"):
    _measure(loop="while")


def test_the_command_prints_every_part(monkeypatch, capsys):
  monkeypatch.chdir(ROOT)
  arguments = ["--config=configs/ggm.py:smoke", "--size=64x128", "--depth=1"]
  assert main(arguments) == 0
  head, *rows = capsys.readouterr().out.splitlines()
  assert head.split() == [
    *("part", "parameters", "share", "MMAC", "share", "kMAC/pixel")
  ]
  cells = [row.split() for row in rows]
  names = [name for name in PARTS if name != "prior"]
  assert [row[0] for row in cells] == [*names, "log_unit", "all"]
  assert cells[-1][2] == cells[-1][4] == "100.0%"
  total = int(cells[-1][1].replace(",", ""))
  assert total == sum(int(row[1].replace(",", "")) for row in cells[:-1])


def test_without_a_config_all_of_them_are_listed(monkeypatch, tmp_path, capsys):
  (tmp_path / "configs").mkdir()
  monkeypatch.chdir(tmp_path)
  assert main([]) == 2
  assert "no codec in" in capsys.readouterr().err
  text = (ROOT / "configs" / "ggm.py").read_text()
  text = text.replace('"wavefront": _wavefront,', "")
  text = text.replace('"": None,', "").replace('"sample": _sample,', "")
  (tmp_path / "configs" / "mine.py").write_text(text)
  other = 'def get_config(variant=""):\n  return {"system": "a", "model": {}}\n'
  (tmp_path / "configs" / "other.py").write_text(other)
  assert main(["--size=64x64"]) == 0
  rows = capsys.readouterr().out.splitlines()
  assert [row.split()[0] for row in rows] == [
    "configuration",
    "configs/mine.py:small",
    "configs/mine.py:smoke",
  ]


@pytest.mark.parametrize(
  ("arguments", "words"),
  [
    (["--config=configs/none.py"], "there is no file configs/none.py"),
    (["--config=configs/ggm.py:nope"], "unknown variant 'nope' of ggm"),
    (["--config=configs"], "there is no file configs"),
    (["--config=README.md"], "README.md is no Python file"),
    (["--config=train.py"], "train.py: "),
    (["--config=configs/ggm.py", "--size=big"], "'big' is no size"),
    (["--config=configs/ggm.py", "--size=0x64"], "'0x64' is no size"),
    (["--config=configs/ggm.py", "--depth=0"], "--depth"),
    (["--cofnig=configs/ggm.py"], "unrecognized arguments"),
  ],
)
def test_what_is_wrong_is_one_line(monkeypatch, capsys, arguments, words):
  monkeypatch.chdir(ROOT)
  assert main(arguments) == 2
  streams = capsys.readouterr()
  assert streams.out == ""
  assert streams.err.startswith("error: ")
  assert streams.err.count("\n") == 1
  assert words in streams.err
