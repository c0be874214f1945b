"""What is printed of a grid beside its committed table."""

import pandas as pd

from experiments.engine.display import beside_committed, print_recall


def long_table(rows):
    frame = pd.DataFrame(rows, columns=["arm", "temperature", "mean", "low", "high"])
    columns = ["arm", "metric", "k", "temperature"]
    return frame.assign(metric="recall", k=20)[[*columns, "mean", "low", "high"]]


ROWS = [("a", 0.1, 0.3, 0.2, 0.4), ("a", 0.2, 0.6, 0.5, 0.7)]
NOTHING = float("nan")


def test_one_temperature_is_compared_with_the_same_one_of_a_sweep(capsys):
    beside_committed(long_table([("a", 0.2, 0.61, 0.5, 0.7)]), long_table(ROWS))
    (line,) = [s for s in capsys.readouterr().out.splitlines() if "0.61" in s]
    assert "0.6000" in line
    assert "yes" in line


def test_a_row_without_the_swept_value_is_shown_with_a_hyphen(capsys):
    rows = [*ROWS, ("ease", NOTHING, 0.5, 0.4, 0.6)]
    beside_committed(long_table(rows), long_table(rows))
    (line,) = [s for s in capsys.readouterr().out.splitlines() if "ease" in s]
    assert "nan" not in line
    assert "0.5000" in line


def test_without_a_committed_table_each_arm_stands_with_its_difference(capsys):
    rows = [("full", 0.1, 0.3, 0.2, 0.4), ("a", 0.1, 0.25, 0.15, 0.35)]
    frame = long_table([*rows, ("failed", 0.1, *[NOTHING] * 3)]).assign(
        against=["", "full", ""],
        delta=[NOTHING, -0.05, NOTHING],
        delta_low=[NOTHING, -0.0625, NOTHING],
        delta_high=[NOTHING, -0.03125, NOTHING],
    )
    print_recall(frame, "full")
    told = capsys.readouterr().out
    (line,) = [line for line in told.splitlines() if "-0.0500" in line]
    assert "0.2500 [0.1500, 0.3500]" in line
    assert "-0.0500 [-0.0625, -0.0312]" in line
    (full,) = [s for s in told.splitlines() if "0.3000 [0.2000, 0.4000]" in s]
    assert full.split()[-2] == "-"
    assert "nan" not in told
