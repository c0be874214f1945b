"""Sums and ratios of several cells: by hand, against contrasts, and what is refused."""

import numpy as np
import pytest

from research.contrast import Part, Stated, Term
from research.report.intervals import over_seeds, two_way
from research.report.predictions import combined
from research.report.tables import values_of
from research.types import InputError
from tests.report.made import difference_of, made_rows

FULL, LOGQ, NONE = "full-softmax", "in-batch+logq", "in-batch"


@pytest.fixture(scope="module")
def rows():
    return made_rows()


def of_sum(*terms, over=(), **more):
    return Stated("", (Part(terms, over),), **more)


def recalls(rows, arm):
    return values_of([row for row in rows if row.arm == arm], "recall", 20)


@pytest.mark.parametrize(("metric", "k"), [("recall", 100), ("gini", 10)])
def test_a_sum_of_two_is_their_contrast(rows, metric, k):
    stated = of_sum(Term(FULL), Term(NONE, factor=-1.0), metric=metric, k=k)
    found = difference_of(rows, FULL, NONE, metric, k)
    numbers = found.difference, found.low, found.high
    assert combined(stated, {"": rows}).interval() == pytest.approx(numbers)


def test_factors_and_parts_are_summed_by_user_and_seed(rows):
    full, logq, none = (recalls(rows, arm) for arm in (FULL, LOGQ, NONE))
    expected = two_way(2 * (full - none) - 3 * logq)
    parts = (
        Part((Term(FULL), Term(NONE, factor=-1.0)), factor=2.0),
        Part((Term(LOGQ, factor=-3.0),)),
    )
    assert combined(Stated("", parts), {"": rows}) == pytest.approx(expected)


def test_a_ratio_has_the_error_of_the_delta_method(rows):
    above, below = recalls(rows, LOGQ), recalls(rows, FULL)
    ratio = two_way(above).mean / two_way(below).mean
    expected = two_way((above - ratio * below) / two_way(below).mean)
    found = combined(of_sum(Term(LOGQ), over=(Term(FULL),)), {"": rows})
    assert found.mean == pytest.approx(ratio)
    assert found.error == pytest.approx(expected.error)
    # a smaller numerator has another ratio, and its weight on the denominator with it
    half = combined(of_sum(Term(LOGQ, factor=0.5), over=(Term(FULL),)), {"": rows})
    assert half == pytest.approx((0.5 * ratio, 0.5 * found.error, found.df))


def test_other_records_are_independent(rows):
    others = made_rows(seeds=2, users=30, world=1)
    mine, other = two_way(recalls(rows, FULL)), two_way(recalls(others, FULL))
    terms = Term(FULL), Term(FULL, records="ml-1m/fair", factor=-1.0)
    found = combined(of_sum(*terms), {"": rows, "ml-1m/fair": others})
    variances = np.square([mine.error, other.error])
    assert found.mean == pytest.approx(mine.mean - other.mean)
    assert found.error**2 == pytest.approx(variances.sum())
    freedom = variances.sum() ** 2 / (variances**2 / [mine.df, other.df]).sum()
    assert found.df == pytest.approx(freedom)


def test_a_metric_of_all_lists_varies_over_seeds_alone(rows):
    gini = values_of([row for row in rows if row.arm == FULL], "gini", 20)
    found = combined(of_sum(Term(FULL), metric="gini"), {"": rows})
    assert found == pytest.approx(over_seeds(gini))


def test_what_cannot_be_combined_is_refused(rows):
    def refused(stated, records):
        with pytest.raises(InputError) as caught:
            combined(stated, records)
        return str(caught.value)

    assert refused(of_sum(Term("mixed")), {"": rows}) == "not in these records: mixed"
    absent = of_sum(Term(FULL, records="fair"))
    assert refused(absent, {"": rows}) == "no records fair"
    fewer = [row for row in rows if row.arm != LOGQ or row.seed]
    pair = of_sum(Term(FULL), Term(LOGQ))
    assert "in-batch+logq has other seeds" in refused(pair, {"": fewer})
    zero = of_sum(Term(FULL), over=(Term(FULL), Term(FULL, factor=-1.0)))
    assert refused(zero, {"": rows}) == "the denominator may be 0: 0 [0, 0]"
    assert "not measured" in refused(of_sum(Term(FULL), k=7), {"": rows})


def test_a_ratio_to_a_number_that_may_be_0_is_refused(rows):
    """The interval of a linearised ratio has no meaning there."""
    lost = Term(FULL), Term(LOGQ, factor=-1.0)
    interval = combined(of_sum(*lost), {"": rows}).interval()
    assert interval.low < 0 < interval.high
    with pytest.raises(InputError, match="denominator may be 0: "):
        combined(of_sum(Term(NONE), over=lost), {"": rows})


def test_cells_with_other_positives_are_not_paired(rows):
    others = made_rows(world=9)
    mixed = [row for row in rows if row.arm == FULL]
    mixed += [row for row in others if row.arm == LOGQ]
    with pytest.raises(InputError, match="is judged by other positives"):
        combined(of_sum(Term(FULL), Term(LOGQ)), {"": mixed})
