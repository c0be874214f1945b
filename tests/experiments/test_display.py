"""What is printed of a grid beside its committed table."""

import pandas as pd

from experiments.engine.display import beside_committed


def long_table(rows):
    frame = pd.DataFrame(rows, columns=["arm", "temperature", "mean", "low", "high"])
    columns = ["arm", "metric", "k", "temperature"]
    return frame.assign(metric="recall", k=20)[[*columns, "mean", "low", "high"]]


def test_one_temperature_is_compared_with_the_same_one_of_a_sweep(capsys):
    committed = long_table([("a", 0.1, 0.3, 0.2, 0.4), ("a", 0.2, 0.6, 0.5, 0.7)])
    beside_committed(long_table([("a", 0.2, 0.61, 0.5, 0.7)]), committed)
    lines = [line for line in capsys.readouterr().out.splitlines() if "0.61" in line]
    assert len(lines) == 1
    assert "0.6000" in lines[0]
    assert "yes" in lines[0]


def test_a_row_without_the_swept_value_is_shown_with_a_hyphen(capsys):
    rows = [("a", 0.1, 0.3, 0.2, 0.4), ("a", 0.2, 0.6, 0.5, 0.7)]
    rows += [("ease", float("nan"), 0.5, 0.4, 0.6)]
    beside_committed(long_table(rows), long_table(rows))
    (line,) = [x for x in capsys.readouterr().out.splitlines() if "ease" in x]
    assert "nan" not in line
    assert "0.5000" in line
