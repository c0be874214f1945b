"""The frontier and the serving line, in worlds whose answer is counted by hand."""

import numpy as np
import pandas as pd
import pytest

from research.report.figures import frontier_figure, serving_figure
from research.report.frontier import (
    KINDS,
    Measured,
    _against,
    judge,
    pareto,
    verdict,
    winners,
    write_frontier,
)
from research.report.intervals import two_way
from research.report.pictures import save_figure
from research.report.records import RunResult
from research.report.tables import table
from tests.report.made import KS, made_record

# Of a user's two held-out positives, how many are in the first 20.
RANKS = {0.0: (100, 100), 0.5: (0, 100), 1.0: (0, 1)}


def record(recall, train_count, users=6):
    made = made_record(0, users=users)
    return made._replace(
        ks=KS,
        held=np.full(users, 2),
        rank=np.tile(np.array(RANKS[recall], np.uint8), users),
        band=np.zeros(2 * users, np.uint8),
        columns=made.columns
        | {
            "expansion": np.zeros(2 * users, np.uint8),
            "train_count": np.full(users, train_count, np.float16),
            "recall_item": np.full(users, recall / 2, np.float16),
        },
    )


def rows():
    """A line through (10, 0), (20, 0.5), (30, 1), and arms on, above, below, beyond."""
    line = [(-1.0, 10, 0.0), (0.0, 20, 0.5), (1.0, 30, 1.0)]
    arms = {
        "above": (15, 0.5),
        "below": (25, 0.5),
        "on": (20, 0.5),
        "beyond": (40, 1.0),
    }
    out = []
    for seed in range(3):
        for alpha, count, recall in line:
            swept = {"temperature": 0.1, "prior": alpha}
            out.append(RunResult("served", swept, seed, record(recall, count)))
        for arm, (count, recall) in arms.items():
            out.append(
                RunResult(arm, {"temperature": 0.2}, seed, record(recall, count))
            )
    return out


def test_an_arm_is_held_against_the_line_at_its_own_popularity():
    judged = judge(rows())
    recall = judged[judged.metric == "recall"].set_index("arm")
    assert list(recall.index) == ["above", "below", "on", "beyond"]
    assert recall.line_value["above"] == pytest.approx(0.25)
    assert recall.delta["above"] == pytest.approx(0.25)
    assert recall.delta["below"] == pytest.approx(-0.25)
    assert recall.delta["on"] == pytest.approx(0)
    assert np.isnan(recall.delta["beyond"])
    # every user and seed is alike, so the interval has no width
    assert recall.low["above"] == pytest.approx(0.25)
    assert recall.high["above"] == pytest.approx(0.25)
    verdicts = {arm: verdict(recall.loc[[arm]]) for arm in recall.index}
    words = ("better", "worse", "on the line", "out of reach")
    assert tuple(verdicts.values()) == words
    item = judged[judged.metric == "recall_item"].set_index("arm")
    assert item.delta["above"] == pytest.approx(0.125)


def test_better_asks_for_every_line_that_reaches_the_arm():
    second = []
    for result in rows():
        if result.arm == "served":
            count = result.record.columns["train_count"][0]
            second.append(result._replace(arm="other", record=record(1.0, count)))
    judged = judge([*rows(), *second])
    above = judged[(judged.arm == "above") & (judged.metric == "recall")]
    assert list(above.line) == ["served", "other"]
    assert above.delta.tolist() == pytest.approx([0.25, -0.5])
    assert verdict(above) == "worse"


def test_one_seed_has_no_verdict_against_a_line():
    judged = judge([row for row in rows() if row.seed == 0])
    assert judged.p.isna().all()
    recall = judged[judged.metric == "recall"].set_index("arm")
    words = [verdict(recall.loc[[arm]]) for arm in recall.index]
    assert words == ["not tested", "not tested", "on the line", "out of reach"]


def test_a_failed_run_takes_its_cell_out():
    some = rows()
    n = next(n for n, row in enumerate(some) if row.arm == "above")
    some[n] = some[n]._replace(record=None, reason="loss not finite")
    assert "above" not in set(judge(some).arm)


def test_no_point_of_the_front_is_beaten():
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 12, (2, 40)).astype(float)
    x[3] = np.nan
    front = pareto(x, y)
    for n in range(40):
        beaten = any(
            x[m] >= x[n] and y[m] >= y[n] and (x[m] > x[n] or y[m] > y[n])
            for m in range(40)
        )
        assert front[n] == (not beaten and n != 3)


def test_the_winner_is_the_most_diverse_of_the_precise_enough():
    lines = [("a", 0.2, 0.4), ("b", 0.19, 0.6), ("c", 0.1, 0.9)]
    frame = pd.DataFrame(
        [
            {"arm": arm, "metric": metric, "k": 20, "mean": value, "temperature": 0.1}
            for arm, recall, coverage in lines
            for metric, value in (("recall", recall), ("coverage", coverage))
        ]
    ).assign(low=np.nan, high=np.nan, note="", seeds=3, users=9)
    won = winners(frame).set_index("level")
    assert won.arm.to_dict() == dict(
        zip([1.0, 0.98, 0.95, 0.9, 0.8, 0.7, 0.5], ["a", "a", "b", "b", "b", "b", "c"])
    )
    of_arm = {arm: (recall, coverage) for arm, recall, coverage in lines}
    for level, row in won.iterrows():
        assert (row.recall, row.value) == of_arm[row.arm]
        assert row.least == pytest.approx(level * 0.2)


def test_files_and_figures(tmp_path):
    some = rows()
    frame = table(some, "served", ["temperature", "prior"])
    written = write_frontier(some, frame, tmp_path / "f")
    assert [p.name for p in written] == [
        *("f-winners.csv", "f-winners.md", "f-line.csv", "f-line.md"),
    ]
    text = written[3].read_text()
    start = "| `above` at 0.2 | 15 | recall@20 | 0.5000 |"
    anchor = '<a id="above-temperature-0.2-vs-served-prior-recall"></a>'
    assert f"{start} {anchor}+0.2500 " in text
    assert text.count("| better |") == 2
    assert text.count("| out of reach |") == 2
    assert len(frontier_figure(frame).figure.axes) == len(KINDS)
    drawing = serving_figure(frame)
    save_figure(*drawing, tmp_path / "g")
    words = [t.get_text() for t in drawing.figure.legends[0].get_texts()]
    assert words == ["above", "below", "on", "beyond"]
    note = drawing.figure.get_supxlabel()
    assert note == "the lines' models: temperature 0.1; points: 0.2"
    fewer = serving_figure(frame, without=("beyond",)).figure.axes[0]
    assert fewer.get_xlim()[1] < drawing.figure.axes[0].get_xlim()[1]


def test_the_interval_of_the_height_above_a_line_holds_the_truth():
    """Both axes of the cell and of the line's points vary by user, seed and pair."""
    rng = np.random.default_rng(4)
    users, seeds, trials = 150, 5, 500
    # popularity and recall of the cell, then of three points of a line with a kink
    truth = np.array([[50.0, 0.30], [20.0, 0.10], [60.0, 0.26], [100.0, 0.30]])
    height = 0.30 - 0.22
    spread = np.array([20.0, 0.2])
    held = 0
    for _ in range(trials):
        user = rng.normal(size=(4, users, 1, 2)) + 2 * rng.normal(size=(users, 1, 2))
        rest = rng.normal(size=(4, users, seeds, 2))
        values = truth[:, None, None] + spread * (user + 0.3 * rest)
        values += 0.02 * spread * rng.normal(size=(4, 1, seeds, 2))
        cells = [
            Measured(two_way(m).mean, m) for m in np.moveaxis(values[..., ::-1], -1, 1)
        ]
        found = _against(cells[0], cells[1:], 0)
        held += found["low"] <= height <= found["high"]
    # with these draws; the standard error is 1 %
    assert 0.93 <= held / trials <= 0.97
