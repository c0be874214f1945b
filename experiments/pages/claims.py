"""The claims ledger: claims of the field, and what the committed contrasts show.

    python -m experiments report claims --out results

The claims are in claims.toml, beside this file. Each names contrasts, and the verdict
that each of these must have for the claim to hold. The claim's own verdict follows by
rule: holds or fails, if all of its contrasts do; depends, if some hold and some fail;
else undecided."""

import csv
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from research.files import replace, write_csv
from research.report.contrasts import UNTESTED, WITHIN, verdict_text
from research.report.pages import interval_text, markdown_page, markdown_table
from research.report.predictions import FAILS, HOLDS, UNDECIDED, outcome
from research.types import InputError

QUESTIONS_PAGE = "questions"
SOURCE = Path(__file__).with_name("claims.toml")
OPPOSITE = {"better": "worse", "higher": "lower"}
OPPOSITE |= {other: name for name, other in OPPOSITE.items()}
DEPENDS = "depends"
VERDICTS = HOLDS, FAILS, DEPENDS, UNDECIDED, UNTESTED
RULE = (
    "- **A contrast** holds if its verdict is the one that the claim expects. It fails "
    "if it has another clear verdict (better, worse, higher, lower or equivalent). "
    "Verdicts of contrasts are those of their grids or studies, with p values adjusted "
    "by Holm. Those of `questions`, `ssb` and `temperature` are at the default recipe, "
    "all others at the first one (docs/towers.md). A difference can be significant and "
    "shown to be within 2 %: then its verdict is better or worse, and where a claim "
    "expects equivalence it holds.\n"
    "- **A claim** *holds* or *fails* if all of its contrasts do. It *depends* if some "
    "hold and some fail; else it is *undecided*.\n"
    "- **A prediction** is listed if it was committed before the first run."
)
COLUMNS = (
    *("claim", "source", "verdict", "depends", "prediction", "commit"),
    *("contrast", "expected", "found", "outcome", "difference", "low", "high"),
)


class Claim(NamedTuple):
    """A statement of the field, and the contrasts that test it.

    Attributes:
      claim: the statement.
      source: who makes it.
      expects: contrasts, as DATASET/TABLE#ID, or questions#ID for one of the twelve
        questions, by the verdict that each must have.
      depends: on what the answer depends, where some contrasts hold and others fail.
      prediction: the grid whose prediction states it.
      commit: of that prediction.
      untested: why there is no contrast.
    """

    claim: str
    source: str
    expects: Mapping[str, list[str]]
    depends: str = ""
    prediction: str = ""
    commit: str = ""
    untested: str = ""


def read_claims(path: Path = SOURCE) -> list[Claim]:
    """The claims of a file, in its order."""
    with path.open("rb") as file:
        claims = [Claim(**{"expects": {}, **c}) for c in tomllib.load(file)["claim"]]
    for claim in claims:
        if bool(claim.expects) == bool(claim.untested):
            raise InputError(
                f"{path}: '{claim.claim}' needs contrasts, or a reason for having none"
            )
        for expected in claim.expects:
            if expected.removeprefix("not ") not in (*OPPOSITE, "equivalent"):
                raise InputError(f"{path}: '{expected}' isn't a verdict of a contrast")
    return claims


def verdict(outcomes: list[str]) -> str:
    """The verdict of a claim from the outcomes of its contrasts.

    >>> verdict(["holds", "fails", "undecided"]), verdict(["holds", "undecided"])
    ('depends', 'undecided')
    """
    kinds = set(outcomes)
    if not kinds:
        return UNTESTED
    if {HOLDS, FAILS} <= kinds:
        return DEPENDS
    return kinds.pop() if len(kinds) == 1 else UNDECIDED


def write_claims(tables: Path, out: Path) -> list[Path]:
    """Writes claims.md and claims.csv from the tables of contrasts."""
    rows, lines = [], []
    for claim in read_claims():
        found = [
            _row(claim, name, expected, tables)
            for expected, names in claim.expects.items()
            for name in names
        ]
        whole = verdict([row["outcome"] for row in found])
        head = {
            "claim": claim.claim,
            "source": claim.source,
            "verdict": whole,
            "depends": claim.depends if whole == DEPENDS else claim.untested,
            "prediction": claim.prediction,
            "commit": claim.commit,
        }
        rows += [{**dict.fromkeys(COLUMNS, ""), **head, **row} for row in found or [{}]]
        lines.append(_line(head, found, Path(os.path.relpath(tables, out))))
    heads = ["claim", "source", "verdict", "prediction", "effects [95 %]"]
    counts = [
        f"*{v}* {sum(line[2].startswith(f'**{v}') for line in lines)}" for v in VERDICTS
    ]
    page = markdown_page(
        "Claims of the field, and what the committed contrasts say",
        f"{len(lines)} claims of papers and of common practice, each compared with "
        f"the committed contrasts. Verdicts by the rule below: {', '.join(counts)}. "
        "Sources are in [docs/references.md](../docs/references.md).",
        RULE,
        markdown_table(heads, lines),
    )
    return [
        replace(out / "claims.md", page.encode()),
        write_csv(out / "claims.csv", rows),
    ]


def _row(claim: Claim, name: str, expected: str, tables: Path) -> dict[str, str]:
    """The numbers of a contrast that a claim names, and the outcome for the claim."""
    table, _, row = name.partition("#")
    path = _page_of(table, tables).with_suffix(".csv")
    known = {}
    if path.is_file():
        with path.open(newline="", encoding="utf-8") as file:
            known = {one["id"]: one for one in csv.DictReader(file)}
    numbers = known.get(row)
    if numbers is None or not numbers["verdict"]:
        what = "no such contrast" if numbers is None else "a contrast without numbers"
        raise InputError(f"claim '{claim.claim}' names {name}: {what} in {path}")
    found = numbers["verdict"]
    if "p_equivalence_holm" in numbers:  # contrasts of studies have no such test
        p = float(numbers["p_equivalence_holm"] or "nan")
        why = numbers.get("note", "")
        found = verdict_text({"verdict": found, "p_equivalence_holm": p, "note": why})
    return {
        "contrast": name,
        "expected": expected,
        "found": found,
        "outcome": outcome(expected, numbers["verdict"], WITHIN in found),
        **{end: numbers[end] for end in ("difference", "low", "high")},
    }


def _page_of(table: str, tables: Path) -> Path:
    """The page of a table of contrasts; that of the twelve questions is above them."""
    if table == QUESTIONS_PAGE:
        return Path(os.path.normpath(tables / ".." / f"{table}.md"))
    return tables / f"{table}-contrasts.md"


def _counts(outcomes: list[str]) -> str:
    """How many contrasts hold, fail and are undecided.

    >>> _counts(["holds", "undecided", "fails", "undecided"])
    '1 of 4 holds, 1 fails, 2 undecided'
    """
    held, failed, rest = (outcomes.count(o) for o in (HOLDS, FAILS, UNDECIDED))
    parts = [f"{held} of {len(outcomes)} hold{'s' * (held == 1)}"]
    parts += [f"{failed} fail{'s' * (failed == 1)}"] * bool(failed)
    return ", ".join(parts + [f"{rest} undecided"] * bool(rest))


def _line(
    head: Mapping[str, str], found: list[dict[str, str]], tables: Path
) -> list[str]:
    """The cells of a claim in the page's table."""
    effects = []
    for row in found:
        table, _, contrast = row["contrast"].partition("#")
        link = f"{_page_of(table, tables).as_posix()}#{contrast}"
        ends = [float(row[end] or "nan") for end in ("difference", "low", "high")]
        effects.append(
            f"{interval_text(ends[0], ends[1], ends[2], '+.3f')}, {row['found']} "
            f"([{table}]({link}), expected {row['expected']})"
        )
    whole = head["verdict"]
    if whole in (DEPENDS, UNDECIDED):
        whole += f" ({_counts([row['outcome'] for row in found])})"
    whole += f": {head['depends']}" if head["depends"] else ""
    said = f"{head['prediction']} ({head['commit']})" if head["prediction"] else "-"
    cells = [head["claim"], head["source"], f"**{whole}**", said]
    return [*cells, "<br>".join(effects) or "-"]
