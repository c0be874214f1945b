"""The table of mutants fits the code, and the committed report is of that table."""

import pytest

from tests.mutants.run import REPORT, ROOT, read_mutants

MUTANTS = read_mutants()


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_is_of_code_that_is_there(mutant):
    text = (ROOT / mutant.file).read_text()
    assert text.count(mutant.old) == 1
    assert mutant.new not in (mutant.old, "")
    for test in mutant.tests:
        path, _, name = test.partition("::")
        assert (ROOT / path).is_file()
        assert f"def {name.partition('[')[0]}" in (ROOT / path).read_text()


def test_the_report_is_of_this_table_and_nineteen_of_twenty_are_caught():
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in REPORT.read_text().splitlines()
        if line.startswith("|")
    ][2:]
    assert [row[:2] for row in rows] == [[m.name, m.file] for m in MUTANTS]
    assert len(MUTANTS) >= 120
    survive = [row[0] for row in rows if row[2] == "**survives**"]
    assert len(survive) <= len(rows) / 20
