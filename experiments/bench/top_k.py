"""The benchmark top-k: exact lists over a million items, beside FAISS.

Both sides take turns, a fifth of the users each; all cores that this process may use
are theirs (on a shared machine one: taskset -c 0 python -m experiments bench).
"""

from typing import Any

import numpy as np

from experiments.bench.protocol import Turns, take_turns
from experiments.bench.results import BenchmarkResult, Target, ratio, side_row
from experiments.bench.setting import Setting, machine, ours, peer
from research.compiler import THREADS
from research.files import write_arrays

USERS, ITEMS, DIM, TURNS = 10_000, 1_000_000, 64, 5
OURS, FAISS = "this project", "FAISS, IndexFlatIP"
ASKED = 1.3


def run_top_k(setting: Setting) -> BenchmarkResult:
    """Measures both sides in turns, on the same normal vectors."""
    users, items = (500, 3000) if setting.quick else (USERS, ITEMS)
    draw = np.random.default_rng(0)
    vectors = {
        name: draw.standard_normal((rows, DIM), dtype=np.float32)
        for name, rows in (("users", users), ("items", items))
    }
    path = write_arrays(setting.scratch / "lists.npz", vectors, level=0)
    request = {"task": "lists", "work": str(path), "portion": users // TURNS}
    # XLA has one thread, as in run and train: the tiles of users share the cores.
    sides = {OURS: ours(setting, request, **{THREADS: "1"})}
    if setting.peers is not None:
        sides[FAISS] = peer(setting, "faiss_peer", request)
    answers = take_turns(sides, TURNS)
    case = f"top 100 of {users // TURNS:,} users"
    rows, summary = [], setting.summary()
    for name, turns in answers.items():
        row = side_row(case, name, "s", turns, lambda portion: portion["seconds"])
        more = {f"{users:,} users s": sum(row.values)} if row.values else {}
        if name != OURS:
            more |= ids_apart(answers[OURS], turns)
        if isinstance(turns, Turns):
            summary["packages"] |= turns.ready.get("versions", {})
        rows.append(row._replace(more=more))
    targets = []
    if not setting.quick:
        what = f"{case}: time of {OURS} over that of {FAISS}"
        targets.append(Target(what, ASKED, False, ratio(rows, case, OURS, FAISS)))
    cores = machine()["cores"]
    about = (
        f"{users:,} users by {items:,} items, normal vectors of {DIM}, exact, no item "
        f"removed; {TURNS} turns of other users each, both sides on the same {cores} "
        f"core{'' if cores == 1 else 's'}, this project with one thread of XLA as in "
        "run and train. Ids apart: items of the first lists that "
        "are not in this project's, in percent."
    )
    return BenchmarkResult("top-k", about, tuple(rows), tuple(targets), summary)


def ids_apart(own: Turns | str, other: Turns | str) -> dict[str, Any]:
    """How many percent of the other side's first lists are not in this project's."""
    if isinstance(own, str) or isinstance(other, str):
        return {}
    pairs = list(zip(own.ready["lists"], other.ready["lists"]))
    missing = sum(len(set(theirs) - set(mine)) for mine, theirs in pairs)
    return {"ids apart %": 100 * missing / sum(len(theirs) for _, theirs in pairs)}
