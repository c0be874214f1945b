"""The four kinds of figures: what a declaration draws of a frame."""

import warnings
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from research.report.pictures import (
    ARMS,
    FIRST,
    SPARE_COLOURS,
    VERDICTS,
    blank,
    families,
    look,
    looks,
    points_alone,
    save_figure,
    styled,
    words_in,
)
from research.report.plots import Plot, draw, place_labels
from research.types import InputError

NOWHERE = "\U000f1234"  # for private use: in no font


@pytest.fixture(scope="module")
def frame():
    rows = [
        {"arm": arm, "t": t, "metric": metric, "value": n + t + (metric == "b")}
        for n, arm in enumerate(("in-batch", "mixed", "my-loss"))
        for t in (0.1, 0.2, 0.4)
        for metric in ("a", "b")
    ]
    frame = pd.DataFrame(rows)
    low, high = frame.value - 0.1, frame.value + 0.2
    return frame.assign(value_low=low, value_high=high, name=frame.arm + "!")


def ends(axes):
    """The value and the ends of each interval along an axes' horizontal axis."""
    found = []
    for bars in axes.containers:
        segments = bars.lines[2][0].get_segments()
        for value, ((low, _), (high, _)) in zip(bars.lines[0].get_xdata(), segments):
            found.append((value, low, high))
    return np.array(found)


def test_lines_have_their_points_bands_and_legend_from_the_highest(frame):
    plot = Plot("lines", "t", "value", "arm", facet="metric", band=True, logx=True)
    figure, points = draw(plot, frame)
    assert points is frame
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["a", "b"]
    assert figure.axes[0].get_xscale() == "log"
    (line,) = [x for x in figure.axes[1].lines if x.get_label() == "mixed"]
    np.testing.assert_allclose(line.get_ydata(), [2.1, 2.2, 2.4])
    assert line.get_color() == look("mixed").colour
    band = figure.axes[0].collections[0].get_paths()[0].get_extents()
    assert (band.y0, band.y1) == pytest.approx((0.0, 0.6))
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["my-loss", "mixed", "in-batch", "95 % interval"]


def test_a_line_without_places_is_a_level_and_a_gap_stays(frame):
    level = frame[frame.arm == "mixed"].iloc[[0]].assign(t=np.nan)
    gap = frame.assign(value=frame.value.mask(frame.t == 0.2))
    parts = pd.concat([level, gap[gap.arm == "in-batch"]])
    figure, _ = draw(Plot("lines", "t", "value", "arm"), parts[parts.metric == "a"])
    lines = {line.get_label(): line.get_ydata() for line in figure.axes[0].lines}
    assert list(lines["mixed"]) == [1.1, 1.1]
    assert np.isnan(lines["in-batch"]).sum() == 1


def test_swept_values_of_an_arm_share_its_colour_and_differ_in_dashes(frame):
    cells = [f"{arm}, size {n}" for arm in ("mixed", "in-batch") for n in (1, 2)]
    parts = pd.concat([frame[frame.arm == "mixed"].assign(cell=c) for c in cells])
    axes = draw(Plot("lines", "t", "value", "cell"), parts).figure.axes[0]
    colours = [line.get_color() for line in axes.lines]
    assert colours == [look(arm).colour for arm in ("mixed",) * 2 + ("in-batch",) * 2]
    assert len({str(line._dash_pattern) for line in axes.lines}) == 2


def test_a_forest_has_its_numbers_groups_zero_and_margin(frame):
    one = frame[frame.metric == "a"].assign(margin=0.25, name=frame.t.map(str))
    figure, _ = draw(Plot("forest", "value", "name", "arm", row="arm"), one)
    axes = figure.axes[0]
    wanted = one[["value", "value_low", "value_high"]].to_numpy()
    np.testing.assert_allclose(ends(axes), wanted)
    names = axes.get_yticklabels()
    values = ["0.1", "0.2", "0.4"]
    arms = [word for arm in ("in-batch", "mixed", "my-loss") for word in (arm, *values)]
    assert [name.get_text() for name in names] == arms
    assert [n.get_fontweight() for n in names[:2]] == ["bold", "normal"]
    assert any(list(line.get_xdata()) == [0, 0] for line in axes.lines)
    band = axes.patches[0].get_extents().transformed(axes.transData.inverted())
    assert (band.x0, band.x1) == pytest.approx((-0.25, 0.25))


def test_bars_stand_beside_each_other(frame):
    one = frame[frame.metric == "a"]
    axes = draw(Plot("bars", "t", "value", "arm"), one).figure.axes[0]
    heights = [bar.get_height() for bar in axes.patches]
    assert heights == pytest.approx(
        one.sort_values("arm", kind="stable").value.tolist()
    )
    lefts = sorted(bar.get_x() for bar in axes.patches)
    width = axes.patches[0].get_width()
    assert all(b - a >= width - 1e-9 for a, b in pairwise(lefts))


def test_labels_of_a_scatter_lie_over_nothing_and_within(frame):
    shown = frame.assign(label=[f"point {n}" for n in range(len(frame))])
    plot = Plot("scatter", "t", "value", "arm", label="label")
    axes = draw(plot, shown).figure.axes[0]
    window, boxes = (
        axes.get_window_extent(),
        [text.get_window_extent() for text in axes.texts],
    )
    assert len(boxes) == len(frame)
    for n, box in enumerate(boxes):
        assert window.x0 <= box.x0 <= box.x1 <= window.x1 + 0.5
        assert not any(box.overlaps(other) for other in boxes[:n])


def test_a_label_without_room_is_named_in_a_legend():
    frame = pd.DataFrame({"x": [0.0, 1.0], "y": [0.0, 1.0], "arm": ["a", "b"]})
    frame = frame.assign(label=["short", "long " * 60])
    axes = draw(Plot("scatter", "x", "y", "arm", label="label"), frame).figure.axes[0]
    assert [text.get_text() for text in axes.texts] == ["short"]
    assert len(axes.get_legend().get_texts()) == 1
    at = np.array([[0.0, 0.0]])
    assert place_labels(axes, at, ["long " * 60], ["#000000"], at) == [0]


@pytest.mark.parametrize("kind", ["forest", "lines", "scatter", "bars"])
def test_saved_with_points_and_words_in_the_same_bytes(frame, tmp_path, kind):
    x, y = ("value", "name") if kind == "forest" else ("t", "value")
    plot = Plot(kind, x, y, "arm", facet="metric", title="What is shown")
    contents = []
    for dataset in ("ml-100k", "own", "own"):
        written = save_figure(*draw(plot, frame, ["a note"]), tmp_path / dataset / "f")
        contents.append([path.read_bytes() for path in written])
    assert [path.name for path in written] == ["f.png", "f.csv"]
    assert contents[1] == contents[2]
    words = words_in(written[0])
    assert {"What is shown", "a note", "own", "mixed"} <= set(words)
    assert "ml-100k" not in words
    assert len(pd.read_csv(written[1])) == len(frame)
    with points_alone():
        alone = save_figure(*draw(plot, frame, ["a note"]), tmp_path / "own" / "g")
    assert alone[0].read_text().splitlines() == words
    written[0].write_bytes(b"no picture")
    with pytest.raises(InputError, match="not a picture"):
        words_in(written[0])


@pytest.mark.parametrize("kind", ["forest", "lines", "scatter", "bars"])
def test_nothing_is_a_figure_too(frame, tmp_path, kind):
    plot = Plot(kind, "value", "name" if kind == "forest" else "t", "arm")
    drawing = draw(plot, frame[:0], ["why"])
    assert len(save_figure(*drawing, tmp_path / "f")) == 2


@pytest.mark.parametrize(("x", "y"), [("", "recall"), ("temperature", "")])
def test_axes_without_a_label_are_refused(tmp_path, x, y):
    figure = Figure()
    figure.subplots().set(xlabel=x, ylabel=y)
    with pytest.raises(ValueError, match="no label on " + ("y" if x else "x")):
        save_figure(figure, pd.DataFrame(), tmp_path / "f")
    with pytest.raises(ValueError, match="no axes"):
        save_figure(Figure(), pd.DataFrame(), tmp_path / "f")
    assert not list(tmp_path.iterdir())


def test_no_two_arms_look_alike():
    assert len({look(arm).colour for arm in ARMS}) == len(ARMS)
    assert len(set(VERDICTS.values())) == len(VERDICTS)
    many = [f"loss-{n}" for n in range(3 * len(SPARE_COLOURS))]
    some = many[: len(SPARE_COLOURS) // 2]
    colours = {style.colour for style in looks([*some, *ARMS]).values()}
    assert len(colours) == len([*some, *ARMS])
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


@styled
def figure_of(name):
    figure, axes = blank(2.0)
    axes.barh([name], [1.0])
    axes.set(xlabel="recall@20", ylabel="arm")
    return figure


def test_a_character_that_no_font_has_is_one_line_for_all_figures(tmp_path, capsys):
    figures = [figure_of("in-batch"), figure_of(f"{NOWHERE}+logq"), figure_of(NOWHERE)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for n, figure in enumerate(figures):
            save_figure(figure, pd.DataFrame({"n": [n]}), tmp_path / f"{n}")
    said = capsys.readouterr().err
    assert said.startswith(f"figures show {NOWHERE} as a box: ")
    assert said.count("\n") == 1
    assert families()[0] == FIRST  # an installed font moves no letter in English
