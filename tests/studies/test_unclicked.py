"""Items without a training click, by records that are made and a small run."""

import dataclasses

import numpy as np
import pytest

import experiments.studies.unclicked as unclicked
from experiments.runs import clicked_logits, drawn_clicks, rank, serve
from experiments.studies.calibrated_shift import TEMPERATURES, TOTALS, trained_halves
from experiments.studies.split import SHIFTED
from experiments.studies.totals import means_by_total
from experiments.studies.unclicked import (
    CLICKS,
    judged_lists,
    run_unclicked,
)
from experiments.studies.unclicked.report import heading, unclicked_frame, verdicts
from experiments.study import StudyOptions
from research.config import Config
from research.report.records import Stored, load_stored, study_header
from research.serving import Serving
from tests.studies.reported import page_of
from tests.studies.tastes import write_tastes

ARMS = ("in-batch", "in-batch+logq")
SMALL = {
    "batch": 32,
    "epochs": 4,
    "temperature": 0.4,
    "learning_rate": 0.1,
    "logq": 1.0,
}
NEW = 1000  # an item that only test users clicked


def made(
    slots=(0.01, 0.9), gap=(0.0, 1.0), best=(0.10, 0.09), gain=(0.0, 0.01),
    highest=(0.0, 0.2), moved=(0.0, -0.4), part=(0.97, 0.92), first=(0.97, 0.96),
    few=(0.9, 0.88),
):  # fmt: skip
    """Records of both arms: best is without the items, and gain what that added."""
    shape = len(ARMS), len(TEMPERATURES), 3

    def by_arm(values, *axes):
        values = np.array(values, float)
        return np.broadcast_to(
            values.reshape(2, 1, 1, *np.ones(len(axes), int)), (*shape, *axes)
        ).copy()

    top = by_arm(best, 2)
    top[..., 0] -= by_arm(gain)
    at = by_arm(highest, 2)
    at[..., 0] -= by_arm(moved)
    recall = top[..., None] - 0.02 * np.abs(at[..., None] - np.array(TOTALS))
    of_fit = np.stack([top * by_arm(few, 1), top * by_arm(part, 1)], axis=-1)
    arrays = {
        "recall": recall,
        "by_fit": np.zeros((*shape, 2, 2)),
        "by_first": np.zeros((*shape, 2, 2)),
        "recall_by_fit": of_fit,
        "recall_by_first": np.repeat((top * by_arm(first, 1))[..., None], 2, axis=-1),
        "unclicked": np.tile([20, 21, 23], (*shape[:2], 1)),
        "items": np.full(shape, 8000),
        "slots": by_arm(slots),
        "gap": by_arm(gap),
        "temperatures": np.array(TEMPERATURES),
        "totals": np.array(TOTALS),
        "clicks": np.array(CLICKS),
    }
    header = study_header("unclicked", "made", False, arms=[*ARMS])
    return Stored(header, {}, arrays)


PLACES = "items without a click have at {} of the first 20 places"


@pytest.mark.parametrize(
    ("changes", "fails"),
    [
        ({}, set()),
        ({"slots": (0.2, 0.9)}, {PLACES.format("most 0.05")}),
        ({"slots": (0.0, 0.3)}, {PLACES.format("least 0.5")}),
        ({"gap": (1.0, 0.2)}, {"their logit is higher than that of items with 1 to 5 "
                               "clicks by 0.5 or more"}),
        ({"gain": (0.004, 0.01)},
         {"leaving them out changes the highest recall@20 by at most 0.001"}),
        ({"gain": (0.0, 0.0004)},
         {"leaving them out raises the highest recall@20 by 0.001 or more"}),
        ({"moved": (0.0, 0.2)}, {"its total is lower then"}),
        ({"part": (0.8, 0.8)},
         {"then a fit of 3,000 test clicks finds at least 0.9 of it"}),
        ({"few": (0.8, 0.8)}, {"and one of 100 test clicks at least 0.85"}),
        ({"best": (0.08, 0.09)},
         {"the highest recall@20 without them is below that of in-batch"}),
        ({"first": (0.9, 0.9)},
         {"then 3,000 clicks among the first places find at least 0.95 of it"}),
    ],
)  # fmt: skip
def test_verdicts_follow_the_records(changes, fails):
    rows = verdicts(unclicked_frame(made(**changes)), CLICKS)
    assert len(rows) == 3 * (2 + 6 + 2) + 2
    found = {text.split(": ")[1] for text, _, verdict in rows if verdict == "fails"}
    assert found == fails
    assert all(verdict != "undecided" for *_, verdict in rows)


def test_an_arm_alone_is_compared_with_none():
    records = made()
    for name, values in records.arrays.items():
        if values.ndim > 1:
            records.arrays[name] = values[1:]
    records.header["arms"] = [ARMS[1]]
    rows = verdicts(unclicked_frame(records), CLICKS)
    assert len(rows) == 3 * 7
    assert not any("below that of" in text for text, *_ in rows)


def test_of_mixed_negatives_it_is_stated_that_nothing_changes():
    records = made(slots=(0.01, 0.02), gain=(0.0, 0.0004))
    records.header["arms"] = [ARMS[0], "mixed+logq"]
    rows = verdicts(unclicked_frame(records), CLICKS)
    assert len(rows) == 2 * 3 * 3
    assert {verdict for *_, verdict in rows} == {"holds"}


def test_the_heading_has_how_many_items_and_what_they_cost():
    records = made(best=(0.10, 0.09), gain=(0.0, 0.03))
    words = heading(unclicked_frame(records), records)
    assert "the 20 to 23 of 8,000 items without a training click multiplies" in words
    assert words.endswith("by up to 1.50 (in-batch+logq, trained at 0.1)")


def with_a_new_item(folder):
    """Tastes whose test part has clicks on an item that the training part lacks."""
    table = write_tastes(folder, even=True) / "interactions.csv"
    rows = [f"{user},{NEW},test" for user in range(0, 100, 2)]
    table.write_text("\n".join([table.read_text().rstrip("\n"), *rows]) + "\n")
    return table.parent


@pytest.fixture
def config(tmp_path):
    return Config(
        dataset=str(with_a_new_item(tmp_path / "made")),
        split="given",
        validation_share=0.1,
        **{**unclicked.CHANGES, **SMALL},
    )


def test_lists_and_fits_leave_items_without_a_click_out(config):
    found = judged_lists(config, None)
    assert found["unclicked"] >= 1
    assert found["recall"].shape == (2, len(TOTALS))
    assert found["by_fit"].shape == found["recall_by_first"].shape == (2, len(CLICKS))
    assert (found["by_fit"][0] != found["by_fit"][1]).all()
    run, vectors = trained_halves(config, None).judging
    new = np.flatnonzero(run.task.fold.fitted.item_counts == 0)

    def slots(total, min_clicks):
        """Share of the first 20 places that items without a click have."""
        serving = Serving(total - 1.0, min_clicks=min_clicks)
        return np.isin(rank(run, serve(run, *vectors, serving=serving))[:, :20], new)

    for total in (0.0, 1.0):
        assert not slots(total, 1).any()
    assert found["slots"] == pytest.approx(slots(0.0, 0).mean(), abs=1e-6)
    assert found["slots"] > 0.01
    (recall,) = means_by_total(run, vectors, [0.0, np.nan], min_clicks=1)
    assert recall[0] == found["recall"][1, TOTALS.index(0.0)]
    assert np.isnan(recall[1])


def test_a_fit_neither_has_left_out_items_nor_clicks_on_them(config):
    run, vectors = trained_halves(config, None).setting
    new = run.task.fold.fitted.item_counts == 0
    drawn = drawn_clicks(run.task.fold, 500)
    every, kept = (
        clicked_logits(run, *vectors, drawn, min_clicks=fewest) for fewest in (0, 1)
    )
    assert new[every[3]].any()
    assert np.isfinite(every[0][:, new]).all()
    assert np.isneginf(kept[0][:, new]).all()
    still = ~new[every[3]]
    np.testing.assert_array_equal(kept[3], every[3][still])
    # Products of fewer rows may be rounded otherwise.
    np.testing.assert_allclose(
        kept[0][:, ~new], every[0][still][:, ~new], rtol=1e-5, atol=1e-5
    )


def test_the_gap_is_of_logits_before_any_prior(config):
    """With log q in the loss an item that no batch had keeps its score."""
    with_logq = judged_lists(config, None)["gap"]
    without = judged_lists(dataclasses.replace(config, logq=0.0), None)["gap"]
    assert with_logq > without + 0.1


def test_where_each_item_has_a_click_both_lists_are_alike(config, tmp_path):
    folder = write_tastes(tmp_path / "clicked", even=True)
    every = dataclasses.replace(config, dataset=str(folder))
    found = judged_lists(every, None)
    assert found["unclicked"] == found["slots"] == 0
    assert np.isnan(found["gap"])
    np.testing.assert_array_equal(*found["recall"])
    np.testing.assert_array_equal(*found["by_fit"])


def test_from_a_quick_run_to_the_page(tmp_path, monkeypatch):
    changes = {**unclicked.CHANGES, "batch": 32}
    monkeypatch.setattr(unclicked, "CHANGES", changes)
    with_a_new_item(tmp_path / f"made{SHIFTED}")
    dataset = str(write_tastes(tmp_path / "made"))
    options = StudyOptions(tmp_path, dataset=dataset, quick=True)
    path = run_unclicked(options)
    assert load_stored(path).arrays["recall"].shape == (3, 1, 1, 2, len(TOTALS))
    page_of(path, tmp_path)
