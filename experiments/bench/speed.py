"""Steps a second on the same work: this project, PyTorch, TensorFlow Recommenders."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray

from experiments.bench.found import Found, Row, Target, ratio
from experiments.bench.setting import Setting, alone, ours, peer
from experiments.bench.sides import Failed, Turns, take_turns
from experiments.bench.work import RANKING, Work, save_arrays
from research.files import write_arrays

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


BATCHES = (1024, 4096, 8192)
LOSSES_ASKED = {4096: 2.0, 8192: 2.0}
LOSSES_REPEATS = 7
FULL, AS_IS = "its three products, at full speed", "its three products, as they are"


def run_losses(setting: Setting) -> Found:
    """Each form at each batch."""
    work = setting.work("ml-1m")
    told: dict[str, Any] = {"task": "loss", **work.told()}
    rows: list[Row] = []
    targets: list[Target] = []
    for batch in (32,) if setting.quick else BATCHES:
        case = f"batch {batch:,}"
        start = ours(setting, {**told, "batch": batch})
        try:
            ready, portions, _ = alone(start, 2 if setting.quick else LOSSES_REPEATS)
        except Failed as error:
            rows.append(Row(case, "this project", note=f"failed: {error}"))
            continue
        chosen = f"{ready['chosen']} (what training takes at this size)"
        for name, form in (
            *(("dense", "dense"), ("blocked", "blocked")),
            *((AS_IS, "products"), (FULL, "large")),
        ):
            factor = 1e3 * (ready["full_speed"] if name == FULL else 1.0)
            values = tuple(portion[form] * factor for portion in portions)
            side = chosen if name == ready["chosen"] else name
            rows.append(Row(case, side, "ms", values))
        if batch in LOSSES_ASKED:
            seen = ratio(tuple(rows), case, chosen, FULL)
            what = f"{case}: {ready['chosen']} loss over {FULL}"
            targets.append(Target(what, LOSSES_ASKED[batch], False, seen))
        setting.say(f"loss: {case} measured")
    about = (
        "In-batch softmax with log q and the row's own item masked, forward and "
        "backward to both sides' vectors of 64, without towers. Full speed is that of "
        "a product of two matrices of 2,048 rows and columns, measured in between."
    )
    return Found("loss", about, tuple(rows), tuple(targets), setting.told(work))


EVALUATION_OURS = "this project, seen items removed"
STREAMING = "TensorFlow Recommenders, FactorizedTopK as by default (streaming)"
BRUTE = "TensorFlow Recommenders, FactorizedTopK over BruteForce"
LISTS, METRICS = "top 100 of every user", "every metric of a report, per user"
DIM = 64
EVALUATION_REPEATS = 7


def run_evaluation(setting: Setting) -> Found:
    """The sides in turns, on the same made vectors."""
    work = setting.work("ml-1m", RANKING)
    path = _save_vectors(work, setting.scratch / "vectors.npz")
    told: dict[str, Any] = {"task": "rank", "work": str(path)}
    sides = {EVALUATION_OURS: ours(setting, {**told, **work.told()})}
    if setting.peers is not None:
        for name, layer in ((STREAMING, "streaming"), (BRUTE, "brute-force")):
            sides[name] = peer(setting, "tfrs_peer", {**told, "layer": layer})
    found = take_turns(sides, 2 if setting.quick else EVALUATION_REPEATS)
    rows = [_row(LISTS, name, turns, "rank") for name, turns in found.items()]
    rows.append(_row(METRICS, "this project", found[EVALUATION_OURS], "metrics"))
    about = (
        f"{len(work.fold.evaluated):,} users by {work.fold.fitted.n_items:,} items, "
        f"vectors of {DIM}. FactorizedTopK removes no seen item; it looks up one "
        "held-out item a user, within the time."
    )
    targets = []
    if not setting.quick:
        for other, asked in ((STREAMING, 4.0), (BRUTE, 1.5)):
            seen = ratio(tuple(rows), LISTS, other, EVALUATION_OURS)
            targets.append(Target(f"{other} over {EVALUATION_OURS}", asked, True, seen))
        targets.append(Target(METRICS, 2.0, False, rows[-1].median, "s"))
    return Found("evaluation", about, tuple(rows), tuple(targets), setting.told(work))


def _save_vectors(work: Work, path: Path) -> Path:
    """users [v, d] and items [i, d] of length 1, and an item held out a user [v]."""
    draw, fold = np.random.default_rng(0), work.fold

    def made(rows: int) -> ndarray:
        vectors = draw.standard_normal((rows, DIM)).astype(np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    users, items = made(len(fold.evaluated)), made(fold.fitted.n_items)
    held = fold.held_item[np.searchsorted(fold.held_user, fold.evaluated)]
    arrays = {"users": users, "items": items, "held": held}
    return write_arrays(path, arrays, level=0)


def _row(case: str, side: str, turns: Turns | str, what: str) -> Row:
    if isinstance(turns, str):
        return Row(case, side, note=f"failed: {turns}")
    return Row(case, side, "s", tuple(portion[what] for portion in turns.portions))
