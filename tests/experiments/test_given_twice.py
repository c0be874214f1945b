"""A name, a value or a flag that is given twice is refused, as one would be dropped.

So is a flag of several words without one, unless there are some that it takes away.
"""

import pytest

from experiments.grid import Elsewhere
from experiments.grids import GRIDS
from tests.experiments.test_bad_input import refused

TWICE = {
    "arm": (
        ("run", "ssb", "--arms", "popularity", "mixed", "popularity"),
        "arms: popularity is given twice",
    ),
    "arm of a study": (
        ("run", "trade-off", "--arms", "in-batch", "in-batch"),
        "arms: in-batch is given twice",
    ),
    "flag of several words": (
        ("run", "ssb", "--arms", "popularity", "--arms", "mixed"),
        "--arms is given twice",
    ),
    "flag of the data": (
        ("run", "ssb", "--columns=user=uid", "--columns", "item=sku"),
        "--columns is given twice",
    ),
    "flag of train, also with _": (
        ("train", "--user-features", "age", "--user_features", "zip"),
        "--user-features is given twice",
    ),
    "feature": (
        ("train", "--item-features", "id", "year", "id"),
        "item_features: id is given twice",
    ),
    "source of the same columns": (
        ("train", "--negatives", "in-batch", "uniform:8", "in-batch"),
        "negatives: in-batch is given twice",
    ),
    "grid of a report": (("report", "ssb", "fair", "ssb"), "ssb is given twice"),
    "benchmark": (("bench", "--only", "loss", "loss"), "only: loss is given twice"),
}


@pytest.mark.parametrize("case", TWICE)
def test_what_is_given_twice_is_refused(case, call, tmp_path):
    words, part = TWICE[case]
    refused(call(*words, "--out", tmp_path / "out"), part)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "words",
    [
        ("run", "ssb", "--arms"),
        ("run", "trade-off", "--seeds", "1", "--arms", "--quick"),
        ("run", "ssb", "--columns", "--quick"),
        ("bench", "--quick", "--only"),
        ("train", "--hyper", "--seed", "1"),
    ],
    ids=" ".join,
)
def test_a_flag_of_several_words_without_one(words, call, tmp_path):
    (flag,) = set(words) & {"--arms", "--columns", "--only", "--hyper"}
    called = call(words[0], "--out", tmp_path / "out", *words[1:])
    refused(called, f"{flag} needs a word: leave it out for its default")
    assert not (tmp_path / "out").exists()


def test_a_flag_without_a_word_takes_away_what_is_usual(call, tmp_path):
    words = ("train", "--arm", "tiny", "--user-hidden", "--item-features")
    called = call(*words, "--show", "--out", tmp_path / "out")
    assert "needs a word" not in called.err


def test_of_one_value_given_twice_the_later_counts(call, tmp_path):
    words = ("train", "--arm", "tiny", "--seed", "1", "--seed", "2", "--show")
    called = call(*words, "--out", tmp_path / "out")
    assert called.status == 0
    assert "seed 2 (0)" in called.out


def test_sources_that_draw_anew_may_share_a_name(call, tmp_path):
    words = ("train", "--arm", "tiny", "--negatives", "uniform:8", "uniform:8")
    assert call(*words, "--show", "--out", tmp_path / "out").status == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"arms": ("tiny", "tiny+logq", "tiny")},
        {"swept": {"temperature": (0.1, 0.2, 0.1)}},
        {"elsewhere": Elsewhere(swept={"ml-1m": {"temperature": (0.1, 0.1)}})},
        {"arm_sweeps": {"tiny": ({"temperature": (0.1, 0.1)},)}},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_grid_that_names_something_twice(changes, call, tmp_path, monkeypatch):
    monkeypatch.setitem(GRIDS, "few", GRIDS["few"].but(**changes))
    refused(call("run", "few", "--out", tmp_path / "out"), "of grid few", "given twice")
    assert not (tmp_path / "out").exists()
