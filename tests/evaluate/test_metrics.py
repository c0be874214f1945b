"""Metrics against their definitions read slowly, against rax, and by hand."""

import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rax
from hypothesis import given, settings
from hypothesis import strategies as st

from research.evaluate.formulas import gini_index
from research.evaluate.laws import record as made_record
from research.evaluate.laws import verdict
from research.evaluate.metrics import (
    METRICS,
    Key,
    Metric,
    keys,
    metric_values,
    summary,
)
from research.types import BANDS, Record, check
from tests.report.made import KS


def record_of(ranks, bands, exposure, counts, ks=(2, 20)):
    """A record from lists of ranks and bands by user."""
    users = len(ranks)
    column = np.arange(users, dtype=np.float16)
    return Record(
        ks=np.array(ks),
        held=np.array([len(user) for user in ranks]),
        rank=np.array([r for user in ranks for r in user], np.uint8),
        band=np.array([b for user in bands for b in user], np.uint8),
        exposure=np.array(exposure),
        item_counts=np.array(counts),
        columns={
            "ild": column,
            "novelty": column + 1,
            "train_count": column + 2,
            "recall_item": column + 3,
            "recall_ips": column + 6,
            "expansion": np.array([b == 2 for user in bands for b in user], np.uint8),
            "outside_genres": column + 4,
            "repulsion": column + 5,
            "distinct": np.arange(1, len(ks) + 1),
        },
    )


@pytest.fixture(scope="module")
def by_hand():
    return record_of(
        ranks=[[0, 3], [1, 2, 100], [100]],
        bands=[[0, 2], [0, 0, 1], [1]],
        exposure=[[3, 2, 1, 0], [3, 3, 3, 3]],
        counts=[9, 2, 0, 5],
    )


def slow(ranks, bands, k):
    """One user's metrics, as the definitions say them."""
    n = len(ranks)
    hits = [r for r in ranks if r < k]
    ideal = sum(1 / math.log2(r + 2) for r in range(min(k, n)))
    out = {
        "recall": len(hits) / n,
        "hit": 1.0 if hits else 0.0,
        "mrr": 1 / (1 + min(hits)) if hits else 0.0,
        "ndcg": sum(1 / math.log2(r + 2) for r in hits) / ideal,
    }
    for b, band in enumerate(BANDS):
        of_band = [r for r, x in zip(ranks, bands, strict=True) if x == b]
        share = [r < k for r in of_band]
        out[f"recall_{band}"] = sum(share) / len(share) if share else math.nan
    return out


def test_values_by_hand(by_hand):
    check(by_hand)
    values = metric_values(by_hand)
    assert values[Key("recall", 2)].tolist() == [1 / 2, 1 / 3, 0]
    assert values[Key("recall", 20)].tolist() == [1, 2 / 3, 0]
    assert values[Key("hit", 2)].tolist() == [1, 1, 0]
    assert values[Key("hit", 20)].tolist() == [1, 1, 0]
    assert values[Key("mrr", 2)].tolist() == [1, 1 / 2, 0]
    second, third, fourth = (1 / math.log2(n + 1) for n in (2, 3, 4))
    two, three = 1 + second, 1 + second + third
    np.testing.assert_allclose(
        values[Key("ndcg", 2)], [1 / two, second / two, 0], rtol=1e-12
    )
    np.testing.assert_allclose(
        values[Key("ndcg", 20)],
        [(1 + fourth) / two, (second + third) / three, 0],
        rtol=1e-12,
    )
    np.testing.assert_array_equal(values[Key("recall_head", 2)], [1, 1 / 2, np.nan])
    np.testing.assert_array_equal(values[Key("recall_torso", 2)], [np.nan, 0, 0])
    np.testing.assert_array_equal(values[Key("recall_tail", 20)], [1, np.nan, np.nan])
    expansion = values[Key("recall_expansion", 2)], values[Key("recall_expansion", 20)]
    np.testing.assert_array_equal(expansion[0], [0, np.nan, np.nan])
    np.testing.assert_array_equal(expansion[1], [1, np.nan, np.nan])


def test_whole_set_by_hand(by_hand):
    values = metric_values(by_hand)
    assert values[Key("coverage", 2)] == 3 / 4
    assert values[Key("coverage", 20)] == 1
    # ascending shares 0, 1/6, 2/6, 3/6 with weights -3, -1, 1, 3 over n - 1 = 3
    assert values[Key("gini", 2)] == pytest.approx((-1 / 6 + 2 / 6 + 9 / 6) / 3)
    assert values[Key("gini", 20)] == pytest.approx(0, abs=1e-12)
    halves, thirds, sixths = 0.5, math.log2(3) / 3, math.log2(6) / 6
    assert values[Key("entropy", 2)] == pytest.approx(halves + thirds + sixths)
    assert values[Key("entropy", 20)] == pytest.approx(2)
    assert values[Key("distinct_lists", 2)] == pytest.approx(1 / 3)
    assert values[Key("distinct_lists", 20)] == pytest.approx(2 / 3)
    assert values[Key("cold_slots_0", 2)] == pytest.approx(1 / 6)
    assert values[Key("cold_slots_2", 2)] == pytest.approx(3 / 6)
    assert values[Key("cold_slots_2", 20)] == pytest.approx(6 / 12)


def test_gini_counts_items_never_shown():
    shown = np.array([0.5, 0.5])
    assert gini_index(shown) == 0
    assert gini_index(np.concatenate([np.zeros(2), shown])) == pytest.approx(2 / 3)


@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, 100), st.integers(0, 2)), min_size=1),
        min_size=1,
        max_size=8,
    )
)
@settings(max_examples=60, deadline=None)
def test_per_user_equals_its_definition(users):
    ranks = [[rank for rank, _ in user] for user in users]
    bands = [[band for _, band in user] for user in users]
    ks = (1, 7, 20, 100)
    record = record_of(ranks, bands, [[1, 0]] * len(ks), [3, 1], ks)
    values = metric_values(record)
    for k in ks:
        for u, (rank, band) in enumerate(zip(ranks, bands, strict=True)):
            for metric, value in slow(rank, band, k).items():
                np.testing.assert_allclose(
                    values[Key(metric, k)][u], value, rtol=1e-12, err_msg=metric
                )


@pytest.mark.parametrize(
    ("metric", "theirs"),
    [
        ("recall", rax.recall_metric),
        ("ndcg", rax.ndcg_metric),
        ("mrr", rax.mrr_metric),
    ],
)
def test_agrees_with_rax(metric, theirs):
    rng = np.random.default_rng(0)
    for n in (1, 2, 5, 11, 40):
        ranks = np.sort(rng.choice(150, n, replace=False))  # item r has rank r
        labels = np.zeros(150)
        labels[ranks] = 1
        capped = np.minimum(ranks, 100).tolist()
        values = metric_values(record_of([capped], [[0] * n], [[1]] * 4, [1], KS))
        for k in KS.tolist():
            with jax.numpy_dtype_promotion("standard"):
                value = theirs(jnp.arange(150.0, 0, -1), jnp.asarray(labels), topn=k)
            assert values[Key(metric, k)][0] == pytest.approx(float(value), abs=1e-5)


def test_keys_are_those_of_the_values(by_hand):
    assert list(metric_values(by_hand)) == keys(by_hand.ks.tolist())
    assert list(dict.fromkeys(key.metric for key in keys(KS.tolist()))) == list(METRICS)


def test_summary_leaves_out_users_who_do_not_count(by_hand):
    values = summary(by_hand)
    assert values["recall_head"][2] == pytest.approx((1 + 1 / 2) / 2)
    assert values["recall"][2] == pytest.approx((1 / 2 + 1 / 3) / 3)
    assert values["coverage"] == {2: 3 / 4, 20: 1.0}
    empty = by_hand._replace(band=np.zeros_like(by_hand.band))
    assert math.isnan(summary(empty)["recall_tail"][20])


def test_nothing_recommended_is_not_zero(by_hand):
    nothing = metric_values(by_hand._replace(exposure=np.zeros((2, 4), int)))
    whole = [key for key in nothing if not METRICS[key.metric].per_user]
    assert len(whole) == 2 * sum(not metric.per_user for metric in METRICS.values())
    assert all(math.isnan(nothing[key]) for key in whole)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"ks": np.array([2, 101])}, "1 to 100"),
        ({"ks": np.array([0, 20])}, "1 to 100"),
        ({"held": np.array([2, 3, 2])}, "6 ranks for 7"),
        ({"held": np.array([3, 3, 0])}, "1 users without any"),
    ],
)
def test_records_that_do_not_add_up_are_refused(by_hand, change, words):
    with pytest.raises(ValueError, match=words):
        metric_values(by_hand._replace(**change))


def test_no_metric_of_ranks_answers_above_the_depth(by_hand):
    deeper = by_hand._replace(rank=by_hand.rank.astype(np.uint16), depth=500)
    of_ranks = [m for m in METRICS.values() if m.per_user and not m.cutoffs]
    assert len(of_ranks) >= 8
    for metric in of_ranks:
        with pytest.raises(ValueError, match="k = 101: the record holds ranks 1 to 10"):
            metric.of(by_hand, 101)
        assert metric.of(deeper, 101).shape == (3,)
    # what is 100 there is a miss of the first hundred, and here the rank itself
    assert METRICS["recall"].of(deeper, 101).tolist() == [1, 1, 1]


def test_an_entry_that_cannot_be_computed_is_refused():
    with pytest.raises(ValueError, match="toy: name the column"):
        Metric("toy", "?")


def test_a_metric_per_user_gives_a_value_metric_values(by_hand):
    wrong = Metric("toy", "?", lambda record, k: np.zeros(2))
    with (
        METRICS.added("toy", wrong),
        pytest.raises(ValueError, match=r"toy: \[2\] values, 3 users"),
    ):
        metric_values(by_hand)


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_keeps_the_checks_of_metrics(name):
    found = verdict(name, METRICS[name])
    assert not found.faults
    assert not found.unchecked or METRICS[name].column not in record_columns()


def record_columns():
    return made_record(0.0, METRICS["recall"]).columns


def per_list(record, k):
    """Of users with a hit alone, so that lists decide who counts."""
    hits = METRICS["recall"].of(record, k)
    return np.where(hits > 0, hits, np.nan)


@pytest.mark.parametrize(
    ("of", "better", "told"),
    [
        (lambda record, k: np.zeros(2), "neither", r"toy: \[2\] values, 40 users"),
        (lambda record, k: np.full(40, np.inf), "neither", "inf.* at cut-off 5"),
        (lambda record, k: record.no_such, "neither", "AttributeError"),
        (per_list, "neither", "40 users for the best lists and 0 for the worst"),
        (METRICS["recall"].of, "lower", "better is 'lower', .* give 1 and .* 0"),
    ],
)
def test_a_metric_that_breaks_a_check_is_told_with_numbers(of, better, told):
    faults = verdict("toy", Metric("toy", "?", of, better=better)).faults
    assert any(re.search(told, fault) for fault in faults), faults
