"""Time and memory of a step: of each arm, and as batch, negatives and catalogue grow.

The benchmarks cost, catalogue and full-softmax-memory.
"""

import contextlib
import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

from experiments.arms import ARMS
from experiments.bench.ours import PLAIN
from experiments.bench.protocol import Answers, Failed, Turns, take_turns
from experiments.bench.results import BenchmarkResult, Row, Target, side_row
from experiments.bench.setting import Setting, ours
from research.config import compile_key

BATCH, DRAWS = 1024, 1024
# Beginnings of arms that only change the towers' input or width, and of those whose
# temperature changes as it does over in-batch negatives.
LEFT_OUT = ("features", "layers", "larger-towers", "full-softmax-")
CATALOGUES = (3_533, 30_000, 300_000)
LAZY = {"optimiser": "lazy-adam"}


class Case(NamedTuple):
    """A case to measure: its table, its name, its config changes, and a note.

    steps is how many a repeat times.
    """

    group: str
    name: str
    changes: dict[str, Any]
    note: str = ""
    steps: int = 10


def run_cost(setting: Setting) -> BenchmarkResult:
    """Measures every arm at equal numbers of negatives, then how some of them grow."""
    work = setting.work("ml-1m")
    if setting.quick:
        small = {"batch": 32, "draws": 8}
        cases = [Case("arms", n, {**ARMS[n], **small}) for n in ("in-batch", "bpr")]
    else:
        cases = [*arm_cases(), *_growth()]
    rows = case_rows(setting, work.dataset, work.synthetic, cases)
    for items in () if setting.quick else CATALOGUES:
        rows += case_rows(setting, f"6038x{items}x76", True, _catalogue(items))
    about = (
        "A step of training and the memory that the compiler sets aside for it. Every "
        f"arm has the towers of the benchmark train, batch {BATCH:,}, and draws "
        f"{DRAWS:,} negatives wherever it draws any (a union with the batch's own has "
        "both); in-batch negatives are the batch's. Arms of one compilation share a "
        "row. Arms that only change features or layers are left out, and temperatures "
        "that move stand with in-batch negatives alone."
    )
    return BenchmarkResult("cost", about, tuple(rows), (), setting.summary(work))


def arm_cases() -> list[Case]:
    """A case for each structure among the arms, named by its first arm."""
    names: dict[Any, list[str]] = {}
    for name, changes in ARMS.items():
        if "model" not in changes and not name.startswith(LEFT_OUT):
            config = dataclasses.replace(PLAIN, **changes)
            names.setdefault(compile_key(config), []).append(name)
    group = f"arms, batch {BATCH:,}, {DRAWS:,} draws"
    cases = []
    for name, *others in names.values():
        note = f"and {', '.join(others)}" if others else ""
        changes = {**ARMS[name], "batch": BATCH, "draws": DRAWS}
        cases.append(Case(group, name, changes, note))
    return cases


def _growth() -> list[Case]:
    cases = []
    for arm in ("in-batch+logq", "uniform-softmax", "full-softmax"):
        cases += _grown("batch", arm, "batch", (512, 1024, 2048, 4096))
    for arm, numbers in (
        ("uniform-softmax", (256, 1024, 4096, 16384)),
        ("pointwise-sigmoid", (1, 8, 64, 512)),
    ):
        cases += _grown("negatives", arm, "draws", numbers)
    return cases


def _grown(what: str, arm: str, field: str, numbers: Sequence[int]) -> list[Case]:
    """A case for each number in a field of an arm."""
    group, changes = f"growth with the {what}: {arm}", {**ARMS[arm], "batch": BATCH}
    return [Case(group, f"{n:,}", {**changes, field: n}) for n in numbers]


def _catalogue(items: int) -> list[Case]:
    """The arms that a catalogue of so many items is measured with."""
    cases = []
    for arm, more in (
        *(("in-batch+logq", {}), ("in-batch+logq", LAZY)),
        ("full-softmax", {}),
    ):
        group = f"growth with the catalogue: {', '.join((arm, *more.values()))}"
        cases.append(Case(group, f"{items:,}", {**ARMS[arm], **more, "batch": BATCH}))
    return cases


def case_rows(
    setting: Setting, dataset: str, synthetic: bool, cases: list[Case]
) -> list[Row]:
    """A row for each case, all measured in one process on one data set."""
    request = {
        **{"task": "cost", "dataset": dataset, "synthetic": synthetic},
        **{"data_dir": setting.data_dir, "cases": [case.changes for case in cases]},
        "steps": [2 if setting.quick else case.steps for case in cases],
        "repeats": 1 if setting.quick else 3,
    }
    rows: list[Row] = []
    with contextlib.closing(ours(setting, request)) as side:
        try:
            next(side)
            for case in cases:
                rows.append(_case_row(case, next(side)))
                short = rows[-1].note
                if (median := rows[-1].median) is not None:
                    short = f"{median:.1f} {rows[-1].unit}"
                setting.say(f"{case.group}, {case.name}: {short}")
        except Failed as error:
            left = cases[len(rows) :]
            rows += [Row(c.group, c.name, note=f"failed: {error}") for c in left]
    return rows


def _case_row(case: Case, answer: dict[str, Any]) -> Row:
    if "refused" in answer:
        return Row(case.group, case.name, note=f"not possible: {answer['refused']}")
    more = {"negatives a row": float(answer["negatives"])}
    for name in ("planned", "state"):
        if (held := answer[f"{name}_bytes"]) is not None:
            more[f"{name} MiB"] = held / 2**20
    values = tuple(1e3 * seconds for seconds in answer["seconds"])
    return Row(case.group, case.name, "ms/step", values, more, case.note)


DENSE = "adamw"
STEP_CASES = (
    (1024, "lazy-adam"),
    (1024, "rowwise-adagrad"),
    (4096, "lazy-adam"),
    (4096, "rowwise-adagrad"),
    (1024, DENSE),
)
QUICK_CASES = ((64, "lazy-adam"),)
# Users x items x clicks per user: equally many in both, so histories are equally full.
SMALL, LARGE = "6038x3533x20", "1000000x1000000x20"
SHORT = "6038x1000000x76"
TINY, SMALLER = "300x200x12", "300x400x12"
GROWTH_ASKED, MEMORY_ASKED = 1.2, 1.5
MEMORY = ("state", "step", "planned")
REPEATS = 7


def run_catalogue(setting: Setting) -> BenchmarkResult:
    """Measures a step by each optimiser, with a small and with a large catalogue."""
    rows: list[Row] = []
    targets: list[Target] = []
    small, large = (TINY, SMALLER) if setting.quick else (SMALL, LARGE)
    for batch, optimiser in QUICK_CASES if setting.quick else STEP_CASES:
        often = 60 * 1024 // max(batch, 1024)
        steps = {small: often, large: 3 if optimiser == DENSE else often}
        changes = {"optimiser": optimiser}
        sides = {w: _side(setting, w, batch, n, changes) for w, n in steps.items()}
        name = f"batch {batch:,}, {optimiser}"
        answers = take_turns(sides, 2 if setting.quick else REPEATS)
        rows += [_world_row(world, name, turns) for world, turns in answers.items()]
        setting.say(f"catalogue: batch {batch:,}, {optimiser} measured")
        if optimiser != DENSE:
            low, high = (row.median for row in rows[-2:])
            times = high / low if low and high else None
            what = f"{name}: the large world over the small"
            targets.append(Target(what, GROWTH_ASKED, False, times))
    about = (
        "A step of the work of the benchmark train on synthetic data sets of 20 clicks "
        "a user. adamw moves every row in every step; the others move the rows that a "
        "step touched."
    )
    summary = setting.summary()
    return BenchmarkResult("catalogue", about, tuple(rows), tuple(targets), summary)


def run_full_softmax(setting: Setting) -> BenchmarkResult:
    """Measures the memory of a full softmax over a million items."""
    world, batch = (TINY, 64) if setting.quick else (SHORT, 1024)
    side = _side(setting, world, batch, 1, {"negatives": ["catalogue"]})
    row = _world_row(world, DENSE, take_turns({DENSE: side}, 2)[DENSE])
    peak = row.more.get("step MiB")
    target = Target(
        "peak memory of a step beyond parameters and optimiser state",
        *(MEMORY_ASKED, False, None if peak is None else peak / 1024, "GiB"),
    )
    about = (
        "A step of the full softmax over all items, batch 1,024. The memory of a step "
        "is by how much the resident memory rose while it ran; planned is what the "
        "compiler set aside for it."
    )
    summary = setting.summary()
    return BenchmarkResult("full-softmax-memory", about, (row,), (target,), summary)


def _side(
    setting: Setting, world: str, batch: int, steps: int, changes: dict[str, Any]
) -> Answers:
    request = {
        **{"task": "train", "dataset": world, "synthetic": True, "data_dir": None},
        **{"batch": batch, "steps": steps, "changes": changes},
    }
    return ours(setting, request)


def _world_row(world: str, side: str, turns: Turns) -> Row:
    users, items, _ = map(int, world.split("x"))
    case = f"{users:,} users, {items:,} items"
    row = side_row(
        case, side, "ms/step", turns, lambda p: 1e3 * p["seconds"] / p["steps"]
    )
    if turns.failed:
        return row
    sizes = {f"{name} MiB": turns.ready[f"{name}_bytes"] for name in MEMORY}
    sizes["process's peak MiB"] = turns.portions[-1].get("peak_bytes")
    return row._replace(more={n: b / 2**20 for n, b in sizes.items() if b})
