"""The temperature, learning rate and, where tried, epochs and prior of best validation.

    python -m experiments run tuning
    python -m experiments.tuned out [ml-100k [time]]        writes what it chose

Choices of arms and variants that the tables of trials lack stay as they are.

Each data set and split has choices of its own. Each arm had the same trials (the grid
``tuning``), on train judged by validation; so had its variants, as with another batch
(the grid ``tuning-variants``), and so had those arms that choose the popularity prior
when serving, too (the grid ``tuning-prior``). There are two selectors, since a choice
on clicks is a choice of popularity: the highest mean NDCG@20, which tuned grids use,
and the highest item-averaged recall@20, shown beside it. Of equally good trials the
first one counts.
"""

import csv
import functools
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.output.folders import file_name, records_path
from research.config import Config
from research.evaluate.metrics import CUTOFF
from research.files import replace
from research.types import InputError

if TYPE_CHECKING:
    import pandas as pd

PATH = Path(__file__).with_name("tuned.csv")
PRIOR = "prior"
FIELDS = ("temperature", "learning_rate", "epochs", PRIOR)  # of those that were tried
TRIALS = ("tuning", "tuning-variants", "tuning-prior")  # the grids
WITH_PRIOR = "prior tuned"  # variant whose trials chose the prior, too
USUAL = ("results", "ml-100k", Config.split)  # the words, where they aren't given
WHOLE = {"epochs": "Int64"}  # numbers, some of which are missing
SELECTORS = {"ndcg": "NDCG@20", "recall_item": "item-averaged recall@20"}


def tuned(
    dataset: str,
    arm: str,
    split: str = Config.split,
    changed: str = "",
) -> dict[str, float]:
    """The values of an arm that NDCG@20 chose, by field.

    Raises:
      InputError: nothing was chosen for the arm on this split of the data set.
    """
    try:
        return _committed()[dataset, split, "ndcg", arm, changed]
    except KeyError:
        name = f"{arm} with {changed}" if changed else arm
        plain, variants, with_prior = TRIALS
        grid = variants if changed else plain
        grid = with_prior if WITH_PRIOR in changed else grid
        raise InputError(
            f"no temperature was chosen for arm {name} on {dataset}, split {split}: "
            f"run {grid} on it with --split {split}, then "
            f"python -m experiments.tuned OUT {dataset} {split}"
        ) from None


def is_tuned(dataset: str, split: str, arms: Iterable[tuple[str, str]]) -> bool:
    """Whether values were chosen for all of these arms, each with its variant."""
    return all((dataset, split, "ndcg", *arm) in _committed() for arm in arms)


def variant(values: Mapping[str, float], prior: bool = False) -> str:
    """The name of an arm's variant: the fields that were changed, and to what.

    >>> variant({"correct_positive": 0, "batch": 64.0})
    'batch 64 correct_positive 0'
    >>> variant({"batch": 64.0}, prior=True)
    'batch 64 prior tuned'
    """
    words = [f"{name} {value:g}" for name, value in sorted(values.items())]
    return " ".join([*words, WITH_PRIOR] if prior else words)


def trials(dataset: str, split: str, prior: bool = False) -> tuple[list[str], int]:
    """Which fields were chosen on a split of a data set, and of how many trials.

    Every arm of it had as many.
    """
    with PATH.open(newline="") as file:
        where = {"dataset": dataset, "split": split}
        lines = [line for line in csv.DictReader(file) if where.items() <= line.items()]
    lines = [line for line in lines if (WITH_PRIOR in line["variant"]) is prior]
    fields = [field for field in FIELDS if any(line[field] for line in lines)]
    return fields, int(lines[0]["trials"])


@functools.cache
def _committed() -> Mapping[tuple[str, ...], dict[str, float]]:
    keys = ("dataset", "split", "selector", "arm", "variant")
    with PATH.open(newline="") as file:
        return {
            tuple(line[key] for key in keys): {
                field: float(line[field]) for field in FIELDS if line[field]
            }
            for line in csv.DictReader(file)
        }


def chosen(
    frame: "pd.DataFrame", dataset: str, split: str = Config.split
) -> "pd.DataFrame":
    """The choice of each selector from the long table of a grid of trials.

    One row per selector, arm and variant: the values, the metric's mean at them, how
    many trials there were.

    Raises:
      InputError: the arms had different numbers of trials, or one has none finished.
    """
    import pandas as pd

    changed = [c for c in frame.columns if c in vars(Config()) and c not in FIELDS]
    prior = PRIOR in frame
    names = [variant(row.dropna(), prior) for _, row in frame[changed].iterrows()]
    frame, lines = frame.assign(variant=names), []
    for selector in SELECTORS:
        rows = frame[(frame["metric"] == selector) & (frame["k"] == CUTOFF)]
        for (arm, name), trials in rows.groupby(["arm", "variant"], sort=False):
            if trials["mean"].isna().all():
                raise InputError(f"no trial of arm {arm} on {dataset} is finished")
            best = trials.loc[trials["mean"].idxmax()]
            line = {"dataset": dataset, "split": split, "selector": selector}
            line |= {"arm": arm, "variant": name}
            line |= {field: best.get(field) for field in FIELDS}
            lines.append(line | {"value": best["mean"], "trials": len(trials)})
    out = pd.DataFrame(lines).astype(WHOLE)
    if out["trials"].nunique() > 1:
        raise InputError(f"the arms of {dataset} had different numbers of trials")
    return out


def at_an_end(frame: "pd.DataFrame", choices: "pd.DataFrame") -> list[str]:
    """Lines on values chosen by NDCG@20 at an end of three or more that were tried."""
    lines = []
    for row in choices[choices["selector"] == "ndcg"].to_dict("records"):
        trials = frame[frame["arm"] == row["arm"]]
        for field in (name for name in FIELDS if name in frame):
            tried, value = trials[field].dropna(), row[field]
            if tried.nunique() > 2 and value in (tried.min(), tried.max()):
                end = "lowest" if value == tried.min() else "highest"
                lines.append(
                    f"{row['arm']}: {field} {value:g} is the {end} of those tried; "
                    "beyond it may be a better one"
                )
    return list(dict.fromkeys(lines))


def tables(folder: Path, dataset: str, split: str) -> list[Path]:
    """The existing tables of trials of a split of a data set."""
    paths = [
        folder / "tables" / dataset / f"{file_name(grid, split)}.csv" for grid in TRIALS
    ]
    return [path for path in paths if path.is_file()]


def _check_whole(table: Path, records: Path) -> None:
    """Refuses the table of a smoke run.

    Raises:
      InputError: it is one, by its records; or these can't be read.
    """
    from research.report.records import read_header

    if records.is_file() and read_header(records).get("quick"):
        raise InputError(
            f"{table} is of a smoke run, whose choices are no results: run the grid "
            f"without --quick"
        )


def _others(old: "pd.DataFrame", found: "list[pd.DataFrame]") -> "pd.DataFrame":
    """The old choices of a data set and split that new tables don't have."""
    keys = ["selector", "arm", "variant"]
    new = {tuple(row) for each in found for row in each[keys].to_numpy()}
    rows = old[keys].fillna("").to_numpy()  # an arm as it is has no variant
    return old[[tuple(row) not in new for row in rows]]


def main(words: list[str]) -> int:
    """Writes the choices of a data set's tables beside those of the others."""
    import pandas as pd

    from research.report.pages import csv_text, read_table

    if len(words) > len(USUAL):
        usage = "python -m experiments.tuned [OUT [DATASET [SPLIT]]]"
        print(f"error: {len(words)} words: expected {usage}", file=sys.stderr)
        return 2
    out, dataset, split = (*words, *USUAL[len(words) :])
    paths = tables(Path(out), dataset, split)
    if not paths:
        where = Path(out, "tables", dataset, f"{file_name(TRIALS[0], split)}.csv")
        print(f"error: no {where}: run the grid tuning first", file=sys.stderr)
        return 2
    committed = pd.read_csv(PATH).astype(WHOLE)
    parts = dict(list(committed.groupby(["dataset", "split"], sort=False)))
    try:
        for path in paths:
            _check_whole(path, records_path(Path(out), dataset, path.stem))
        frames = [read_table(path) for path in paths]
        found = [chosen(frame, dataset, split) for frame in frames]
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    kept = _others(parts.get((dataset, split), committed[:0]), found)
    parts[dataset, split] = pd.concat([*found, kept] if len(kept) else found)
    replace(PATH, csv_text(pd.concat(parts.values())).encode())
    for frame, choices in zip(frames, found, strict=True):
        for line in at_an_end(frame, choices):
            print(line)
    if len(kept):
        arms = ", ".join(dict.fromkeys(kept["arm"]))
        print(f"kept {len(kept)} choices that these tables don't have, of {arms}")
    print(f"wrote {PATH}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
