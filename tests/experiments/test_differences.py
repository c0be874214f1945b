"""The tables before and after: what moved, what became significant."""

import pytest

from experiments.pages.differences import main
from research.report.pages import write_texts
from research.report.tables import table
from tests.report.made import made_rows


@pytest.fixture
def folders(tmp_path):
    """The same grid; in the new one an interval is half as wide, a difference moved."""
    frame = table(made_rows(), "in-batch")
    old, new = (tmp_path / name for name in ("old", "new"))
    write_texts(old / "tables" / "made" / "g", {".csv": frame})
    rows = frame[(frame.metric == "recall") & frame.delta.notna()]
    middle = (rows.delta_low + rows.delta_high) / 2
    for name in ("delta_low", "delta_high"):
        frame.loc[rows.index, name] = (frame.loc[rows.index, name] + middle) / 2
    frame.loc[rows.index[0], "delta"] += 0.01
    write_texts(new / "tables" / "made" / "g", {".csv": frame})
    return old, new


def test_the_row_of_a_table(folders, capsys):
    assert main([str(folder) for folder in folders]) == 0
    row = [cell.strip() for cell in capsys.readouterr().out.splitlines()[2].split("|")]
    # three arms, recall and NDCG, four cut-offs; half of the widths are halved
    assert row[1:5] == ["made/g.csv", "24", "1", "0.75"]
    before, after, gained, lost = map(int, row[5:9])
    assert after == before + gained
    assert lost == 0


def test_bad_input(folders, tmp_path, capsys):
    assert main(["one"]) == 2
    assert main([str(folders[0]), str(tmp_path / "none")]) == 2
    assert "no long table in common" in capsys.readouterr().err
