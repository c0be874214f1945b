"""A colour has one meaning in all figures."""

import pandas as pd
import pytest

from research.report.colours import (
    BAD,
    BEST,
    CALIBRATED,
    FULL,
    GOOD,
    PLAIN,
    shades,
    strength_ink,
    temperature_ink,
)
from research.report.forest import VERDICTS
from research.report.pictures import ARMS, blank, save_figure


def test_no_verdict_and_no_way_to_a_total_has_the_colour_of_an_arm():
    others = {GOOD, BAD, *(ink.colour for ink in (BEST, CALIBRATED, FULL, PLAIN))}
    others |= {look.colour for look in VERDICTS.values()}
    assert not others & {look.colour for look in ARMS.values()}
    assert len({VERDICTS[name] for name in VERDICTS}) == len(VERDICTS)


def test_strengths_in_the_loss_lie_between_the_arms_that_are_its_ends():
    assert strength_ink(0.0) == ARMS["in-batch"].colour
    assert strength_ink(1.0) == ARMS["in-batch+logq"].colour


@pytest.mark.parametrize(
    ("ink", "values"),
    [
        (temperature_ink, (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.8, 1.0)),
        (strength_ink, (0.0, 0.25, 0.5, 0.75, 1.0, 1.5)),
    ],
)
def test_no_two_values_of_a_scale_have_a_colour(ink, values):
    assert len({ink(value) for value in values}) == len(values)


def test_shades_end_with_the_colour_itself():
    assert shades("#a50f15", 1) == ["#a50f15"]
    assert shades("#a50f15", 5)[-1] == "#a50f15"
    assert len(set(shades("#a50f15", 5))) == 5


def test_the_last_digits_of_a_layout_do_not_change_the_svg(tmp_path):
    """Matplotlib hashes them into the names of clip paths."""

    def drawn(name, off):
        figure, panels = blank(3.0, ncols=2)
        for panel in panels:
            panel.plot([0.0, 1.0], [0.0, 1.0])
            panel.set(xlabel="x", ylabel="y")
        figure.draw_without_rendering()
        figure.set_layout_engine(None)
        for panel in panels:
            box = panel.get_position()
            panel.set_position([box.x0 + off, box.y0, box.width, box.height])
        points = pd.DataFrame({"x": [0.0, 1.0]})
        svg, *_ = save_figure(figure, points, tmp_path / name / "data" / "f")
        return svg.read_text()

    one = drawn("one", 0.0)
    assert one == drawn("two", 1e-13)
    assert one.count("<clipPath id=") == 2
    for n in range(2):
        assert f'<clipPath id="clip{n}"' in one
        assert f"url(#clip{n})" in one
