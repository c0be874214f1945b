"""What a grid's arms have on a data set: its changes, swept values, tuned values."""

import dataclasses
import itertools
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from experiments.arms import arm
from experiments.output.folders import file_name
from experiments.tuned import PRIOR, is_tuned, trials, tuned, variant
from research.baselines import BASELINES
from research.config import Config
from research.contrast import cell_name
from research.data.names import name_of
from research.evaluate.metrics import CUTOFF
from research.types import choose

if TYPE_CHECKING:
    from experiments.grid import Grid
    from research.report.records import RunResult

QUICK_VALUES = 2


def changes_on(grid: "Grid", dataset: str) -> dict[str, Any]:
    """What a grid changes in every run on a data set, by field, beneath its arms."""
    return grid.changes | grid.dataset_changes.get(name_of(dataset), {})


def with_changes(grid: "Grid", base: Config) -> Config:
    """The base with a grid's changes.

    Raises:
      InputError: one is of no field.
    """
    changes = changes_on(grid, base.dataset)
    for name in changes:
        choose(name, vars(base), f"field in the changes of {grid.name}")
    return dataclasses.replace(base, **changes)


def has_choices(grid: "Grid", base: Config, arms: Collection[str] = ()) -> bool:
    """Whether arms of a grid take tuned values on the base's data set and split."""
    if not grid.tuned or not grid.tuned_or_not:
        return grid.tuned
    return not any(_choices(grid, base, arms)[False])


def as_chosen(grid: "Grid", base: Config, arms: Collection[str]) -> "Grid":
    """The grid with all of its arms at tuned values, or none, as these arms are."""
    return grid._replace(tuned=has_choices(grid, base, arms), tuned_or_not=False)


def nothing_tuned(grid: "Grid", base: Config, arms: Collection[str] = ()) -> str:
    """The line on arms of a tuned grid that take no tuned values."""
    base = with_changes(grid, base)
    where = f"{name_of(base.dataset)}, split {base.split}"
    chosen = _choices(grid, base, arms)
    if not (chosen[True] and chosen[False]):
        return f"Nothing was tuned on {where}: temperature and rate are the grid's own."
    return (
        f"Nothing was tuned for {', '.join(chosen[False])} on {where}: temperature and "
        f"rate of all arms are the grid's own."
    )


def how_tuned(ran: Sequence["RunResult"], base: Config, grid: "Grid") -> str:
    """How the values of a tuned grid's runs were chosen, and those no column shows."""
    prior = grid.tuned_prior
    fields, n = trials(name_of(base.dataset), base.split, prior)
    text = (
        f"Each trained arm has the {_words(fields)} that were best on validation, in "
        f"NDCG@{CUTOFF}, of {n} trials."
    )
    if prior and any(PRIOR in run.swept for run in ran):
        others, n = trials(name_of(base.dataset), base.split)
        text += f" A row that names a prior has the {_words(others)} best of {n} "
        text += "without one."
    takers: dict[str, list[str]] = {}
    for name in dict.fromkeys(run.arm for run in ran):
        if name in grid.tuned_as:
            takers.setdefault(grid.tuned_as[name], []).append(f"`{name}`")
    for model, names in takers.items():
        has = "have" if names[1:] else "has"
        text += f" {', '.join(names)} {has} those of `{model}`."
    shown = {"learning_rate": "Learning rates", "epochs": "Epochs", PRIOR: "Priors"}
    lists = [_by_value(ran, field, shown[field]) for field in fields if field in shown]
    return " ".join([text, *filter(None, lists)])


def _words(fields: Sequence[str]) -> str:
    words = [field.replace("_", " ") for field in fields]
    return " and ".join([", ".join(words[:-1]), words[-1]])


def _by_value(ran: Sequence["RunResult"], field: str, word: str) -> str:
    """Which runs have which value of a field; "" where records don't hold it."""
    names: dict[float, dict[str, None]] = {}
    for run in ran:
        settings = run.settings or {}
        if field not in settings:
            return ""
        name = f"`{cell_name(run.arm, run.swept)}`"
        names.setdefault(settings[field], {})[name] = None
    lists = (f"{value:g} ({', '.join(of)})" for value, of in sorted(names.items()))
    return f"{word}: {', '.join(lists)}."


def _choices(
    grid: "Grid", base: Config, arms: Collection[str]
) -> dict[bool, tuple[str, ...]]:
    """The trained ones of these arms, or of all: with choices (True), and without."""
    base = with_changes(grid, base)
    trained = [name for name in grid.arms if arm(name).model not in BASELINES]
    known: dict[bool, tuple[str, ...]] = {True: (), False: ()}
    for name in [n for n in trained if n in arms] or trained:
        takes = grid.tuned_as.get(name, name)
        combined = combinations(grid, name, base, quick=False)
        needed = {(takes, _variant(grid, name, base, swept)) for swept in combined}
        known[is_tuned(name_of(base.dataset), base.split, needed)] += (name,)
    return known


def tuned_values(
    grid: "Grid", name: str, base: Config, swept: Mapping[str, float]
) -> dict[str, float]:
    """What a tuned grid sets for a trained arm with these swept values."""
    if arm(name).model in BASELINES:
        return {}
    # an arm that only serves another one's model takes the values of that model
    name = grid.tuned_as.get(name, name)
    changed = _variant(grid, name, base, swept)
    return tuned(name_of(base.dataset), name, base.split, changed=changed)


def _variant(grid: "Grid", name: str, base: Config, swept: Mapping[str, float]) -> str:
    """The variant of an arm that these swept values make, for which values are chosen.

    A value that is the arm's own changes nothing. A cell that sweeps the prior has the
    choices that were made without one.
    """
    own = vars(arm(name, base))
    apart = {n: swept[n] for n in grid.tuned_by if n in swept}
    changed = {n: value for n, value in apart.items() if own[n] != value}
    return variant(changed, grid.tuned_prior and PRIOR not in swept)


def combinations(
    grid: "Grid", name: str, base: Config, quick: bool
) -> list[dict[str, float]]:
    """The combinations of an arm's swept values."""
    cells = []
    dataset = name_of(base.dataset)
    common = grid.dataset_swept.get(dataset, grid.swept)
    common = grid.dataset_swept.get(file_name(dataset, base.split), common)
    for sweep in grid.arm_sweeps.get(name, (common,)):
        combined = [
            dict(zip(sweep, values)) for values in itertools.product(*sweep.values())
        ]
        step = max(1, len(combined) - 1)
        cells += combined[::step][:QUICK_VALUES] if quick else combined
    return cells
