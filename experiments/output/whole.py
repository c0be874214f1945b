"""All of a grid's runs in an output folder: those asked for, and those that exist.

Running some arms or seeds adds to a grid's records, or renews them, and removes none.
"""

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from experiments.arms import ARMS
from experiments.grid import Grid
from experiments.output.plan import is_seeded
from experiments.resolve import Cell, Chosen, Key, expand, key_of
from research.baselines import BASELINES
from research.config import Config
from research.notices import say
from research.registry import entry_name
from research.report.records import RunResult
from research.types import InputError


def whole_cells(
    grid: Grid,
    base: Config,
    chosen: Sequence[Cell],
    named: Callable[[Config], Config],
    was_run: Callable[[Cell], bool],
    quick: bool = False,
    values: Chosen = MappingProxyType({}),
) -> list[Cell]:
    """The chosen cells and every other cell of the grid that was run, in its order.

    Seeds are looked for up to the grid's own number, and beyond it as long as some arm
    has one more. A run without random draws stands for each of them. An arm that wasn't
    asked for and has the same runs as another one, such as an id-only arm on data
    without features, is left out. So are runs at the grid's own values where validation
    chose those of the others (``values``), and the other way round: a table doesn't
    compare the two. An arm that is invalid on these data, and not chosen, is passed
    over.
    """
    rows = {*values, *map(key_of, chosen)}
    first = [
        cell
        for cell in expand(grid, base, 1, (), quick, values)
        if not values or key_of(cell) in rows
    ]
    cells = {(key_of(cell), cell.seed): cell for cell in chosen}
    known = {(cell.config, cell.seed) for cell in chosen}
    seeds, invalid = max(cell.seed for cell in chosen) + 1, set[str]()
    for n in itertools.count():
        others: list[Cell] = []
        for cell in first:
            if cell.arm in invalid or (key_of(cell), n) in cells:
                continue
            try:
                config = named(dataclasses.replace(cell.config, seed=n))
            except InputError:
                invalid.add(cell.arm)
                continue
            cell = cell._replace(config=config, seed=n)
            if (config, n) not in known and was_run(cell):
                others.append(cell)
                known.add((config, n))
        cells |= {(key_of(cell), n): cell for cell in others}
        if any(is_seeded(cell.config) for cell in others):
            seeds = max(seeds, n + 1)
        elif n + 1 >= max(seeds, grid.seeds):
            break
    order = {key_of(cell): place for place, cell in enumerate(first)}
    kept = [cell for cell in cells.values() if cell.seed < seeds]
    return sorted(kept, key=lambda cell: (order[key_of(cell)], cell.seed))


def _seedless(arm: str) -> bool:
    """Whether an arm's numbers are the same with every seed."""
    model = entry_name(str(ARMS.get(arm, {}).get("model")))
    return model in BASELINES and not BASELINES[model].seeded


def of_common_seeds(results: Sequence[RunResult], name: str = "") -> list[RunResult]:
    """The results over the seeds that most rows of a table have, counted from 0.

    That is the largest number that more than half of the rows have; only rows whose
    numbers depend on a seed count, as the one run of another baseline stands for every
    seed. Rows with fewer seeds are left out: they would cut the seeds of all others.
    Where that number is 0, as most rows lack seed 0, the seeds are those of the row
    whose seeds keep the most runs.
    """
    found: dict[Key, set[int]] = {}
    for result in results:
        found.setdefault(key_of(result), set()).add(result.seed)
    counts = {
        key: next(n for n in itertools.count() if n not in seeds)
        for key, seeds in found.items()
    }
    votes = [n for (arm, _), n in counts.items() if not _seedless(arm)]
    votes = sorted(votes or counts.values())
    common = votes[(len(votes) - 1) // 2] if votes else 0
    seeds = set(range(common)) or _most_kept(found)
    kept = [r for r in results if r.seed in seeds <= found[key_of(r)]]
    if name and len(kept) < len(results):
        short = dict.fromkeys(arm for (arm, _), n in found.items() if not seeds <= n)
        rows = f"; {', '.join(short)} left out, with fewer" if short else ""
        say(
            f"{name}: tables are over {len(seeds)} of the seeds, {len(kept)} of "
            f"{len(results)} runs{rows}"
        )
    return kept


def _most_kept(found: Mapping[Key, set[int]]) -> set[int]:
    """The seeds of the row with which the most runs of all rows are kept."""
    rows = [seeds for (arm, _), seeds in found.items() if not _seedless(arm)]

    def kept(seeds: set[int]) -> int:
        return len(seeds) * sum(seeds <= other for other in found.values())

    return max(rows or found.values(), key=kept, default=set())
