"""Figures: labelled, with their points, the same bytes, and no label over another."""

import io

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from experiments.grids import GRIDS
from research.evaluate.metrics import METRICS
from research.report.figures import arms_figure, sweep_figure
from research.report.forest import (
    forest_figure,
)
from research.report.pictures import ARMS, SPARE_COLOURS, look, looks, save_figure
from research.report.records import RunResult
from research.report.tables import table, wide
from research.report.tradeoff import tradeoff_figure
from tests.report.made import made_record, made_rows, swept_rows

diversity_figure = GRIDS["temperature"].figures["diversity"]
FAILED = "loss not finite at step 412"


@pytest.fixture(scope="module")
def arms():
    rows = made_rows()
    rows += [RunResult("lost", {}, seed, None, FAILED) for seed in range(3)]
    return table(rows, "in-batch")


@pytest.fixture(scope="module")
def sweep():
    rows = swept_rows()
    rows += [RunResult("popularity", {}, seed, made_record(0)) for seed in range(3)]
    rows[4] = rows[4]._replace(record=None, reason=FAILED)
    return table(rows, "in-batch")


@pytest.fixture(scope="module")
def drawings(arms, sweep):
    return {
        "arms": arms_figure(arms),
        "temperature": sweep_figure(sweep),
        "tradeoff": tradeoff_figure(sweep),
        "diversity": diversity_figure(sweep),
    }


def words(figure):
    """All texts of a figure, as it would be printed."""
    return [t.get_text() for t in figure.findobj(lambda o: hasattr(o, "get_text"))]


def boxes(axes):
    renderer = axes.figure.canvas.get_renderer()
    return [text.get_window_extent(renderer) for text in axes.texts]


@pytest.mark.parametrize("name", ["arms", "temperature", "tradeoff", "diversity"])
def test_saved_with_its_points_and_the_same_bytes(drawings, tmp_path, name):
    drawing = drawings[name]
    first = save_figure(*drawing, tmp_path / "f.1")
    assert [p.name for p in first] == ["f.1.svg", "f.1.png", "f.1.csv"]
    contents = [path.read_bytes() for path in first]
    assert contents[1].startswith(b"\x89PNG")
    assert b"<dc:date>" not in contents[0]
    assert [p.read_bytes() for p in save_figure(*drawing, tmp_path / "f.1")] == contents
    read = pd.read_csv(io.BytesIO(contents[2]))
    assert list(read.columns) == list(drawing.points.columns)
    assert len(list(tmp_path.iterdir())) == 3
    assert drawing._repr_png_() == contents[1]


@pytest.mark.parametrize("name", ["arms", "temperature", "tradeoff", "diversity"])
def test_a_saved_figure_names_its_data_set_beside_all_else(drawings, tmp_path, name):
    figure = drawings[name].figure
    for dataset in ("ml-100k", "own"):
        svg, *_ = save_figure(*drawings[name], tmp_path / dataset / "f")
        assert svg.read_text().count(f"<!-- {dataset} -->") == 1
    assert "<!-- ml-100k -->" not in svg.read_text()
    renderer = figure.canvas.get_renderer()
    (named,) = (text for text in figure.texts if text.get_text() == "own")
    box = named.get_window_extent(renderer)
    assert not any(axes.get_tightbbox(renderer).overlaps(box) for axes in figure.axes)


def test_diversity_has_a_panel_a_metric_that_the_table_has(sweep, drawings):
    figure = drawings["diversity"].figure
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles[0] == "Recall@20"
    absent = ("outside_genres", "recall_expansion", "repulsion")
    names = [METRICS[n].title(20) for n in absent]
    assert [name[0].upper() + name[1:] for name in names] == titles[-3:]
    without = diversity_figure(sweep[~sweep.metric.isin(absent)]).figure
    assert [a.get_title(loc="left") for a in without.axes] == titles[:-3]
    line = figure.axes[0].get_lines()[0]
    assert line.get_color() == look("in-batch").colour


def test_drawn_again_it_is_the_same(arms, drawings, tmp_path):
    one = save_figure(*drawings["arms"], tmp_path / "one")
    two = save_figure(*arms_figure(arms), tmp_path / "two")
    for a, b in zip(one, two, strict=True):
        assert a.read_bytes() == b.read_bytes()


@pytest.mark.parametrize(("x", "y"), [("", "recall"), ("temperature", "")])
def test_axes_without_a_label_are_refused(tmp_path, x, y):
    figure = Figure()
    axes = figure.subplots()
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    with pytest.raises(ValueError, match="no label on " + ("y" if x else "x")):
        save_figure(figure, pd.DataFrame(), tmp_path / "f")
    assert not list(tmp_path.iterdir())


def test_a_shared_axis_is_labelled_once(tmp_path):
    figure = Figure()
    upper, lower = figure.subplots(2, sharex=True)
    lower.set_xlabel("temperature")
    upper.set_ylabel("recall")
    with pytest.raises(ValueError, match="axes 1 have no label on y"):
        save_figure(figure, pd.DataFrame(), tmp_path / "f")
    lower.set_ylabel("coverage")
    assert len(save_figure(figure, pd.DataFrame({"a": [1]}), tmp_path / "f")) == 3
    with pytest.raises(ValueError, match="no axes"):
        save_figure(Figure(), pd.DataFrame(), tmp_path / "f")


def test_points_are_the_tables(drawings, arms, sweep):
    pd.testing.assert_frame_equal(
        drawings["arms"].points, wide(arms, ["recall", "train_count"], 20)
    )
    points = drawings["tradeoff"].points.set_index(["arm", "temperature"])
    row = sweep[
        (sweep.arm == "full-softmax")
        & (sweep.metric == "coverage")
        & (sweep.k == 20)
        & (sweep.temperature == 0.2)
    ].iloc[0]
    point = points.loc[("full-softmax", 0.2)]
    assert point.coverage == row["mean"]
    assert point.coverage_low == row["low"]


def test_every_arm_is_named_once_in_its_colour(drawings):
    figure = drawings["arms"].figure
    axes = figure.axes[0]
    named = {text.get_text(): text.get_color() for text in axes.texts}
    assert named == {
        "in-batch (reference)": look("in-batch").ink,
        "in-batch+logq": look("in-batch+logq").ink,
        "full-softmax": look("full-softmax").ink,
        "popularity": look("popularity").ink,
    }
    assert f"not shown: lost, failed: {FAILED} (seeds 0, 1, 2)" in axes.get_xlabel()
    title = "recall@20 and popularity (ARP), top 20, by arm"
    assert figure.get_suptitle() == title


@pytest.mark.parametrize("name", ["arms", "tradeoff"])
def test_no_label_lies_over_another_or_outside(drawings, name):
    for axes in drawings[name].figure.axes:
        labels = boxes(axes)
        assert len(labels) >= 4
        window = axes.get_window_extent()
        for n, box in enumerate(labels):
            assert window.x0 <= box.x0 <= box.x1 <= window.x1 + 0.5
            assert not any(box.overlaps(other) for other in labels[:n])


def test_curves_say_what_failed_and_keep_the_gap(drawings):
    for name in ("temperature", "tradeoff"):
        texts = words(drawings[name].figure)
        assert any(f"temperature 0.1, failed: {FAILED}" in text for text in texts)
        points = drawings[name].points
        gap = points[(points.arm == "in-batch") & (points.temperature == 0.1)]
        assert gap.recall.isna().all()
    panel = drawings["temperature"].figure.axes[0]
    line = next(line for line in panel.lines if line.get_label() == "in-batch")
    assert np.isnan(line.get_ydata()).sum() == 1
    assert panel.get_xscale() == "log"


def test_temperature_panels(drawings):
    figure = drawings["temperature"].figure
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "Recall@20",
        "Item-averaged recall@20",
        "Coverage",
        "Popularity (ARP), top 20",
    ]
    assert [axes.get_ylabel() for axes in figure.axes] == [
        "mean over users",
        "mean over items",
        "share of items",
        "training clicks per item",
    ]
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    points = drawings["temperature"].points.dropna(subset=["recall"])
    ends = points.groupby("arm").recall.last().sort_values(ascending=False)
    assert legend == list(ends.index)
    assert len(legend) == 4


def test_ends_and_peak_of_each_curve_are_written(drawings):
    axes = drawings["tradeoff"].figure.axes[0]
    for arm in ("in-batch+logq", "full-softmax"):
        written = [t.get_text() for t in axes.texts if t.get_color() == look(arm).ink]
        line = drawings["tradeoff"].points.query("arm == @arm")
        peak = line.temperature[line.recall.idxmax()]
        assert {"0.05", "0.5", f"{peak:g}"} <= set(written)


def test_an_arm_with_one_temperature_is_a_level_where_others_sweep_it():
    rows = swept_rows()
    fixed = [
        RunResult("fixed", {}, s, made_record(s), settings={"temperature": 0.1})
        for s in range(3)
    ]
    drawing = sweep_figure(table([*rows, *fixed], "in-batch"))
    at = drawing.points[drawing.points.arm == "fixed"]
    assert at.temperature.isna().all()
    assert at.recall.notna().all()
    (line,) = [x for x in drawing.figure.axes[0].lines if x.get_label() == "fixed"]
    assert list(line.get_ydata()) == [at.recall.item()] * 2  # from end to end


def test_sweeps_that_cannot_be_drawn_are_refused(arms, sweep):
    with pytest.raises(ValueError, match="does not sweep temperature"):
        sweep_figure(arms)
    twice = pd.concat([sweep, sweep])
    with pytest.raises(ValueError, match="several points"):
        tradeoff_figure(twice)


def test_one_seed_has_no_bands_for_the_whole_set_and_is_drawn(tmp_path):
    frame = table(swept_rows(seeds=1), "in-batch")
    for n, figure in enumerate((sweep_figure, tradeoff_figure, arms_figure)):
        drawing = figure(frame)
        assert len(save_figure(*drawing, tmp_path / str(n))) == 3
        assert drawing.points.recall_low.notna().all()
    assert sweep_figure(frame).points.coverage_low.isna().all()


def test_a_grid_that_failed_whole_is_a_figure_that_says_so(tmp_path):
    lost = [row._replace(record=None, reason=FAILED) for row in swept_rows(seeds=1)]
    frame = table(lost, "in-batch")
    for n, figure in enumerate((sweep_figure, tradeoff_figure, arms_figure)):
        drawing = figure(frame)
        assert len(save_figure(*drawing, tmp_path / str(n))) == 3
        texts = "\n".join(words(drawing.figure))
        assert "No run finished" in texts
        assert texts.count("not shown:") == 3
        assert "and 9 more" in texts


def test_title_can_be_given(arms, sweep):
    assert "Mine" in words(arms_figure(arms, "Mine").figure)
    assert "Mine" in words(sweep_figure(sweep, "Mine").figure)
    assert "Mine" in words(tradeoff_figure(sweep, "Mine").figure)


def test_no_two_arms_look_alike():
    assert len({look(arm).colour for arm in ARMS}) == len(ARMS)
    assert len(set(ARMS.values())) == len(ARMS)
    assert look("my-loss") == look("my-loss")
    assert len({look(f"loss-{n}") for n in range(20)}) > 8
    many = [f"loss-{n}" for n in range(3 * len(SPARE_COLOURS))]
    some = many[: len(SPARE_COLOURS) // 2]
    assert len({style.colour for style in looks([*some, *ARMS]).values()}) == len(
        [*some, *ARMS]
    )
    assert len(set(looks(many).values())) == len(many)


def test_ink_reads_on_white():
    def luminance(colour):
        parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
        linear = [
            p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts
        ]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    assert luminance(ARMS["in-batch+prior"].colour) > 0.2
    for arm in ARMS.values():
        assert 1.05 / (luminance(arm.ink) + 0.05) > 4.45


def lines(axes):
    """The points of an axes' intervals: value, low, high, in order."""
    found = []
    for bars in axes.containers:
        (value,) = bars.lines[0].get_xdata()
        ((low, _), (high, _)) = bars.lines[2][0].get_segments()[0]
        found.append((value, low, high))
    return found


def test_a_forest_has_the_paired_differences_and_their_zero(arms):
    drawing = forest_figure(arms)
    rows = arms[(arms.metric == "recall") & (arms.k == 20) & arms.delta.notna()]
    wanted = rows[["delta", "delta_low", "delta_high"]].to_numpy()
    panel, item = drawing.figure.axes
    np.testing.assert_allclose(lines(panel), wanted, atol=1e-6)
    names = [label.get_text() for label in panel.get_yticklabels()]
    assert names == list(rows.arm)
    assert "in-batch" not in names
    assert panel.get_lines()[-1].get_xdata() == [0, 0]
    title = "Paired differences from in-batch, 95 % intervals (grey: within 2 % of it)"
    assert drawing.figure.get_suptitle() == title
    assert any(f"lost, failed: {FAILED}" in text for text in words(drawing.figure))
    reference = arms[(arms.arm == "in-batch") & (arms.k == 20)].set_index("metric")
    for axes, metric in ((panel, "recall"), (item, "recall_item")):
        band = axes.patches[0].get_extents().transformed(axes.transData.inverted())
        assert band.x1 == pytest.approx(0.02 * reference.loc[metric, "mean"])
        assert band.x0 == pytest.approx(-band.x1)


def test_a_forest_leaves_arms_out_and_draws_nothing_without_differences(arms, tmp_path):
    drawing = forest_figure(arms, without=("popularity",))
    assert len(lines(drawing.figure.axes[0])) == 2
    alone = forest_figure(arms[arms.arm == "in-batch"].assign(against=""))
    title = "No differences: the reference is not among the arms"
    assert alone.figure.get_suptitle().replace("\n", " ") == title
    assert len(save_figure(*alone, tmp_path / "f")) == 3


def test_the_label_of_a_forest_of_two_lines_is_on_the_page(sweep, tmp_path):
    few = sweep[sweep.delta.notna()]
    few = few[few.temperature.isin(few.temperature.unique()[:2])]
    few = few[few.arm == few.arm.iloc[0]]
    figure, points = forest_figure(few, metrics=("recall",))
    assert len(points) == 2
    save_figure(figure, points, tmp_path / "f")
    label = figure.axes[0].yaxis.label.get_window_extent()
    assert label.y0 >= 0
    assert label.y1 <= figure._suptitle.get_window_extent().y0


def test_cells_that_sweep_more_are_left_out_of_a_sweep():
    rows = swept_rows(seeds=1)
    more = [
        row._replace(swept={**row.swept, "warmup": 5.0}, record=made_record(50 + n))
        for n, row in enumerate(rows)
    ]
    frame = table([*rows, *more], "in-batch")
    drawing = sweep_figure(frame, without=("warmup",), label="heat")
    pd.testing.assert_frame_equal(
        drawing.points, sweep_figure(table(rows, "in-batch")).points
    )
    assert drawing.figure.axes[-1].get_xlabel() == "heat"
    warm = sweep_figure(frame, at={"warmup": 5.0}).points
    alone = [
        row._replace(swept={"temperature": row.swept["temperature"]}) for row in more
    ]
    pd.testing.assert_frame_equal(warm, sweep_figure(table(alone, "in-batch")).points)
    assert not warm.recall.equals(drawing.points.recall)


def test_titles_claim_nothing():
    """No comparison: those are contrasts', which have verdicts."""
    claims = ("raises", "lowers", "highest", "lowest", "best", "beats", "better than")
    for drawing in (
        sweep_figure(table(swept_rows(), "in-batch")),
        tradeoff_figure(table(swept_rows(), "in-batch")),
        arms_figure(table(made_rows(), "in-batch")),
    ):
        title = " ".join(words(drawing.figure))
        assert not [claim for claim in claims if claim in title]


def test_precision_is_drawn_against_any_kinds_of_diversity(sweep):
    drawing = tradeoff_figure(sweep, kinds=("novelty", "entropy", "ild"))
    labels = [axes.get_xlabel() for axes in drawing.figure.axes]
    assert labels == [METRICS[n].axis(20) for n in ("novelty", "entropy", "ild")]
    assert "Recall against each of the metrics" in "\n".join(words(drawing.figure))
    line = drawing.figure.axes[0].lines[1]
    points = drawing.points.query("arm == 'in-batch+logq'")
    np.testing.assert_allclose(line.get_xdata(), points.novelty)
