"""The claims ledger: verdicts follow the contrasts, and a wrong name is refused."""

import csv
import shutil
from pathlib import Path

import pytest

from experiments.pages import claims
from research.types import InputError

ROOT = Path(__file__).parents[2]
TABLE = "made/grid-contrasts.csv"
TOML = """
[[claim]]
claim = "A beats B."
source = "[yi2019]"
depends = "the cut-off"
[claim.expects]
better = ["made/grid#a-vs-b-20", "made/grid#a-vs-b-100"]

[[claim]]
claim = "C is no worse than B."
source = "common practice"
[claim.expects]
"not worse" = ["made/grid#c-vs-b-20"]

[[claim]]
claim = "Nobody knows."
source = "common practice"
untested = "no arm"
"""


def write_table(folder: Path, **verdicts: str) -> None:
    rows = ["id,difference,low,high,verdict"]
    for name, verdict in verdicts.items():
        ends = "0.1,0.05,0.15" if verdict else ",,"
        rows.append(f"{name.replace('_', '-')},{ends},{verdict}")
    path = folder / TABLE
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(rows) + "\n")


@pytest.fixture
def made(tmp_path, monkeypatch):
    path = tmp_path / "claims.toml"
    path.write_text(TOML)
    monkeypatch.setattr(claims, "read_claims", lambda: read(path))
    return tmp_path


read = claims.read_claims


def verdicts_of(folder: Path, **found: str) -> list[str]:
    write_table(folder / "tables", **found)
    claims.write_claims(folder / "tables", folder)
    with (folder / "claims.csv").open() as file:
        return [row["verdict"] for row in csv.DictReader(file)]


ALL = {"a_vs_b_20": "better", "a_vs_b_100": "better", "c_vs_b_20": "equivalent"}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, ["holds", "holds", "holds", "not tested"]),
        ({"a_vs_b_100": "worse"}, ["depends", "depends", "holds", "not tested"]),
        (
            {"a_vs_b_100": "undecided"},
            ["undecided", "undecided", "holds", "not tested"],
        ),
        (
            {"c_vs_b_20": "not tested"},
            ["holds", "holds", "undecided", "not tested"],
        ),
        ({"c_vs_b_20": "worse"}, ["holds", "holds", "fails", "not tested"]),
        ({"c_vs_b_20": "better"}, ["holds", "holds", "holds", "not tested"]),
    ],
)
def test_a_changed_contrast_changes_the_claim(made, change, expected):
    assert verdicts_of(made, **(ALL | change)) == expected
    page = (made / "claims.md").read_text()
    assert "tables/made/grid-contrasts.md#a-vs-b-20" in page
    assert ("depends (1 of 2 holds, 1 fails): the cut-off" in page) == (
        "depends" in expected
    )


def test_a_contrast_that_is_not_there_is_named_with_its_claim(made):
    found = {name: verdict for name, verdict in ALL.items() if name != "c_vs_b_20"}
    with pytest.raises(
        InputError, match=r"C is no worse.*made/grid#c-vs-b-20: no such"
    ):
        verdicts_of(made, **found)
    with pytest.raises(InputError, match="without numbers"):
        verdicts_of(made, **(ALL | {"c_vs_b_20": ""}))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('[[claim]]\nclaim = "x"\nsource = "y"\n', "needs contrasts, or a reason"),
        (TOML.replace("not worse", "nicer"), "'nicer' isn't a verdict"),
    ],
)
def test_a_claim_that_nothing_could_decide_is_refused(tmp_path, text, line):
    path = tmp_path / "claims.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=line):
        read(path)


def test_the_committed_ledger_is_what_the_committed_tables_say(tmp_path):
    """Of at least 25 claims; the commit of a prediction has seven digits."""
    shutil.copytree(ROOT / "results" / "tables", tmp_path / "tables")
    shutil.copy(ROOT / "results" / "questions.csv", tmp_path)
    claims.write_claims(tmp_path / "tables", tmp_path)
    for name in ("claims.md", "claims.csv"):
        assert (tmp_path / name).read_text() == (ROOT / "results" / name).read_text()
    known = claims.read_claims()
    assert len({claim.claim for claim in known}) == len(known) >= 25
    assert all(bool(c.prediction) == (len(c.commit) == 7) for c in known)
