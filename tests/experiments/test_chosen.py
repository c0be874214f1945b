"""The temperature of each loss is the one its committed sweep chose on validation."""

from pathlib import Path

from experiments.chosen import CHOSEN, best, main
from research.report.pages import read_table

RESULTS = Path(__file__).parents[2] / "results"


def test_the_committed_choice_is_that_of_the_committed_sweep(capsys):
    frame = read_table(RESULTS / "tables" / "ml-100k" / "losses-choice.csv")
    assert best(frame) == CHOSEN
    assert frame.groupby("arm").temperature.nunique().min() == 9
    assert main([str(RESULTS)]) == 0
    assert "was" not in capsys.readouterr().out


def test_no_sweep_is_one_line(tmp_path, capsys):
    assert main([str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
