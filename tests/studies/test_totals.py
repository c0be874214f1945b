"""The users judged, the chosen epoch, and verdicts that follow the records."""

import dataclasses

import numpy as np
import pytest

from experiments.inputs import fold_of
from experiments.studies import STUDIES
from experiments.studies.totals import (
    TOTALS,
    by_epoch,
    heading,
    of_users,
    totals_frame,
    verdicts,
)
from experiments.study import report_study
from research.config import Config
from research.report.records import Stored, save_stored, study_header


def stored(recall, item, validation, seeds=3):
    """Records whose curves have their maximum at these totals, epoch by epoch."""
    totals, shape = np.array(TOTALS), (seeds, len(validation))

    def curves(best):
        far = np.abs(totals[None, :] - np.array(best)[:, None])
        return np.broadcast_to(0.3 - 0.01 * far, (*shape, len(totals)))

    arrays = {
        "recall": curves(recall),
        "recall_item": curves(item),
        "validation": np.broadcast_to(validation, shape),
        "totals": totals.astype(np.float32),
    }
    return Stored(study_header("totals", "made", False), {}, arrays)


EARLY = stored([0.8, 1.0, 2.0], [0.4, 0.6, 1.0], [0.1, 0.3, 0.2])


def test_the_chosen_epoch_is_that_of_the_highest_validation_recall():
    frame = totals_frame(EARLY)
    row = frame[frame.epoch.isna()].iloc[0]
    assert row.chosen == 2
    assert row.recall_total == pytest.approx(1.0)
    assert row.lower == pytest.approx(1.0)
    assert row.apart == pytest.approx(0.4)
    assert row.recall_full == pytest.approx(0.3)
    assert frame.recall_total.tolist() == pytest.approx([0.8, 1.0, 2.0, 1.0])


def test_verdicts_follow_the_records():
    assert [row[2] for row in verdicts(totals_frame(EARLY))] == ["holds"] * 3
    late = stored([1.0, 1.6, 1.6], [1.6, 1.6, 1.6], [0.1, 0.3, 0.2])
    assert [row[2] for row in verdicts(totals_frame(late))] == ["fails"] * 3
    one = stored([0.8, 1.0, 2.0], [0.4, 0.6, 1.0], [0.1, 0.3, 0.2], seeds=1)
    assert [row[2] for row in verdicts(totals_frame(one))] == ["undecided"] * 3


def test_the_heading_says_lower_only_where_it_is():
    assert "lower total strength" in heading(totals_frame(EARLY))
    level = stored([1.0, 1.0, 1.0], [0.4, 0.6, 1.0], [0.1, 0.3, 0.2])
    assert "lower" not in heading(totals_frame(level))


def test_a_popularity_prior_raises_recall_of_the_model_without_log_q():
    config = Config(epochs=1, left_out="fitted", temperature=0.1)
    curves = by_epoch(config, None)
    none, full = (TOTALS.index(total) for total in (0.0, 1.0))
    assert curves["recall"].shape == (1, len(TOTALS))
    assert curves["recall"][0, full] > 2 * curves["recall"][0, none]
    assert curves["validation"][0] > 2 * curves["recall"][0, none]


def test_a_phase_of_some_users_keeps_what_is_held_out_and_left_out_of_theirs():
    config = Config(fit_on="train-only", left_out="train+validation")
    fold = fold_of(config)
    some = fold.evaluated[3::7]
    part = of_users(fold, some)
    assert np.array_equal(np.unique(part.held_user), some)
    offsets, items = part.removed
    whole_offsets, whole_items = fold.removed
    for row, user in enumerate(some):
        held = fold.held_item[fold.held_user == user]
        assert np.array_equal(part.held_item[part.held_user == user], held)
        at = int(np.searchsorted(fold.evaluated, user))
        left_out = whole_items[whole_offsets[at] : whole_offsets[at + 1]]
        assert np.array_equal(items[offsets[row] : offsets[row + 1]], left_out)
    plain = fold_of(dataclasses.replace(config, left_out="fitted"))
    assert of_users(plain, some).removed is None


def test_the_report_is_made_from_the_file_of_records_alone(tmp_path):
    path = save_stored(tmp_path / "t.npz", EARLY.header, EARLY.arrays)
    written = report_study(STUDIES["totals"], path, tmp_path)
    assert {path.suffix for path in written} == {".csv", ".md", ".svg", ".png"}
    page = (tmp_path / "tables" / "made" / "totals.md").read_text()
    assert "| chosen | 0.3000 | 1.00 [1.00, 1.00] | 0.3000 | 0.3000 |" in page
