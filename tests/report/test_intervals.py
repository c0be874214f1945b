"""Intervals: exact where a hand can follow, right in coverage where it can't."""

import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from research.report.contrasts import runs_of
from research.report.intervals import ALPHA, _table, holm, over_seeds, two_way
from research.report.records import load_records
from research.report.tables import by_cell, values_of
from tests.report.made import crossed, paired


@pytest.fixture
def values():
    return np.random.default_rng(1).normal(size=(30, 4))


def squares(values):
    """The mean squares of users, of seeds and of the residual, as a textbook has it."""
    users, seeds = values.shape
    user = values.mean(axis=1, keepdims=True) - values.mean()
    seed = values.mean(axis=0, keepdims=True) - values.mean()
    rest = values - values.mean() - user - seed
    return (
        seeds * (user**2).sum() / (users - 1),
        users * (seed**2).sum() / (seeds - 1),
        (rest**2).sum() / ((users - 1) * (seeds - 1)),
    )


def test_the_variance_is_that_of_the_mean_squares():
    rng = np.random.default_rng(3)
    values = rng.normal(size=(40, 1)) + 0.3 * rng.normal(size=5)
    values = values + rng.normal(size=(40, 5))
    of_users, of_seeds, rest = squares(values)
    assert of_users > rest
    assert of_seeds > rest
    total = of_users + of_seeds - rest
    below = of_users**2 / 39 + of_seeds**2 / 4 + rest**2 / (39 * 4)
    reach = math.sqrt(total / 200) * stats.t.ppf(0.975, total**2 / below)
    mean = values.mean()
    assert crossed(values) == pytest.approx((mean, mean - reach, mean + reach))
    p = 2 * stats.t.sf(abs(mean) / math.sqrt(total / 200), total**2 / below)
    assert float(two_way(values).p()) == pytest.approx(p)


@pytest.mark.parametrize("draw", range(60))
def test_seeds_of_one_mean_have_one_interval_in_any_order_of_users(draw):
    """Their mean square is 0, or a rounding error that the cube root makes large."""
    rng = np.random.default_rng(draw)
    one, other = rng.integers(0, 4, (2, 57)) / 3
    gain = one - other, rng.permutation(one) - rng.permutation(other)
    values = np.stack(gain, axis=1)
    freedom = [float(two_way(rng.permutation(values)).df) for _ in range(50)]
    np.testing.assert_allclose(freedom, freedom[0], rtol=1e-9)


def test_seeds_that_lie_together_by_chance_leave_few_degrees_of_freedom():
    """Below the residual's, their mean square is taken towards it: not in the error."""
    rng = np.random.default_rng(6)
    values = rng.normal(size=(40, 1)) + rng.normal(size=(40, 3))
    values -= 0.9 * (values.mean(axis=0) - values.mean())
    of_users, of_seeds, rest = squares(values)
    assert of_users > rest > 10 * of_seeds
    likely = (of_seeds * rest**2) ** (1 / 3)
    below = of_users**2 / 39 + likely**2 / 2 + rest**2 / (39 * 2)
    estimate = two_way(values)
    assert estimate.error == pytest.approx(
        math.sqrt((of_users + of_seeds - rest) / 120)
    )
    assert estimate.df == pytest.approx((of_users + likely - rest) ** 2 / below)


def test_users_that_explain_less_than_nothing_leave_the_t_interval_over_seeds():
    values = np.random.default_rng(0).normal(size=(30, 3))
    values -= 0.9 * values.mean(axis=1, keepdims=True)
    of_users, _, rest = squares(values)
    assert of_users < rest
    assert crossed(values) == pytest.approx(over_seeds(values.mean(axis=0)).interval())


def test_one_seed_is_a_t_interval_over_users(values):
    one = values[:, :1]
    reach = stats.sem(one[:, 0]) * stats.t.ppf(0.975, 29)
    expected = (one.mean(), one.mean() - reach, one.mean() + reach)
    assert crossed(one) == pytest.approx(expected)
    assert crossed(np.repeat(one, 5, axis=1)) == pytest.approx(expected)


def test_many_tables_at_once_are_each_alone(values):
    other = values**2
    other[3] = np.nan
    both = two_way(np.stack([values, other]))
    for n, table in enumerate((values, other)):
        alone = two_way(table)
        assert [part[n] for part in both] == pytest.approx(list(map(float, alone)))


def test_pairing_removes_what_two_arms_share(values):
    same = paired(values, values)
    assert same == (0, 0, 0)
    shifted = paired(values + 0.25, values)
    np.testing.assert_allclose(shifted, 0.25, rtol=1e-12)
    assert crossed(values).high - crossed(values).low > 0.1


def test_pairing_is_by_seed_too(values):
    turned = values[:, [1, 2, 3, 0]]
    assert paired(values, turned).mean == pytest.approx(0, abs=1e-12)
    assert paired(values, turned).high > 0.01


def test_users_who_do_not_count_are_as_if_absent(values):
    holed = np.insert(values, [0, 7, 30], np.nan, axis=0)
    assert crossed(holed) == pytest.approx(crossed(values))
    alone = np.full((6, 3), np.nan)
    alone[4] = 0.5
    mean, low, high = crossed(alone)
    assert mean == 0.5
    assert math.isnan(low)
    assert math.isnan(high)
    assert all(math.isnan(end) for end in crossed(np.full((6, 3), np.nan)))


def test_users_counted_in_some_runs_only_leave_the_components_unbiased():
    """Over many tables with holes, the mean of the variances is the variance."""
    rng = np.random.default_rng(5)
    trials, users, seeds = 6000, 24, 4
    tables = rng.normal(scale=0.5, size=(trials, users, 1))
    tables = tables + rng.normal(scale=0.3, size=(trials, 1, seeds))
    tables = tables + rng.normal(size=(trials, users, seeds))
    tables[:, rng.random((users, seeds)) < 0.4] = np.nan
    estimate = two_way(tables)
    ratio = np.mean(estimate.error**2) / np.var(estimate.mean)
    # the variance of the means has a relative error of sqrt(2 / 6000), the floor at
    # no spread of users adds a little
    assert 0.93 < ratio < 1.12


def test_every_seed_weighs_alike_however_many_users_it_counts():
    table = np.array([[1.0, 4.0], [3.0, np.nan]])
    assert float(two_way(table).mean) == pytest.approx((2.0 + 4.0) / 2)


def test_t_interval_by_hand():
    interval = over_seeds(np.array([0.2, 0.4, 0.6, 0.8])).interval()
    # sd = sqrt(0.2/3), t(.975, 3) = 3.182446
    reach = 3.182446305284263 * math.sqrt(0.2 / 3) / 2
    assert interval == pytest.approx((0.5, 0.5 - reach, 0.5 + reach))
    assert math.isnan(over_seeds(np.array([1.0])).error)
    assert math.isnan(over_seeds(np.array([])).mean)


# Variances of users, of seeds and of the residual, as between arms of the grid ssb.
NEAR_TIED, DISTANT = (2e-4, 0.0, 0.03), (0.05, 0.0, 0.026)
BETWEEN = (0.004, 0.0, 0.03)
MOVED_SEEDS = (0.03, 5e-4, 0.04)
STRICT = ALPHA / 20  # what Holm asks of the least p value of 20 contrasts


def simulate(parts, seeds, users=300, trials=2000, of_users=False):
    """Simulates tables of users by seeds whose true mean is zero.

    Returns the shares of tables whose interval holds it, and whose p is below STRICT.
    At 95 % of 2000 trials the standard error is 0.5 %: bounds are four of them away.
    """
    rng = np.random.default_rng([users, seeds])
    scale = np.sqrt(parts)
    held = found = 0
    for _ in range(trials // 100):
        tables = scale[2] * rng.standard_normal((100, users, seeds))
        tables += scale[0] * rng.standard_normal((100, users, 1))
        tables += scale[1] * rng.standard_normal((100, 1, seeds))
        estimate = two_way(tables.mean(axis=2, keepdims=True) if of_users else tables)
        _, low, high = estimate.interval()
        held += int(((low <= 0) & (high >= 0)).sum())
        found += int((estimate.p() < STRICT).sum())
    return held / trials, found / trials


@pytest.mark.parametrize(
    "parts",
    [NEAR_TIED, BETWEEN, DISTANT],
    ids=["near-tied", "between", "distant"],
)
@pytest.mark.parametrize("seeds", [2, 3, 5, 12])
def test_nineteen_of_twenty_intervals_hold_the_truth(parts, seeds):
    assert 0.93 <= simulate(parts, seeds)[0] <= 0.97


def test_the_seeds_are_not_forgotten():
    assert 0.93 <= simulate(MOVED_SEEDS, 5)[0] <= 0.97
    assert simulate(MOVED_SEEDS, 5, of_users=True)[0] < 0.9


def test_right_variances_give_right_p_values():
    """With one part alone the t test is exact: p below a level as often as it says."""
    _, found = simulate((0.0, 1.0, 0.0), seeds=3, users=4, trials=20_000)
    assert 0.5 * STRICT < found < 1.5 * STRICT


RECORDS = Path(__file__).parents[2] / "results" / "records" / "ml-100k" / "ssb.npz"
PAIRS = (
    ("mixed+logq", "uniform-softmax"),
    ("in-batch+logq", "full-softmax"),
    ("in-batch+prior", "in-batch+logq"),
    ("in-batch+logq+mask", "in-batch+logq"),
    ("in-batch+logq", "in-batch"),
    ("full-softmax", "ease"),
)


@pytest.mark.slow
@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_intervals_of_committed_pairs_cover_the_truth(pair):
    """With the variances that the committed records show for pairs of arms.

    With two or three seeds intervals are too short for pairs whose seeds vary most
    (docs/metrics.md); the records have eight.
    """
    cells = by_cell(load_records(RECORDS))
    arm, other = (values_of(runs_of(cells, name, {}), "recall", 20) for name in pair)
    values, table = arm - other, _table(arm - other)
    rest = table.residual
    parts = [table.within_seed - rest, table.within_user - rest, rest]
    parts = np.maximum(parts, 0.0)
    for seeds in (2, 3, 5, values.shape[1]):
        covered, found = simulate(parts, seeds, len(values), trials=4000)
        least = 0.935 if seeds > 3 else 0.92
        assert least < covered < 0.975  # measured: 0.940 to 0.954, and 0.933 to 0.958
        assert found < 4 * STRICT


@pytest.mark.slow
def test_seeds_that_vary_more_than_users_cover_less():
    """The limit of a method that has few seeds: it is said, and not worse than that."""
    parts = (1.0, 30.0 / 300, 1.0)
    shares = [simulate(parts, seeds, trials=4000)[0] for seeds in (2, 3, 5)]
    assert shares == sorted(shares)
    assert shares[0] > 0.85
    assert shares[-1] > 0.925


def test_holm_by_hand():
    p = np.array([0.04, 0.001, np.nan, 0.03, 0.9])
    assert holm(p) == pytest.approx([0.09, 0.004, np.nan, 0.09, 0.9], nan_ok=True)
    assert np.isnan(holm(np.array([np.nan]))).all()
    assert holm(np.array([0.6, 0.9])).tolist() == [1.0, 1.0]
