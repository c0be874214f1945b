"""Which items become negatives: q by hand, mixtures, and shares that sum to one."""

import dataclasses

import numpy as np
import pytest

from research.config import Config
from research.report.popularity import draw_figure, draw_frame
from research.types import InputError
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
def frame(fold):
    return draw_frame(CONFIGS, fold)


def test_q_of_a_batch_is_the_click_share_and_of_uniform_draws_the_same_for_all(
    fold, frame
):
    clicked = frame[frame.clicks > 0]
    share = clicked.clicks / clicked.clicks.sum()
    np.testing.assert_allclose(clicked["in-batch"], share, rtol=1e-5)
    np.testing.assert_allclose(frame.uniform, 1 / fold.fitted.n_items, rtol=1e-5)


def test_q_of_a_mixture_is_weighted_by_numbers_of_draws(frame):
    clicked = frame[frame.clicks > 0]
    n = BATCH - 1
    mixture = (n * clicked["in-batch"] + 64 * clicked.uniform) / (n + 64)
    np.testing.assert_allclose(clicked.mixed, mixture, rtol=1e-5)


def test_items_come_by_clicks_with_titles_and_deciles(fold, frame):
    assert frame.clicks.is_monotonic_decreasing
    assert frame.decile.is_monotonic_increasing
    row = frame.iloc[0]
    at = np.flatnonzero(fold.fitted.items.id == row["item"])[0]
    assert row.title == fold.fitted.items.columns["title"].values[at]
    assert row.clicks == fold.fitted.item_counts.max()


def test_the_figure_shows_the_share_of_each_decile(frame):
    drawing = draw_figure(frame)
    points = drawing.points.set_index("decile")
    np.testing.assert_allclose(points.uniform, 0.1, atol=0.01)
    first = frame[frame.decile == 1]["in-batch"].sum()
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
