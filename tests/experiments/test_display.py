"""What is printed of a grid beside its committed table."""

import pandas as pd

from experiments.engine.display import beside_committed, print_recall


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


def test_without_a_committed_table_each_arm_stands_with_its_difference(capsys):
    rows = [("full", 0.1, 0.3, 0.2, 0.4), ("a", 0.1, 0.25, 0.15, 0.35)]
    nothing = float("nan")
    frame = long_table([*rows, ("failed", 0.1, nothing, nothing, nothing)]).assign(
        against=["", "full", ""],
        delta=[nothing, -0.05, nothing],
        delta_low=[nothing, -0.0625, nothing],
        delta_high=[nothing, -0.03125, nothing],
    )
    print_recall(frame, "full")
    lines = capsys.readouterr().out.splitlines()
    (line,) = [line for line in lines if "-0.0500" in line]
    assert "0.2500 [0.1500, 0.3500]" in line
    assert "-0.0500 [-0.0625, -0.0312]" in line
    (full,) = [line for line in lines if "0.3000 [0.2000, 0.4000]" in line]
    assert full.split()[-2] == "-"
    assert not [line for line in lines if "nan" in line]
