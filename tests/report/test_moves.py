"""The figure of arms with a value of their own beside a given one."""

import pandas as pd
import pytest
from matplotlib.colors import to_hex

from research.report.records import RunResult
from research.report.tables import table
from research.report.tradeoff import moves_figure
from tests.report.made import made_record, made_rows


@pytest.fixture(scope="module")
def frame():
    """in-batch and the full softmax with a prior of 0, and all with their own."""
    given = [
        RunResult(arm, {"prior": 0.0}, seed, made_record(n + seed, reach=0.05))
        for n, arm in ((1000, "in-batch"), (2000, "full-softmax"))
        for seed in range(3)
    ]
    return table([*made_rows(), *given], "full-softmax")


def test_an_arrow_leads_from_the_given_value_to_the_arms_own(frame):
    drawing = moves_figure(frame, "prior")
    (axes,) = drawing.figure.axes
    where = drawing.points.set_index(["arm", drawing.points.prior.isna()])
    arrows = [text for text in axes.texts if getattr(text, "arrow_patch", None)]
    assert len(arrows) == 2
    for arrow, arm in zip(arrows, ("in-batch", "full-softmax"), strict=True):
        start, end = where.loc[(arm, False)], where.loc[(arm, True)]
        assert tuple(arrow.xyann) == (start.coverage, start.recall)
        assert tuple(arrow.xy) == (end.coverage, end.recall)
    names = [text.get_text() for text in axes.texts if text.get_text()]
    assert sorted(names) == ["full-softmax", "in-batch", "in-batch+logq", "popularity"]


def test_points_are_the_tables_and_those_of_given_values_are_empty(frame):
    drawing = moves_figure(frame, "prior", title="made")
    lines = [bar.lines[0] for bar in drawing.figure.axes[0].containers]
    assert len(lines) == len(drawing.points) == 6
    for line, row in zip(lines, drawing.points.itertuples(), strict=True):
        assert (*line.get_xdata(), *line.get_ydata()) == (row.coverage, row.recall)
        empty = to_hex(line.get_markerfacecolor()) == "#ffffff"
        assert empty is not pd.isna(row.prior)
        cell = frame[(frame.arm == row.arm) & (frame.metric == "recall")]
        own = cell.prior.isna() if pd.isna(row.prior) else cell.prior == row.prior
        assert row.recall == cell[own & (cell.k == 20)]["mean"].item()
