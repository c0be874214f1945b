"""Steps a second on the same work: this project, PyTorch, TensorFlow Recommenders."""

from typing import Any, NamedTuple

from experiments.bench.asking import ours, peer
from experiments.bench.found import Found, Row, Target, ratio
from experiments.bench.setting import Setting
from experiments.bench.sides import Turns, take_turns
from experiments.bench.work import Work, save_arrays

__all__ = ["row_of", "run_training"]

STEPS = {1024: 120, 4096: 16}
REPEATS = 5


class Player(NamedTuple):
    """A side: its name, its module (none: this project), what else it is told.

    same is whether it moves by the rule of the first of its table, so that their losses
    can be compared.
    """

    name: str
    module: str | None
    told: dict[str, Any]
    same: bool = True


OURS = Player("this project", None, {})
EAGER = Player("PyTorch, eager", "torch_peer", {})
COMPILED = Player("PyTorch, compiled", "torch_peer", {"compiled": True})
TFRS = Player("TensorFlow Recommenders", "tfrs_peer", {})
DENSE = (OURS, EAGER, COMPILED, TFRS)
LAZY, ROWWISE = (
    Player(f"this project, {name}", None, {"changes": {"optimiser": name}}, same)
    for name, same in (("lazy-adam", True), ("rowwise-adagrad", False))
)
SPARSE_ADAM = Player("PyTorch, SparseAdam", "torch_peer", {"sparse": True})
ADAGRAD = Player(
    "TensorFlow Recommenders, Adagrad", "tfrs_peer", {"sparse": True}, False
)
SPARSE = (LAZY, ROWWISE, SPARSE_ADAM, ADAGRAD)
# How many times another side, at each batch.
ASKED = {
    "dense Adam": ((OURS, EAGER, (3.5, 5.0)), (OURS, TFRS, (2.5, 2.5))),
    "rows touched": ((LAZY, SPARSE_ADAM, (3.5, 5.0)), (ROWWISE, ADAGRAD, (2.5, 2.5))),
}


def run_training(setting: Setting) -> Found:
    """Adam over everything, then each side's own optimiser of touched rows."""
    work = setting.work("ml-1m")
    steps = {64: 4} if setting.quick else STEPS
    path = save_arrays(work, tuple(steps), setting.scratch / "work.npz")
    rows: list[Row] = []
    targets: list[Target] = []
    about_setting = setting.told(work)
    for at, (batch, n) in enumerate(steps.items()):
        told = {"task": "train", "work": str(path), "batch": batch, "steps": n}
        kinds: dict[str, tuple[Player, ...]] = {"dense Adam": DENSE}
        if not setting.quick:
            kinds["rows touched"] = SPARSE
        for kind, players in kinds.items():
            case = f"batch {batch:,}, {kind}"
            sides = {
                player.name: _start(setting, work, player, told)
                for player in players
                if player.module is None or setting.peers is not None
            }
            found = take_turns(sides, 2 if setting.quick else REPEATS)
            same = {player.name for player in players if player.same}
            for name, turns in found.items():
                reference = found[players[0].name] if name in same else ""
                rows.append(row_of(case, name, turns, reference))
                if isinstance(turns, Turns):
                    about_setting["packages"] |= turns.ready["versions"]
            if not setting.quick:
                for side, other, asked in ASKED[kind]:
                    seen = ratio(tuple(rows), case, side.name, other.name)
                    what = f"{case}: {side.name} over {other.name}"
                    targets.append(Target(what, asked[at], True, seen))
            setting.say(f"train: {case} measured")
    about = (
        "In-batch softmax with log q and the row's own item masked; user tower of an "
        "id and the mean of 20 clicks, item tower of an id, 128 and 64 wide. Every "
        "side starts from the same parameters and sees the same batches: loss apart is "
        "by how much the losses of the first 5 steps differ at most."
    )
    return Found("train", about, tuple(rows), tuple(targets), about_setting)


def _start(setting: Setting, work: Work, player: Player, told: dict[str, Any]) -> Any:
    if player.module is not None:
        return peer(setting, player.module, {**told, **player.told})
    return ours(setting, {"changes": {}, **told, **work.told(), **player.told})


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
