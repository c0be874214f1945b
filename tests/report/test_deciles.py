"""Recall by popularity decile: counted by hand, and paired as tables pair."""

import numpy as np
import pytest

from research.evaluate.metrics import METRICS
from research.report.popularity import decile_figure, recall_by_decile
from research.report.records import RunResult
from research.report.tables import table
from research.types import InputError
from tests.report.served import served_result


@pytest.fixture(scope="module")
def results():
    return [
        served_result(name, seed, liking, popularity)
        for name, liking, popularity in (("plain", 1.0, 0.0), ("popular", 1.0, 1.5))
        for seed in range(3)
    ]


@pytest.fixture(scope="module")
def frame(results):
    return recall_by_decile(results, "plain")


def by_hand(result, tenth):
    """Each user's recall@20 of its held-out items of a tenth of the items."""
    fold = result.served.fold
    order = np.argsort(-fold.fitted.item_counts, kind="stable")
    n = len(order)
    bounds = [-(-n * t // 10) for t in (tenth - 1, tenth)]
    members = set(order[bounds[0] : bounds[1]].tolist())
    values = []
    for row, user in enumerate(fold.evaluated):
        held = set(fold.held_item[fold.held_user == user].tolist()) & members
        if held:
            shown = set(result.served.lists[row, :20].tolist())
            values.append(len(held & shown) / len(held))
    return values


@pytest.mark.parametrize("tenth", [1, 4, 10])
def test_it_is_the_mean_over_users_who_hold_one_out(results, frame, tenth):
    row = frame[(frame.arm == "popular") & (frame.decile == tenth)].iloc[0]
    values = [by_hand(r, tenth) for r in results if r.arm == "popular"]
    assert row.users == len(values[0])
    assert row["mean"] == pytest.approx(np.mean(values), rel=1e-5)


def test_every_held_out_item_is_in_one_decile(results, frame):
    fold = results[0].served.fold
    plain = frame[frame.arm == "plain"]
    assert plain.positives.sum() == np.isin(fold.held_user, fold.evaluated).sum()
    assert set(frame.arm) == {"plain", "popular"}


def test_differences_are_paired_as_in_tables(results, frame):
    """Over one decile that is everything, a decile is the table's own band."""
    row = frame[(frame.arm == "popular") & (frame.decile == 1)].iloc[0]
    plain = frame[(frame.arm == "plain") & (frame.decile == 1)].iloc[0]
    assert row.against == "plain"
    assert row.delta == pytest.approx(row["mean"] - plain["mean"], abs=1e-6)
    assert row.delta_low < row.delta < row.delta_high
    assert row.delta > 0  # popularity finds the most clicked
    assert plain.against == ""


def test_nothing_stays_behind_in_the_registry(results, frame):
    names = list(METRICS)
    recall_by_decile(results, "plain")
    assert list(METRICS) == names
    assert "recall" in set(table(results, "plain").metric)


def test_the_figure_has_a_line_per_arm(frame):
    drawing = decile_figure(frame)
    axes = drawing.figure.axes[0]
    _, labels = axes.get_legend_handles_labels()
    assert labels == ["plain", "popular"]
    assert axes.get_xlabel().startswith("popularity decile")
    assert drawing.points is frame
    assert drawing._repr_png_()


def test_swept_values_are_lines_of_their_own(results):
    swept = [r._replace(swept={"prior": float(r.arm == "popular")}) for r in results]
    swept = [r._replace(arm="one") for r in swept]
    frame = recall_by_decile(swept, "one")
    assert frame.groupby("prior").size().tolist() == [10, 10]
    _, labels = decile_figure(frame).figure.axes[0].get_legend_handles_labels()
    assert labels == ["one, prior 0", "one, prior 1"]


def test_records_alone_are_refused(results):
    bare = [r._replace(served=None) for r in results]
    with pytest.raises(InputError, match="plain: records hold no lists"):
        recall_by_decile(bare, "plain")
    with pytest.raises(InputError, match="records hold no lists"):
        recall_by_decile([RunResult("a", {}, 0)], "a")
