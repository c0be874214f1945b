"""The page of the twelve questions: another program has its numbers; its rules."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import t as student

from experiments.grids.ssb import QUESTIONS, TWELVE
from experiments.pages.questions import PLACES, answers, questions_figure
from research.report.intervals import holm
from research.report.records import RunResult
from tests.report.made import made_record

RESULTS = Path(__file__).parents[2] / "results"
COMMITTED = [p for p in PLACES if (RESULTS / "records" / f"{p.stem}.npz").is_file()]


def stored_runs(path):
    """(arm, seed) -> held-out positives by user, and their ranks, by NumPy alone."""
    with np.load(path) as file:
        content = json.loads(file["rows"].tobytes())

        def values(place):
            name, at = place
            kind = np.dtype(content["types"][name])
            each = np.ascontiguousarray(np.moveaxis(file[name][..., at], 0, -1))
            return each.reshape(-1).view(kind).astype(int)

        return {
            (row["arm"], row["seed"]): (
                values(row["record"]["held"]),
                values(row["record"]["rank"]),
            )
            for row in content["rows"]
        }


def ndcg(held, rank):
    """NDCG@20 of each user from the ranks of its held-out positives, from 0 on."""
    user = np.repeat(np.arange(len(held)), held)
    gain = np.where(rank < 20, 1 / np.log2(rank + 2.0), 0.0)
    ideal = np.cumsum(1 / np.log2(np.arange(20) + 2.0))
    return np.bincount(user, gain, len(held)) / ideal[np.minimum(held, 20) - 1]


def anova(values):
    """Mean and 95 % interval of users by seeds, as docs/metrics.md has its formula."""
    users, seeds = values.shape
    mean, by_user, by_seed = values.mean(), values.mean(1), values.mean(0)
    rest = values - by_user[:, None] - by_seed + mean
    freedom = users - 1, seeds - 1, (users - 1) * (seeds - 1)
    msu = seeds * ((by_user - mean) ** 2).sum() / freedom[0]
    mss = users * ((by_seed - mean) ** 2).sum() / freedom[1]
    mse = (rest**2).sum() / freedom[2]
    variance = max(msu + mss - mse, mss) / (users * seeds)
    likely = max(mss, (mss * mse**2) ** (1 / 3))
    below = sum(s**2 / f for s, f in zip((msu, likely, mse), freedom))
    degrees = max((max(msu - mse, 0.0) + likely) ** 2 / below, seeds - 1)
    reach = student.ppf(0.975, degrees) * variance**0.5
    return mean, mean - reach, mean + reach


@pytest.mark.parametrize("place", COMMITTED, ids=lambda place: place.stem)
def test_another_program_has_the_committed_differences_and_intervals(place):
    runs = stored_runs(RESULTS / "records" / f"{place.stem}.npz")
    with (RESULTS / "questions.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["place"] == place.title]
    assert rows
    for row in rows:
        seeds = range(int(row["seeds"]))
        ours, others = (
            np.stack([ndcg(*runs[row[side], seed]) for seed in seeds], axis=1)
            for side in ("arm", "against")
        )
        mean, low, high = anova(ours - others)
        width = high - low
        assert float(row["difference"]) == pytest.approx(mean, abs=1e-6)
        assert float(row["reference"]) == pytest.approx(others.mean(), abs=1e-6)
        assert float(row["low"]) == pytest.approx(low, abs=0.001 * width)
        assert float(row["high"]) == pytest.approx(high, abs=0.001 * width)


def test_ten_or_more_primary_intervals_were_recomputed():
    with (RESULTS / "questions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) >= 10
    assert {row["place"] for row in rows} == {place.title for place in COMMITTED}


CHOICES = "arm,swept,chosen,mean\nease,{},1,0.2\nslim,{},1,0.3\nials,{},0,0.9\n"


@pytest.fixture
def frame(tmp_path):
    """Answers from made records of two data sets; one has choices, and lacks an arm."""
    first, second = PLACES[0], PLACES[2]
    path = tmp_path / f"{first.stem}.csv"
    path.parent.mkdir()
    path.write_text(CHOICES)
    arms = QUESTIONS.arms
    ran = {
        place: [
            RunResult(arm, {}, seed, made_record([n, seed], reach=0.1 + 0.02 * n))
            for n, arm in enumerate(arms)
            if (place, arm) != (second, "in-batch")
            for seed in range(3)
        ]
        for place in (first, second)
    }
    return answers(ran, tmp_path)


def test_all_data_sets_are_one_family(frame):
    np.testing.assert_array_equal(frame.p_holm, holm(frame.p.to_numpy()))
    tests = frame.p_equivalence.to_numpy()
    np.testing.assert_array_equal(frame.p_equivalence_holm, holm(tests))
    assert frame.place.nunique() == 2


def test_a_question_is_asked_where_its_arms_and_its_split_are(frame):
    first, second = (frame[frame.place == PLACES[n].title] for n in (0, 2))
    future = [one.number for one in TWELVE if one.split == "time"]
    assert not set(future) & set(first.number)
    assert set(future) <= set(second.number)
    assert 1 in set(first.number)
    assert 1 not in set(second.number), "an arm without records"
    assert len(frame) == 2 * len(TWELVE) - len(future) - 1


def test_validation_says_which_simple_model_is_compared(frame):
    tenth = frame[frame.number == 10]
    assert tenth.against.tolist() == ["slim", "item-knn"], "the first one without any"
    assert tenth.difference.notna().all()


def test_what_is_off_the_axis_is_named_below_it(frame):
    frame = frame.assign(reference=1.0, difference=0.01, low=0.0, high=0.02)
    frame.loc[0, "difference"] = -0.5
    drawing = questions_figure(frame)
    words = " ".join(text.get_text() for text in drawing.figure.texts)
    assert "-50 % on MovieLens 100K" in " ".join(words.split())
    assert len(drawing.points) == len(frame)
