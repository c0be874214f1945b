"""What popularity does: q of drawn negatives by hand, recall by decile counted."""

import dataclasses

import numpy as np
import pytest

from research.config import Config
from research.report.popularity import (
    decile_figure,
    draw_figure,
    draw_frame,
    recall_by_decile,
)
from research.report.records import RunResult
from research.types import InputError
from tests.report.served import served_result
from tests.world import made_fold

BATCH = 128
CONFIGS = {
    "in-batch": Config(batch=BATCH),
    "uniform": Config(batch=BATCH, negatives=("uniform:64",)),
    "mixed": Config(batch=BATCH, negatives=("in-batch", "uniform:64")),
}


@pytest.fixture(scope="module")
def fold():
    return made_fold()


@pytest.fixture(scope="module")
def drawn(fold):
    return draw_frame(CONFIGS, fold)


def test_q_of_a_batch_is_the_click_share_and_of_uniform_draws_the_same_for_all(
    fold, drawn
):
    clicked = drawn[drawn.clicks > 0]
    share = clicked.clicks / clicked.clicks.sum()
    np.testing.assert_allclose(clicked["in-batch"], share, rtol=1e-5)
    np.testing.assert_allclose(drawn.uniform, 1 / fold.fitted.n_items, rtol=1e-5)


def test_q_of_a_mixture_is_weighted_by_numbers_of_draws(drawn):
    clicked = drawn[drawn.clicks > 0]
    n = BATCH - 1
    mixture = (n * clicked["in-batch"] + 64 * clicked.uniform) / (n + 64)
    np.testing.assert_allclose(clicked.mixed, mixture, rtol=1e-5)


def test_items_come_by_clicks_with_titles_and_deciles(fold, drawn):
    assert drawn.clicks.is_monotonic_decreasing
    assert drawn.decile.is_monotonic_increasing
    row = drawn.iloc[0]
    at = np.flatnonzero(fold.fitted.items.id == row["item"])[0]
    assert row.title == fold.fitted.items.columns["title"].values[at]
    assert row.clicks == fold.fitted.item_counts.max()


def test_the_figure_shows_the_share_of_each_decile(drawn):
    drawing = draw_figure(drawn)
    points = drawing.points.set_index("decile")
    np.testing.assert_allclose(points.uniform, 0.1, atol=0.01)
    first = drawn[drawn.decile == 1]["in-batch"].sum()
    assert points["in-batch"][1] == pytest.approx(first)
    assert first > 0.2
    lines = {line.get_label() for line in drawing.figure.axes[0].lines}
    assert lines == set(CONFIGS)


def test_what_draws_nothing_and_a_name_that_is_taken_are_refused(fold):
    config = Config(dim=8)
    with pytest.raises(InputError, match="model popularity draws no negatives"):
        draw_frame({"a": dataclasses.replace(config, model="popularity")}, fold)
    with pytest.raises(InputError, match="clicks is a column of the frame"):
        draw_frame({"clicks": config}, fold)


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
