"""The figure of arms with a value of their own beside a given one."""

import pytest
from matplotlib.colors import to_hex

from research.report.records import RunResult
from research.report.tables import table
from research.report.tradeoff import moves_figure
from research.types import InputError
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


def test_a_line_leads_from_the_given_value_to_the_arms_own(frame):
    drawing = moves_figure(frame, "prior")
    where = drawing.points.set_index(["arm", drawing.points.prior.isna()])
    panels = drawing.figure.axes
    names = [label.get_text() for label in panels[0].get_yticklabels()]
    assert names == ["popularity", "full-softmax", "in-batch+logq", "in-batch"]
    for axes, metric in zip(panels, ("recall", "coverage"), strict=True):
        lines = [line for line in axes.get_lines() if len(line.get_xdata()) == 2]
        for line, arm in zip(lines, ("full-softmax", "in-batch"), strict=True):
            ends = [where[metric][arm, own] for own in (False, True)]
            assert list(line.get_xdata()) == ends
            assert list(line.get_ydata()) == [names.index(arm)] * 2


def test_a_field_that_the_table_lacks_is_refused(frame):
    with pytest.raises(InputError, match="unknown swept field of the table 'alpha'"):
        moves_figure(frame, "alpha")


def test_points_are_the_tables_and_those_of_given_values_are_empty(frame):
    drawing = moves_figure(frame, "prior", title="made")
    panels, cells = drawing.figure.axes, frame[frame.k == 20]
    names = [label.get_text() for label in panels[0].get_yticklabels()]
    for axes, metric in zip(panels, ("recall", "coverage"), strict=True):
        dots = [line for line in axes.get_lines() if len(line.get_xdata()) == 1]
        assert len(dots) == 6
        for dot in dots:
            arm = names[int(dot.get_ydata()[0])]
            of_arm = cells[(cells.arm == arm) & (cells.metric == metric)]
            empty = to_hex(dot.get_markerfacecolor()) == "#ffffff"
            row = of_arm[of_arm.prior.notna() == empty]
            assert dot.get_xdata()[0] == row["mean"].item()
