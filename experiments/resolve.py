"""From a grid and a request to its runs: arms by swept values by seeds, each resolved.

A run has the grid's changes, beneath those of its arm, beneath its tuned and its swept
values. ``resolve`` is the one place where they are put together and checked.
"""

import dataclasses
import itertools
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from experiments.arms import arm
from experiments.grid import MOST_SEEDS, Grid, Tuning, check_grid
from experiments.output.folders import file_name
from experiments.tuned import PRIOR, is_tuned, trials, tuned, variant
from research.baselines import BASELINES
from research.config import Config, entries_of, with_values
from research.contrast import cell_name
from research.data.names import name_of
from research.evaluate.metrics import CUTOFF
from research.prepare import check_config
from research.types import InputError, check_distinct, choose

if TYPE_CHECKING:
    from research.report.records import RunResult

Key = tuple[str, str]  # of a row of a grid: its arm, its swept values as text
Chosen = Mapping[Key, Mapping[str, Any]]  # fields that validation chose for a row

QUICK_VALUES = 2
QUICK_EPOCHS = 2
QUICK_WARMUP = 10  # steps, so that a cache has its turn in two epochs


class Cell(NamedTuple):
    """One cell of a grid and a seed: the arm's name, its swept values, its config.

    The config of a baseline has no seed of its own: all its seeds are one run.
    """

    arm: str
    swept: dict[str, Any]
    seed: int
    config: Config


def key_of(cell: "Cell | RunResult") -> Key:
    """The row of a grid that a cell belongs to, with the other seeds."""
    return cell.arm, repr(cell.swept)


def resolve(
    grid: Grid,
    base: Config,
    seeds: int | None = None,
    arms: tuple[str, ...] = (),
    quick: bool = False,
    chosen: Chosen = MappingProxyType({}),
) -> list[Cell]:
    """The runs that are asked for, as in ``expand``, each config checked: once.

    What shows, plans, executes and collects takes what this returned.

    Raises:
      InputError: the first reason, before any data is read.
    """
    cells = expand(grid, base, seeds, arms, quick, chosen)
    for cell in cells:
        check_config(cell.config)
    return cells


def expand(
    grid: Grid,
    base: Config,
    seeds: int | None = None,
    arms: tuple[str, ...] = (),
    quick: bool = False,
    chosen: Chosen = MappingProxyType({}),
) -> list[Cell]:
    """Every run of the grid, in the order of its arms, with what validation chose.

    Raises:
      InputError: an arm, or one of a contrast, isn't the grid's; an arm is given
        twice; seeds is below 1; an arm of a tuned grid has no choice on this data set.
    """
    for name in arms:
        choose(name, dict.fromkeys(grid.arms), f"arm of grid {grid.name}")
    check_distinct(arms, "arms")
    check_grid(grid)
    base = with_changes(grid, base)
    n = seeds if seeds is not None else (1 if quick else grid.seeds)
    if n < 1:
        raise InputError(f"seeds is {n}: it must be at least 1")
    MOST_SEEDS.check("seeds", n)
    cells: list[Cell] = []
    with_choices = has_choices(grid, base, arms)
    for name in grid.arms:
        if arms and name not in arms:
            continue
        for swept in combinations(grid, name, base, quick):
            choice = tuned_values(grid, name, base, swept) if with_choices else {}
            config = with_swept(arm(name, base), choice | swept)
            fields = chosen.get((name, repr(swept)), {})
            config = dataclasses.replace(config, **fields)
            cells += [
                Cell(name, swept, seed, dataclasses.replace(config, seed=seed))
                for seed in range(n)
            ]
    if not quick:
        return cells
    return [cell._replace(config=_quick(cell.config)) for cell in cells]


def changes_on(grid: Grid, dataset: str) -> dict[str, Any]:
    """What a grid changes in every run on a data set, by field, beneath its arms."""
    return {**grid.changes, **grid.elsewhere.changes.get(name_of(dataset), {})}


def with_changes(grid: Grid, base: Config) -> Config:
    """The base with a grid's changes.

    Raises:
      InputError: one is of no field.
    """
    changes = changes_on(grid, base.dataset)
    for name in changes:
        choose(name, vars(base), f"field in the changes of {grid.name}")
    return dataclasses.replace(base, **changes)


def has_choices(grid: Grid, base: Config, arms: Collection[str] = ()) -> bool:
    """Whether arms of a grid take tuned values on the base's data set and split."""
    if grid.tuning is None or grid.tuning.by_validation:
        return False
    if not grid.tuning.optional:
        return True
    return not any(_choices(grid, base, arms)[False])


def as_chosen(grid: Grid, base: Config, arms: Collection[str]) -> Grid:
    """The grid with all of its arms at tuned values, or none, as these arms are."""
    if grid.tuning is None:
        return grid
    if not has_choices(grid, base, arms):
        return grid.but(tuning=None)
    return grid.but(tuning=dataclasses.replace(grid.tuning, optional=False))


def nothing_tuned(grid: Grid, base: Config, arms: Collection[str] = ()) -> str:
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


def how_chosen(ran: Sequence["RunResult"], trials: int) -> str:
    """What a page says of values that validation chose in a run's own folder."""
    text = "Validation chose the epochs and the prior of each trained arm, in NDCG@20"
    if trials > 1:
        text += (
            f", and its temperature, learning rate, weight decay and dropout among "
            f"{trials} trials; those of baselines likewise"
        )
    shown = {"temperature": "Temperatures", "learning_rate": "Learning rates",
             "epochs": "Epochs", PRIOR: "Priors"}  # fmt: skip
    values = {f: {run.settings[f] for run in ran if run.settings} for f in shown}
    lists = [_by_value(ran, f, shown[f]) for f in shown if len(values[f]) > 1]
    return " ".join([f"{text}.", *filter(None, lists)])


def how_tuned(ran: Sequence["RunResult"], base: Config, grid: Grid) -> str:
    """How the values of a tuned grid's runs were chosen, and those no column shows."""
    tuning = grid.tuning or Tuning()
    prior = tuning.prior
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
        if name in tuning.as_arm:
            takers.setdefault(tuning.as_arm[name], []).append(f"`{name}`")
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
    grid: Grid, base: Config, arms: Collection[str]
) -> dict[bool, tuple[str, ...]]:
    """The trained ones of these arms, or of all: with choices (True), and without."""
    base = with_changes(grid, base)
    trained = [name for name in grid.arms if arm(name).model not in BASELINES]
    known: dict[bool, tuple[str, ...]] = {True: (), False: ()}
    for name in [n for n in trained if n in arms] or trained:
        takes = (grid.tuning or Tuning()).as_arm.get(name, name)
        combined = combinations(grid, name, base, quick=False)
        needed = {(takes, _variant(grid, name, base, swept)) for swept in combined}
        known[is_tuned(name_of(base.dataset), base.split, needed)] += (name,)
    return known


def tuned_values(
    grid: Grid, name: str, base: Config, swept: Mapping[str, float]
) -> dict[str, float]:
    """What a tuned grid sets for a trained arm with these swept values."""
    if arm(name).model in BASELINES:
        return {}
    # an arm that only serves another one's model takes the values of that model
    name = (grid.tuning or Tuning()).as_arm.get(name, name)
    changed = _variant(grid, name, base, swept)
    return tuned(name_of(base.dataset), name, base.split, changed=changed)


def _variant(grid: Grid, name: str, base: Config, swept: Mapping[str, float]) -> str:
    """The variant of an arm that these swept values make, for which values are chosen.

    A value that is the arm's own changes nothing. A cell that sweeps the prior has the
    choices that were made without one.
    """
    own = vars(arm(name, base))
    tuning = grid.tuning or Tuning()
    apart = {n: swept[n] for n in tuning.by if n in swept}
    changed = {n: value for n, value in apart.items() if own[n] != value}
    return variant(changed, tuning.prior and PRIOR not in swept)


def combinations(
    grid: Grid, name: str, base: Config, quick: bool
) -> list[dict[str, float]]:
    """The combinations of an arm's swept values."""
    cells = []
    dataset = name_of(base.dataset)
    common = grid.elsewhere.swept.get(dataset, grid.swept)
    common = grid.elsewhere.swept.get(file_name(dataset, base.split), common)
    for sweep in grid.arm_sweeps.get(name, (common,)):
        combined = [
            dict(zip(sweep, values)) for values in itertools.product(*sweep.values())
        ]
        step = max(1, len(combined) - 1)
        cells += combined[::step][:QUICK_VALUES] if quick else combined
    return cells


def swept_text(value: Any) -> str:
    """A swept value as text.

    >>> swept_text(0.25), swept_text("sl-at-k,width=1,every=5")
    ('0.25', 'sl-at-k,width=1,every=5')
    """
    return value if isinstance(value, str) else f"{value:g}"


def with_swept(config: Config, swept: Mapping[str, float]) -> Config:
    """The config with these values, each in its field's own type.

    Raises:
      InputError: no such field, or half a number in one of whole numbers.
    """
    fields = vars(config)
    of_entries = {name: value for name, value in swept.items() if "." in name}
    swept = {name: value for name, value in swept.items() if "." not in name}
    kinds = {name: type(choose(name, fields, "field")) for name in swept}
    for name, value in swept.items():
        if kinds[name] is int and value % 1 != 0:
            raise InputError(f"{name} is {value:g}: it must be a whole number")
    typed: dict[str, Any] = {name: kinds[name](value) for name, value in swept.items()}
    return with_values(dataclasses.replace(config, **typed), of_entries)


def _quick(config: Config) -> Config:
    chosen = entries_of(config)["negatives"]
    warm = {f"{one.name}.warmup": one.values.get("warmup", 0) for one in chosen}
    shorter = {name: QUICK_WARMUP for name, w in warm.items() if w > QUICK_WARMUP}
    return dataclasses.replace(with_values(config, shorter), epochs=QUICK_EPOCHS)
