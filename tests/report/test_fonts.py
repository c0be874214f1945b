"""Names in scripts that a figure's fonts do not have."""

import warnings

import pandas as pd

from research.report.fonts import FIRST, families, lacking
from research.report.pictures import blank, save_figure, styled

NOWHERE = "\U000f1234"  # for private use: in no font


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
    assert said.startswith(f"figures show {NOWHERE} as boxes: ")
    assert said.count("\n") == 1


def test_the_first_font_is_that_of_matplotlib():
    """An installed font moves no letter of a figure in English."""
    assert families()[0] == FIRST
    assert lacking("in-batch+logq, 95 % ± 0.01 \N{GREEK SMALL LETTER ALPHA}") == ""
