"""The table of data sets agrees with the committed records, and with itself."""

import re
from pathlib import Path

import pytest

from research.report.records import load_records, read_header

ROOT = Path(__file__).parents[1]
RECORDS, TABLES = ROOT / "results" / "records", ROOT / "results" / "tables"
SECTION = (ROOT / "docs" / "glossary.md").read_text().split("\n## Data sets\n")[1]
SECTION = SECTION.split("\n## ")[0]
COLUMNS = ("users", "items", "clicks", "per user", "density", "parts")


def rows_of(section: str) -> dict[str, dict[str, str]]:
    """The cells of each data set's row by its name and the column."""
    rows = re.findall(r"^\| [^|]* \| `([^`|]+)` \|[^|]*\|(.*)\|$", section, re.M)
    return {name: dict(zip(COLUMNS, cells.split("|"))) for name, cells in rows}


def number(cell: str) -> int:
    return int(cell.strip().replace(",", "").replace("-", "0"))


def parts_of(row: dict[str, str]) -> list[int]:
    """Clicks of the parts train, validation and test."""
    return [number(part) for part in row["parts"].split(" / ")]


ROWS = rows_of(SECTION)


def test_the_data_sets_with_results_are_in_the_table():
    names = {path.name for path in RECORDS.iterdir()} - {"simulated", "outside"}
    assert names <= set(ROWS)


@pytest.mark.parametrize("name", ROWS)
def test_a_row_agrees_with_itself(name):
    row = ROWS[name]
    clicks, users, items = (number(row[c]) for c in ("clicks", "users", "items"))
    assert sum(parts_of(row)) == clicks
    assert number(row["per user"]) == round(clicks / users)
    assert row["density"].strip() == f"{100 * clicks / users / items:.2g} %"


@pytest.mark.parametrize("name", ["ml-100k", "ml-1m"])
def test_parts_are_those_of_the_records(name):
    """Of clicks that a model was fitted on, and of those that judged it.

    A user whose only click is in the test part judges no model.
    """
    row, folder = ROWS[name], RECORDS / name
    train, validation, test = parts_of(row)
    grids = {"baselines": (train + validation, test)}
    if name == "ml-100k":  # of 1M no committed run was fitted on train
        grids["recipe"] = train, validation
    for grid, (fitted, held) in grids.items():
        record = load_records(folder / f"{grid}.npz")[0].record
        assert len(record.item_counts) == number(row["items"])
        assert record.item_counts.sum() == fitted
        left_out = number(row["users"]) - len(record.held)
        assert 0 <= held - record.held.sum() <= left_out
    assert read_header(folder / "library.npz")["users"] == number(row["users"])
