"""The two knobs' map: the numbers of a trained model, and where its marks lie."""

import numpy as np
import pytest

from experiments.studies.impressions import REMOVED, STRENGTHS
from experiments.studies.impressions.knobs import knobs_figure, two_knobs
from research.data.synthetic import make_synthetic


@pytest.fixture(scope="module")
def pairs():
    world = make_synthetic(60, 80, 8, quality=0.5, exposure=1.5, seed=1)
    return two_knobs(world, seed=3, epochs=6)


def test_a_row_for_each_pair_and_exposure_is_taken_out(pairs):
    assert len(pairs) == len(STRENGTHS) * len(REMOVED)
    at = pairs.set_index(["a", "b"])
    assert at.recovered[1.0, 1.0] > at.recovered[1.0, 0.0] + 0.05
    assert at.recovered[1.0, 0.0] == pytest.approx(  # a and b where they are said to be
        pairs.recovered.to_numpy().reshape(len(STRENGTHS), -1)[STRENGTHS.index(1.0), 0]
    )
    assert (pairs.weighted != pairs.clicked).any()


def test_marks_lie_at_the_pairs_that_are_chosen(pairs):
    drawing = knobs_figure(pairs, "a title")
    (panel,) = drawing.figure.axes
    marks = {line.get_label(): line.get_xydata()[0] for line in panel.lines}
    for label, column in (
        ("best", "recovered"),
        ("chosen by clicks", "clicked"),
        ("chosen by weighted clicks", "weighted"),
    ):
        row = pairs.loc[pairs[column].idxmax()]
        np.testing.assert_allclose(marks[label], (row.a, row.b))
    np.testing.assert_allclose(marks["the rule"], (pairs.rule.iloc[0], 0.0))
    assert drawing.points is pairs
