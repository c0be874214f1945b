"""The ticks of a swept value, over few decades and over many."""

import itertools

import pytest

from research.report.figures import sweep_figure
from research.report.tables import table
from tests.report.made import swept_rows


@pytest.mark.parametrize("values", [(0.05, 0.1, 0.5), (64.0, 1024.0, 16384.0)])
def test_ticks_do_not_overlap_and_tell_the_scale(values):
    frame = table(swept_rows(values, seeds=1), "in-batch")
    figure = sweep_figure(frame, metrics=("recall", "coverage")).figure
    figure.draw_without_rendering()
    for axes in figure.axes:
        low, high = axes.get_xlim()
        labels = [
            label
            for tick, label in zip(axes.get_xticks(), axes.get_xticklabels())
            if low <= tick <= high
        ]
        assert len(labels) >= 2
        ends = sorted(tuple(label.get_window_extent().intervalx) for label in labels)
        for (_, right), (left, _) in itertools.pairwise(ends):
            assert right < left
