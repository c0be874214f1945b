"""Differences over the draws that break ties."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from research.report.salts import over_salts, write_over_salts

DELTAS = {"last": (0.01, -0.02, 0.03), "profile": (0.05, 0.06, 0.04)}


@pytest.fixture
def frame():
    rows = [
        {"arm": arm, "metric": metric, "k": k, "tie_salt": float(salt)}
        | {"delta": delta if k == 20 else -delta}
        for arm, deltas in {"mean": (np.nan,) * 3, **DELTAS}.items()
        for metric in ("recall", "ndcg", "coverage")
        for k in (10, 20)
        for salt, delta in enumerate(deltas)
    ]
    return pd.DataFrame(rows).assign(against="mean")


def test_the_interval_is_over_the_salts(frame):
    differences = over_salts(frame).set_index(["arm", "metric"])
    assert list(differences.index) == [
        (a, m) for a in DELTAS for m in ("recall", "ndcg")
    ]
    for arm, deltas in DELTAS.items():
        row, values = differences.loc[(arm, "recall")], np.array(deltas)
        reach = stats.sem(values) * stats.t.ppf(0.975, 2)
        ends = [row["low"], row["high"], row["least"], row["largest"]]
        wanted = [values.mean() - reach, values.mean() + reach, min(deltas)]
        np.testing.assert_allclose(ends, [*wanted, max(deltas)])
        assert row["salts"] == 3
    assert list(differences.above) == [2, 2, 3, 3]


def test_the_rows_are_one_family_of_tests(frame):
    differences = over_salts(frame)
    p = [stats.ttest_1samp(DELTAS[arm], 0).pvalue for arm in differences.arm]
    np.testing.assert_allclose(differences.p, p)
    # of four: the two smallest, which tie, four times; the others, at least that, twice
    wanted = [max(2 * n, 4 * min(p)) if n > min(p) else 4 * n for n in p]
    np.testing.assert_allclose(differences.p_holm, np.minimum(wanted, 1))


def test_the_reference_has_no_row_and_the_page_no_other_cut_off(frame, tmp_path):
    written = write_over_salts([], frame, tmp_path / "ties")
    text = written[1].read_text()
    assert [path.name for path in written] == [
        "ties-over-salts.csv",
        "ties-over-salts.md",
    ]
    assert text.count("`last` |") == 2
    assert "`mean` |" not in text
    assert "+0.0500" in text
    assert "2 of 3" in text
