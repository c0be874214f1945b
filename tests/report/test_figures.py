"""The figures of grids: which numbers of the long table they show, and their words."""

import itertools

import numpy as np
import pandas as pd
import pytest

from experiments.grids import GRIDS
from research.evaluate.metrics import METRICS
from research.report.figures import (
    arms_figure,
    forest_figure,
    history_figure,
    history_frame,
    sweep_figure,
    tradeoff_figure,
)
from research.report.pictures import look, save_figure, words_of
from research.report.records import RunResult, load_records, save_records
from research.report.tables import table, wide
from research.types import InputError
from tests.report.made import made_record, made_rows, swept_rows

diversity_figure = GRIDS["temperature"].figures["diversity"]
FAILED = "loss not finite at step 412"
LEVELS = (sweep_figure, tradeoff_figure, arms_figure)


@pytest.fixture(scope="module")
def arms():
    lost = [RunResult("lost", {}, seed, None, FAILED) for seed in range(3)]
    return table([*made_rows(), *lost], "in-batch")


@pytest.fixture(scope="module")
def sweep():
    rows = swept_rows()
    rows += [RunResult("popularity", {}, seed, made_record(0)) for seed in range(3)]
    rows[4] = rows[4]._replace(record=None, reason=FAILED)
    return table(rows, "in-batch")


def test_points_are_the_tables(arms, sweep):
    points = wide(arms, ["recall", "train_count"], 20)
    pd.testing.assert_frame_equal(arms_figure(arms).points, points)
    points = tradeoff_figure(sweep).points.set_index(["arm", "temperature"])
    at = (sweep.arm == "full-softmax") & (sweep.temperature == 0.2) & (sweep.k == 20)
    row = sweep[at & (sweep.metric == "coverage")].iloc[0]
    point = points.loc[("full-softmax", 0.2)]
    assert (point.coverage, point.coverage_low) == (row["mean"], row["low"])


def test_every_arm_is_named_once_in_its_colour(arms):
    figure = arms_figure(arms).figure
    named = {text.get_text(): text.get_color() for text in figure.axes[0].texts}
    assert named == {
        f"{arm}{' (reference)' if arm == 'in-batch' else ''}": look(arm).ink
        for arm in ("in-batch", "in-batch+logq", "full-softmax", "popularity")
    }
    words = words_of(figure)
    assert f"not shown: lost, failed: {FAILED} (seeds 0, 1, 2)" in words
    assert "recall@20 and popularity (ARP), top 20, by arm" in words


def test_curves_say_what_failed_and_keep_the_gap(sweep):
    for drawn in (sweep_figure(sweep), tradeoff_figure(sweep)):
        words = words_of(drawn.figure)
        assert any(f"temperature 0.1, failed: {FAILED}" in word for word in words)
        gap = drawn.points.query("arm == 'in-batch' and temperature == 0.1")
        assert gap.recall.isna().all()
    panel = sweep_figure(sweep).figure.axes[0]
    line = next(line for line in panel.lines if line.get_label() == "in-batch")
    assert np.isnan(line.get_ydata()).sum() == 1
    assert panel.get_xscale() == "log"


def test_a_sweep_has_a_panel_for_each_metric_that_the_table_has(sweep):
    titles = [a.get_title(loc="left") for a in diversity_figure(sweep).figure.axes]
    assert titles[0] == "Recall@20"
    absent = ("outside_genres", "recall_expansion", "repulsion")
    names = [METRICS[n].title(20) for n in absent]
    assert [name[0].upper() + name[1:] for name in names] == titles[-3:]
    without = diversity_figure(sweep[~sweep.metric.isin(absent)]).figure
    assert [a.get_title(loc="left") for a in without.axes] == titles[:-3]


def test_ends_and_peak_of_each_curve_are_written(sweep):
    figure, points = tradeoff_figure(sweep)
    for arm in ("in-batch+logq", "full-softmax"):
        texts = figure.axes[0].texts
        written = {t.get_text() for t in texts if t.get_color() == look(arm).ink}
        line = points.query("arm == @arm")
        assert {"0.05", "0.5", f"{line.temperature[line.recall.idxmax()]:g}"} <= written


def test_an_arm_with_one_temperature_is_a_level_where_others_sweep_it():
    fixed = [
        RunResult("fixed", {}, s, made_record(s), settings={"temperature": 0.1})
        for s in range(3)
    ]
    figure, points = sweep_figure(table([*swept_rows(), *fixed], "in-batch"))
    at = points[points.arm == "fixed"]
    assert at.temperature.isna().all()
    (line,) = [x for x in figure.axes[0].lines if x.get_label() == "fixed"]
    assert list(line.get_ydata()) == [at.recall.item()] * 2  # from end to end


def test_sweeps_that_cannot_be_drawn_are_refused(arms, sweep):
    with pytest.raises(ValueError, match="does not sweep temperature"):
        sweep_figure(arms)
    with pytest.raises(ValueError, match="several points"):
        tradeoff_figure(pd.concat([sweep, sweep]))


@pytest.mark.parametrize("figure", LEVELS)
def test_one_seed_and_a_grid_that_failed_whole_are_figures(tmp_path, figure):
    rows = swept_rows(seeds=1)
    drawing = figure(table(rows, "in-batch"), "Mine")
    assert len(save_figure(*drawing, tmp_path / "one")) == 2
    assert drawing.points.recall_low.notna().all()
    assert "Mine" in words_of(drawing.figure)
    lost = [row._replace(record=None, reason=FAILED) for row in rows]
    drawing = figure(table(lost, "in-batch"))
    save_figure(*drawing, tmp_path / "lost")
    texts = "\n".join(words_of(drawing.figure))
    assert texts.count("not shown:") == 3
    assert "and 9 more" in texts


def test_cells_that_sweep_more_are_left_out_of_a_sweep():
    rows = swept_rows(seeds=1)
    more = [
        row._replace(swept={**row.swept, "warmup": 5.0}, record=made_record(50 + n))
        for n, row in enumerate(rows)
    ]
    frame, alone = table([*rows, *more], "in-batch"), table(rows, "in-batch")
    drawing = sweep_figure(frame, without=("warmup",), label="heat")
    pd.testing.assert_frame_equal(drawing.points, sweep_figure(alone).points)
    assert drawing.figure.axes[-1].get_xlabel() == "heat"
    warm = sweep_figure(frame, at={"warmup": 5.0}).points
    plain = [r._replace(swept={"temperature": r.swept["temperature"]}) for r in more]
    pd.testing.assert_frame_equal(warm, sweep_figure(table(plain, "in-batch")).points)


def test_a_forest_has_the_paired_differences_and_the_margin(arms):
    figure, points = forest_figure(arms)
    rows = arms[(arms.metric == "recall") & (arms.k == 20) & arms.delta.notna()]
    shown = points[points.metric == "recall@20"]
    ends = ["difference", "difference_low", "difference_high"]
    wanted = rows[["delta", "delta_low", "delta_high"]]
    np.testing.assert_array_equal(shown[ends].to_numpy(), wanted.to_numpy())
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == list(rows.arm)
    assert "in-batch" not in names
    reference = arms[(arms.arm == "in-batch") & (arms.k == 20)].set_index("metric")
    margin = 0.02 * reference.loc["recall", "mean"]
    assert shown.margin.to_numpy() == pytest.approx(margin)
    words = words_of(figure)
    title = "Paired differences from in-batch, 95 % intervals (grey: within 2 % of it)"
    assert title in words
    assert any(f"lost, failed: {FAILED}" in word for word in words)


def test_a_forest_leaves_arms_out_and_is_drawn_without_differences(arms, tmp_path):
    points = forest_figure(arms, without=("popularity",)).points
    assert set(points.arm) == {"in-batch+logq", "full-softmax"}
    alone = forest_figure(arms[arms.arm == "in-batch"].assign(against=""))
    title = "No differences: the reference is not among the arms"
    assert title in words_of(alone.figure)
    assert len(save_figure(*alone, tmp_path / "f")) == 2


def run(arm, seed, losses, **swept):
    history = {"epoch": [1.0, 2.0], "loss": losses, "item_uniformity": [-1.0, -2.0]}
    return RunResult(arm, swept, seed, made_record(seed), history=history)


CURVES = [
    run("a", 0, [3.0, 1.0], temperature=0.1),
    run("a", 1, [5.0, 2.0], temperature=0.1),
    run("a", 0, [7.0, 6.0], temperature=1.0),
    RunResult("popularity", {}, 0, made_record(0)),
]


def test_learning_curves_have_a_row_per_run_and_epoch(tmp_path):
    frame = history_frame(CURVES)
    columns = ["arm", "temperature", "seed", "epoch", "loss", "item_uniformity"]
    assert frame.columns.tolist() == columns
    assert frame.loss.tolist() == [3.0, 1.0, 5.0, 2.0, 7.0, 6.0]
    stored = load_records(save_records(tmp_path / "grid.npz", CURVES))
    assert history_frame(stored).equals(frame)


def test_learning_curves_are_means_over_seeds():
    figure = history_figure(CURVES).figure
    lines = {line.get_label(): line.get_ydata() for line in figure.axes[0].lines}
    assert set(lines) == {"a, temperature 0.1", "a, temperature 1"}
    np.testing.assert_allclose(lines["a, temperature 0.1"], [4.0, 1.5])
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["loss", "item_uniformity"]
    with pytest.raises(InputError, match="no curve of lost: choose arm, temperature"):
        history_figure(CURVES, ["lost"])
    with pytest.raises(InputError, match="no run has a training curve"):
        history_frame(CURVES[-1:])


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
