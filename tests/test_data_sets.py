"""The table of data sets agrees with the committed records, and with itself."""

import re
from pathlib import Path

import pytest

from experiments.studies.dial import CLICKS, ITEMS, USERS
from research.report.records import load_records, load_stored, read_header

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
    for grid, fitted, held in (
        ("tuning", train, validation),
        ("baselines", train + validation, test),
    ):
        record = load_records(folder / f"{grid}.npz")[0].record
        assert len(record.item_counts) == number(row["items"])
        assert record.item_counts.sum() == fitted
        left_out = number(row["users"]) - len(record.held)
        assert 0 <= held - record.held.sum() <= left_out
    assert read_header(folder / "tuning.npz")["users"] == number(row["users"])


def test_parts_of_electronics_are_those_of_the_records():
    path, row = RECORDS / "electronic" / "tuning-given.npz", ROWS["electronic"]
    record = load_records(path)[0].record
    assert read_header(path)["users"] == number(row["users"])
    assert len(record.item_counts) == number(row["items"])
    train, _, test = parts_of(row)
    # a share of the training part was held out for validation
    assert record.item_counts.sum() + record.held.sum() == train
    record = load_records(path.with_name("other-data-given.npz"))[0].record
    assert (record.item_counts.sum(), record.held.sum()) == (train, test)


@pytest.mark.parametrize(
    ("name", "study", "array", "axis"),
    [
        ("electronic", "strength", "recall_20", 5),
        ("movie", "strength", "recall_20", 5),
        ("gowalla", "strength", "recall_20", 5),
    ],
)
def test_users_of_published_splits_are_those_of_the_records(name, study, array, axis):
    arrays = load_stored(RECORDS / name / f"{study}.npz").arrays
    assert arrays[array].shape[axis] == number(ROWS[name]["users"])


@pytest.mark.parametrize("name", ["electronic", "movie"])
def test_a_shifted_split_divides_the_same_clicks(name):
    shifted = ROWS[f"{name}-popularity"]
    for column in COLUMNS[:-1]:
        assert shifted[column] == ROWS[name][column]
    assert parts_of(shifted) != parts_of(ROWS[name])


def test_sizes_of_synthetic_data_sets():
    text = " ".join(SECTION.split())
    assert f"{USERS} users, {ITEMS} items and {CLICKS} clicks per user" in text
