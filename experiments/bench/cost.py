"""The benchmark cost: what a step of each arm takes, and how that grows."""

import dataclasses
from typing import Any, NamedTuple

from experiments.arms import ARMS
from experiments.bench.found import Found, Row
from experiments.bench.ours import PLAIN
from experiments.bench.setting import Setting, ours
from experiments.bench.sides import Failed
from research.config import structure

BATCH, DRAWS = 1024, 1024
# Arms that only change what the towers are given or how wide they are, and what moves
# a temperature in the same way as over in-batch negatives.
LEFT_OUT = ("features", "layers", "chosen", "full-softmax-")
CATALOGUES = (3_533, 30_000, 300_000)


class Case(NamedTuple):
    """What is measured: its table, its name, what it changes, and a note."""

    group: str
    name: str
    changes: dict[str, Any]
    note: str = ""


def run_cost(setting: Setting) -> Found:
    """Every arm at equal numbers of negatives, then how some of them grow."""
    work = setting.work("ml-1m")
    if setting.quick:
        small = {"batch": 32, "draws": 8}
        cases = [Case("arms", n, {**ARMS[n], **small}) for n in ("in-batch", "bpr")]
        rows = _measured(setting, work.dataset, work.made, cases)
    else:
        cases = [*arm_cases(), *_growth()]
        rows = _measured(setting, work.dataset, work.made, cases)
        for items in CATALOGUES:
            world = f"6038x{items}x76"
            rows += _measured(setting, world, True, _catalogue(items))
    about = (
        "A step of training and the memory that the compiler sets aside for it. Every "
        f"arm has the towers of the benchmark train, batch {BATCH:,}, and draws "
        f"{DRAWS:,} negatives wherever it draws any (a union with the batch's own has "
        "both); in-batch negatives are the batch's. Arms of one compilation share a "
        "row. Arms that only change features or layers are left out, and temperatures "
        "that move stand with in-batch negatives alone."
    )
    return Found("cost", about, tuple(rows), (), setting.told(work))


def arm_cases() -> list[Case]:
    """A case for each structure among the arms, named by its first arm."""
    names: dict[Any, list[str]] = {}
    for name, changes in ARMS.items():
        if "model" not in changes and not name.startswith(LEFT_OUT):
            config = dataclasses.replace(PLAIN, **changes)
            names.setdefault(structure(config), []).append(name)
    group = f"arms, batch {BATCH:,}, {DRAWS:,} draws"
    return [
        Case(
            group,
            name,
            {**ARMS[name], "batch": BATCH, "draws": DRAWS},
            f"and {', '.join(others)}" if others else "",
        )
        for name, *others in names.values()
    ]


def _growth() -> list[Case]:
    found = []
    for arm in ("in-batch+logq", "uniform-softmax", "full-softmax"):
        for batch in (512, 1024, 2048, 4096):
            changes = {**ARMS[arm], "batch": batch}
            found.append(Case(f"growth with the batch: {arm}", f"{batch:,}", changes))
    for arm, numbers in (
        ("uniform-softmax", (256, 1024, 4096, 16384)),
        ("pointwise-sigmoid", (1, 8, 64, 512)),
    ):
        for draws in numbers:
            changes = {**ARMS[arm], "batch": BATCH, "draws": draws}
            group = f"growth with the negatives: {arm}"
            found.append(Case(group, f"{draws:,}", changes))
    return found


def _catalogue(items: int) -> list[Case]:
    arms = {
        "in-batch+logq": {},
        "in-batch+logq, lazy-adam": {"optimiser": "lazy-adam"},
        "full-softmax": {},
    }
    return [
        Case(
            f"growth with the catalogue: {name}",
            f"{items:,}",
            {**ARMS[name.partition(",")[0]], **changes, "batch": BATCH},
        )
        for name, changes in arms.items()
    ]


def _measured(
    setting: Setting, dataset: str, made: bool, cases: list[Case]
) -> list[Row]:
    told = {
        **{"task": "cost", "dataset": dataset, "made": made},
        **{"data_dir": setting.data_dir, "cases": [case.changes for case in cases]},
        **{"steps": 2 if setting.quick else 10, "repeats": 1 if setting.quick else 3},
    }
    side = ours(setting, told)()
    rows: list[Row] = []
    try:
        side.ask()
        for case in cases:
            rows.append(_row(case, side.ask()))
            setting.say(f"cost: {case.group}, {case.name}: {_short(rows[-1])}")
    except Failed as error:
        left = cases[len(rows) :]
        rows += [Row(c.group, c.name, note=f"failed: {error}") for c in left]
    finally:
        side.close()
    return rows


def _short(row: Row) -> str:
    return row.note if row.median is None else f"{row.median:.1f} {row.unit}"


def _row(case: Case, answer: dict[str, Any]) -> Row:
    if "refused" in answer:
        return Row(case.group, case.name, note=f"not possible: {answer['refused']}")
    more = {"negatives a row": float(answer["negatives"])}
    for name in ("planned", "state"):
        if (held := answer[f"{name}_bytes"]) is not None:
            more[f"{name} MiB"] = held / 2**20
    values = tuple(1e3 * seconds for seconds in answer["seconds"])
    return Row(case.group, case.name, "ms/step", values, more, case.note)
