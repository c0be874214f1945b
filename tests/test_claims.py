"""Each comparison in the documentation leads to a committed row and has its digits."""

import csv
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
ALPHA = 0.05

NUMBER = r"[+-]?\d+\.\d+"
BRACKET = rf"\[({NUMBER}), ({NUMBER})\]"
LINKED = rf"(?:({NUMBER})\s+)?\[{BRACKET}\]\[(c\d+)\]"
HEDGE = re.compile(
    r"\b(no|not|none|nothing|neither)\b.*\b(significant|significantly|distinguishable)\b",
    re.I,
)


def rows_of(table: Path) -> dict[str, dict[str, str]]:
    with table.open(newline="") as file:
        return {row["id"]: row for row in csv.DictReader(file) if row.get("id")}


def targets_of(page: Path) -> dict[str, dict[str, str]]:
    """The row of a table that each reference of a page leads to."""
    found = {}
    links = re.findall(r"^\[(c\d+)\]: (\S+)#(\S+)$", page.read_text(), re.M)
    for name, path, row in links:
        table = page.parent / path
        assert f'<a id="{row}"></a>' in table.read_text(), (name, path, row)
        found[name] = rows_of(table.with_suffix(".csv"))[row]
    assert len(found) == len(links), "a reference is defined twice"
    return found


def numbers_of(row: dict[str, str]) -> tuple[float, float, float]:
    """Difference, low and high; tables name the difference in three ways."""
    value = row.get("difference") or row.get("delta") or row["mean"]
    return float(value), float(row["low"]), float(row["high"])


def prose_of(page: Path) -> str:
    """A page without code, headings, link definitions and rows without contrasts."""
    text = re.sub(r"^ *```.*?^ *```", "", page.read_text(), flags=re.S | re.M)
    text = re.sub(r"^(\|(?!.*\]\[c\d)|#|\[c\d+\]:).*$", "", text, flags=re.M)
    return text


def sentences_of(page: Path) -> list[str]:
    """Those of paragraphs, points and the cells of tables."""
    blocks = re.split(r"\n\s*\n|\n(?=- )|\n\||(?<= )\|(?=\s)", prose_of(page))
    return [
        sentence
        for block in blocks
        for sentence in re.split(r"(?<=[.?!]) (?=[A-Z`(])", " ".join(block.split()))
    ]


def problems(page: Path, text: str, rows: dict[str, dict[str, str]]) -> list[str]:
    """Intervals of a text that lead nowhere, or have other digits than their row."""
    found = []
    linked = list(re.finditer(LINKED, text))
    if len(re.findall(BRACKET, text)) != len(linked):
        found.append("an interval without a link to its row")
    for match in linked:
        shown, low, high, name = match.groups()
        digits = len(low.partition(".")[2])
        value, *ends = numbers_of(rows[name])
        written = [float(n) for n in (shown, low, high) if n is not None]
        wanted = [value, *ends] if shown is not None else ends
        turned = [-value, -ends[1], -ends[0]] if shown is not None else None
        same = [
            [f"{n:.{digits}f}" for n in written] == [f"{n:.{digits}f}" for n in other]
            for other in (wanted, turned)
            if other
        ]
        if not any(same):
            found.append(f"{page.name}: {match[0]} is not {rows[name]['id']}: {wanted}")
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_interval_has_the_digits_of_the_row_that_it_leads_to(page):
    rows, text = targets_of(page), prose_of(page)
    assert problems(page, " ".join(text.split()), rows) == []
    used = re.findall(r"\]\[(c\d+)\]", text)
    assert set(used) == set(rows)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_comparisons_say_what_their_verdicts_say(page):
    """A sentence that doesn't say "not significant" has only significant contrasts.

    One on a contrast without a test says so.
    """
    rows = targets_of(page)
    for sentence in sentences_of(page):
        named = [rows[name] for name in re.findall(r"\]\[(c\d+)\]", sentence)]
        if not named:
            continue
        untested = [row["p_holm"] == "" for row in named]
        if any(untested):
            assert all(untested), sentence
            assert re.search(r"\b(no|not|nothing)\b.* tested\b", sentence), sentence
            continue
        clear = [float(row["p_holm"]) < ALPHA for row in named]
        if "equivalent" in sentence:
            assert all(row["verdict"] == "equivalent" for row in named), sentence
        elif HEDGE.search(sentence):
            assert not all(clear), sentence
        else:
            assert all(clear), sentence


def test_a_changed_number_is_found():
    page = ROOT / "docs" / "findings.md"
    rows, text = targets_of(page), " ".join(prose_of(page).split())
    match = re.search(LINKED, text)
    for group in (1, 2, 3):
        old = match[group]
        new = old[:-1] + str((int(old[-1]) + 1) % 10)
        start, end = match.span(group)
        assert problems(page, text[:start] + new + text[end:], rows)
    bare = text.replace(f"][{match[4]}]", "]", 1)
    assert problems(page, bare, rows) == ["an interval without a link to its row"]
