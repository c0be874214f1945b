"""Learning curves: every run's epochs in one frame, and means over seeds drawn."""

import numpy as np
import pytest

from research.report.curves import history_figure, history_frame
from research.report.records import RunResult, load_records, save_records
from research.types import InputError
from tests.report.made import made_record


def run(arm, seed, losses, **swept):
    history = {"epoch": [1.0, 2.0], "loss": losses, "item_uniformity": [-1.0, -2.0]}
    return RunResult(arm, swept, seed, made_record(seed), history=history)


RESULTS = [
    run("a", 0, [3.0, 1.0], temperature=0.1),
    run("a", 1, [5.0, 2.0], temperature=0.1),
    run("a", 0, [7.0, 6.0], temperature=1.0),
    RunResult("popularity", {}, 0, made_record(0)),
]


def test_the_frame_has_a_row_per_run_and_epoch():
    frame = history_frame(RESULTS)
    columns = ["arm", "temperature", "seed", "epoch", "loss", "item_uniformity"]
    assert frame.columns.tolist() == columns
    assert len(frame) == 6
    assert "popularity" not in set(frame.arm)
    assert frame.loss.tolist() == [3.0, 1.0, 5.0, 2.0, 7.0, 6.0]


def test_stored_records_have_the_same_curves(tmp_path):
    stored = load_records(save_records(tmp_path / "grid.npz", RESULTS))
    assert history_frame(stored).equals(history_frame(RESULTS))


def test_lines_are_means_over_seeds_in_a_band_of_all_seeds():
    drawing = history_figure(RESULTS)
    panel = drawing.figure.axes[0]
    lines = {line.get_label(): line.get_ydata() for line in panel.lines}
    assert set(lines) == {"a, temperature 0.1", "a, temperature 1"}
    np.testing.assert_allclose(lines["a, temperature 0.1"], [4.0, 1.5])
    band = panel.collections[0].get_paths()[0].get_extents()
    assert (band.y0, band.y1) == (1.0, 5.0)
    assert [axes.get_ylabel() for axes in drawing.figure.axes] == [
        "loss",
        "item_uniformity",
    ]
    dashes = {line.get_linestyle() for line in panel.lines}
    colours = {line.get_color() for line in panel.lines}
    assert len(dashes) == 2
    assert len(colours) == 1


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(InputError, match="no curve of lost: choose arm, temperature"):
        history_figure(RESULTS, ["lost"])
    with pytest.raises(InputError, match="no run has a training curve"):
        history_frame(RESULTS[-1:])
