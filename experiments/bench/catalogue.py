"""The benchmarks catalogue and full-softmax-memory: what a million items cost."""

from collections.abc import Callable
from typing import Any

from experiments.bench.found import Found, Row, Target
from experiments.bench.setting import Setting, ours
from experiments.bench.sides import Side, Turns, take_turns

DENSE = "adamw"
CASES = (
    (1024, "lazy-adam"),
    (1024, "rowwise-adagrad"),
    (4096, "lazy-adam"),
    (4096, "rowwise-adagrad"),
    (1024, DENSE),
)
QUICK = ((64, "lazy-adam"),)
# Users, items, clicks a user: as many clicks in both, so histories are as full.
SMALL, LARGE = "6038x3533x20", "1000000x1000000x20"
SHORT = "6038x1000000x76"
TINY, SMALLER = "300x200x12", "300x400x12"
ASKED, MEMORY = 1.2, 1.5
REPEATS = 7


def run_catalogue(setting: Setting) -> Found:
    """Seconds a step by each optimiser, in a small world and in a large one."""
    rows: list[Row] = []
    targets: list[Target] = []
    for batch, optimiser in QUICK if setting.quick else CASES:
        pair = _pair(setting, batch, optimiser)
        rows += pair
        setting.say(f"catalogue: batch {batch:,}, {optimiser} measured")
        if optimiser != DENSE and not setting.quick:
            low, high = (row.median for row in pair)
            seen = high / low if low and high else None
            what = f"batch {batch:,}, {optimiser}: the large world over the small"
            targets.append(Target(what, ASKED, False, seen))
    about = (
        "A step of the work of the benchmark train in made worlds of 20 clicks a user. "
        "adamw moves every row in every step; the others move the rows that a step "
        "touched."
    )
    return Found("catalogue", about, tuple(rows), tuple(targets), setting.told())


def _pair(setting: Setting, batch: int, optimiser: str) -> list[Row]:
    """The small world and the large one, in turn."""
    small, large = (TINY, SMALLER) if setting.quick else (SMALL, LARGE)
    often = 60 * 1024 // max(batch, 1024)
    steps = {small: often, large: 3 if optimiser == DENSE else often}
    changes = {"optimiser": optimiser}
    sides = {w: _side(setting, w, batch, n, changes) for w, n in steps.items()}
    found = take_turns(sides, 2 if setting.quick else REPEATS)
    return [_row(w, f"batch {batch:,}, {optimiser}", t) for w, t in found.items()]


def run_full_softmax(setting: Setting) -> Found:
    """Memory of an exact softmax over a million items."""
    world = TINY if setting.quick else SHORT
    batch = 64 if setting.quick else 1024
    side = _side(setting, world, batch, 1, {"negatives": ["catalogue"]})
    row = _row(world, DENSE, take_turns({DENSE: side}, 2)[DENSE])
    seen = row.more.get("step MiB")
    target = Target(
        "peak memory of a step beyond parameters and optimiser state",
        *(MEMORY, False, None if seen is None else seen / 1024, "GiB"),
    )
    about = (
        "A step of the exact softmax over all items, batch 1,024. The memory of a step "
        "is by how much the resident memory rose while it ran; planned is what the "
        "compiler set aside for it."
    )
    targets = () if setting.quick else (target,)
    return Found("full-softmax-memory", about, (row,), targets, setting.told())


def _side(
    setting: Setting, world: str, batch: int, steps: int, changes: dict[str, Any]
) -> Callable[[], Side]:
    return ours(
        setting,
        {
            **{"task": "train", "dataset": world, "made": True, "data_dir": None},
            **{"batch": batch, "steps": steps, "changes": changes},
        },
    )


def _row(world: str, side: str, turns: Turns | str) -> Row:
    users, items, _ = (int(part) for part in world.split("x"))
    case = f"{users:,} users, {items:,} items"
    if isinstance(turns, str):
        return Row(case, side, note=f"failed: {turns}")
    told = {"state MiB": "state_bytes", "step MiB": "step_bytes"}
    told["planned MiB"] = "planned_bytes"
    more = {n: turns.ready[key] / 2**20 for n, key in told.items() if turns.ready[key]}
    if "peak_bytes" in turns.end:
        more["process's peak MiB"] = turns.end["peak_bytes"] / 2**20
    values = tuple(1e3 * p["seconds"] / p["steps"] for p in turns.portions)
    return Row(case, side, "ms/step", values, more)
