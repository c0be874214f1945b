"""Compares other libraries' metrics with this project's: make concordance.

    python -m experiments.concordance [OUT]      default: out

Both sides read the same generated scores; the libraries run in the environment that
requirements-concordance.txt describes. Writes OUT/concordance.md and .csv.
"""

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from experiments.concordance.compare import (
    EXACT,
    SINGLE,
    UNEXPLAINED,
    Verdict,
    compare,
    compare_ties,
)
from experiments.concordance.made import ITEMS, USERS, K, Made, make, our_lists, ranked
from experiments.output.folders import writable
from research.evaluate.metrics import METRICS
from research.files import read_json, write_arrays
from research.report.pages import markdown_page, markdown_table, write_texts
from research.types import InputError

PEERS = Path(".venv-concordance") / "bin" / "python"
HEADINGS = [
    "metric",
    "library",
    "call",
    "value",
    "ours",
    "apart",
    "",
    "differs because",
]


def ask_peers(made: Made, scratch: Path) -> dict[str, Any]:
    """The values of each library for the generated input.

    Raises:
      InputError: their environment is missing, or their script failed.
    """
    if not PEERS.is_file():
        raise InputError(f"no {PEERS}: make concordance installs the libraries")
    arrays = {**made._asdict(), "lists": our_lists(made)}
    path, out = write_arrays(scratch / "made.npz", arrays), scratch / "said.json"
    words = [str(PEERS), "-m", "experiments.concordance.peers", str(path), str(out)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise InputError(f"{PEERS}: {(done.stderr.splitlines() or [''])[-1]}")
    return read_json(out)


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


def frame_of(verdicts: Sequence[Verdict], ties: Sequence[Verdict]) -> pd.DataFrame:
    """Both tables in one, every digit of the values kept."""
    rows = [
        {"ties": name, **v._asdict(), "value": repr(v.value), "ours": repr(v.ours)}
        for name, table in (("no", verdicts), ("yes", ties))
        for v in table
    ]
    return pd.DataFrame(rows)


def main(words: list[str]) -> int:
    """Compares and writes; 1 where a library failed or a value has no formula."""
    try:
        if len(words) > 1 or any(word.startswith("-") for word in words):
            usage = "python -m experiments.concordance [OUT]"
            raise InputError(f"'{' '.join(words)}': expected {usage}")
        out = writable(Path(words[0] if words else "out"))
        with tempfile.TemporaryDirectory() as scratch:
            made, with_ties = make(), make(ties=True)
            said = ask_peers(made, Path(scratch))
            tied = ask_peers(with_ties, Path(scratch))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    verdicts = compare(said, ranked(made, our_lists(made, ITEMS)))
    ties = compare_ties(tied, with_ties, verdicts)
    texts = {".md": page_of(verdicts, ties), ".csv": frame_of(verdicts, ties)}
    for path in write_texts(out / "concordance", texts):
        print(f"wrote {path}")
    failed = [
        f"{library}: {answer['failed']}"
        for answers in (said, tied)
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
