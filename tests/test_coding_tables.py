import numpy as np
import pytest
from scipy import stats

from roijax.coding import escape, grid, make_tables
from roijax.coding.tables import (
  TOTAL,
  Tables,
  apportion,
  class_frequencies,
  load_tables,
)
from roijax.coding.tables import make_tables as tables_of


def small_tables() -> Tables:
  return tables_of([np.array([0.25, 0.5, 0.2]), np.array([0.9])], [-1, 7])


def rows(tables: Tables) -> list[np.ndarray]:
  return np.split(tables.frequencies.astype(np.int64), tables.starts[1:])


def test_apportion_reaches_the_total_and_starves_nobody():
  rng = np.random.default_rng(0)
  for _ in range(50):
    weights = rng.random(rng.integers(1, 300)) ** rng.integers(1, 40)
    counts = apportion(weights)
    assert counts.sum() == TOTAL
    assert counts.min() >= 1


def test_apportion_is_exact_where_it_can_be():
  np.testing.assert_array_equal(apportion(np.array([1, 2, 1]), 8), [2, 4, 2])
  np.testing.assert_array_equal(apportion(np.ones(7), 7), np.ones(7))
  np.testing.assert_array_equal(apportion(np.array([1, 0, 0]), 10), [8, 1, 1])


def test_apportion_stays_within_one_of_the_share():
  weights = np.random.default_rng(1).random(100) + 0.1
  shares = weights / weights.sum() * TOTAL
  assert np.abs(apportion(weights) - shares).max() < 1


@pytest.mark.parametrize(
  "weights", [[], [0.0, 0.0], [-1.0, 2.0], [np.nan, 1.0], [np.inf, 1.0]]
)
def test_apportion_refuses_what_is_no_weight(weights):
  with pytest.raises(ValueError, match="weights"):
    apportion(np.array(weights))


def test_missing_probability_goes_to_the_escape():
  first, second = rows(small_tables())
  np.testing.assert_array_equal(first, [16384, 32768, 13107, 3277])
  assert second[-1] == pytest.approx(0.1 * TOTAL, abs=1)


def test_probabilities_above_one_are_refused():
  with pytest.raises(ValueError, match="table 1"):
    tables_of([np.array([0.5]), np.array([0.6, 0.6])], [0, 0])
  with pytest.raises(ValueError, match="1 lists and 2 offsets"):
    tables_of([np.array([0.5])], [0, 0])


@pytest.mark.parametrize(
  ("sizes", "frequencies", "message"),
  [
    ([2], [TOTAL - 1, 2], "sum to"),
    ([2], [TOTAL, 0], ">= 1"),
    ([1], [TOTAL], "2 to 4096"),
    ([3], [TOTAL - 1, 1], "sum\\(sizes\\)"),
    ([2, 2], [TOTAL - 1, 1], "same tables"),
    ([2], [1.5, TOTAL - 1.5], "integers"),
    ([2], [-1, TOTAL + 1], "does not fit"),
  ],
)
def test_tables_hold_their_rules(sizes, frequencies, message):
  with pytest.raises(ValueError, match=message):
    Tables(np.array([0]), np.array(sizes), np.array(frequencies))


def test_tables_survive_saving():
  tables = small_tables()
  again = Tables.from_arrays(tables.to_arrays() | {"other": np.zeros(3)})
  for name, value in tables.to_arrays().items():
    np.testing.assert_array_equal(again.to_arrays()[name], value)
  with pytest.raises(ValueError, match="lack sizes"):
    Tables.from_arrays({"offsets": [0], "frequencies": [1]})


def test_bits_are_those_of_the_frequencies():
  tables = small_tables()
  bits = tables.bits(np.array([[-1, 0], [1, 7]]), np.array([[0, 0], [0, 1]]))
  counts = np.array([[16384, 32768], [13107, rows(tables)[1][0]]])
  np.testing.assert_allclose(bits, -np.log2(counts / TOTAL))


def test_bits_of_an_escape_add_sign_class_and_digits():
  tables = small_tables()
  # Beyond 1 by one, and by 2 + 4 = 6: classes 0 and 2 at order 0.
  bits = tables.bits(np.array([2, -8]), np.array([0, 0]))
  classes = -np.log2(class_frequencies()[[0, 2]] / TOTAL)
  expected = -np.log2(3277 / TOTAL) + 1 + classes + np.array([0, 2])
  np.testing.assert_allclose(bits, expected)


def test_bits_refuse_what_names_no_table():
  tables = small_tables()
  for symbols, indexes, message in [
    ([0], [2], "\\[0, 2\\)"),
    ([0], [-1], "\\[0, 2\\)"),
    ([0, 1], [0], "shape"),
    ([0.5], [0], "integers"),
    ([2**31], [0], "32 bits"),
  ]:
    with pytest.raises(ValueError, match=message):
      tables.bits(np.array(symbols), np.array(indexes))


def test_excess_splits_and_joins_over_its_whole_range():
  excess = np.concatenate(
    [np.arange(300), [2**k + d for k in range(9, 32) for d in (-1, 0, 1)]]
  )
  excess = np.append(excess, 2**32 - 1)
  for size in (2, 15, 16, 200, 4096):
    order = escape.escape_order(np.full(excess.shape, size))
    classes, digits = escape.split_excess(excess, order)
    assert classes.min() >= 0
    assert classes.max() < escape.CLASSES
    assert np.all((digits >= 0) & (digits < 1 << (classes + order)))
    joined = escape.join_excess(classes, digits, order)
    np.testing.assert_array_equal(joined, excess)


def test_escape_order_grows_with_the_table():
  sizes = np.array([2, 15, 16, 31, 32, 2048, 4096])
  np.testing.assert_array_equal(
    escape.escape_order(sizes), [0, 0, 1, 1, 2, 8, 9]
  )


def test_committed_tables_cover_the_grid_symmetrically():
  tables = load_tables()
  assert len(tables) == grid.NUM_TABLES
  assert tables is load_tables()
  for offset, row in zip(tables.offsets, rows(tables), strict=True):
    np.testing.assert_array_equal(row[:-1], row[-2::-1])
    assert row.size == 2 - 2 * offset


def test_committed_tables_agree_with_gennorm():
  tables = load_tables()
  for shape_level, scale_level in [(0, 0), (5, 20), (11, 33), (19, 63)]:
    number = shape_level * grid.NUM_SCALES + scale_level
    shape = grid.SHAPES[shape_level]
    scale = grid.SCALES[shape_level, scale_level]
    alpha = scale * grid.alpha_per_scale(shape)
    row = rows(tables)[number]
    support = -tables.offsets[number]
    edges = np.arange(-support, support + 2) - 0.5
    mass = np.diff(stats.gennorm.cdf(edges, shape, scale=alpha))
    # Rounding takes less than a count a side (two in the middle), and the
    # entries that are raised to one count are paid by all others.
    error = np.abs(row[:-1] - mass * TOTAL)
    assert np.all(error <= 2 + 0.005 * row[:-1])


def test_committed_tables_cost_next_to_nothing_beside_the_entropy():
  tables = load_tables()
  for number in range(0, grid.NUM_TABLES, 61):
    shape_level, scale_level = divmod(number, grid.NUM_SCALES)
    mass, _ = make_tables.bin_masses(
      grid.SHAPES[shape_level], grid.SCALES[shape_level, scale_level]
    )
    weight = np.append(mass[:1], 2 * mass[1:])
    entropy = -np.sum(weight * np.log2(np.maximum(mass, 1e-300)))
    bits = tables.bits(np.arange(mass.size), np.full(mass.size, number))
    assert 0 <= weight @ bits - entropy < 0.0035


def test_tables_made_anew_are_the_committed_ones():
  tables = load_tables()
  for shape_level, scale_level in [(0, 63), (3, 7), (10, 30), (19, 1)]:
    number = shape_level * grid.NUM_SCALES + scale_level
    mass, above = make_tables.bin_masses(
      grid.SHAPES[shape_level], grid.SCALES[shape_level, scale_level]
    )
    support = make_tables.choose_support(mass, above)
    assert support == -tables.offsets[number]
    half = make_tables.fold(mass, above, support)
    row = rows(tables)[number]
    assert np.abs(row[support + 1 : -1] - half[1:-1]).max() <= 1
    assert abs(row[support] - 2 * half[0]) <= 2
    assert abs(row[-1] - 2 * half[-1]) <= 2
