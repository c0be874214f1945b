"""How the training's length changes what cosines lose of log q: made records, a run."""

import dataclasses

import numpy as np
import pytest

import experiments.studies.length as length
from experiments.inputs import prepared_run
from experiments.studies.length import (
    LOST_AT,
    TEMPERATURES,
    TIMES,
    by_length,
    report_length,
    run_length,
    verdicts,
)
from experiments.studies.strength import MORE_TOTALS
from experiments.studies.totals import judged_by_test, means_by_total
from experiments.study import StudyOptions
from research.report.colours import temperature_ink
from research.report.records import Stored, load_stored, study_header
from research.train.loop import train
from tests.studies.reported import page_of
from tests.studies.tastes import small_config, write_tastes


def made(shifts):
    """Records with these shifts after the four lengths, at every temperature."""
    totals, draw = np.array(MORE_TOTALS), np.random.default_rng(0)
    shape = len(TEMPERATURES), 3
    recall = np.empty((*shape, 2, len(TIMES), len(totals)))
    for t, seed in np.ndindex(*shape):
        for n, shift in enumerate(shifts):
            moved = shift + 0.01 * draw.standard_normal()
            for m, at in enumerate((0.0, moved)):
                recall[t, seed, m, n] = 0.1 + 0.02 * np.sin(totals - at)
    arrays = {
        "recall": recall,
        "steps": np.ones((*shape, 1)) * 1500.0 * np.array(TIMES),
        "temperatures": np.array(TEMPERATURES, np.float32),
        "totals": totals,
        "lambdas": np.array([0.0, 1.0]),
    }
    return Stored(study_header("length", "made", False, "0" * 64), {}, arrays)


def verdicts_of(records, words):
    return {row[2] for row in verdicts(records) if words in row[0]}


@pytest.mark.parametrize(
    ("shifts", "falls", "settles", "remains"),
    [
        ((0.8, 0.6, 0.45, 0.4), "holds", "holds", "holds"),
        ((0.4, 0.45, 0.5, 0.9), "fails", "fails", "holds"),
        ((0.8, 0.6, 0.2, 0.0), "holds", "fails", "fails"),
    ],
)
def test_verdicts_go_by_first_and_last_length(shifts, falls, settles, remains):
    records = made(shifts)
    assert verdicts_of(records, "falls from the first") == {falls}
    assert verdicts_of(records, "from the last but one") == {settles}
    assert verdicts_of(records, "after the last length") == {remains}
    assert len(verdicts(records)) == 2 * len(TEMPERATURES) + len(LOST_AT)


def test_the_last_curve_is_of_a_model_trained_so_long(tmp_path, monkeypatch):
    """And its lists have no place for items that the test part alone has."""
    monkeypatch.setattr(length, "SHORTEST", 10)
    folder = write_tastes(tmp_path / "made")
    with (folder / "interactions.csv").open("a") as file:
        file.writelines(f"{user},new-{user},test\n" for user in range(20))
    options = StudyOptions(tmp_path, str(folder))
    config = dataclasses.replace(small_config(options, 0.2), logq=1.0, fit_on="train")
    steps, curves = by_length(config, options)
    assert curves.shape == (len(TIMES), len(MORE_TOTALS))
    run = prepared_run(config, None)
    per_epoch = len(run.fold.fitted.item) // config.batch
    assert steps.tolist() == (np.array(TIMES) * steps[0]).tolist()
    epochs = int(steps[-1]) // per_epoch
    done = train(dataclasses.replace(run.config, epochs=epochs), run.fold)
    mine, test = judged_by_test(config, run.fold.evaluated, None)
    vectors = done.user_vectors[mine], done.item_vectors
    expected = means_by_total(test, vectors, MORE_TOTALS, min_clicks=1)[0]
    np.testing.assert_array_equal(curves[-1], expected)
    with_all = means_by_total(test, vectors, MORE_TOTALS)[0]
    assert np.abs(expected - with_all).max() > 0.02
    assert np.abs(curves[0] - curves[-1]).max() > 0.02


def test_a_run_makes_records_table_page_and_figure(tmp_path, monkeypatch):
    monkeypatch.setattr("experiments.studies.totals.config_at", small_config)
    folder = write_tastes(tmp_path / "made")
    options = StudyOptions(tmp_path / "out", str(folder), seeds=1, quick=True)
    path = run_length(options)
    records = load_stored(path)
    shape = 1, 1, 2, len(TIMES), len(MORE_TOTALS)
    assert records.arrays["recall"].shape == shape
    page_of(path, tmp_path / "out")


def test_the_figure_has_a_line_for_each_temperature():
    drawing = report_length(made((0.8, 0.6, 0.45, 0.4))).drawings["-shifts"]
    assert len(drawing.points) == len(TEMPERATURES) * len(TIMES)
    (axes,) = drawing.figure.axes
    names = [f"temperature {temperature:g}" for temperature in TEMPERATURES]
    assert axes.get_legend_handles_labels()[1] == names
    drawn = [bars.lines[0].get_color() for bars in axes.containers]
    assert drawn == [temperature_ink(temperature) for temperature in TEMPERATURES]
