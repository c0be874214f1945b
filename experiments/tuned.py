"""The temperature, learning rate and, where tried, epochs that validation chose.

    python -m experiments run tuning
    python -m experiments.tuned out [ml-100k [time]]        writes what it chose

Each data set and split has choices of its own. Each arm had the same trials (the grid
``tuning``), on train judged by validation. There are two selectors, since a choice on
clicks is a choice of popularity: the highest mean NDCG@20, which tuned grids use, and
the highest item-averaged recall@20, shown beside it. Of equally good trials the first
one counts.
"""

import csv
import functools
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.folders import file_name
from research.config import Config
from research.evaluate.metrics import CUTOFF
from research.types import InputError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FIELDS", "SELECTORS", "chosen", "tuned"]

PATH = Path(__file__).with_name("tuned.csv")
FIELDS = ("temperature", "learning_rate", "epochs")  # of those that were tried
WHOLE = {"epochs": "Int64"}  # numbers, some of which are missing
SELECTORS = {"ndcg": "NDCG@20", "recall_item": "item-averaged recall@20"}


def tuned(
    dataset: str, arm: str, split: str = Config.split, selector: str = "ndcg"
) -> dict[str, float]:
    """The chosen values of an arm, by field.

    Args:
      dataset: on which they were chosen.
      arm: its name.
      split: of the data set.
      selector: the metric that chose, a name in SELECTORS.

    Raises:
      InputError: nothing was chosen for the arm on this split of the data set.
    """
    try:
        return _committed()[dataset, split, selector, arm]
    except KeyError:
        raise InputError(
            f"no temperature was chosen for arm {arm} on {dataset}, split {split}: "
            f"run tuning --split {split}, then "
            f"python -m experiments.tuned OUT {dataset} {split}"
        ) from None


@functools.cache
def _committed() -> Mapping[tuple[str, str, str, str], dict[str, float]]:
    with PATH.open(newline="") as file:
        return {
            (line["dataset"], line["split"], line["selector"], line["arm"]): {
                field: float(line[field]) for field in FIELDS if line[field]
            }
            for line in csv.DictReader(file)
        }


def chosen(
    frame: "pd.DataFrame", dataset: str, split: str = Config.split
) -> "pd.DataFrame":
    """What each selector chooses from the long table of the grid tuning.

    One row per selector and arm: the values, the metric's mean at them, how many trials
    the arm had.

    Args:
      frame: the table.
      dataset: its data set.
      split: its split.

    Raises:
      InputError: the arms had different numbers of trials.
    """
    import pandas as pd

    lines = []
    for selector in SELECTORS:
        rows = frame[(frame["metric"] == selector) & (frame["k"] == CUTOFF)]
        for arm, trials in rows.groupby("arm", sort=False):
            best = trials.loc[trials["mean"].idxmax()]
            line = {"dataset": dataset, "split": split, "selector": selector}
            line |= {"arm": arm} | {field: best.get(field) for field in FIELDS}
            lines.append(line | {"value": best["mean"], "trials": len(trials)})
    out = pd.DataFrame(lines).astype(WHOLE)
    if out["trials"].nunique() > 1:
        raise InputError(f"the arms of {dataset} had different numbers of trials")
    return out


def main(words: list[str]) -> int:
    """Writes the choices of one table beside those of the others."""
    import pandas as pd

    from research.report.pages import csv_text, read_table

    out, dataset, split = words + ["ml-100k", Config.split][len(words) - 1 :]
    path = Path(out, "tables", dataset, f"{file_name('tuning', split)}.csv")
    if not path.is_file():
        print(f"error: no {path}: run the grid tuning first", file=sys.stderr)
        return 2
    committed = pd.read_csv(PATH).astype(WHOLE)
    parts = dict(list(committed.groupby(["dataset", "split"], sort=False)))
    parts[dataset, split] = chosen(read_table(path), dataset, split)  # for the old ones
    PATH.write_text(csv_text(pd.concat(parts.values())))
    print(f"wrote {PATH}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or ["results"]))
