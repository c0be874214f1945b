"""Compares other libraries' metrics with this project's: make concordance.

    python -m experiments.concordance [OUT]      default: out

Both sides read the same generated scores; the libraries run in the environment that
requirements-concordance.txt describes. Writes OUT/concordance.md and .csv: which
library's value equals this project's, and by which formula others differ.
"""

import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from experiments.concordance.formulas import (
    ITEMS,
    OWN,
    USERS,
    K,
    Made,
    make,
    our_lists,
    ranked,
    tied,
    values,
)
from experiments.output.folders import writable
from research.evaluate.metrics import METRICS
from research.files import read_json, write_arrays
from research.report.pages import markdown_page, markdown_table, write_texts
from research.types import InputError

PEERS = Path(".venv-concordance") / "bin" / "python"
EXACT, SINGLE = 1e-9, 1e-6  # tolerances; the second for libraries in float32
FLOAT32 = ("TFRS",)
EQUAL, DIFFERS, UNEXPLAINED = "equal", "differs", "unexplained"
NO_RULE = "neither rule: a value between the worst and the best order of ties"
HEADINGS = [
    *("metric", "library", "call", "value", "ours", "apart", "", "differs because")
]
USAGE = "python -m experiments.concordance [OUT]"


class Verdict(NamedTuple):
    """A library's value beside this project's.

    verdict is EQUAL, DIFFERS by the formula named as because, or UNEXPLAINED. Where
    this project has no such metric, ours is by the usual formula.
    """

    metric: str
    library: str  # and its version
    call: str
    value: float
    ours: float
    verdict: str
    because: str
    tolerance: float


def ask_peers(made: Made, scratch: Path) -> dict[str, Any]:
    """The values of each library for the generated input."""
    if not PEERS.is_file():
        raise InputError(f"no {PEERS}: make concordance installs the libraries")
    arrays = {**made._asdict(), "lists": our_lists(made)}
    path, out = write_arrays(scratch / "made.npz", arrays), scratch / "said.json"
    words = [str(PEERS), "-m", "experiments.concordance.peers", str(path), str(out)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise InputError(f"{PEERS}: {(done.stderr.splitlines() or [''])[-1]}")
    return read_json(out)


def compare(
    said: Mapping[str, Any], known: Mapping[str, Mapping[str, float]]
) -> list[Verdict]:
    """Verdicts by the values that formulas give, in the order of the metrics."""
    verdicts = []
    for metric, formulas in known.items():
        for library, answer in said.items():
            tolerance = SINGLE if library in FLOAT32 else EXACT
            for of, call, value in answer.get("values", ()):
                if of != metric:
                    continue
                same = (b for b, o in formulas.items() if abs(o - value) <= tolerance)
                because = next(same, None)
                verdict = EQUAL if because == OWN else DIFFERS
                verdicts.append(Verdict(
                    *(metric, f"{library} {answer['version']}", call, value),
                    *(formulas[OWN], UNEXPLAINED if because is None else verdict),
                    *(because or "", tolerance),
                ))  # fmt: skip
    return verdicts


def compare_ties(
    said: Mapping[str, Any], made: Made, equal: Sequence[Verdict]
) -> list[Verdict]:
    """Verdicts where scores tie, on the calls that were equal without ties."""
    same = {(v.library, v.call) for v in equal if v.verdict == EQUAL}
    rules, verdicts = tied(made), []
    for v in compare(said, {metric: rule[0] for metric, rule in rules.items()}):
        _, least, most = rules[v.metric]
        between = least - v.tolerance <= v.value <= most + v.tolerance
        if v.verdict == UNEXPLAINED and between:
            v = v._replace(verdict=DIFFERS, because=NO_RULE)
        if (v.library, v.call) in same:
            verdicts.append(v)
    return verdicts


def cells(verdict: Verdict) -> list[str]:
    """A verdict's row of the page."""
    named = verdict.metric if verdict.metric in METRICS else f"{verdict.metric} (usual)"
    apart = abs(verdict.value - verdict.ours)
    return [
        *(named, verdict.library, verdict.call),
        *(f"{number:.9f}" for number in (verdict.value, verdict.ours)),
        *(f"{apart:.0e}", verdict.verdict, verdict.because),
    ]


def page_of(verdicts: Sequence[Verdict], ties: Sequence[Verdict]) -> str:
    """The page: a table without ties, and one with them."""
    return markdown_page(
        "Agreement with other libraries",
        f"Written by `make concordance`. {USERS} made users, {ITEMS} items, cut-off "
        f"{K}; seen items are removed, users without a held-out item not counted. "
        f"Equal: within {EXACT:.0e}; of TFRS, which computes in float32, within "
        f"{SINGLE:.0e}. What differs is, within the same, the value of the formula "
        "named, computed with NumPy. This project has neither precision nor MAP: "
        "theirs is the usual formula (docs/metrics.md).",
        markdown_table(HEADINGS, map(cells, verdicts)),
        "The same where scores take 8 values, for calls of recall and nDCG that are "
        "equal above. This project gives equal scores to the lower item index; "
        "RecTools ranks nothing, and got this project's lists.",
        markdown_table(HEADINGS, map(cells, ties)),
    )


def main(words: list[str]) -> int:
    """Compares and writes; 1 where a library failed or a value has no formula."""
    try:
        if len(words) > 1 or any(word.startswith("-") for word in words):
            raise InputError(f"'{' '.join(words)}': expected {USAGE}")
        out = writable(Path(words[0] if words else "out"))
        with tempfile.TemporaryDirectory() as scratch:
            said, with_ties = (ask_peers(make(t), Path(scratch)) for t in (False, True))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    made = make()
    verdicts = compare(said, values(ranked(made, our_lists(made, ITEMS))))
    ties = compare_ties(with_ties, make(ties=True), verdicts)
    rows = [  # every digit of the values
        {"ties": name, **v._asdict(), "value": repr(v.value), "ours": repr(v.ours)}
        for name, table in (("no", verdicts), ("yes", ties))
        for v in table
    ]
    texts = {".md": page_of(verdicts, ties), ".csv": pd.DataFrame(rows)}
    for path in write_texts(out / "concordance", texts):
        print(f"wrote {path}")
    failed = [
        f"{library}: {answer['failed']}"
        for answers in (said, with_ties)
        for library, answer in answers.items()
        if "failed" in answer
    ]
    failed += [
        f"{v.library}, {v.call}: {v.value:.9f}, which no formula gives"
        for v in (*verdicts, *ties)
        if v.verdict == UNEXPLAINED
    ]
    for line in failed:
        print(f"failed: {line}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
