"""The temperature of each loss in the grid losses, and the command that chose it.

    python -m experiments run losses-choice --out out
    python -m experiments.chosen out                 prints what to write below

The choice is, for each arm of the same sweep, on train judged by validation, the one
with the highest mean NDCG@20; the smaller one where two are equal. The committed choice
is that of results/tables/ml-100k/losses-choice.md. One of them is at an end of the
sweep: cosine-contrastive at 1, the temperature at which its margin is as published.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from research.evaluate.metrics import CUTOFF

if TYPE_CHECKING:
    import pandas as pd

CHOSEN: dict[str, float] = {
    "in-batch+logq": 0.2,
    "uniform-softmax": 0.15,
    "full-softmax": 0.2,
    "decoupled-softmax+logq": 0.2,
    "debiased+logq": 0.2,
    "hard-negative+logq": 0.3,
    "bilateral-softmax+logq": 0.2,
    "bpr": 0.2,
    "bpr-mean": 0.15,
    "hinge": 0.3,
    "cosine-contrastive": 1.0,
    "pointwise-sigmoid": 0.15,
    "binary-nce": 0.07,
    "gbce": 0.1,
    "siglip": 0.3,
}


def best(frame: "pd.DataFrame") -> dict[str, float]:
    """The temperature with the highest mean NDCG@20 of each arm of a long table.

    >>> import pandas as pd
    >>> best(pd.DataFrame({"arm": ["a", "a"], "metric": ["ndcg"] * 2, "k": [20, 20],
    ...                    "temperature": [0.1, 0.2], "mean": [0.3, 0.4]}))
    {'a': 0.2}
    """
    rows = frame[(frame["metric"] == "ndcg") & (frame["k"] == CUTOFF)]
    rows = rows.dropna(subset=["mean", "temperature"])
    rows = rows.sort_values(["mean", "temperature"], ascending=[False, True])
    first = rows.drop_duplicates("arm").sort_index()
    return dict(zip(first["arm"], map(float, first["temperature"])))


def main(words: list[str]) -> int:
    """Prints the table's choice, an arm a line, beside what is committed."""
    from research.report.pages import read_table

    path = Path(*words[:1], "tables", "ml-100k", "losses-choice.csv")
    if not path.is_file():
        print(f"error: no {path}: run the grid losses-choice first", file=sys.stderr)
        return 2
    found = best(read_table(path))
    for name, temperature in found.items():
        same = "" if CHOSEN.get(name) == temperature else f"  # was {CHOSEN.get(name)}"
        print(f'    "{name}": {temperature:g},{same}')
    return 0 if found == CHOSEN else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or ["results"]))
