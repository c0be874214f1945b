"""The benchmarks catalogue and full-softmax-memory: what a million items cost."""

from typing import Any

from experiments.bench.asking import alone, ours
from experiments.bench.found import Found, Row, Target
from experiments.bench.setting import Setting
from experiments.bench.sides import Failed, Turns

__all__ = ["run_catalogue", "run_full_softmax"]

OPTIMISERS = ("lazy-adam", "rowwise-adagrad", "adamw")
# Users, items, clicks a user: as many clicks in both, so histories are as full.
SMALL, LARGE = "6038x3533x20", "1000000x1000000x20"
SHORT = "6038x1000000x76"
TINY, SMALLER = "300x200x12", "300x400x12"
ASKED, MEMORY = 1.2, 1.5


def run_catalogue(setting: Setting) -> Found:
    """Seconds a step by each optimiser, in a small world and in a large one."""
    worlds = (TINY, SMALLER) if setting.quick else (SMALL, LARGE)
    rows: list[Row] = []
    targets: list[Target] = []
    optimisers = OPTIMISERS[:1] if setting.quick else OPTIMISERS
    for optimiser in optimisers:
        for world in worlds:
            steps = 3 if optimiser == "adamw" and world == LARGE else 20
            turns = _measured(setting, world, steps, {"optimiser": optimiser})
            rows.append(_row(world, optimiser, turns))
            setting.say(f"catalogue: {optimiser} in {world} measured")
        small, large = (row.median for row in rows[-2:])
        if optimiser != "adamw" and not setting.quick:
            seen = large / small if small and large else None
            what = f"{optimiser}: a step in the large world over one in the small"
            targets.append(Target(what, ASKED, False, seen))
    about = (
        "A step of the work of the benchmark train, batch 1,024, in made worlds of "
        "20 clicks a user. adamw moves every row in every step; the others move the "
        "rows that a step touched."
    )
    return Found("catalogue", about, tuple(rows), tuple(targets), setting.told())


def run_full_softmax(setting: Setting) -> Found:
    """Memory of an exact softmax over a million items."""
    world = TINY if setting.quick else SHORT
    turns = _measured(setting, world, 1, {"negatives": ["catalogue"]}, repeats=2)
    row = _row(world, "adamw", turns)
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


def _measured(
    setting: Setting,
    world: str,
    steps: int,
    changes: dict[str, Any],
    repeats: int = 5,
) -> Turns | str:
    told = {
        **{"task": "train", "dataset": world, "made": True, "data_dir": None},
        **{"batch": 64 if setting.quick else 1024, "steps": steps, "changes": changes},
    }
    try:
        return alone(ours(setting, told), 2 if setting.quick else repeats)
    except Failed as error:
        return str(error)


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
