"""A metric and a grid that a test defines, from training to the figure."""

import functools

import numpy as np
import pandas as pd
import pytest

from experiments.grid import Grid
from experiments.grids import GRIDS
from experiments.output.folders import read_json
from research.evaluate.metrics import METRICS, Metric, PageColumn
from research.registry import deferred
from research.report.pages import read_table
from tests.experiments.made import runs_of


def shown_ends(run):
    """A column: how far the indices of a list's first and second item are apart."""
    return np.abs(np.diff(run.shown[:, :2], axis=1))[:, 0].astype(np.float64)


ENDS = Metric(
    label="distance of the first two",
    help="distance of the first two items' indices",
    unit="indices",
    page=PageColumn("ends", ".2f"),
    cutoffs=(20,),
    column="ends",
    measure=shown_ends,
)


def test_training_measures_it_and_the_grid_shows_it(call, tmp_path, monkeypatch):
    figure = deferred("research.report.figures:arms_figure")
    grid = Grid(
        name="own",
        question="Is it shown?",
        arms=("popularity", "tiny"),
        reference="tiny",
        seeds=1,
        minutes="0",
        swept={},
        figures={"ends": functools.partial(figure, across="ends")},
    )
    monkeypatch.setitem(GRIDS, grid.name, grid)
    with METRICS.added("ends", ENDS):
        assert call("run", "own", "--out", tmp_path).status == 0
    runs = [read_json(folder / "metrics.json") for folder in runs_of(tmp_path, "own")]
    frame = read_table(tmp_path / "tables" / "ml-100k" / "own.csv")
    means = frame[frame.metric == "ends"]["mean"].tolist()
    # the record holds the column in half precision
    assert sorted(run["ends"]["20"] for run in runs) == pytest.approx(
        sorted(means), rel=1e-3
    )
    text = (tmp_path / "tables" / "ml-100k" / "own.md").read_text()
    assert " | ends |" in text
    assert all(f" | {mean:.2f} |" in text for mean in means)
    points = pd.read_csv(tmp_path / "figures" / "ml-100k" / "own-ends.csv")
    assert points.ends.tolist() == means
    svg = tmp_path / "figures" / "ml-100k" / "own-ends.png"
    assert svg.stat().st_size > 10_000
