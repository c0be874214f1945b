"""Steps a second on the same work: this project, PyTorch, TensorFlow Recommenders."""

from collections.abc import Callable
from typing import Any

from experiments.bench.found import Found, Row, Target, ratio
from experiments.bench.ours import train_steps
from experiments.bench.setting import Setting
from experiments.bench.sides import Here, Process, Side, Turns, own, take_turns
from experiments.bench.work import Work, save_arrays

__all__ = ["EAGER", "OURS", "TFRS", "row_of", "run_training"]

OURS, EAGER, COMPILED, TFRS = (
    "this project",
    "PyTorch, eager",
    "PyTorch, compiled",
    "TensorFlow Recommenders",
)
STEPS = {1024: 60, 4096: 8}
REPEATS = 5
ASKED = {1024: {EAGER: 3.5, TFRS: 2.5}, 4096: {EAGER: 5.0, TFRS: 2.5}}


def run_training(setting: Setting) -> Found:
    """Dense Adam at each batch, the sides in turns."""
    work = setting.work("ml-1m")
    steps = {64: 4} if setting.quick else STEPS
    path = save_arrays(work, tuple(steps), setting.scratch / "work.npz")
    rows: list[Row] = []
    targets: list[Target] = []
    told_of = setting.told(work)
    for batch, n in steps.items():
        told = {"work": str(path), "batch": batch, "steps": n}
        sides = _sides(setting, work, told)
        found = take_turns(sides, 2 if setting.quick else REPEATS)
        case = f"batch {batch:,}, dense Adam"
        rows += [
            row_of(case, name, turns, found[OURS]) for name, turns in found.items()
        ]
        for other, asked in ASKED.get(batch, {}).items():
            seen = ratio(tuple(rows), case, OURS, other)
            targets.append(Target(f"{case}: {OURS} over {other}", asked, True, seen))
        setting.say(f"train: {case} measured")
    about = (
        "In-batch softmax with log q and the row's own item masked; user tower of an "
        "id and the mean of 20 clicks, item tower of an id, 128 and 64 wide, Adam. "
        "Every side starts from the same parameters and sees the same batches."
    )
    return Found("train", about, tuple(rows), tuple(targets), told_of)


def _sides(
    setting: Setting, work: Work, told: dict[str, Any]
) -> dict[str, Callable[[], Side]]:
    ours = {
        **{"task": "train", "dataset": work.dataset, "made": work.made, "changes": {}},
        **{"data_dir": setting.data_dir, **told},
    }
    sides: dict[str, Callable[[], Side]] = {OURS: lambda: _ours(setting, ours)}
    peers = {
        EAGER: ("torch_peer", {}),
        COMPILED: ("torch_peer", {"compiled": True}),
        TFRS: ("tfrs_peer", {}),
    }
    for name, (module, changes) in peers.items():
        if setting.peers is not None:
            sides[name] = _start(setting, module, {"task": "train", **told, **changes})
    return sides


def _start(setting: Setting, module: str, told: dict[str, Any]) -> Callable[[], Side]:
    assert setting.peers is not None
    python = setting.peers
    return lambda: Process(python, f"experiments.bench.peers.{module}", told)


def _ours(setting: Setting, told: dict[str, Any]) -> Side:
    if setting.quick:
        return Here(train_steps(told))
    return own("experiments.bench.ours", told)


def row_of(case: str, side: str, turns: Turns | str, reference: Turns | str) -> Row:
    """A side's row: steps a second, what getting ready took, memory.

    loss apart is by how much the losses of its first steps differ from the reference's.
    """
    if isinstance(turns, str):
        return Row(case, side, note=f"failed: {turns}")
    more = {"ready s": turns.ready["compile_seconds"]}
    if "peak_bytes" in turns.end:
        more["peak MiB"] = turns.end["peak_bytes"] / 2**20
    if isinstance(reference, Turns):
        pairs = zip(turns.ready["losses"], reference.ready["losses"])
        more["loss apart"] = max(abs(a - b) for a, b in pairs)
    values = tuple(p["steps"] / p["seconds"] for p in turns.portions)
    return Row(case, side, "steps/s", values, more)
