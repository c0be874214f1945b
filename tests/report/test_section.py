"""What the page holds of a grid, against the long table and against the records."""

import base64
import json

import numpy as np
import pytest

import research.report.html.section as section_module
from research.report.html.section import NONE, section
from research.report.tables import table
from tests.report.made import made_rows, swept_rows, without

KEY = "recall@20"


def unpacked(side: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(side), "<u2").astype(float)


def difference(content, n, m, key=KEY):
    """The paired interval of cell n minus cell m, n < m, as the page reads it."""
    metric, k = key.split("@")
    seeds = content["seeds"][content["keys"].index([metric, int(k)])]
    mean = np.mean(seeds[n]) - np.mean(seeds[m])
    pairs, size = content["pairs"][key], len(content["cells"])
    row = [(i, j) for i in range(size) for j in range(i + 1, size)].index((n, m))
    reach = unpacked(pairs["reaches"])[row]
    assert reach != NONE
    return mean, mean - reach * pairs["step"], mean + reach * pairs["step"]


@pytest.mark.parametrize("key", [KEY, "recall_tail@20", "coverage@20", "ndcg@100"])
def test_each_pair_has_the_interval_of_the_long_table(key):
    rows = made_rows()
    content = section(rows, "in-batch")
    metric, k = key.split("@")
    names = [arm["name"] for arm in content["arms"]]
    for reference in names:
        frame = table(rows, reference)
        at = frame[(frame.metric == metric) & (frame.k == int(k))].set_index("arm")
        for arm in names:
            n, m = names.index(arm), names.index(reference)
            if n < m:
                numbers = at.loc[arm, ["delta", "delta_low", "delta_high"]]
                found = difference(content, n, m, key)
                assert found == pytest.approx(tuple(numbers), abs=2e-5)


def test_means_and_ends_are_those_of_the_long_table():
    rows = swept_rows()
    content, frame = section(rows, "in-batch"), table(rows, "in-batch")
    for at, (metric, k) in enumerate(content["keys"]):
        part = frame[(frame.metric == metric) & (frame.k == k)]
        means = [np.mean([x for x in s if x is not None]) for s in content["seeds"][at]]
        assert means == pytest.approx(part["mean"].tolist(), rel=1e-5)
        ends = np.array(content["ends"][at], float)
        assert ends == pytest.approx(part[["low", "high"]].to_numpy(), nan_ok=True)
    assert content["swept"] == ["temperature"]
    stated = frame.drop_duplicates(["arm", "temperature"])["temperature"].tolist()
    found = np.array([cell["temperature"] for cell in content["cells"]], float)
    assert found == pytest.approx(np.array(stated, float), nan_ok=True)


def test_the_row_of_each_number_is_that_of_its_run():
    rows = made_rows()[::-1]
    content = section(rows, "in-batch")
    recall = content["seeds"][content["keys"].index(["recall", 20])]
    for n, cell in enumerate(content["cells"]):
        for seed, row, value in zip(cell["seeds"], cell["rows"], recall[n]):
            run = rows[row]
            assert run.arm == content["arms"][cell["arm"]]["name"]
            assert run.seed == seed
            user = np.repeat(np.arange(len(run.record.held)), run.record.held)
            hits = np.bincount(user, run.record.rank < 20) / run.record.held
            assert value == pytest.approx(hits.mean(), rel=1e-5)


def test_a_failed_run_leaves_a_reason_and_no_number():
    rows = made_rows()
    rows[0] = rows[0]._replace(record=None, reason="loss not finite at step 412")
    content = section(rows, "in-batch")
    assert "step 412" in content["cells"][0]["failed"]
    assert not any(of_key[0] for of_key in content["seeds"])
    assert set(unpacked(content["pairs"][KEY]["reaches"])[:3]) == {NONE}
    json.dumps(content, allow_nan=False)  # NaN is no JSON


def test_cells_over_different_users_have_no_pair():
    rows = [*made_rows(), *(r._replace(arm="fewer") for r in made_rows(users=30)[:3])]
    content = section(rows, "in-batch")
    reaches = unpacked(content["pairs"][KEY]["reaches"]).reshape(-1)
    last = np.array([j == 4 for i in range(5) for j in range(i + 1, 5)])
    assert (reaches[last] == NONE).all()
    assert (reaches[~last] != NONE).all()


def test_as_many_other_users_have_no_pair():
    rows = made_rows()
    record = rows[0].record
    held = np.roll(record.held, 1)  # as many users and positives: another split's
    other = rows[0]._replace(arm="other", record=record._replace(held=held))
    content = section([rows[0], other], "in-batch")
    assert (unpacked(content["pairs"][KEY]["reaches"]) == NONE).all()
    user = np.repeat(np.arange(len(record.held)), record.held)
    heads = [record._replace(band=(user != n).astype(np.uint8)) for n in range(2)]
    rows = [rows[0]._replace(arm=f"head of user {n}", record=heads[n]) for n in (0, 1)]
    content = section(rows, "in-batch")  # one user has a head in each, another one
    assert (unpacked(content["pairs"]["recall_head@20"]["reaches"]) == NONE).all()
    assert (unpacked(content["pairs"][KEY]["reaches"]) != NONE).all()


def test_many_cells_are_compared_in_the_main_metrics_alone(monkeypatch):
    monkeypatch.setattr(section_module, "MANY", 8)
    first, *_ = made_rows(users=4)
    rows = [first._replace(arm=f"arm {n}") for n in range(9)]
    assert set(section(rows, "arm 0")["pairs"]) == {
        "recall@20", "recall@100", "ndcg@20", "recall_item@20",
    }  # fmt: skip
    assert len(section(rows[:8], "arm 0")["pairs"]) == 10


def test_very_many_cells_are_not_compared_and_the_page_says_so(monkeypatch):
    monkeypatch.setattr(section_module, "MOST", 10)
    first, *_ = made_rows(users=4)
    rows = [first._replace(arm=f"arm {n}") for n in range(11)]
    content = section(rows, "arm 0")
    assert content["pairs"] == {}
    left_out = "No differences are shown: 11 rows have too many pairs."
    assert content["holes"] == [left_out]
    assert section(rows[:10], "arm 0")["pairs"]


def test_two_users_their_places_and_their_lists():
    rows = made_rows()
    first = rows[0].record
    kept = [
        {"user": "7", "id": "31", "item": "5", "title": "<b>", "held_out": "1"},
        {"user": "7", "id": "31", "item": "6", "title": "Two", "held_out": "0"},
    ]
    content = section(rows, "in-batch", lists={"0": kept})
    (usual, many) = content["people"]
    assert usual["held"] == np.quantile(first.held, 0.5, method="lower")
    assert many["held"] == np.quantile(first.held, 0.9, method="lower")
    assert usual["lists"][0] is None  # kept of another user
    of_user = np.flatnonzero(first.held == usual["held"])[0]
    start = first.held[:of_user].sum()
    ranks = first.rank[start : start + first.held[of_user]].astype(int)
    assert usual["places"][0] == sorted(r + 1 for r in ranks if r < 100)
    shown = [{**row, "user": str(of_user)} for row in kept]
    (usual, _) = section(rows, "in-batch", lists={"0": shown})["people"]
    assert usual["lists"][0] == [["<b>", True, "5"], ["Two", False, "6"]]
    assert usual["name"] == "User 31"
    assert set(map(str, usual["lists"][1:])) == {"None"}


def test_deciles_are_recall_within_a_tenth_of_the_items():
    rows = []
    for row in made_rows():
        held = row.record.held
        item = np.concatenate([np.arange(n) * 5 for n in held])
        columns = {**row.record.columns, "item": item}
        rows.append(row._replace(record=row.record._replace(columns=columns)))
    content = section([*rows[:-1], made_rows()[-1]], "in-batch")
    assert content["deciles"][-1] is None  # a run that names no items
    records = [row.record for row in rows[:3]]
    order = np.argsort(-records[0].item_counts, kind="stable")
    top = set(order[: len(order) // 10].tolist())
    means = []
    for record in records:
        user = np.repeat(np.arange(len(record.held)), record.held)
        inside = np.isin(record.columns["item"], [*top])
        n = np.bincount(user[inside], minlength=len(record.held))
        hits = np.bincount(user[inside & (record.rank < 20)], minlength=len(n))
        means.append(np.mean(hits[n > 0] / n[n > 0]))
    assert content["deciles"][0][0][0] == pytest.approx(np.mean(means), rel=1e-5)
    assert len(content["deciles"][0]) == 10


def test_curves_are_means_over_the_seeds():
    rows = [
        row._replace(history={"epoch": [1.0, 2.0], "loss": [5.0 + row.seed, np.nan]})
        for row in made_rows()
    ]
    content = section(rows, "in-batch")
    assert content["curves"]["loss"][0] == [6.0, None]
    assert section(made_rows(), "in-batch")["curves"] == {}


def test_what_some_runs_lack_is_said():
    rows = made_rows()
    rows = [*without(rows[:3], "ild"), *rows[3:]]
    (line,) = section(rows, "in-batch")["holes"]
    assert "3 of 12 runs" in line
