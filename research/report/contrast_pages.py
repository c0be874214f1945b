"""The page of a grid's contrasts, and how large their family is, in words."""

import pandas as pd

from research.report.contrasts import (
    ABSENT,
    FEW_SEEDS,
    MARGIN,
    ONE_SEED,
    SAME_LISTS,
    WITHIN,
    measured,
    verdict_text,
)
from research.report.intervals import ALPHA, MIN_SEEDS
from research.report.pages import (
    EMPTY,
    interval_text,
    markdown_page,
    markdown_table,
    p_text,
)

SMALL = (
    f' "{WITHIN.removeprefix(", ")}" follows where both are: such a difference is'
    " significant and equivalent."
)
UNTESTED_BECAUSE = {  # by the note of a contrast
    ONE_SEED: "With one seed there is no test: intervals are over users only, and hold"
    " for these models alone.",
    FEW_SEEDS: "Metrics of all lists together have neither interval nor test below"
    f" {MIN_SEEDS} seeds.",
    SAME_LISTS: "Arms that draw nothing at random have the same lists with every seed:"
    " between two of them, metrics of all lists together have neither interval nor"
    " test.",
}
HEADINGS = (
    *("arm", "against", "metric", "difference [95 %]", "p", "p of equivalence"),
    *("verdict", "users", "seeds"),
)


def contrast_texts(frame: pd.DataFrame, question: str) -> dict[str, str | pd.DataFrame]:
    """The table of contrasts and its page, by the ends of their files' names."""
    return {"-contrasts.csv": frame, "-contrasts.md": _page(frame, question)}


def in_family(frame: pd.DataFrame) -> tuple[int, str]:
    """How many contrasts share an adjustment by Holm, and what sets them apart.

    >>> in_family(pd.DataFrame({"difference": [0.1, 0.2], "p": [0.01, float("nan")]}))
    (1, 'with a test')
    """
    tested = int(frame.p.notna().sum())
    every = tested == frame.difference.notna().sum()
    return tested, "with data" if every else "with a test"


def _page(frame: pd.DataFrame, question: str) -> str:
    rows = []
    absent = frame[frame.note.str.startswith(ABSENT)]
    for row in frame.drop(absent.index).to_dict("records"):
        name = measured(row["metric"], row["k"], row["over"])
        cells = [f'<a id="{row["id"]}"></a>`{row["arm"]}`', f"`{row['against']}`", name]
        if not row["seeds"]:
            rows.append([*cells, row["note"], *[EMPTY] * 5])
            continue
        cells.append(interval_text(row["difference"], row["low"], row["high"], "+.4f"))
        cells += [p_text(row[f"{p}_holm"]) for p in ("p", "p_equivalence")]
        cells += [verdict_text(row), str(row["users"]), str(row["seeds"])]
        rows.append(cells)
    why = [said for note, said in UNTESTED_BECAUSE.items() if note in set(frame.note)]
    return markdown_page(
        f"Contrasts: {question}",
        markdown_table(HEADINGS, rows),
        f"{len(absent)} of the declared contrasts are of arms that are {ABSENT}."
        if len(absent)
        else "",
        *_on_tests(frame, any(WITHIN in row[-3] for row in rows)),
        " ".join(why),
    )


def _on_tests(frame: pd.DataFrame, small: bool) -> list[str]:
    """The paragraphs on pairing, p values and verdicts."""
    tested, which = in_family(frame)
    if not tested and frame.difference.notna().any():
        return ["Differences are paired by user and seed. None is tested."]
    return [
        "Differences are paired by user and seed. The intervals are not adjusted; both"
        f" p values are, by Holm over the {tested} contrasts {which}. p tests that"
        " there is no difference, p of equivalence that it is"
        f" at least {MARGIN:.0%} of the reference's value (two one-sided tests).",
        f"Verdict: better or worse, if p is below {ALPHA:g} (higher or lower where"
        " neither end is the better one); else equivalent, if p of equivalence is; else"
        " undecided." + (SMALL if small else ""),
    ]
